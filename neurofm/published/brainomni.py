"""Weights published as OpenTSLab/BrainOmni (MIT): tiny, base, and the tokenizer alone.

A folder holds `model_cfg.json` (or `config.json`) beside a `.pt` state dict (or
`weights.safetensors`). Names and shapes differ from ours; every published tensor is either used or
on a short list of derived ones, and every weight of ours is filled. Anything else is an error.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from ..data.contract import InputContract
from ..models.brainomni import BrainOmni, BrainOmniConfig
from ..nn.attention import ROTARY_BASE, rotary_table
from ..tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig
from . import files
from .origin import Origin

ORIGIN = Origin(
    repo="OpenTSLab/BrainOmni",
    variants=("tiny", "base", "braintokenizer"),
    license="MIT",
    paper="arXiv 2505.18185",
    # The sets that the authors' preprocessing names (factory/brain_constant.py and process.py of
    # their repository); ds005261 and ds005697 are named there too, but kept for testing.
    # ds005505 to ds005512 are releases of HBN.
    datasets=(
        "HBN", "Cam-CAN", "camcan1630", "Omega", "MEG-Narrative-Dataset", "ds000117", "ds000247",
        "ds002721", "ds002778", "ds003478", "ds003555", "ds003775", "ds004148", "ds004186",
        "ds004330", "ds004395", "ds004902", "ds004998", "ds005420", "ds005505", "ds005506",
        "ds005507", "ds005508", "ds005509", "ds005510", "ds005511", "ds005512", "ds005620",
    ),
    note="1,997 h of EEG and 656 h of MEG; data sets are those that the published preprocessing "
         "names, perhaps not all of them, and recordings are not listed",
)

_TOKENIZER_FIELDS = {
    "window_length": "window_length", "n_filters": "n_filters", "ratios": "ratios",
    "kernel_size": "kernel", "last_kernel_size": "last_kernel", "n_dim": "dim",
    "n_neuro": "n_sources", "n_head": "n_heads", "dropout": "dropout",
    "codebook_dim": "code_dim", "codebook_size": "n_codes", "num_quantizers": "n_levels",
    "rotation_trick": "rotation_trick", "overlap_ratio": "overlap",
}  # fmt: skip
_MODEL_FIELDS = {
    "lm_dim": "dim", "lm_head": "n_heads", "lm_depth": "n_blocks", "lm_dropout": "dropout",
    "mask_ratio": "masked", "num_quantizers_used": "n_levels",
}  # fmt: skip

# Pieces of their names → pieces of ours, applied in this order.
_RENAMES = (
    (r"sensor_embed\.pos_embedding_layer\.0", "codec.sensors.place_in"),
    (r"sensor_embed\.pos_embedding_layer\.2", "codec.sensors.place_out"),
    (r"sensor_embed\.sensor_embedding_layer", "codec.sensors.kind"),
    (r"sensor_embed\.aggregate_mlp\.layer\.0", "codec.sensors.mix.up"),
    (r"sensor_embed\.aggregate_mlp\.layer\.2", "codec.sensors.mix.down"),
    (r"sensor_embed\.norm", "codec.sensors.norm"),
    (r"encoder\.neuros", "codec.backward_solution.sources"),
    (r"encoder\.k_proj", "codec.backward_solution.key"),
    (r"encoder\.backwardsolution\.v\.", "codec.backward_solution.value."),
    (r"encoder\.backwardsolution\.proj", "codec.backward_solution.out"),
    (r"decoder\.forwardsolution\.kv", "codec.forward_solution.key_value"),
    (r"decoder\.forwardsolution\.proj", "codec.forward_solution.out"),
    (r"(en|de)coder\.seanet_\1coder\.model", r"codec.\1coder.layers"),
    (r"block\.1\.conv\.conv", "wide"),
    (r"block\.3\.conv\.conv", "narrow"),
    (r"shortcut\.conv\.conv", "skip"),
    (r"\.(conv\.conv|convtr\.convtr)\.", "."),
    (r"weight_g$|parametrizations\.weight\.original0$", "gain"),
    (r"weight_v$|parametrizations\.weight\.original1$", "direction"),
    (r"quantizer\.rvq\.layers\.(\d+)\.project_in", r"quantizer.down.\1"),
    (r"quantizer\.rvq\.layers\.(\d+)\.project_out", r"quantizer.up.\1"),
    (r"(blocks\.\d+)\.pre_attn_norm", r"\1.norm_attention"),
    (r"(blocks\.\d+)\.pre_ff_norm", r"\1.norm_feedforward"),
    (r"(blocks\.\d+)\.time_attn", r"\1.over_time"),
    (r"(blocks\.\d+)\.spatial_attn", r"\1.over_sources"),
    (r"(over_\w+)\.proj\.", r"\1.out."),
    (r"(blocks\.\d+)\.ff\.layer\.0", r"\1.feedforward.up"),
    (r"(blocks\.\d+)\.ff\.layer\.2", r"\1.feedforward.down"),
    (r"^projection\.", "project."),
    (r"^predict_head\.", "head."),
)
# Of files whose rotary table is real.
COSINES = (
    "its rotary table holds {} rows of cosines and no sines: the authors' loader multiplies by "
    "them where training rotated, most likely (rotary: released, up to that many frames; or "
    "rotary: trained, the default). Which of the two predicts tokens better is untested"
)
_CODEBOOK = re.compile(r"^(.*quantizer)\.rvq\.layers\.(\d+)\._codebook\.(\w+)$")
_ROTARY = re.compile(r"rope_embedding_layer\.(freqs|rotate)$")


def read(config_file: Path, weights_file: Path) -> BrainOmni | BrainTokenizer:
    """The model or tokenizer in the two files of one, in evaluation mode, with its contract."""
    published = files.read_config(config_file)
    weights = files.read_weights(weights_file)
    is_model = "lm_dim" in published
    tokenizer_fields = _fields(published, _TOKENIZER_FIELDS, config_file)
    fields = _fields(published, _MODEL_FIELDS, config_file)
    with files.describing(config_file):
        tokenizer_config = BrainTokenizerConfig(**tokenizer_fields)
        model = (BrainOmni(BrainOmniConfig(tokenizer=tokenizer_config, **fields)) if is_model
                 else BrainTokenizer(tokenizer_config))
    _fill(model, weights, weights_file)
    if isinstance(model, BrainOmni) and (n_rows := _n_cosines(weights, weights_file)):
        model.config.rotary_frames = n_rows
        model.remarks = (COSINES.format(n_rows),)
    model.contract = contract(window_s=30.0 if is_model else 10.0)
    return model.eval()


def contract(window_s: float) -> InputContract:
    """What the published weights were trained on (arXiv 2505.18185, app. B), spelled out: our
    defaults may become others."""
    return InputContract(
        sfreq=256.0, highpass_hz=0.1, lowpass_hz=96.0, notch_hz=(50.0, 60.0),
        kinds=("eeg", "mag", "planar_grad", "axial_grad"), reference="average",
        bad_channels="log_psd", bad_channels_iqr=10.0, window_s=window_s, stride_s=None,
        scale="kind_std", geometry="centred", positions="required",
    )


def _fields(published: dict, names: dict[str, str], file: Path) -> dict:
    """Their constructor arguments → fields of our config."""
    method = published.get("quantize_optimize_method", "ema")
    if method != "ema":
        raise ValueError(f"{file}: quantize_optimize_method {method!r} is not supported, only "
                         f"'ema' (all that was released)")  # fmt: skip
    known = {"quantize_optimize_method", *_TOKENIZER_FIELDS, *_MODEL_FIELDS}
    unknown = published.keys() - known
    if unknown:
        raise ValueError(f"{file}: unknown arguments {sorted(unknown)}")
    return {ours: published[theirs] for theirs, ours in names.items() if theirs in published}


def _fill(model: BrainOmni | BrainTokenizer, weights: dict[str, Tensor], file: Path) -> None:
    """Copy every published tensor to its place; every place of ours must be filled."""
    state = model.state_dict()
    filled: set[str] = set()
    problems: list[str] = []

    def put(name: str, value: Tensor, theirs: str, row: int | None = None) -> None:
        if name not in state or (row is not None and row >= len(state[name])):
            problems.append(f"unexpected {theirs}")
            return
        place = state[name] if row is None else state[name][row]
        if place.shape != value.shape:
            problems.append(f"{theirs} is {list(value.shape)}, wanted {list(place.shape)}")
        else:
            place.copy_(value)
        filled.add(name if row is None else f"{name}[{row}]")

    for theirs, value in weights.items():
        if _ROTARY.search(theirs):
            continue  # computed here; see `_n_cosines`
        elif (codebook := _CODEBOOK.match(theirs)) is not None:
            quantizer, level, what = codebook[1], int(codebook[2]), codebook[3]
            if what == "embed":
                put(f"{quantizer}.codebook", value, theirs, level)
            elif what == "cluster_size":
                put(f"{quantizer}.uses", value, theirs, level)
            elif what == "inited" and not value.all():
                problems.append(f"{theirs} says that this codebook was never trained")
            elif what not in ("inited", "embed_avg"):  # embed_avg = embed × cluster_size
                problems.append(f"unexpected {theirs}")
        else:
            name = theirs
            for pattern, ours in _RENAMES:
                name = re.sub(pattern, ours, name)
            put(name, value, theirs)

    for name, place in state.items():
        short = name.rpartition(".")[2]
        if short in ("codebook", "uses"):
            missing = [f"{name}[{row}]" for row in range(len(place))
                       if f"{name}[{row}]" not in filled]  # fmt: skip
        else:
            derived = short in ("sums", "started", "bypassed", "n_updates")
            missing = [] if derived or name in filled else [name]
        problems += [f"nothing for our {name}" for name in missing]
    if problems:
        raise ValueError(f"{file}: {len(problems)} weights do not fit: {'; '.join(problems)}")
    quantizer = (model.tokenizer if isinstance(model, BrainOmni) else model).quantizer
    quantizer.sums.copy_(quantizer.codebook * quantizer.uses[..., None])
    quantizer.started.fill_(True)


def _n_cosines(weights: dict[str, Tensor], file: Path) -> int:
    """Rows of a rotary table that has lost its sines; 0 where the file holds none.

    Raises ValueError for tables and frequencies that are none of ours, which are computed.
    """
    found = set()
    for name, value in weights.items():
        if name.endswith("rope_embedding_layer.freqs"):
            wanted = ROTARY_BASE ** -(torch.arange(len(value)) / len(value))
            if not torch.allclose(value.float(), wanted, rtol=1e-4):
                raise ValueError(f"{file}: {name} are not the frequencies 10000^(-2i/dim)")
        elif name.endswith("rope_embedding_layer.rotate"):
            table = torch.view_as_complex(rotary_table(
                len(value), 2 * value.shape[1]).movedim(0, -1).contiguous())
            lost = not value.is_complex() or not value.imag.any()
            found_here, wanted = (value.real.float(), table.real) if lost else (value, table)
            if not torch.allclose(found_here, wanted, atol=1e-2):
                raise ValueError(f"{file}: {name} is no table of rotations, nor of their cosines")
            found.add(len(value) if lost else 0)
    if len(found) > 1:
        raise ValueError(f"{file}: the rotary tables of its blocks are of unlike kinds or lengths")
    return found.pop() if found else 0
