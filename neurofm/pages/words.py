"""Sentences about contracts, the same in every report, card and page."""

from typing import Any


def p_value(p: float) -> str:
    """Three decimals; "–" where there is none."""
    if p != p:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< .001"


def contract_in_words(contract: Any) -> list[tuple[str, str]]:
    """What was done to a recording before a model saw it."""
    if contract.modality == "fmri":
        return _fmri_in_words(contract)
    low = "0" if contract.highpass_hz is None else f"{contract.highpass_hz:g}"
    high = f"{contract.sfreq / 2:g}" if contract.lowpass_hz is None else f"{contract.lowpass_hz:g}"
    notch = ", ".join(f"{f:g} Hz" for f in contract.notch_hz)
    stride_s = contract.stride_s or contract.window_s
    reach = f"{contract.bad_channels_iqr:g} interquartile ranges"
    bad = {
        "log_psd": f"marked in the file, or spectrum beyond {reach} from the others'; at most "
                   f"{contract.max_bad:.0%} may be bad",
        "none": "those marked in the file",
    }[contract.bad_channels]
    scale = {
        "kind_std": "each window divided by its standard deviation over all sensors of a kind",
        "channel_std": "each channel of each window to mean 0 and deviation 1",
        "recording_std": "each channel to mean 0 and deviation 1 over its recording",
        "none": "SI units, unscaled",
    }[contract.scale]
    return [
        ("Sensors", ", ".join(contract.kinds)),
        *([("Parcels", f"{len(contract.parcels.points)}, by {contract.parcels.method}, "
                       f"{contract.parcels.head} head")] if contract.parcels else []),
        ("Band", f"{low}–{high} Hz" + (f", notches at {notch} and harmonics" if notch else "")),
        ("Sampling rate", f"{contract.sfreq:g} Hz"),
        ("Reference", {"average": "mean over the sensors of a kind",
                       "none": "as recorded"}[contract.reference]),
        ("Bad channels", bad),
        ("Windows", f"{contract.window_s:g} s, one every {stride_s:g} s"),
        ("Scale", scale),
        ("Trained on corpus", contract.corpus or "unknown"),
    ]


def _fmri_in_words(contract: Any) -> list[tuple[str, str]]:
    low, high = ("open" if edge is None else f"{edge:g}"
                 for edge in (contract.highpass_hz, contract.lowpass_hz))
    return [
        ("Signals", "time series of brain regions, at the scan's own repetition time"),
        ("Trend", "a straight line taken out" if contract.detrend else "kept"),
        ("Band", f"{low}–{high} Hz"),
        ("Windows", "whole scans" if contract.window_s is None else f"{contract.window_s:g} s"),
        ("Scale", {"roi_std": "each region z-scored over its scan",
                   "training_iqr": "each region by its median and interquartile range in training "
                                   "people",
                   "none": "as in the file"}[contract.scale]),
        ("Confounds", f"{', '.join(contract.confounds)}, as fMRIPrep found them, taken out"
         if contract.confounds else "none taken out here"),
        ("Volumes scrubbed or missing", f"left out; at least {contract.min_measured:.0%} of a "
                                        f"window were measured"),
        ("Corpus", contract.corpus or "unknown"),
    ]
