"""Weights published as OHBA-analysis/MEG-GPT (MIT): the tokenizer, and the model over its tokens.

A folder holds `config.json` beside `weights.safetensors` (or a .pt state dict), and of a tokenizer
`vocab.safetensors`, its map from tokens to labels. Every published tensor is either used or on a
short list of derived ones, and every weight of ours is filled. Anything else is an error.
"""

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data.contract import InputContract
from ..models.meg_gpt import MEGGPT, MEGGPTConfig
from ..tokenizers.ephys_tokenizer import EphysTokenizer, EphysTokenizerConfig
from . import files
from .origin import Origin

ORIGIN = Origin(
    repo="OHBA-analysis/MEG-GPT",
    variants=("models/tokenizer", "models/meg_gpt"),
    license="MIT",
    paper="arXiv 2510.18080",
    datasets=("Cam-CAN",),
    note="rest MEG of 612 sessions in 52 parcels; recordings are not listed",
)
VOCABULARY = "vocab.safetensors"

_TOKENIZER_NAMES = (
    (r"^encoder_layer\.rnn_layers\.0\.", "encoder."),
    (r"^token_weights_layer\.dense_layer\.", "to_token."),
    (r"^token_weights_layer\.norm_layer\.", "norm."),
    (r"^decoder_layer\.token_basis_layer\.", "kernels."),
)
_MODEL_NAMES = (
    (r"^input_embedding_layer\.token_embed\.", "body.token."),
    (r"^input_embedding_layer\.pos_embed\.", "body.position."),
    (r"^input_embedding_layer\.channel_embed\.", "body.channel."),
    (r"^input_embedding_layer\.extra_embeds\.0\.", "body.session."),
    (r"base_module\.(weight|position_embeddings)$", "table.weight"),
    (r"\.proj\.", ".project."),
    (r"^prediction_head\.", "head."),
    (r"^transformer_decoder\.layers\.", "body.layers."),
    (r"gasp_time_attention\.query_projection", "attention.query"),
    (r"gasp_time_attention\.patched_projection_k", "attention.key"),
    (r"gasp_time_attention\.patched_projection_v", "attention.value"),
    (r"gasp_time_attention\.patch_projection_k", "attention.key_of_patch"),
    (r"gasp_time_attention\.patch_projection_v", "attention.value_of_patch"),
    (r"gasp_time_attention\.output_projection", "attention.out"),
    (r"norm_time1\.norm_layer", "norm_attention"),
    (r"norm_time2\.norm_layer", "norm_feedforward"),
    (r"ff_time\.net\.0", "up"),
    (r"ff_time\.net\.2", "down"),
)
_DERIVED = re.compile(r"token_weights_layer\._temperature|gasp_layer\.attention_mask$")
# What we build one way only; a published model that has it otherwise is another network.
_FIXED = {"rnn_type": "gru", "rnn_n_layers": 1, "token_kernel_padding": "causal",
          "pos_embedding_type": "absolute", "norm_type": "layer"}
_OFF = ("do_chan_attention", "do_cross_attention", "unpatched_len_in")


def read(config_file: Path, weights_file: Path) -> EphysTokenizer | MEGGPT:
    """The tokenizer or model in the two files of one. A model's tokenizer is that of the folder
    `tokenizer` (or NAME_tokenizer) beside its own, where there is one with as many labels."""
    published = files.read_config(config_file)
    weights = files.read_weights(weights_file)
    if "rnn_n_units" in published:
        model = _tokenizer(published, weights, config_file, weights_file)
    else:
        model = _model(published, weights, config_file, weights_file)
    model.contract = contract()
    return model.eval()


def contract() -> InputContract:
    """Of the signals that were published: parcels, z-scored (here: over a window)."""
    return InputContract(sfreq=250.0, highpass_hz=0.5, lowpass_hz=120.0, notch_hz=(50.0, 60.0),
                         kinds=("roi",), reference="none", bad_channels="none",
                         scale="channel_std", window_s=10.0)


def _tokenizer(published: dict, weights: dict, config_file: Path, file: Path) -> EphysTokenizer:
    _check_fixed(published, config_file)
    try:
        config = EphysTokenizerConfig(
            n_tokens=published["n_tokens"], n_units=published["rnn_n_units"],
            kernel=published["token_dim"], window_length=published["sequence_length"], margin=0)
    except KeyError as problem:
        raise ValueError(f"{config_file}: says no {problem}, which the tokenizer needs"
                         ) from problem
    model = EphysTokenizer(config)
    # Ours keeps the vocabulary inside; theirs lies beside it.
    own = {name: value for name, value in model.state_dict().items()
           if name.startswith("vocabulary.")}
    _fill(model, weights, _TOKENIZER_NAMES, file, own)
    vocabulary = config_file.with_name(VOCABULARY)
    if not vocabulary.is_file():
        raise ValueError(f"{config_file.parent}: wanted {VOCABULARY} (label_map, token_order) "
                         f"beside the weights: without it labels of tokens are not known")
    found = files.read_weights(vocabulary)
    label_of, order = found["label_map"].long(), found["token_order"].long()
    if len(label_of) != config.n_tokens or not torch.equal(
            label_of[order], torch.arange(1, len(order) + 1)):
        raise ValueError(f"{vocabulary}: label_map and token_order do not fit each other, or the "
                         f"{config.n_tokens} tokens of the tokenizer")
    model.vocabulary.label_of.copy_(label_of)
    model.vocabulary.token_of.fill_(-1)
    model.vocabulary.token_of[1 : len(order) + 1] = order
    model.config.n_used = len(order)
    return model


def _model(published: dict, weights: dict, config_file: Path, file: Path) -> MEGGPT:
    try:
        inner, embedding = published["transformer_decoder"], published["input_embedding"]
        labels = embedding.get("extra_label_specs") or []
        _check_fixed({**inner, **embedding}, config_file)
        for name in _OFF:
            if any(inner.get(name, ())):
                raise ValueError(f"{config_file}: {name} is on, which was off in what was released "
                                 f"and is not built here")
        if len(labels) > 1:
            raise ValueError(f"{config_file}: wanted one label besides (sessions), got "
                             f"{[label['name'] for label in labels]}")
        plan = zip(inner["n_patches_in"], inner["patch_len_in"], inner["n_patches_out"],
                   inner["patch_len_out"], (band or 0 for band in inner["l_patched_b"]),
                   strict=True)
        config = MEGGPTConfig(
            body="patched", plan=tuple(plan), n_codes=embedding["n_tokens"],
            dim=inner["model_dim"], n_heads=inner["n_heads"],
            feedforward_dim=inner["feed_forward_dim"],
            activation=inner["feed_forward_activation"], dropout=inner["dropout"],
            n_channels=published["n_channels"], token_dim=embedding["token_embedding_dim"],
            position_dim=embedding["pos_embedding_dim"],
            channel_dim=embedding["channel_embedding_dim"],
            n_sessions=labels[0]["n_classes"] if labels else 0,
            session_dim=labels[0]["label_dim"] if labels else 0,
        )
    except KeyError as problem:
        raise ValueError(f"{config_file}: says no {problem}, which the model needs") from problem
    tokenizer = _beside(config_file.parent, config.n_codes)
    model = MEGGPT(config, tokenizer)
    own = {name: value for name, value in model.state_dict().items()
           if name.startswith("tokenizer.")}
    _fill(model, weights, _MODEL_NAMES, file, own)
    return model


def _beside(folder: Path, n_codes: int) -> EphysTokenizer | None:
    for name in ("tokenizer", f"{folder.name}_tokenizer"):
        beside = folder.with_name(name)
        if (beside / "config.json").is_file():
            settings, weights = files.locate(beside, (), None, None)
            assert settings is not None  # since it is not `bare`
            found = read(settings, weights)
            if found.config.n_codes == n_codes:
                return found
    return None


def _check_fixed(published: dict, config_file: Path) -> None:
    for name, wanted in _FIXED.items():
        if published.get(name, wanted) != wanted:
            raise ValueError(f"{config_file}: {name} is {published[name]!r}; what was released has "
                             f"{wanted!r}, and nothing else is built here")


def _fill(
    model: nn.Module, weights: dict[str, Tensor], names: tuple, file: Path, own: dict[str, Tensor]
) -> None:
    """Theirs into ours, strictly; `own`: what only ours has, kept as it is."""
    renamed = {}
    for name, value in weights.items():
        if _DERIVED.search(name):
            continue
        new = name
        for theirs, ours in names:
            new = re.sub(theirs, ours, new)
        renamed[new] = value
    wanted = {**model.state_dict()}
    missing = sorted(set(wanted) - set(renamed) - set(own))
    extra = sorted(set(renamed) - set(wanted))
    shapes = [f"{name} is {list(value.shape)}, wanted {list(wanted[name].shape)}"
              for name, value in renamed.items()
              if name in wanted and value.shape != wanted[name].shape]
    if missing or extra or shapes:
        raise ValueError(f"{file}: does not fit its config.json: "
                         + "; ".join(f"{what}: {mark.join(names)}" for what, names, mark in (
                             ("missing", missing, ", "), ("not known", extra, ", "),
                             ("mis-shaped", shapes, "; ")) if names))
    model.load_state_dict({**own, **renamed})
