"""Baselines: one file each. What a foundation model must beat on the same windows.

All of them start from the same description of a window, its covariance in bands (`spectra`), and
are deterministic. A baseline is a class with

    SETTINGS                             tuple of dicts: validation subjects choose one
    __init__(seed, **setting)
    fit(x, target, subjects)             x [window, band, channel, channel]
    probabilities(x, subjects)           -> [window, class]

To add one: a file here and a line in `INDEX`.
"""

from importlib import import_module

# Name in `neurofm evaluate` → module and class.
INDEX = {
    "band_power_lr": ("band_power", "BandPower"),
    "band_power_lr_recentred": ("band_power", "RecentredBandPower"),
    "csp_lda": ("csp_lda", "CSPLDA"),
    "tangent_lr": ("tangent_lr", "TangentLR"),
    "tangent_lr_recentred": ("tangent_lr", "RecentredTangentLR"),
}


def find(name: str):
    """The class of a baseline by its name in the index."""
    if name not in INDEX:
        raise ValueError(f"unknown baseline {name!r}; there are {sorted(INDEX)}")
    module, cls = INDEX[name]
    return getattr(import_module(f".{module}", __package__), cls)
