"""Weights in the form of the public NeuroBOLT code (non-commercial license; read, never copied).

A folder holds `config.json` (the constructor's arguments; besides, `channels`: names of the
electrodes in their order, which the code takes as an argument of every call) beside
`weights.safetensors` or a `.pt`/`.pth` state dict. Every published tensor is either used or on a
short list of derived ones, which are checked, and every weight of ours is filled.
"""

from pathlib import Path

import torch
from torch import Tensor

from ..models.neurobolt import NeuroBOLT, NeuroBOLTConfig
from ..nn.spectral_branch import sinusoids
from . import files
from .labram import ENCODER_NAMES, FIELDS, fill, our_fields
from .labram import ORIGIN as LABRAM
from .labram import contract as labram_contract
from .origin import Origin

ORIGIN = Origin(
    repo="soupeeli/NeuroBOLT",
    variants=(),
    license="other",
    paper="arXiv 2410.05341",
    datasets=("NeuroBOLT", *LABRAM.datasets),  # it starts from LaBraM's weights
    note="29 resting scans of 22 people, and LaBraM's data before; which scans the weights have "
         "seen is not listed, and the band of the EEG is not stated: LaBraM's is assumed; the "
         "code's license allows non-commercial use only",
)

_FIELDS = {**FIELDS, "EEG_length": "n_times", "EEG_channel": "n_channels", "num_roi": "n_rois"}
_NAMES = (
    *ENCODER_NAMES,
    (r"^spectral\.scales\.(\d+)\.spectrum\.", r"mss_module.patch_embedding.\1.projection."),
    (r"^spectral\.scales\.(\d+)\.over_time\.", r"mss_module.ts_embedding.\1.projection."),
    (r"^spectral\.channel$", "mss_module.channel_tokens.weight"),
    (r"^spectral\.blocks\.(\d+)\.norm_attention\.", r"spectral.layers.\1.0.norm."),
    (r"^spectral\.blocks\.(\d+)\.attention\.out\.", r"spectral.layers.\1.0.fn.to_out."),
    (r"^spectral\.blocks\.(\d+)\.attention\.query\.", r"spectral.layers.\1.0.fn.to_q."),
    (r"^spectral\.blocks\.(\d+)\.attention\.key\.", r"spectral.layers.\1.0.fn.to_k."),
    (r"^spectral\.blocks\.(\d+)\.attention\.value\.", r"spectral.layers.\1.0.fn.to_v."),
    (r"^spectral\.blocks\.(\d+)\.norm_feedforward\.", r"spectral.layers.\1.1.norm."),
    (r"^spectral\.blocks\.(\d+)\.up\.", r"spectral.layers.\1.1.fn.fn.w1."),
    (r"^spectral\.blocks\.(\d+)\.down\.", r"spectral.layers.\1.1.fn.fn.w2."),
    (r"^spectral\.layers\.", "mss_module.transformer.layers.layers."),
)
_NUMBERS, _POSITIONS = "mss_module.index", "mss_module.positional_encoding.pe"


def read(config_file: Path, weights_file: Path) -> NeuroBOLT:
    """The model in the two files of one."""
    published = files.read_config(config_file)
    fields = our_fields(published, _FIELDS, {"win_level"}, config_file)
    if "win_level" in published:  # windows of 100 samples, and twice as long so many times
        fields["n_scales"] = published["win_level"] + 1
    with files.describing(config_file):
        model = NeuroBOLT(NeuroBOLTConfig(**fields))
    weights = files.read_weights(weights_file)
    fill(model, _without_derived(weights, model.config, weights_file), _NAMES, weights_file)
    # That the mean of each window is removed is not in the contract: the model does so.
    model.contract = labram_contract(model.config.n_times / 200)
    return model.eval()


def _without_derived(
    weights: dict[str, Tensor], config: NeuroBOLTConfig, file: Path
) -> dict[str, Tensor]:
    """Without the tables that are computed here, which must be what they are computed as."""
    derived = {_NUMBERS: torch.arange(config.n_channels)}
    if _POSITIONS in weights:
        rows = weights[_POSITIONS].shape[1] if weights[_POSITIONS].ndim == 3 else 1
        derived[_POSITIONS] = sinusoids(rows, config.dim)[None]
    for name in (_NUMBERS, _POSITIONS):
        if name not in weights:
            raise ValueError(f"{file}: missing {name}, a table that all published weights hold; "
                             f"fetch them again")
        found, wanted = weights[name], derived[name]
        if found.shape != wanted.shape:
            raise ValueError(f"{file}: {name} is {list(found.shape)}, wanted {list(wanted.shape)}")
        if not torch.allclose(found.double(), wanted.double(), atol=1e-5):
            raise ValueError(f"{file}: {name} holds other numbers than those that are computed "
                             f"here: these weights are of another network")
    return {name: value for name, value in weights.items() if name not in derived}
