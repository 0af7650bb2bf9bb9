"""NeuroBOLT: what fMRI measures in regions of the brain, from the seconds of EEG before it.

Source: "NeuroBOLT" (arXiv 2410.05341). Two branches read the same window: LaBraM's encoder, which
knows electrodes and seconds, and spectra at several resolutions. Their sum, through a GELU, gives
one value a region. Nothing is assumed about how blood follows neurons: the window ends with the
volume, and the weights find the delay.

Besides the published form: any number of regions at once, and regions that were not measured (NaN)
leave the loss alone. Channels are those of one cap, in one order, because the spectral branch knows
them by number; which electrodes they are: see `neurofm.models.labram`.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.batch import Batch
from ..limits import Count, Limit, Positive, PositiveShare, ShareBelowOne
from ..nn.dropout import seed_dropout
from ..nn.patch_encoder import N_SECONDS
from ..nn.spectral_branch import SpectralBranch
from ..pretrained import NeuroFMConfig
from .labram import PER_VOLT, LaBraM, check_encoder, electrodes, encoder_of, layer_of
from .protocol import ScanModel

SHORTEST = 100  # samples of the shortest window of the spectral branch


class NeuroBOLTConfig(NeuroFMConfig):
    """The defaults are the paper's, but for the number of regions (1 there).

    Parameters
    ----------
    channels, n_channels
        Electrodes of the channels of a batch, in that order; none = found by their places, and then
        `n_channels` says how many there are.
    n_channels
        Number of channels, if they are found by position.
    n_times
        Samples of a window.
    n_rois
        Number of regions.
    patch, n_filters, dim, n_blocks, n_heads, expansion, layer_scale, qkv_bias, drop_path
        Of the encoder, see `LaBraMConfig`; `dim` is the width of both branches.
    n_scales
        Scales of the spectral branch: windows of 100 samples, 200, 400 and so on.
    n_spectral_blocks, n_spectral_heads, spectral_dropout
        Blocks, heads and dropout of its transformer.
    layer_decay
        Factor on the learning rate for each layer of the encoder further from the head; 0.65 in the
        paper, which starts from published LaBraM weights; 1 from random ones.
    """

    model_type = "neurofm_neurobolt"

    def __init__(
        self,
        channels: Sequence[str] = (),
        n_channels: int = 0,
        n_times: Count = 3200,
        n_rois: Count = 64,
        patch: Count = 200,
        n_filters: Count = 8,
        dim: Count = 200,
        n_blocks: Count = 12,
        n_heads: Count = 10,
        expansion: Positive = 4.0,
        layer_scale: float = 0.1,
        qkv_bias: bool = False,
        drop_path: ShareBelowOne = 0.1,
        n_scales: Annotated[int, Limit(1, 32)] = 4,
        n_spectral_blocks: Count = 4,
        n_spectral_heads: Count = 8,
        spectral_dropout: ShareBelowOne = 0.2,
        layer_decay: PositiveShare = 1.0,
        **of_transformers,
    ):
        self.channels = tuple(channels)
        self.n_channels = n_channels or len(self.channels) or 26
        self.n_times = n_times
        self.n_rois = n_rois
        self.patch = patch
        self.n_filters = n_filters
        self.dim = dim
        self.n_blocks = n_blocks
        self.n_heads = n_heads
        self.expansion = expansion
        self.layer_scale = layer_scale
        self.qkv_bias = qkv_bias
        self.drop_path = drop_path
        self.n_scales = n_scales
        self.n_spectral_blocks = n_spectral_blocks
        self.n_spectral_heads = n_spectral_heads
        self.spectral_dropout = spectral_dropout
        self.layer_decay = layer_decay
        super().__init__(**of_transformers)
        check_encoder(self)
        self.require(not self.channels or self.n_channels == len(self.channels),
                     f"channels names {len(self.channels)} electrodes and n_channels is "
                     f"{n_channels}: leave n_channels out")
        self.require(n_times % patch == 0 and patch <= n_times <= N_SECONDS * patch,
                     f"n_times must be 1 to {N_SECONDS} patches of {patch} samples, got {n_times}")
        longest = SHORTEST * 2 ** (n_scales - 1)
        self.require(longest <= n_times,
                     f"windows of the last scale (n_scales {n_scales}: {longest:g} samples) must "
                     f"be at most n_times ({n_times})")
        self.require(dim % n_spectral_heads == 0 and dim % 2 == 0,
                     f"dim ({dim}) must be even and a multiple of n_spectral_heads "
                     f"({n_spectral_heads})")


    def knowing(self, data, windows) -> "NeuroBOLTConfig":
        """With the electrodes and regions of `neurofm.data.volume_windows.VolumeWindows`. Raises
        ValueError where scans have unlike electrodes or are scaled, which the published model
        cannot read."""
        names = {data.pairs.layout(scan).names for scan in range(len(data.pairs))}
        if len(names) > 1:
            raise ValueError(f"{data.pairs.folder}: neurobolt knows electrodes by number, and "
                             f"scans have {len(names)} caps: pair those of one, or train "
                             f"neurobolt_sequence, which reads any")
        if data.contract.scale != "none" or data.contract.sfreq != self.patch:
            raise ValueError(f"{data.pairs.folder}: neurobolt reads volts at {self.patch} Hz, got "
                             f"scale {data.contract.scale} at {data.contract.sfreq:g} Hz: pair "
                             f"with --contract.scale none --contract.sfreq {self.patch}")
        return NeuroBOLTConfig(**{**self.to_dict(), "channels": next(iter(names)),
                                  "n_channels": 0, "n_rois": len(data.pairs.rois)})


class NeuroBOLT(ScanModel):
    """Values of regions from windows of EEG, in volts, at 200 Hz.

    Parameters
    ----------
    config
        Settings.
    labram
        Trained LaBraM whose weights are copied (electrodes may differ); None = random weights,
        or to be filled by loading.
    """

    config_class = NeuroBOLTConfig
    learns_from = "volumes"

    def __init__(self, config: NeuroBOLTConfig, labram: LaBraM | None = None):
        super().__init__(config)
        self.encoder = encoder_of(config)
        self.spectral = SpectralBranch(
            config.n_channels, config.n_times, config.dim, config.n_scales,
            config.n_spectral_blocks, config.n_spectral_heads, config.spectral_dropout, SHORTEST)
        self.head = nn.Linear(config.dim, config.n_rois)
        self.post_init()
        if labram is not None:
            self._begin_with(labram)

    def _begin_with(self, labram: LaBraM) -> None:
        differing = [
            f"{name} ({getattr(labram.config, name)} there, {getattr(self.config, name)} here)"
            for name in ("patch", "n_filters", "dim", "n_blocks", "n_heads", "expansion",
                         "qkv_bias")
            if getattr(labram.config, name) != getattr(self.config, name)]
        if (labram.config.layer_scale > 0) != (self.config.layer_scale > 0):
            differing.append("layer_scale (one has none)")
        if differing:
            raise ValueError(f"this LaBraM is of another shape than NeuroBOLT's encoder: "
                             f"{', '.join(differing)}; give NeuroBOLTConfig the LaBraM's values")
        self.encoder.load_state_dict(labram.encoder.state_dict())
        self.contract = labram.contract

    @property
    def reads_places(self) -> bool:
        return not self.config.channels

    @property
    def ch_names(self) -> tuple[str, ...]:
        return self.config.channels

    @property
    def n_channels(self) -> int:
        return self.config.n_channels

    @property
    def n_times(self) -> int:
        return self.config.n_times

    @property
    def window_length(self) -> int:
        return self.config.n_times

    def no_decay(self, name: str, parameter: Tensor) -> bool:
        """True for parameters without weight decay: norms, biases, tables of embeddings."""
        return parameter.ndim < 2 or name in ("encoder.electrode", "encoder.second",
                                              "spectral.channel")

    def lr_scale(self, name: str) -> float:
        """Factor on the learning rate of a parameter: `layer_decay` for each layer of the encoder
        between it and the head."""
        if not name.startswith("encoder."):
            return 1.0
        layer, n_layers = layer_of(name, self.config.n_blocks)
        return self.config.layer_decay ** (n_layers - layer)

    def branches(
        self, signal: Float[Tensor, "batch channel time"], rows: Int[Tensor, "batch channel"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Features of windows.

        Parameters
        ----------
        signal
            Windows in units of 100 µV, `[batch, channel, time]`.
        rows
            Row of each channel in LaBraM's table, `[batch, channel]`.

        Returns
        -------
        tuple[Tensor, Tensor]
            Spatiotemporal and spectral features, each `[batch, dim]`.
        """
        return self.encoder.pooled(self.encoder(signal, rows), rows), self.spectral(signal)

    def read_out(
        self, spatiotemporal: Float[Tensor, "batch dim"], spectral: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch roi"]:
        """Values of regions from both branches.

        Parameters
        ----------
        spatiotemporal
            `[batch, dim]`.
        spectral
            `[batch, dim]`.

        Returns
        -------
        Tensor
            `[batch, roi]`.
        """
        return self.head(F.gelu(spatiotemporal + spectral)).float()

    def predict(self, batch: Batch) -> Float[Tensor, "batch roi"]:
        """Values of regions at the end of each window. The mean of a channel over its window counts
        for nothing, as in the published training.

        Raises:
            ValueError: another length or number of channels than the config's, or electrodes that
                are not known.
        """
        wanted = (self.config.n_channels, self.config.n_times)
        if tuple(batch.signal.shape[1:]) != wanted or not batch.valid.all():
            there = sorted(set(batch.valid.sum(dim=1).tolist()))
            raise ValueError(
                f"this model reads windows of {wanted[0]} channels and {wanted[1]} samples "
                f"({wanted[1] // self.config.patch} s), got {' or '.join(map(str, there))} "
                f"channels and {batch.signal.shape[2]} samples: cut windows to that length and "
                f"keep the channels it was trained with, or train one with n_channels and n_times "
                f"of yours"
            )
        rows = electrodes(self.config.channels, batch)
        if (rows < 0).any():
            row, channel = (rows < 0).nonzero()[0].tolist()
            raise ValueError(
                f"channel {channel} of window {row} lies at no electrode that LaBraM knows, or "
                f"shares it with another: name the electrodes of all channels in config.channels, "
                f"or leave that one out of the recordings and train again"
            )
        signal = batch.signal.float()
        signal = (signal - signal.mean(dim=-1, keepdim=True)) * PER_VOLT
        return self.read_out(*self.branches(signal, rows))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict, compare → (loss, metrics).

        loss: mean squared error over what was measured: `target` is [batch, roi], NaN where it was
        not. metrics: r2, share of its power (variance about 0) that is predicted.
        """
        seed_dropout(self, batch.seed, len(batch), batch.signal.device)
        found, target = self.predict(batch), batch.target
        if target is None or target.numel() != found.numel() or len(target) != len(found):
            shape = None if target is None else list(target.shape)
            raise ValueError(f"wanted as target the values of {found.shape[1]} regions for each of "
                             f"{len(found)} windows, [batch, roi], got {shape}: give those, or set "
                             f"n_rois to how many there are")
        target = target.to(found).view_as(found)
        measured = ~target.isnan()
        n = measured.sum().clamp(min=1)
        target = torch.where(measured, target, 0.0)
        loss = (torch.square(found - target) * measured).sum() / n
        power = torch.square(target).sum() / n
        return loss, {"r2": (1 - loss / power.clamp(min=1e-12)).detach()}
