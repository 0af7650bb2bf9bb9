"""Baselines: one file each. What a foundation model must beat on the same windows.

A baseline is a class with

    SEES                         "covariances" in bands (`spectra`), "signals" as the corpus has
                                 them, or "scans" of fMRI ("unscaled_scans": in the file's unit)
    REGRESSION                   True: predicts a number
    DRAWS                        True: draws random numbers, so that seeds matter
    SETTINGS                     tuple of dicts: validation subjects choose one. Six for each
                                 method, the likeliest first, so that fewer can be tried
    __init__(seed, **setting)    those that see signals also take `sfreq`, in Hz
    fit(x, target, subjects, validation)
        x           float64 [window, band, channel, channel], float32 [window, channel, time], or
                    object [window] of arrays [region, volume], of volumes that were measured
        target      class indices (int), or numbers
        subjects    whose window it is, [window]
        validation  (x, target, subjects) of people not trained on, to stop by; networks only
    predict(x, subjects)         -> probabilities [window, class], or numbers [window, 1]

and every NAME is also there as NAME_recentered (`recentering`). To add one: a file here and a line
in `NAMES`; or, in another package, a class named by an entry point of the group
`neurofm.baselines`.
"""

from importlib import import_module
from typing import Any, ClassVar, Protocol

import numpy as np

from neurofm import extras, plugins

GROUP = "neurofm.baselines"

# Name in `neurofm evaluate decoding` → module and class.
NAMES = {
    "band_power_lr": ("band_power", "BandPowerLR"),
    "csp_lda": ("csp_lda", "CSPLDA"),
    "tangent_lr": ("tangent", "TangentLR"),
    "filter_bank_tangent_lr": ("tangent", "FilterBankTangentLR"),
    "means_lda": ("means_lda", "MeansLDA"),
    "eegnet": ("eegnet", "EEGNetBaseline"),
    "shallow_convnet": ("shallow_convnet", "ShallowConvNetBaseline"),
    "band_power_ridge": ("band_power", "BandPowerRidge"),
    "tangent_ridge": ("tangent", "TangentRidge"),
    "pattern_lr": ("pattern", "PatternLR"),
    "pattern_lda": ("pattern", "PatternLDA"),
    "roi_variance_lr": ("roi_variance", "ROIVarianceLR"),
    "roi_variance_ridge": ("roi_variance", "ROIVarianceRidge"),
    "fc_lr": ("connectivity", "CorrelationLR"),
    "fc_tangent_lr": ("connectivity", "TangentFCLR"),
    "fc_ridge": ("connectivity", "CorrelationRidge"),
    "fc_tangent_ridge": ("connectivity", "TangentFCRidge"),
}
_RECENTERED = "_recentered"


class Baseline(Protocol):
    """See above."""

    SEES: ClassVar[str]
    REGRESSION: ClassVar[bool]
    DRAWS: ClassVar[bool]
    SETTINGS: ClassVar[tuple[dict, ...]]

    def __init__(self, seed: int, **setting: Any): ...

    def fit(self, x: np.ndarray, target: np.ndarray, subjects: np.ndarray, validation: Any = None
            ) -> None: ...

    def predict(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray: ...


# Connectivity is of whole scans: re-centered, nothing would be left of somebody's only one.
INDEX = NAMES | {name + _RECENTERED: place for name, place in NAMES.items()
                 if not name.startswith(("fc_", "roi_"))}


def names() -> list[str]:
    """Names of all baselines, those of other packages too."""
    return list(dict.fromkeys([*INDEX, *plugins.points(GROUP)]))


def find(name: str) -> type[Baseline]:
    """The class of a baseline by its name in the index; imports only what it needs."""
    if name not in INDEX and name in plugins.points(GROUP):
        return plugins.load(GROUP, name)
    if name not in INDEX:
        raise ValueError(f"unknown baseline {name!r}; there are {', '.join(sorted(names()))}")
    module, cls = INDEX[name]
    try:
        found = getattr(import_module(f".{module}", __package__), cls)
    except ModuleNotFoundError as error:
        raise ValueError(f"baseline {name}: {extras.hint(error) or error}") from error
    if name.endswith(_RECENTERED):
        return import_module(".recentering", __package__).recentered(found)
    return found
