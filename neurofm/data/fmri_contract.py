"""FMRIContract: what a model of fMRI was trained on, and what a new scan must become."""

from dataclasses import dataclass
from typing import Literal

from .contract import Contract


@dataclass(frozen=True)
class FMRIContract(Contract):
    """Standardisation of time series of brain regions.

    The repetition time is the scan's own and is kept: models that take fMRI read it. Regions may be
    of any atlas; each is a sensor of kind roi at its centre.

    detrend: a straight line is taken out of every region.
    highpass_hz, lowpass_hz: edges of the band-pass (Butterworth, zero phase, as nilearn's
        `signal.clean` does it); None leaves that side open.
    scale: "roi_std" z-scores every region over the volumes of its scan that were measured; "none"
        keeps the units of the file.
    window_s, stride_s: length and spacing of windows, seconds; window_s None = the whole scan,
        stride None = window length. The tail is kept as a last window that ends with the scan.
    min_measured: least share of a window's volumes that must have been measured (not scrubbed, not
        missing).
    corpus: fingerprint of the corpus a checkpoint was trained on ("" before training).
    """

    detrend: bool = True
    highpass_hz: float | None = 0.008
    lowpass_hz: float | None = 0.1
    scale: Literal["roi_std", "none"] = "roi_std"
    window_s: float | None = None
    stride_s: float | None = None
    min_measured: float = 0.5
    corpus: str = ""
    contract_version: int = 1
    modality: Literal["fmri"] = "fmri"

    kinds = ("roi",)
    geometry = "head"
    positions = "required"
    FREE = frozenset({"corpus", "window_s", "stride_s", "min_measured"})

    def in_words(self) -> str:
        """For a model card."""
        low, high = ("open" if edge is None else f"{edge:g}"
                     for edge in (self.highpass_hz, self.lowpass_hz))
        window = "whole scans" if self.window_s is None else f"windows of {self.window_s:g} s"
        trend = "detrended, " if self.detrend else ""
        return (f"Takes fMRI as time series of brain regions with their centres\n(MNI space), at "
                f"the repetition time of the scan: {trend}{low}–{high} Hz, scale {self.scale},\n"
                f"{window}.")

    def __post_init__(self):
        if self.contract_version != 1:
            raise ValueError(f"contract_version 1 can be read here, got {self.contract_version}; "
                             f"a newer neurofm wrote it: upgrade")
        for name in ("highpass_hz", "lowpass_hz", "window_s", "stride_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"fmri.{name} must be above 0, got {value}; null for none")
        if None not in (self.highpass_hz, self.lowpass_hz) and not (
            self.highpass_hz < self.lowpass_hz
        ):
            raise ValueError(f"fmri.highpass_hz ({self.highpass_hz}) must be below "
                             f"fmri.lowpass_hz ({self.lowpass_hz})")
        if self.stride_s is not None and (self.window_s is None or self.stride_s > self.window_s):
            raise ValueError(f"fmri.stride_s must be at most fmri.window_s ({self.window_s}), got "
                             f"{self.stride_s}: a larger stride would drop signal in silence")
        if not 0 < self.min_measured <= 1:
            raise ValueError(f"fmri.min_measured is a share of volumes, above 0 to 1, got "
                             f"{self.min_measured}")
