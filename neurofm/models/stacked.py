"""Stacked: a decoder that weighs classical views of a window and a pretrained model's features.

Each view (`neurofm.nn.views`) has a linear model of its own; their outputs are added by weights
that are not negative (Wolpert 1992, Neural Networks 5:241; Breiman 1996, Mach. Learn. 24:49). A
window is measured once, `pool`; the mean of what a person's windows measure is that person's
center. Any cap is brought to the training cap's electrodes by spherical splines.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.sensors import KINDS, Sensors
from ..nn.partial_cap import LEAST_SEEN, PartialCap, part_of, seen_places
from ..nn.spline_map import RADIUS_M, SAME, cosines, spline_map
from ..nn.views import regions, spectra
from ..nn.views.linear import Linear
from ..nn.views.view import Rows
from . import find
from .protocol import Backbone, WindowDecoder
from .stacked_config import NETWORK, RECENTERED, SEEN, StackedConfig
from .stacked_views import view_of


class Stacked(WindowDecoder):
    """Probabilities of classes, or a number, for each window.

    Parameters
    ----------
    config
        Settings.
    backbone
        Pretrained model whose weights are copied; None = a fresh one (where the config has one),
        to be filled by loading.
    """

    config_class = StackedConfig

    centre: Tensor  # the name of the tensor in decoders' checkpoints
    geometry: Tensor
    basis: Tensor
    least: Tensor
    share: Tensor
    intercept: Tensor

    def __init__(self, config: StackedConfig, backbone: Backbone | None = None):
        super().__init__(config)
        self.modality = "fmri" if config.reads == "scans" else self.modality
        self.final = False  # True: it is exported
        n, n_outputs = len(config.channels), len(config.classes) or 1
        self.register_buffer("geometry", torch.zeros(n, 6))  # places of the channels
        self.register_buffer("basis", torch.eye(n)[:, : config.n_components].contiguous())
        self.register_buffer("least", torch.zeros(1))
        self.register_buffer("centre", torch.zeros(sum(config.sections.values())))
        self.views = nn.ModuleList([view_of(name, config) for name in config.views])
        self.linear = nn.ModuleList([Linear(view.n_features, n_outputs) for view in self.views])
        if config.placed:
            self.partial = PartialCap(config.n_components, len(config.bands),
                                      config.n_slow if config.of_events else 0, n_outputs,
                                      config.recentered)
        self.register_buffer("share", torch.ones(len(config.views)) / len(config.views))
        self.register_buffer("intercept", torch.zeros(n_outputs))
        if config.backbone is not None:
            kind = config.backbone.model_type.removeprefix("neurofm_")
            self.backbone: Backbone = find(kind)(config.backbone)
            self.modality = self.backbone.modality
        self.post_init()
        if backbone is not None:
            self.backbone.load_state_dict(backbone.state_dict())
        self.choose_trainable()

    def choose_trainable(self) -> None:
        """Nothing is: what is learned is solved."""
        self.requires_grad_(False)

    @property
    def recentered(self) -> bool:
        return self.config.recentered

    @property
    def center(self) -> Float[Tensor, " feature"]:
        return self.centre if self.recentered else super().center

    @property
    def mean_number(self) -> float:
        return float(self.intercept[0]) if self.config.regression else super().mean_number

    @property
    def pretrained(self) -> Backbone | None:
        """See `WindowDecoder.pretrained`."""
        return self.backbone if NETWORK in self.config.names else None

    def interpolated(self, sensors: Sensors) -> tuple[str, ...]:
        """Electrodes that splines make up, as none of the sensors is within 5 mm of them. Where
        too many are missing, these are left out."""
        if not self.config.placed:
            return ()
        assert self.contract is not None, "a decoder without a contract knows no places"
        given = torch.from_numpy(sensors.geometry(self.contract.geometry)).to(self.geometry)
        near = cosines(self.geometry[:, :3], given[:, :3]).amax(dim=1) > SAME
        wanted = self.seen(given[None], torch.ones_like(given[None, :, 0], dtype=torch.bool))[0]
        return tuple(name for name, made_up in zip(self.config.channels, wanted & ~near,
                                                   strict=True) if made_up)

    @property
    def calibrated_on(self) -> str:
        """Weights of views are chosen by the cross-entropy of these."""
        return "held-out folds of its training subjects" if self.calibration_windows else ""

    @property
    def calibration_windows(self) -> int:
        return self.config.calibration_windows

    @property
    def band_end_hz(self) -> float | None:
        """See `WindowDecoder.band_end_hz`."""
        return self.config.band_end_hz

    @property
    def lowest_end_hz(self) -> float | None:
        """See `WindowDecoder.lowest_end_hz`."""
        return self.config.lowest_end_hz

    @property
    def reads_places(self) -> bool:
        return self.config.placed or (NETWORK in self.config.names and self.backbone.reads_places)

    @property
    def ch_names(self) -> tuple[str, ...]:
        """Channels that windows must have; none = any cap. An exported decoder takes its own."""
        return () if self.config.placed and not self.final else self.config.channels

    @property
    def n_times(self) -> int:
        return self.config.n_times if self.config.of_events else 0

    @property
    def window_length(self) -> int:
        own = self.config.n_times if self.config.of_events else 1
        return max(own, self.backbone.window_length if NETWORK in self.config.names else 1)

    @property
    def weights(self) -> dict[str, float]:
        """How much each view counts: its share of all, by name."""
        share = self.share.double() / self.share.double().sum().clamp_min(1e-300)
        return dict(zip(self.config.views, share.tolist(), strict=True))

    def distances_m(self, sensors: Sensors) -> dict[str, float]:
        """Of the electrodes that any cap is brought to."""
        if not self.config.placed:
            return {}
        assert self.contract is not None, "a decoder without a contract knows no places"
        given = torch.from_numpy(sensors.geometry(self.contract.geometry))[:, :3]
        cosine = cosines(self.geometry[:, :3].cpu(), given).amax(dim=1)
        way_m = torch.where(cosine > SAME, 0.0, RADIUS_M * cosine.clamp(-1, 1).acos())
        return dict(zip(self.config.channels, way_m.tolist(), strict=True))

    def embed(self, batch: Batch) -> Tensor:
        """Features of the pretrained model, where there is one."""
        return self._inner().embed(batch)

    def embed_at(self, batch: Batch, layer: str = "") -> Tensor:
        """Features of a layer of the pretrained model."""
        return self._inner().embed_at(batch, layer)

    @property
    def layer_names(self) -> tuple[str, ...]:
        return self.backbone.layer_names if NETWORK in self.config.names else ()

    def source_names(self, n: int, ch_names: Sequence[str]) -> tuple[str, ...]:
        """Sources of the pretrained model."""
        return self._inner().source_names(n, ch_names)

    def frame_times(self, n: int, n_times: int, sfreq: float) -> np.ndarray:
        """Frames of the pretrained model."""
        return self._inner().frame_times(n, n_times, sfreq)

    def _inner(self) -> Backbone:
        if NETWORK not in self.config.names:
            raise ValueError("this decoder has classical views alone and no pretrained model, so "
                             "it has no features to embed a recording by; train one with --model "
                             "PRETRAINED, or give the pretrained model itself")
        return self.backbone

    def pool(self, batch: Batch) -> Float[Tensor, "batch feature"]:
        """What windows are measured by: `config.sections` side by side, float32."""
        with torch.no_grad() if not batch.signal.requires_grad else torch.enable_grad():
            return torch.cat([part.float() for part in self._measured(batch).values()], dim=1)

    def _measured(self, batch: Batch) -> dict[str, Tensor]:
        config = self.config
        if config.placed and not torch.compiler.is_exporting():
            kinds = {KINDS[k] for k in batch.kind[batch.valid].unique().tolist()} - {"eeg"}
            if kinds:
                raise ValueError(f"this decoder takes electrodes of EEG, wherever they are; got "
                                 f"sensors of kind {', '.join(sorted(kinds))}, which measure no "
                                 f"potentials")
        if config.reads == "scans":
            assert batch.measured is not None, "scans know which volumes were measured"
            found = regions.measured(self.on_channels(batch), batch.measured)
        elif self._knows_parts:
            found = self._by_cap(batch)
        else:
            signal = self.on_channels(batch)
            found = {**self._sections(signal, self.basis.double()),
                     SEEN: signal.new_ones(signal.shape[:2])}
        if NETWORK in config.names:
            found[NETWORK] = self.backbone.pooled(batch, config.pool)
        return {name: found[name] for name in config.sections}

    def _sections(self, signal: Float[Tensor, "batch channel time"],
                  basis: Float[Tensor, "channel n"]) -> dict[str, Tensor]:
        config = self.config
        covariance = spectra.covariances(signal, config.sfreq, config.bands)
        found = {"power": spectra.log_power(covariance),
                 "covariance": spectra.log_covariance(covariance, basis, self.least[0].double())}
        if config.of_events:
            found["slow"] = (basis.T @ spectra.slowed(signal, config.n_slow)).flatten(1)
        return found

    def _by_cap(self, batch: Batch) -> dict[str, Tensor]:
        """Windows of the whole cap are measured on all its channels, others on those that they
        have; then numbers that are left over are 0."""
        seen = self.seen(batch.geometry, batch.valid)
        found = {name: batch.signal.new_zeros(len(seen), width, dtype=torch.float64)
                 for name, width in self.config.sections.items() if name != NETWORK}
        for mask in seen.unique(dim=0):
            which = (seen == mask).all(dim=1)
            signal = spline_map(self.geometry[mask, :3], batch.geometry[which, :, :3],
                                batch.valid[which]) @ (
                batch.signal[which].double() * batch.valid[which, :, None])
            signal = signal - signal.mean(dim=1, keepdim=True) * float(self.config.average)
            basis = self.basis if mask.all() else torch.eye(int(mask.sum()), device=seen.device)
            for name, value in self._sections(signal, basis.double()).items():
                found[name][which, : value.shape[1]] = value
        return {**found, SEEN: seen.double()}

    @property
    def _knows_parts(self) -> bool:
        """Whether windows of a part of the cap are answered by models of their own: of a fitted
        decoder, not of an exported one."""
        return not self.final and self.config.placed and self.partial.ready

    def make_final(self) -> None:
        self.final = True

    def seen(self, geometry: Float[Tensor, "batch sensor 6"],
             valid: Bool[Tensor, "batch sensor"]) -> Bool[Tensor, "batch channel"]:
        """Channels that windows are measured with: all of them while the decoder is trained, when
        it is exported, and for a cap with electrodes near most.

        Parameters
        ----------
        geometry, valid
            Of the windows, as in `Batch`.

        Returns
        -------
        Tensor
            `[batch, channel]`.
        """
        if not self._knows_parts:
            return valid.new_ones(len(valid), len(self.geometry))
        seen = seen_places(self.geometry[:, :3], geometry[..., :3], valid)
        count = seen.sum(dim=1)
        if len(self.geometry) > 1 and bool((count < 2).any()):
            raise ValueError(f"wanted at least two electrodes within 3 cm of those that the "
                             f"decoder was trained with, got {int(count.min())}; these are "
                             f"{', '.join(self.config.channels)}")
        whole = (count >= LEAST_SEEN * seen.shape[1]) | (count > self.config.n_components)
        return seen | whole[:, None]

    def on_channels(self, batch: Batch) -> Float[Tensor, "batch channel time"]:
        """The signals of the channels that views see.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Tensor
            `[batch, channel, time]`, float64.

        Raises
        ------
        ValueError
            A channel that is needed is not there.
        """
        if not self.config.placed:
            return self._by_name(batch)
        signal = batch.signal.double() * batch.valid[..., None]
        found = spline_map(self.geometry[:, :3], batch.geometry[..., :3], batch.valid) @ signal
        return found - found.mean(dim=1, keepdim=True) if self.config.average else found

    def _by_name(self, batch: Batch) -> Float[Tensor, "batch channel time"]:
        wanted = self.config.channels
        if not batch.ch_names or all(names == wanted for names in batch.ch_names):
            return batch.signal[:, : len(wanted)].double()
        parts = []
        for row, names in enumerate(batch.ch_names):
            place = {name: k for k, name in enumerate(names)}
            if missing := [name for name in wanted if name not in place]:
                raise ValueError(
                    f"this decoder needs its {len(wanted)} channels by name, as it does not know "
                    f"where they are; missing: {', '.join(missing[:8])}"
                    f"{', …' if len(missing) > 8 else ''}")
            parts.append(batch.signal[row, [place[name] for name in wanted]].double())
        return torch.stack(parts)

    def rows(self, pooled: Float[Tensor, "window feature"]) -> Rows:
        """What was measured, by section.

        Parameters
        ----------
        pooled
            What `pool` gave, `[window, feature]`.

        Returns
        -------
        dict[str, Tensor]
            Name of the section → `[window, number]`.
        """
        widths = self.config.sections
        return dict(zip(widths, pooled.split([*widths.values()], dim=1), strict=True))

    def name(
        self, pooled: Float[Tensor, "batch feature"],
        center: Float[Tensor, " feature"] | None = None,
    ) -> Float[Tensor, "batch output"]:
        """`predict`, from what `pool` gave."""
        center = self.centre if center is None else center.to(pooled.device)
        total = pooled.new_zeros(len(pooled), len(self.intercept), dtype=torch.float64)
        if not self._knows_parts:
            total = self._total(pooled, center)
        else:
            seen = self.rows(pooled)[SEEN] > 0.5
            for mask in seen.unique(dim=0):
                which = (seen == mask).all(dim=1)
                total[which] = (self._total(pooled[which], center) if mask.all() else
                                self._total_of_part(pooled[which], center, mask))
        if self.config.regression:
            return total.float()
        return total.softmax(dim=-1).float()

    def _total(self, pooled: Float[Tensor, "batch feature"], center: Float[Tensor, " feature"],
               only: str = "") -> Float[Tensor, "batch output"]:
        """Sum over views, or over those of one name."""
        rows, centers = self.rows(pooled), self.rows(center[None])
        of = torch.zeros(len(pooled), dtype=torch.int64, device=pooled.device)
        total = self.intercept.double().expand(len(pooled), -1)
        for name, share, view, linear in zip(self.config.views, self.share.double(), self.views,
                                             self.linear, strict=True):
            if not only or name.removesuffix(RECENTERED) == only:
                total = total + share * linear(view(rows, centers, of))
        return total

    def _total_of_part(
        self, pooled: Float[Tensor, "batch feature"], center: Float[Tensor, " feature"],
        seen: Bool[Tensor, " channel"],
    ) -> Float[Tensor, "batch output"]:
        """The same for windows of a part of the cap: classical views are solved again, the
        pretrained model reads any cap."""
        total = self._total(pooled, center, NETWORK)
        part, least = part_of(self.basis, seen, self.config.average), self.least[0].double()
        centers = self.partial.centers(self.rows(center[None]), part, seen, least)
        of = torch.zeros(len(pooled), dtype=torch.int64, device=pooled.device)
        return total + self.partial.outputs(self.rows(pooled), centers, of, part, least)
