"""LaBraM: features of EEG by a transformer over seconds of electrodes, as published.

Source: "LaBraM" (arXiv 2405.18765); layers in `neurofm.nn.patch_encoder`. Here to use published
weights (`neurofm import … --family labram`), alone or inside `neurobolt`; how they were trained, by
filling in the codes of a tokenizer of their own, is not built.

Electrodes are known by name, which a Batch does not carry. Where the config names none, each is
taken for the electrode it lies at (`neurofm.nn.labram_channels.rows_at`); those that lie at none
are not looked at. Where it names them, they are the channels of every batch, in that order.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.sensors import KINDS
from ..limits import Count, Positive, ShareBelowOne
from ..nn.labram_channels import NEAR_M, row_of_pair, rows_at, rows_of
from ..nn.patch_encoder import LaBraMEncoder, patch_width
from .protocol import Backbone, BackboneConfig

PER_VOLT = 1e4  # the published unit is 100 µV: contracts have no such scale, so batches hold volts


class LaBraMConfig(BackboneConfig):
    """The defaults are LaBraM-base's.

    Parameters
    ----------
    channels
        Electrodes of the channels of a batch, in that order; none = found by their places.
    patch
        Samples of a patch, one second.
    n_filters
        Outputs of the convolutions.
    dim, n_blocks, n_heads, expansion
        Width, blocks, heads and feed-forward ratio of the transformer.
    layer_scale
        Start of the scale of each block's output (`nn.patch_encoder`); 0 = none.
    qkv_bias
        Whether queries and values have biases.
    drop_path
        Share of windows that skip the last block in training; earlier blocks are skipped less.
    """

    model_type = "neurofm_labram"

    def __init__(
        self,
        channels: Sequence[str] = (),
        patch: Count = 200,
        n_filters: Count = 8,
        dim: Count = 200,
        n_blocks: Count = 12,
        n_heads: Count = 10,
        expansion: Positive = 4.0,
        layer_scale: float = 0.1,
        qkv_bias: bool = False,
        drop_path: ShareBelowOne = 0.0,
        **of_transformers,
    ):
        self.channels = tuple(channels)
        self.patch = patch
        self.n_filters = n_filters
        self.dim = dim
        self.n_blocks = n_blocks
        self.n_heads = n_heads
        self.expansion = expansion
        self.layer_scale = layer_scale
        self.qkv_bias = qkv_bias
        self.drop_path = drop_path
        super().__init__(**of_transformers)
        check_encoder(self)

    @property
    def window_length(self) -> int:
        """Samples that a window has at least."""
        return self.patch

    @property
    def pools(self) -> tuple[str, ...]:
        """See `LaBraM.pooled`."""
        return "mean", "attention"

    def n_pooled(self, pool: str) -> int:
        """Width of what `LaBraM.pooled` gives."""
        return self.dim


def check_encoder(config) -> None:
    """Check the fields of LaBraM in a config.

    Parameters
    ----------
    config
        Config with LaBraM's fields.

    Raises
    ------
    ValueError
        They describe no encoder.
    """
    rows_of(config.channels)
    config.require(config.n_filters % 4 == 0,
                   f"n_filters must be a multiple of 4 (groups of a norm), got {config.n_filters}")
    width = patch_width(config.patch, config.n_filters)
    config.require(config.dim == width,
                   f"dim must be what the convolutions make of a patch, {width} for a patch of "
                   f"{config.patch} samples and n_filters {config.n_filters}; got {config.dim}")
    config.require(config.dim % config.n_heads == 0,
                   f"dim ({config.dim}) must be a multiple of n_heads ({config.n_heads})")


def encoder_of(config) -> LaBraMEncoder:
    """The encoder of a config with LaBraM's fields.

    Parameters
    ----------
    config
        Config with LaBraM's fields.

    Returns
    -------
    LaBraMEncoder
        With random weights.
    """
    return LaBraMEncoder(config.patch, config.n_filters, config.dim, config.n_blocks,
                         config.n_heads, config.expansion, config.layer_scale, config.qkv_bias,
                         config.drop_path)


def electrodes(channels: Sequence[str], batch: Batch) -> Int[Tensor, "batch channel"]:
    """Electrodes of channels.

    Parameters
    ----------
    channels
        Names in the config; none = by position.
    batch
        Windows side by side, padded.

    Returns
    -------
    Tensor
        Row of each channel in LaBraM's table, int `[batch, channel]`; −1 = not read.

    Raises
    ------
    ValueError
        Channels are not those of the config; or it names none, and no electrode lies at their
        positions.
    """
    n = batch.valid.shape[1]
    if channels:
        if n != len(channels) or not batch.valid.all():
            there = sorted(set(batch.valid.sum(dim=1).tolist()))
            raise ValueError(
                f"config.channels names {len(channels)} electrodes ({', '.join(channels[:4])} …), "
                f"but windows have {' or '.join(map(str, there))} channels: name those of these "
                f"recordings in their order, or none, and electrodes are found by where they lie"
            )
        rows = torch.tensor(rows_of(channels), device=batch.signal.device)
        return rows.expand(len(batch), -1)
    electrode, pairs = batch.valid & (batch.kind == KINDS.index("eeg")), []
    for window, names in enumerate(batch.ch_names):
        pairs += [(window, channel, row) for channel, name in enumerate(names)
                  if (row := row_of_pair(name)) is not None]
    for window, channel, _ in pairs:
        electrode[window, channel] = False
    lost = electrode & batch.geometry.isnan().any(dim=-1)
    rows = rows_at(batch.geometry, electrode)
    for window, channel, row in pairs:
        rows[window, channel] = row
    nothing = (rows < 0).all(dim=1)
    if lost.any() or nothing.any():
        row = int((lost.any(dim=1) | nothing).nonzero()[0])
        where = f" of {batch.source[row]}" if batch.source else ""
        what = ("it is not known where electrodes lie" if lost[row].any() else
                f"none of {int(electrode[row].sum())} electrodes lies within {100 * NEAR_M:g} cm "
                f"of one of the 10-10 system")
        raise ValueError(
            f"LaBraM knows electrodes by name; config.channels names none, and in window {row}"
            f"{where} {what}: set config.channels to their names in the order of the channels, or "
            f"ingest with their places (montage, rename)"
        )
    return rows


class LaBraM(Backbone):
    """Features of windows of EEG, in volts, at the sampling rate of its training (200 Hz).

    Parameters
    ----------
    config
        Settings.
    """

    config_class = LaBraMConfig

    def __init__(self, config: LaBraMConfig):
        super().__init__(config)
        self.encoder = encoder_of(config)
        self.post_init()

    @property
    def reads_places(self) -> bool:
        return not self.config.channels

    @property
    def ch_names(self) -> tuple[str, ...]:
        return self.config.channels

    @property
    def window_length(self) -> int:
        return self.config.window_length

    def no_decay(self, name: str, parameter: Tensor) -> bool:
        """True for parameters without weight decay: norms, biases, tables of embeddings."""
        return parameter.ndim < 2 or name.endswith(("encoder.electrode", "encoder.second"))

    def pooled(self, batch: Batch, pool: str) -> Float[Tensor, "batch *place feature"]:
        """One vector of each window. "mean": of its patches, normed, as published. "attention": the
        normed patches themselves."""
        rows = electrodes(self.config.channels, batch)
        tokens = self.encoder(batch.signal.float() * PER_VOLT, rows)
        if pool == "mean":
            return self.encoder.pooled(tokens, rows).float()
        return self._patches(tokens, rows).flatten(1, 2)

    def embed(self, batch: Batch) -> Float[Tensor, "batch channel second dim"]:
        """Normed features of each second of each channel; 0 where a channel is not looked at."""
        rows = electrodes(self.config.channels, batch)
        return self._patches(self.encoder(batch.signal.float() * PER_VOLT, rows), rows)

    def _patches(
        self, tokens: Float[Tensor, "batch token dim"], rows: Int[Tensor, "batch channel"]
    ) -> Float[Tensor, "batch channel second dim"]:
        patches = self.encoder.norm(tokens[:, 1:]).float().unflatten(1, (rows.shape[1], -1))
        return patches.masked_fill((rows < 0)[..., None, None], 0.0)

    def source_names(self, n: int, ch_names: Sequence[str]) -> tuple[str, ...]:
        """Channels."""
        return tuple(ch_names)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The blocks of its encoder; the last one is what `embed` norms."""
        return tuple(f"encoder.blocks.{number}" for number in range(self.config.n_blocks))

    def placed(
        self, output: Float[Tensor, "batch token dim"], batch: Batch
    ) -> Float[Tensor, "batch channel second dim"]:
        """See `FeatureModel.placed`; without the token of the whole window."""
        nowhere = electrodes(self.config.channels, batch) < 0
        patches = output[:, 1:].unflatten(1, (nowhere.shape[1], -1))
        return patches.masked_fill(nowhere[..., None, None], 0.0)

    def used(self, pool: str) -> list[nn.Module]:
        """All of it."""
        return [self.encoder]

    def layer(self, name: str) -> tuple[int, int]:
        """(layer of a parameter: 0 = convolutions and embeddings; number of layers)."""
        return layer_of(name, self.config.n_blocks)

    def forward(self, batch: Batch):
        """There is no loss here: see the top of the file."""
        raise ValueError("LaBraM is here for the features of its published weights (neurofm import "
                         "--family labram), and its own training is not built: put a decoder on it "
                         "(neurofm finetune, neurofm evaluate decoding), or train neurobolt")


def layer_of(name: str, n_blocks: int) -> tuple[int, int]:
    """Layer of a parameter of `encoder`.

    Parameters
    ----------
    name
        Name of the parameter.
    n_blocks
        Number of transformer blocks.

    Returns
    -------
    tuple[int, int]
        (layer, number of layers), as `Backbone.layer`.
    """
    parts = name.split(".")
    if parts[1] == "blocks":
        return int(parts[2]) + 1, n_blocks + 1
    return (n_blocks if parts[1] == "norm" else 0), n_blocks + 1
