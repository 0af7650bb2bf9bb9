"""Quality of a recording: what the steps found, as a small dictionary that travels with it.

Keys: signal (sha256 of the recording as it was read),
reading (what the reader did, sentences), not_used (channel of the file → why it is left out),
template_places (number of electrodes placed by name),
sfreq_original, band_missing_hz, bads (name → reason), without_position, interpolated,
left_out, nan_share, lost_s (seconds in which most channels were lost), amplitude (kind →
interquartile range), line_noise (Hz → ratio), line_left_hz (of the sidecar, where no notch removes
it), highpass_hz (what a short recording can meet), windows_left_out (reason →
number), storage_error (RMS of the error over RMS of the signal, at most), short_s (seconds in
stretches shorter than a window); of fMRI also scrubbed (volumes that were not measured or marked
bad) and region_std (deviation of each region in the unit of the file, by which it was divided); of
T1-weighted images brain (how it was found), match (correlation with the template), head_size (over
the template's), brain_ml, bias (standard deviation of its log), snr (median of the brain over the
noise), intensity (median and robust deviation of the brain in the unit of the file), beyond_grid
(share of the brain) and warped (template that it was in already).
"""

import json

from neurofm import plugins
from neurofm.pages import words

from . import standardize_fmri, standardize_t1, steps
from .steps.refusal import some


def to_text(quality: dict) -> str:
    """The dictionary for a column of the recordings table."""
    return json.dumps(quality, sort_keys=True, ensure_ascii=False)


def from_text(text: str) -> dict:
    return json.loads(text)


def remarks(quality: dict, places: bool = False) -> list[str]:
    """What a person should look at, in a few words each; empty for a recording without fault.

    places: say also how many electrodes are placed by the template, which is no fault.
    """
    found = of_reading(quality)
    if places:
        found += of_places(quality)
    found += [text for step in steps.ORDER if step.remarks for text in step.remarks(quality)]
    # A step of another package keeps what it found under its name.
    for name in quality.keys() & plugins.points(steps.GROUP).keys():
        step = steps.installed(name)
        found += step.remarks(quality) if step.remarks else []
    found += standardize_fmri.remarks(quality) + standardize_t1.remarks(quality)
    for reason, number in quality["windows_left_out"].items():
        found.append(f"{words.count(number, 'window')} left out: {reason}")
    if short_s := quality.get("short_s"):
        found.append(f"{short_s:g} s left out: in stretches shorter than a window")
    return found


def of_reading(quality: dict) -> list[str]:
    """What the reader did with the recording, and which channels it left out."""
    dropped = {name: reason for name, reason in quality.get("not_used", {}).items()
               if not reason.startswith("of type")}  # what is no EEG by its type is no fault
    return [*quality.get("reading", ()),
            *([f"channels left out: {in_words(dropped)}"] if dropped else [])]


def of_places(quality: dict) -> list[str]:
    """How many electrodes are placed by the template, which is no fault."""
    n = quality.get("template_places", 0)
    return [f"{words.count(n, 'electrode')} without a place in the file: placed by the template of "
            f"their names"] if n else []


def in_words(dropped: dict[str, str]) -> str:
    """Channels by reason: "by its name ECG, not EEG: ECG; of type stim in the file: STI 014"."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in dropped.items():
        by_reason.setdefault(reason, []).append(name)
    return "; ".join(f"{some(names, 8)} ({reason})" for reason, names in by_reason.items())
