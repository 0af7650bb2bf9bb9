"""Weights published as LaBraM (MIT): `labram-base.pth`, and state dicts of its encoder.

Of the published training checkpoint the encoder is read; what it was trained with besides (a mask
token, heads) is left out, and named in the model's `left_out`. It lies alone: what stands in a
`config.json` (the constructor's arguments) is otherwise read off the shapes. Every other tensor has
its place, and every weight of ours is filled. Anything else is an error.
"""

import re
from pathlib import Path

from torch import Tensor, nn

from ..data.contract import InputContract
from ..models.labram import LaBraM, LaBraMConfig
from ..nn.patch_encoder import STRIDE
from . import files
from .origin import Origin

ORIGIN = Origin(
    repo="935963004/LaBraM",
    variants=(),
    license="MIT",
    paper="arXiv 2405.18765",
    datasets=(
        "BCI Competition IV-1", "Emobrain", "Grasp and Lift", "Inria BCI Challenge", "eegmmidb",
        "Raw EEG Data", "Resting State EEG Data", "SEED", "Siena Scalp EEG",
        "SPIS Resting State", "Target Versus Non-Target", "TUAR", "TUEP", "TUSZ", "TUSL",
    ),
    note="2,500 h of EEG, some of the authors' own; data sets are those that the paper names, and "
         "recordings are not listed",
    bare=True,
)

FIELDS = {
    "patch_size": "patch", "out_chans": "n_filters", "embed_dim": "dim", "depth": "n_blocks",
    "num_heads": "n_heads", "mlp_ratio": "expansion", "init_values": "layer_scale",
    "qkv_bias": "qkv_bias", "drop_path_rate": "drop_path", "channels": "channels",
}  # fmt: skip
# What says nothing of the encoder's weights, or (in_chans) only what is built here.
_BESIDES = {"EEG_size", "num_classes", "in_chans"}
# Pieces of our names → pieces of theirs, applied in this order.
ENCODER_NAMES = (
    (r"^encoder\.patches\.convolutions\.0\.", "patch_embed.conv1."),
    (r"^encoder\.patches\.convolutions\.1\.", "patch_embed.conv2."),
    (r"^encoder\.patches\.convolutions\.2\.", "patch_embed.conv3."),
    (r"^encoder\.patches\.norms\.0\.", "patch_embed.norm1."),
    (r"^encoder\.patches\.norms\.1\.", "patch_embed.norm2."),
    (r"^encoder\.patches\.norms\.2\.", "patch_embed.norm3."),
    (r"^encoder\.class_token$", "cls_token"),
    (r"^encoder\.electrode$", "pos_embed"),
    (r"^encoder\.second$", "time_embed"),
    (r"^encoder\.norm\.", "fc_norm."),
    (r"^encoder\.(blocks\.\d+)\.norm_attention\.", r"\1.norm1."),
    (r"^encoder\.(blocks\.\d+)\.norm_feedforward\.", r"\1.norm2."),
    (r"^encoder\.(blocks\.\d+)\.scale_attention$", r"\1.gamma_1"),
    (r"^encoder\.(blocks\.\d+)\.scale_feedforward$", r"\1.gamma_2"),
    (r"^encoder\.(blocks\.\d+)\.up\.", r"\1.mlp.fc1."),
    (r"^encoder\.(blocks\.\d+)\.down\.", r"\1.mlp.fc2."),
    (r"^encoder\.(blocks\.\d+)\.attention\.", r"\1.attn."),
    (r"\.attn\.query_bias$", ".attn.q_bias"),
    (r"\.attn\.value_bias$", ".attn.v_bias"),
    (r"\.attn\.norm_query\.", ".attn.q_norm."),
    (r"\.attn\.norm_key\.", ".attn.k_norm."),
    (r"\.attn\.out\.", ".attn.proj."),
)
_STUDENT = "student."
_TRAINING_ONLY = re.compile(r"^(mask_token$|lm_head\.|head\.)")


def read(config_file: Path | None, weights_file: Path) -> LaBraM:
    """The encoder in a file of weights, and the configuration beside it if there is one."""
    weights, left_out = encoder_alone(files.read_weights(weights_file))
    if config_file is None:
        fields, seconds = _fields_of(weights, weights_file), 8
    else:
        published = files.read_config(config_file)
        fields = our_fields(published, FIELDS, _BESIDES, config_file)
        if published.get("in_chans", 1) != 1:
            raise ValueError(f"{config_file}: in_chans is {published['in_chans']}; 1 is what reads "
                             f"signals, others decode a tokenizer and are not built here")
        seconds = published.get("EEG_size", 1600) // published.get("patch_size", 200)
    with files.describing(config_file or weights_file):
        model = LaBraM(LaBraMConfig(**fields))
    fill(model, weights, ENCODER_NAMES, weights_file)
    model.contract = contract(float(max(1, seconds)))
    model.left_out = left_out
    return model.eval()


def contract(window_s: float) -> InputContract:
    """Of the signals it was trained on (arXiv 2405.18765, sec. 3.2). They are in units of 100 µV
    there; a contract has no such scale, so windows hold volts, and the model multiplies."""
    return InputContract(
        sfreq=200.0, highpass_hz=0.1, lowpass_hz=75.0, notch_hz=(50.0,), kinds=("eeg",),
        reference="none", bad_channels="none", window_s=window_s, stride_s=None, scale="none",
        geometry="head", positions="required",
    )


def encoder_alone(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """(the encoder's tensors, names of those left out) of a checkpoint of its training: they stand
    behind "student.", beside what codes are predicted with. A plain state dict may have a head."""
    training = any(name.startswith(_STUDENT) for name in weights)
    kept, left_out = {}, []
    for name, value in weights.items():
        plain = name.removeprefix(_STUDENT)
        if _TRAINING_ONLY.match(plain) or (training and plain == name):
            left_out.append(name)
        else:
            kept[plain] = value
    if training and "fc_norm.weight" not in kept:
        # In training the last norm stands behind every token, and bears another name. Deviation:
        # the authors' fine-tuning leaves it out and begins a new one, which differs by a factor and
        # a shift of each feature.
        kept = {re.sub(r"^norm\.", "fc_norm.", name): value for name, value in kept.items()}
    return kept, tuple(sorted(left_out))


def our_fields(published: dict, names: dict[str, str], besides: set[str], file: Path) -> dict:
    """Their constructor's arguments → fields of our config."""
    unknown = published.keys() - names.keys() - besides
    if unknown:
        raise ValueError(f"{file}: unknown arguments {sorted(unknown)}; known are "
                         f"{sorted({*names, *besides})}")
    fields = {ours: published[theirs] for theirs, ours in names.items() if theirs in published}
    fields["layer_scale"] = fields.get("layer_scale") or 0.0  # None = there is no such scale
    return fields | {name: float(fields[name]) for name in ("layer_scale", "expansion", "drop_path")
                     if name in fields}


def fill(model: nn.Module, weights: dict[str, Tensor], names: tuple, file: Path) -> None:
    """Theirs into ours, strictly; messages have their names.

    names: pieces of ours → pieces of theirs. Where they have axes of length 1 that we have not (of
    tables, of convolutions), these are dropped.
    """
    wanted = {}
    for ours, place in model.state_dict().items():
        theirs = ours
        for piece, name in names:
            theirs = re.sub(piece, name, theirs)
        wanted[theirs] = place
    problems = [f"missing {name}" for name in sorted(wanted.keys() - weights.keys())]
    problems += [f"unexpected {name}" for name in sorted(weights.keys() - wanted.keys())]
    for theirs, place in wanted.items():
        shape = _their_shape(theirs, list(place.shape))
        if theirs in weights and list(weights[theirs].shape) != shape:
            problems.append(f"{theirs} is {list(weights[theirs].shape)}, wanted {shape}")
    if problems:
        raise ValueError(f"{file}: {len(problems)} weights do not fit the configuration: "
                         f"{'; '.join(problems)}")
    for theirs, place in wanted.items():
        place.copy_(weights[theirs].reshape(place.shape))


def _their_shape(name: str, ours: list[int]) -> list[int]:
    if re.fullmatch(r"patch_embed\.conv\d\.weight", name):
        return [*ours[:2], 1, ours[2]]
    if name in ("pos_embed", "time_embed"):
        return [1, *ours]
    return [1, 1, *ours] if name == "cls_token" else ours


def _fields_of(weights: dict[str, Tensor], file: Path) -> dict:
    """Fields of our config, read off the shapes."""
    try:
        blocks = {int(name.split(".")[1]) for name in weights if name.startswith("blocks.")}
        filters, dim = len(weights["patch_embed.conv1.bias"]), weights["cls_token"].shape[-1]
        scale = weights.get("blocks.0.gamma_1")
        return {
            "patch": dim // filters * STRIDE, "n_filters": filters, "dim": dim,
            "n_blocks": len(blocks),
            "n_heads": dim // len(weights["blocks.0.attn.q_norm.weight"]),
            "expansion": len(weights["blocks.0.mlp.fc1.bias"]) / dim,
            "layer_scale": 0.0 if scale is None else 0.1,
            "qkv_bias": "blocks.0.attn.q_bias" in weights,
        }
    except (KeyError, IndexError, ValueError, ZeroDivisionError, TypeError) as problem:
        raise ValueError(
            f"{file}: wanted the tensors of LaBraM, which say its shape where no config.json lies "
            f"beside it; looked for {problem}, found {', '.join(sorted(weights)[:5])} …; put its "
            f"config.json (depth, embed_dim, num_heads …) there, or fetch labram-base.pth again"
        ) from problem
