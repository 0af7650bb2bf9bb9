"""FMRIContract: what a model of fMRI was trained on, and what a new scan must become."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32

from ..limits import Positive, PositiveShare, SignedNumber, limited
from .base_contract import FILE_NAME, Contract
from .contract_words import band, windows

CONFOUNDS = ("motion", "high_pass", "wm_csf", "global_signal", "compcor", "ica_aroma", "scrub",
             "non_steady_state")


@dataclass(frozen=True)
@limited
class FMRIContract(Contract):
    """Standardization of time series of brain regions.

    The repetition time is the scan's own and is kept: models that take fMRI read it. Regions may be
    of any atlas; each is a sensor of kind roi at its center.

    Parameters
    ----------
    detrend
        Remove a straight line from the time series of every region.
    highpass_hz
        Lower edge of the band-pass (Butterworth, zero phase, as in nilearn), Hz; null =
        open.
    lowpass_hz
        Upper edge of the band-pass, Hz; null = open.
    confounds
        fMRIPrep confounds to regress out of an image, by nilearn's names of strategies,
        such as motion, wm_csf, scrub; empty = none.
    fd_mm
        Framewise displacement above which scrub leaves a volume out, mm.
    contract_version
        Version of this format. Leave it.
    modality
        Kind of contract. Leave it.
    scale
        "roi_std" z-scores every region over the measured volumes of its scan;
        "training_iqr" scales by `statistics`, which keeps differences in variance between
        subjects; "none" keeps the units of the file.
    statistics
        Region → [median, interquartile range] over training subjects. Filled in by ingest.
    window_s
        Length of a window, s; null = the whole scan.
    stride_s
        Time from one window to the next, s; null = the length. The last window ends at the
        end of the scan.
    min_measured
        Share of the volumes of a window that must be measured (not scrubbed, not missing).
    corpus
        Fingerprint of the training corpus. Filled in by pretrain.
    """

    detrend: bool = True
    highpass_hz: Positive | None = 0.008
    lowpass_hz: Positive | None = 0.1
    confounds: tuple[str, ...] = ()
    fd_mm: Positive = 0.5
    scale: Literal["roi_std", "training_iqr", "none"] = "roi_std"
    statistics: dict[str, tuple[SignedNumber, float]] = field(default_factory=dict)
    window_s: Positive | None = None
    stride_s: Positive | None = None
    min_measured: PositiveShare = 0.5
    corpus: str = ""
    contract_version: int = 1
    modality: Literal["fmri"] = "fmri"

    PREFIX = "fmri."
    kinds = ("roi",)
    sfreq = None
    window_samples = None
    name = "fMRI"
    CHANNELS = "regions"
    RECORDING = "scan"
    VIEWS = ("scans", "unscaled_scans")
    geometry = "head"
    positions = "required"
    FREE = frozenset({"corpus", "window_s", "stride_s", "min_measured"})

    @property
    def steps_of_whole(self) -> list[str]:
        """See `Contract.steps_of_whole`."""
        return [name for name, asked in (
            ("detrend", self.detrend), ("band-pass", self.highpass_hz or self.lowpass_hz),
            ("confounds", self.confounds), (f"scale ({self.scale})", self.scale == "roi_std"),
            ("windows of whole scans", self.window_s is None)) if asked]

    # Scaling, a method a direction: cleaned → `stored` in a corpus → `read` by models, or brought
    # back to the unit of the file (`unscaled`).

    def stored(
        self, signal: Float32[np.ndarray, "region volume"], measured: Bool[np.ndarray, " volume"]
    ) -> tuple[Float32[np.ndarray, "region volume"], dict]:
        """A whole scan as a corpus keeps it.

        Parameters
        ----------
        signal
            Regions, `[region, volume]`.
        measured
            True = measured, `[volume]`.

        Returns
        -------
        tuple[ndarray, dict]
            The scan, `[region, volume]`; what its quality then holds.
        """
        if self.scale != "roi_std":
            return signal, {}
        part = signal[:, measured]
        mean, std = part.mean(axis=1, keepdims=True), part.std(axis=1, keepdims=True)
        return (signal - mean) / std, {"region_std": [float(f"{value:.5g}") for value in std[:, 0]]}

    def read(
        self, signal: Float32[np.ndarray, "region volume"], names: Sequence[str]
    ) -> Float32[np.ndarray, "region volume"]:
        """See `Contract.read`: by `statistics`, where that is how regions are scaled. Raises
        ValueError for regions that the training people's scans do not have."""
        if self.scale != "training_iqr":
            return signal
        if lost := [name for name in names if name not in self.statistics]:
            raise ValueError(
                "regions are scaled by statistics of training subjects, and there are none for "
                f"{', '.join(lost[:5])}{(', …' if len(lost) > 5 else '')}: ingest first, which "
                "fills in fmri.statistics, and give the same atlas"
            )
        median, spread = np.array([self.statistics[name] for name in names], dtype=np.float32).T
        return (signal - median[:, None]) / spread[:, None]

    def unscaled(
        self, signal: Float32[np.ndarray, "region volume"], names: Sequence[str], quality: dict
    ) -> Float[np.ndarray, "region volume"]:
        """See `Contract.unscaled`: only a scan's own deviation was divided out."""
        if self.scale != "roi_std":
            return signal
        if "region_std" not in quality:
            raise ValueError("was made before the deviations of regions were kept; ingest again, "
                             "or leave ROI variance out")
        return signal * np.array(quality["region_std"])[:, None]

    def how_to_ingest(self, path: str, sfreq: np.ndarray, window_s: float | None) -> str:
        """See `Contract.how_to_ingest`."""
        return (f"ingest it again as the model wants it: neurofm ingest … --modality fmri "
                f"--fmri={path}/{FILE_NAME}")

    def length(self, n_times: int, sfreq: float) -> str:
        """See `Contract.length`."""
        return f"{n_times / sfreq:.1f} s, {n_times} volumes of {1 / sfreq:g} s"

    def described(self) -> list[tuple[str, str]]:
        """See `Contract.described`."""
        return [
            ("Signals", "fMRI as time series of brain regions with their centers (MNI space)"),
            ("Rate", "the scan's own repetition time"),
            ("Trend", "a straight line taken out" if self.detrend else "kept"),
            ("Band", band(self.highpass_hz, self.lowpass_hz)),
            ("Confounds", f"{', '.join(self.confounds)}, as fMRIPrep found them, taken out"
             if self.confounds else "none taken out"),
            ("Windows", windows(self.window_s, self.stride_s)),
            ("Scale", {"roi_std": "each region z-scored over its scan",
                       "training_iqr": "each region by its median and interquartile range in "
                                       "training subjects",
                       "none": "as in the file"}[self.scale]),
            ("Volumes scrubbed or missing", f"NaN in their places; windows with less than "
                                            f"{self.min_measured:.0%} measured are left out"),
        ]

    def __post_init__(self):
        self._check("fmri")
        if self.stride_s is not None and (self.window_s is None or self.stride_s > self.window_s):
            raise ValueError(f"fmri.stride_s must be at most fmri.window_s ({self.window_s}), got "
                             f"{self.stride_s}: a larger stride would drop signal in silence")
        if self.statistics and self.scale != "training_iqr":
            raise ValueError(f"fmri.statistics are of scale training_iqr, got scale {self.scale}")
        if unknown := sorted(set(self.confounds) - set(CONFOUNDS)):
            raise ValueError(f"fmri.confounds: unknown {', '.join(unknown)}; nilearn knows "
                             f"{', '.join(CONFOUNDS)}")
