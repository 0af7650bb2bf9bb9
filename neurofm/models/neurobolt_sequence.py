"""What fMRI measures in regions of the brain, volume by volume of a whole scan, from any EEG.

After "NeuroBOLT" (arXiv 2410.05341), without what limits it. Channels are known by where they lie:
a learned lead field turns any montage into the same sources. Frames of half a second are made once
of the whole scan, of power in bands of each source and (where a BrainTokenizer is given) of its
encoder's features; volumes look at the frames of the 24 s before them through smooth functions of
delay, so that any repetition time is read, and nothing is computed twice that two volumes see.

A person's features are z-scored over the scan (no label is used): how loud an electrode is says
nothing about blood.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.pair_batch import PairBatch
from ..nn.band_power import BandPower
from ..nn.lag_basis import N_BUMPS, lag_basis
from ..nn.leadfield import LeadField
from ..pretrained import NeuroFMConfig, NeuroFMPreTrainedModel
from ..tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig


class NeuroBOLTSequenceConfig(NeuroFMConfig):
    """rois: names of the regions; filled in where training begins. sfreq: of the EEG, Hz.

    n_sources: of the lead field. hop_s: from frame to frame. windows_s: lengths of windows that
    spectra are made of. dim: features of a frame that volumes look at. dropout: of them.
    tokenizer: config of a BrainTokenizer whose features stand beside spectra; None = there is none.
    """

    model_type = "neurofm_neurobolt_sequence"
    sub_configs = {"tokenizer": BrainTokenizerConfig}  # noqa: RUF012 (transformers' convention)

    def __init__(
        self,
        rois: tuple[str, ...] | list[str] = (),
        sfreq: float = 200.0,
        n_sources: int = 24,
        hop_s: float = 0.5,
        windows_s: tuple[float, ...] | list[float] = (1.0, 2.0),
        dim: int = 32,
        dropout: float = 0.1,
        tokenizer: BrainTokenizerConfig | dict | None = None,
        **of_transformers,
    ):
        if isinstance(tokenizer, dict):
            tokenizer = BrainTokenizerConfig(**tokenizer)
        self.rois = tuple(rois)
        self.sfreq = sfreq
        self.n_sources = n_sources
        self.hop_s = hop_s
        self.windows_s = tuple(windows_s)
        self.dim = dim
        self.dropout = dropout
        self.tokenizer = tokenizer
        super().__init__(**of_transformers)
        self.require(sfreq > 0 and round(hop_s * sfreq) == hop_s * sfreq and hop_s > 0,
                     f"hop_s must be whole samples at sfreq ({sfreq:g} Hz), got {hop_s}")
        self.require(len(self.windows_s) > 0 and min(self.windows_s, default=0) >= hop_s,
                     f"windows_s must be at least hop_s ({hop_s}), got {self.windows_s}")
        self.require(n_sources >= 1 and dim >= 1 and 0 <= dropout < 1,
                     f"n_sources and dim must be at least 1 and dropout in [0, 1), got "
                     f"{n_sources}, {dim} and {dropout}")

    def knowing(self, data, windows) -> "NeuroBOLTSequenceConfig":
        """With the regions and the rate of the EEG of `neurofm.data.scans.Scans`."""
        return NeuroBOLTSequenceConfig(**{**self.to_dict(), "rois": data.pairs.rois.names,
                                          "sfreq": data.contract.sfreq})


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and deviation of a scan's features over its frames, [batch, 1, feature]."""

    mean: Tensor
    deviation: Tensor


class NeuroBOLTSequence(NeuroFMPreTrainedModel):
    """Regions' values at every volume.

    tokenizer: a trained one, whose weights are copied in and stay as they are.
    """

    config_class = NeuroBOLTSequenceConfig
    reads_scans = True
    tokenizer_is_optional = True

    def __init__(self, config: NeuroBOLTSequenceConfig, tokenizer: BrainTokenizer | None = None):
        if tokenizer is not None:
            config = NeuroBOLTSequenceConfig(**{**config.to_dict(), "tokenizer": tokenizer.config})
        super().__init__(config)
        self.lead_field = LeadField(config.n_sources)
        self.power = BandPower(config.sfreq, config.hop_s, config.windows_s)
        n_features = config.n_sources * self.power.n_features
        self.tokenizer = None
        if config.tokenizer is not None:
            self.tokenizer = BrainTokenizer(config.tokenizer)
            n_features += config.tokenizer.n_sources * config.tokenizer.dim
        self.mix = nn.Linear(n_features, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.read = nn.Linear(config.dim * N_BUMPS, max(1, len(config.rois)))
        self.post_init()
        if tokenizer is not None:
            self.tokenizer.load_state_dict(tokenizer.state_dict())
        self.choose_trainable()

    def choose_trainable(self) -> None:
        """All but the tokenizer."""
        if self.tokenizer is not None:
            self.tokenizer.requires_grad_(False).eval()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            nn.init.zeros_(module.bias)

    def no_decay(self, name: str, parameter: Tensor) -> bool:
        """True for parameters without weight decay: biases, the lead field, bands."""
        return parameter.ndim < 2 or name.startswith(("lead_field.", "power."))

    # ------------------------------------------------------------------- frames

    def raw_frames(self, batch: PairBatch) -> Float[Tensor, "batch frame feature"]:
        """Features of every frame as they are, before they are compared with the scan's others."""
        with torch.autocast(batch.signal.device.type, enabled=False):
            signal = batch.signal.float()
            lead = self.lead_field(batch.geometry.float(), batch.kind, batch.valid)
            sources = self.lead_field.sources(signal, lead)
            spectra = self.power(sources).transpose(1, 2).flatten(2)
        if self.tokenizer is None:
            return spectra
        return torch.cat([spectra, self._encoded(batch, spectra.shape[1])], dim=-1)

    @torch.no_grad()
    def _encoded(self, batch: PairBatch, n_frames: int) -> Float[Tensor, "batch frame feature"]:
        """The tokenizer's features: the mean of each of its windows, held until the next ends."""
        plain = Batch(batch.signal, batch.geometry, batch.kind, batch.valid)
        features = self.tokenizer.embed(plain, overlap=0.0)
        length = self.tokenizer.config.window_length
        n_windows = -(-batch.signal.shape[-1] // length)
        means = features.unflatten(2, (n_windows, -1)).mean(dim=3)  # batch source window dim
        rows = means.permute(0, 2, 1, 3).flatten(2)
        done = (torch.arange(n_frames, device=rows.device) + 1) * self.power.hop // length - 1
        held = rows[:, done.clamp(min=0)]
        return torch.where((done >= 0)[:, None], held, rows[:, :1])

    def real_frames(self, batch: PairBatch, n_frames: int) -> Bool[Tensor, "batch frame 1"]:
        """Which frames lie within the scan: the longest window of spectra reaches no padding."""
        end = (torch.arange(n_frames, device=batch.signal.device) + 1) * self.power.hop
        first = max(self.power.lengths)
        inside = (end[None] <= batch.n_times[:, None]) & (end[None] >= first)
        return inside[..., None]

    def statistics(
        self, frames: Float[Tensor, "batch frame feature"], real: Bool[Tensor, "batch frame 1"]
    ) -> Statistics:
        """Of each scan."""
        n = real.sum(dim=1, keepdim=True).clamp(min=1)
        mean = (frames * real).sum(dim=1, keepdim=True) / n
        spread = (torch.square(frames - mean) * real).sum(dim=1, keepdim=True) / n
        return Statistics(mean, torch.sqrt(spread + 1e-6))

    # ------------------------------------------------------------------ volumes

    def predict(
        self, batch: PairBatch, statistics: Statistics | None = None
    ) -> Float[Tensor, "batch volume roi"]:
        """Values of regions at each volume, whole scans in one pass.

        statistics: of the scans' features, where the batch holds only a part of them; None = the
            batch's own.
        """
        frames = self.raw_frames(batch)
        real = self.real_frames(batch, frames.shape[1])
        statistics = statistics or self.statistics(frames, real)
        frames = (frames - statistics.mean) / statistics.deviation * real
        hidden = self.dropout(self.mix(frames.to(self.mix.weight.dtype)))
        hidden = hidden * real
        frame_s = (torch.arange(frames.shape[1], device=frames.device) + 1) * self.config.hop_s
        volume_s = batch.volume_s.nan_to_num(-1.0)
        basis = lag_basis(volume_s, frame_s, self.config.hop_s).to(hidden.dtype)
        seen = torch.einsum("bvfk,bfd->bvdk", basis, hidden).flatten(2)
        return self.read(seen).float()

    def forward(self, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict, compare → (loss, metrics).

        loss: mean squared error over what was measured. metrics: r, mean over scans and regions of
        the Pearson correlation.
        """
        if batch.target.shape[-1] != len(self.config.rois):
            raise ValueError(f"this model gives {len(self.config.rois)} regions, the batch has "
                             f"{batch.target.shape[-1]}: train one on these pairs")
        found, target = self.predict(batch), batch.target.float()
        measured = ~target.isnan()
        target = target.nan_to_num(0.0)
        loss = (torch.square(found - target) * measured).sum() / measured.sum().clamp(min=1)
        return loss, {"r": correlation(found, target, measured).nanmean().detach()}


def correlation(
    found: Float[Tensor, "batch volume roi"], target: Float[Tensor, "batch volume roi"],
    measured: Bool[Tensor, "batch volume roi"],
) -> Float[Tensor, "batch roi"]:
    """Pearson r over the volumes measured; NaN where fewer than three were."""
    n = measured.sum(dim=1)
    one, two = (torch.where(measured, x - (x * measured).sum(dim=1, keepdim=True)
                            / n.clamp(min=1)[:, None], 0.0) for x in (found, target))
    r = (one * two).sum(dim=1) / torch.sqrt(
        one.square().sum(dim=1) * two.square().sum(dim=1)).clamp(min=1e-12)
    return torch.where(n >= 3, r, torch.nan)
