"""What fMRI measures in regions of the brain, volume by volume of a whole scan, from any EEG.

After "NeuroBOLT" (arXiv 2410.05341), without what limits it. Channels are known by where they lie:
a lead field (`nn.leadfield`) turns any montage into the same sources. Each half second has a frame,
made once for the whole scan: cross-spectra of the sources in bands, whitened by the person's own
mean (no label is used: how loud an electrode is says nothing about blood), and where a
BrainTokenizer is given its encoder's features. Volumes see the frames of the 24 s before them
through the haemodynamic response and its derivative, so that any repetition time is read and
nothing is computed twice that two volumes see.

Only the read-out learns, and it is solved, not descended to: scans of fMRI are few, and a network
that may change everything learns the noise of ten of them within forty steps (measured: r .71 in
training, .29 on others, where the solved read-out has .48).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.pair_batch import PairBatch
from ..limits import Limit, Positive
from ..nn import example
from ..nn.cross_spectra import N_BANDS, cross_spectra, whitener
from ..nn.lag_basis import N_RESPONSES, lag_basis
from ..nn.leadfield import LeadField
from ..nn.scan_ridge import ScanRidge
from ..pretrained import NeuroFMConfig
from ..tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig
from .protocol import ScanModel

CLIP = 4.0  # deviations: jerks of the head are a hundred


class NeuroBOLTSequenceConfig(NeuroFMConfig):
    """Settings of a `NeuroBOLTSequence`.

    Parameters
    ----------
    rois
        Names of the regions; filled in when training starts.
    sfreq
        Sampling rate of the EEG, Hz.
    n_sources
        Sources of the lead field.
    hop_s
        Spacing of frames, seconds.
    window_s
        Length of signal behind the spectra of a frame, seconds.
    tokenizer
        Config of a BrainTokenizer whose encoder's features are used beside spectra; None = none.
    """

    model_type = "neurofm_neurobolt_sequence"
    sub_configs = {"tokenizer": BrainTokenizerConfig}  # noqa: RUF012 (transformers' convention)

    def __init__(
        self,
        rois: tuple[str, ...] | list[str] = (),
        sfreq: Positive = 200.0,
        n_sources: Annotated[int, Limit(2)] = 16,
        hop_s: Positive = 0.5,
        window_s: Positive = 2.0,
        tokenizer: BrainTokenizerConfig | dict | None = None,
        **of_transformers,
    ):
        if isinstance(tokenizer, dict):
            tokenizer = BrainTokenizerConfig(**tokenizer)
        self.rois = tuple(rois)
        self.sfreq = sfreq
        self.n_sources = n_sources
        self.hop_s = hop_s
        self.window_s = window_s
        self.tokenizer = tokenizer
        super().__init__(**of_transformers)
        self.require(round(hop_s * sfreq) == hop_s * sfreq,
                     f"hop_s must be whole samples at sfreq ({sfreq:g} Hz), got {hop_s}")
        self.require(window_s >= hop_s,
                     f"window_s must be at least hop_s ({hop_s}), got {window_s}")

    @property
    def n_features(self) -> int:
        """Of a frame."""
        spectra = N_BANDS * self.n_sources * (self.n_sources + 1) // 2
        return spectra + (self.tokenizer.n_sources * self.tokenizer.dim if self.tokenizer else 0)

    def knowing(self, data, windows) -> "NeuroBOLTSequenceConfig":
        """With the regions and the rate of the EEG of `neurofm.data.scans.Scans`."""
        return NeuroBOLTSequenceConfig(**{**self.to_dict(), "rois": data.pairs.rois.names,
                                          "sfreq": data.contract.sfreq})


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of a scan: whitening of its cross-spectra; mean and deviation of its features."""

    whitening: Float[Tensor, "batch band source source"]
    mean: Float[Tensor, "batch 1 feature"]
    deviation: Float[Tensor, "batch 1 feature"]


class NeuroBOLTSequence(ScanModel):
    """Values of regions at every volume.

    Parameters
    ----------
    config
        Settings.
    tokenizer
        Trained tokenizer whose weights and config are copied; None = a fresh one, to be filled
        by loading.
    """

    config_class = NeuroBOLTSequenceConfig
    needs_tokenizer = "optional"

    def __init__(self, config: NeuroBOLTSequenceConfig, tokenizer: BrainTokenizer | None = None):
        if tokenizer is not None:
            config = NeuroBOLTSequenceConfig(**{**config.to_dict(), "tokenizer": tokenizer.config})
        super().__init__(config)
        self.lead_field = LeadField(config.n_sources)
        self.tokenizer = BrainTokenizer(config.tokenizer) if config.tokenizer else None
        self.read = nn.Linear(config.n_features * N_RESPONSES, max(1, len(config.rois)))
        self.hop = round(config.hop_s * config.sfreq)
        self.length = round(config.window_s * config.sfreq)
        self.post_init()
        if tokenizer is not None:
            assert self.tokenizer is not None, "its config names no tokenizer"
            self.tokenizer.load_state_dict(tokenizer.state_dict())
        self.choose_trainable()

    @property
    def rois(self) -> tuple[str, ...]:
        return self.config.rois

    def choose_trainable(self) -> None:
        """Nothing: see the top of the file, and `finish`."""
        self.requires_grad_(False)

    def example(self) -> PairBatch:
        """Made-up scans of `example.N_VOLUMES` volumes."""
        n_times = round(example.N_VOLUMES * example.T_R * self.config.sfreq)
        assert self.contract is not None, "a model without a contract has no example"
        plain = example.windows(self.contract, n_times=n_times)
        n = len(plain)
        volume_s = (torch.arange(example.N_VOLUMES) * example.T_R + example.T_R / 2).expand(n, -1)
        target = torch.full((n, example.N_VOLUMES, len(self.config.rois)), torch.nan)
        return PairBatch(plain.signal, plain.geometry, plain.kind, plain.valid,
                         torch.full((n,), n_times), volume_s.clone(), target)

    # ------------------------------------------------------------------- frames

    def spectra(self, batch: PairBatch) -> Float[Tensor, "batch frame band source source"]:
        """Cross-spectra of the sources.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Tensor
            `[batch, frame, band, source, source]`.
        """
        lead = self.lead_field(batch.geometry.float(), batch.kind, batch.valid)
        sources = self.lead_field.sources(batch.signal.float(), lead)
        return cross_spectra(sources, self.config.sfreq, self.hop, self.length)

    def features(
        self, batch: PairBatch, spectra: Tensor, whitening: Tensor
    ) -> Float[Tensor, "batch frame feature"]:
        """Features of every frame, before they are compared with the other frames of the scan.

        Parameters
        ----------
        batch
            Windows side by side, padded.
        spectra
            Of `spectra`.
        whitening
            Of `statistics`.

        Returns
        -------
        Tensor
            `[batch, frame, feature]`.
        """
        white = whitening[:, None] @ spectra @ whitening[:, None]
        row, column = torch.triu_indices(*white.shape[-2:], device=white.device)
        found = white[..., row, column].flatten(2)
        if self.tokenizer is None:
            return found
        return torch.cat([found, self._encoded(batch, found.shape[1])], dim=-1)

    def _encoded(self, batch: PairBatch, n_frames: int) -> Float[Tensor, "batch frame feature"]:
        """The tokenizer's features: the mean of each of its windows, held until the next ends."""
        plain = Batch(batch.signal, batch.geometry, batch.kind, batch.valid)
        assert self.tokenizer is not None
        length = self.tokenizer.config.window_length
        n_windows = -(-batch.signal.shape[-1] // length)
        means = self.tokenizer.embed(plain, overlap=0.0).unflatten(2, (n_windows, -1)).mean(dim=3)
        rows = means.permute(0, 2, 1, 3).flatten(2)
        done = (torch.arange(n_frames, device=rows.device) + 1) * self.hop // length - 1
        return rows[:, done.clamp(min=0)]

    def real_frames(self, batch: PairBatch, n_frames: int) -> Bool[Tensor, "batch frame 1"]:
        """Frames within the scan, whose windows reach no padding and nothing bad.

        Parameters
        ----------
        batch
            Windows side by side, padded.
        n_frames
            Number of frames.

        Returns
        -------
        Tensor
            bool `[batch, frame, 1]`.
        """
        end = (torch.arange(n_frames, device=batch.signal.device) + 1) * self.hop
        real = (end <= batch.n_times[:, None]) & (end >= self.length)
        if batch.bad is not None:
            so_far = F.pad(batch.bad.long().cumsum(dim=1), (1, 0))
            real &= so_far[:, end] == so_far[:, (end - self.length).clamp(min=0)]
        return real[..., None]

    def statistics(self, batch: PairBatch) -> Statistics:
        """Statistics of each scan, from all of it.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Statistics
            Of each scan.
        """
        return self._compared(batch)[1]

    @torch.no_grad()
    def _compared(
        self, batch: PairBatch, known: Statistics | None = None
    ) -> tuple[Float[Tensor, "batch frame feature"], Statistics]:
        """(features of frames in deviations from the scan's mean, 0 where a frame is not real; the
        statistics used)."""
        with torch.autocast(batch.signal.device.type, enabled=False):
            spectra = self.spectra(batch)
            real = self.real_frames(batch, spectra.shape[1])
            n = real.sum(dim=1, keepdim=True).clamp(min=1)
            if known is None:
                mean = (spectra * real[..., None, None]).sum(dim=1) / n[..., None]
                whitening = whitener(mean)
            else:
                whitening = known.whitening
            found = self.features(batch, spectra, whitening)
            if known is None:
                mean = (found * real).sum(dim=1, keepdim=True) / n
                spread = (torch.square(found - mean) * real).sum(dim=1, keepdim=True) / n
                known = Statistics(whitening, mean, torch.sqrt(spread + 1e-12))
            found = ((found - known.mean) / known.deviation).clamp(-CLIP, CLIP)
            return found * real, known

    # ------------------------------------------------------------------ volumes

    @torch.no_grad()
    def seen(
        self, batch: PairBatch, statistics: Statistics | None = None
    ) -> Float[Tensor, "batch volume feature"]:
        """Features of the frames before each volume.

        Parameters
        ----------
        batch
            Windows side by side, padded.
        statistics
            Statistics of each scan; None = from the batch.

        Returns
        -------
        Tensor
            `[batch, volume, feature]`.
        """
        frames, _ = self._compared(batch, statistics)
        end_s = (torch.arange(frames.shape[1], device=frames.device) + 1) * self.config.hop_s
        basis = lag_basis(batch.volume_s.nan_to_num(-1.0), end_s, self.config.hop_s,
                          self.config.window_s)
        return torch.einsum("bvfk,bfd->bvkd", basis, frames).flatten(2)

    def predict(
        self, batch: PairBatch, statistics: Statistics | None = None
    ) -> Float[Tensor, "batch volume roi"]:
        """Values of regions at each volume, whole scans in one pass.

        statistics: of the scans, where the batch holds only a part of them; None = the batch's own.
        """
        return self.read(self.seen(batch, statistics).to(self.read.weight.dtype)).float()

    @torch.no_grad()
    def finish(self, batches: Iterable[PairBatch]) -> str:
        """Solve the read-out on the training scans → what came of it. One scan in five chooses the
        penalty (at least one does), and the share of a tokenizer's features; then all are used."""
        ridge = ScanRidge(self.read.in_features, self.read.out_features)
        for batch in batches:
            for row in range(len(batch)):
                one = _alone(batch, row)
                ridge.add(self.seen(one)[0].double(), one.target[0].double())
        weight, bias, said = ridge.solve(self._of_tokenizer())
        self.read.weight.copy_(weight)
        self.read.bias.copy_(bias)
        return said

    def _of_tokenizer(self) -> Bool[Tensor, " feature"] | None:
        """Which of the read-out's features are an encoder's; None where there is no encoder."""
        if self.tokenizer is None:
            return None
        n, own = self.config.n_features, self.tokenizer.config
        return torch.arange(n).ge(n - own.n_sources * own.dim).repeat(N_RESPONSES)

    def forward(self, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict, compare → (loss, metrics).

        loss: mean squared error over what was measured. metrics: r, mean over scans and regions of
        the Pearson correlation.
        """
        if batch.target.shape[-1] != len(self.config.rois):
            raise ValueError(f"this model gives {len(self.config.rois)} regions, the batch has "
                             f"{batch.target.shape[-1]}: train one on these pairs")
        return scan_loss(self.predict(batch), batch.target.float())


def _alone(batch: PairBatch, row: int) -> PairBatch:
    """One scan of a batch, without padding at its end."""
    n = int(batch.n_times[row])
    fields = {name: getattr(batch, name)[row : row + 1] for name in
              ("geometry", "kind", "valid", "n_times", "volume_s", "target")}
    bad = None if batch.bad is None else batch.bad[row : row + 1, :n]
    return PairBatch(signal=batch.signal[row : row + 1, :, :n], bad=bad, **fields)


def scan_loss(
    found: Float[Tensor, "batch volume roi"], target: Float[Tensor, "batch volume roi"]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of predicted regions.

    Parameters
    ----------
    found
        Prediction, `[batch, volume, roi]`.
    target
        Measured regions, `[batch, volume, roi]`, NaN = not measured.

    Returns
    -------
    tuple[Tensor, dict[str, Tensor]]
        Mean squared error over measured volumes; {"r": mean Pearson r}.
    """
    measured = ~target.isnan()
    target = target.nan_to_num(0.0)
    loss = (torch.square(found - target) * measured).sum() / measured.sum().clamp(min=1)
    return loss, {"r": correlation(found, target, measured).nanmean().detach()}


def correlation(
    found: Float[Tensor, "batch volume roi"], target: Float[Tensor, "batch volume roi"],
    measured: Bool[Tensor, "batch volume roi"],
) -> Float[Tensor, "batch roi"]:
    """Pearson r over the measured volumes.

    Parameters
    ----------
    found
        Prediction, `[batch, volume, roi]`.
    target
        Measured, `[batch, volume, roi]`.
    measured
        True = measured, `[batch, volume, roi]`.

    Returns
    -------
    Tensor
        `[batch, roi]`, NaN where fewer than three volumes were measured.
    """
    n = measured.sum(dim=1)
    one, two = (torch.where(measured, x - (x * measured).sum(dim=1, keepdim=True)
                            / n.clamp(min=1)[:, None], 0.0) for x in (found, target))
    r = (one * two).sum(dim=1) / torch.sqrt(
        one.square().sum(dim=1) * two.square().sum(dim=1)).clamp(min=1e-12)
    return torch.where(n >= 3, r, torch.nan)
