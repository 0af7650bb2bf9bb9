"""Quality of a recording: what the steps found, as a small dictionary that travels with it.

Keys: sfreq_original, band_missing_hz, bads (name → reason), without_position, interpolated,
left_out, nan_share, lost_s (seconds in which most channels were lost), amplitude (kind →
interquartile range), line_noise (Hz → ratio), line_left_hz (of the sidecar, where no notch removes
it), highpass_hz (what a short recording can meet), windows_left_out (reason → number); of fMRI also
scrubbed (volumes that were not measured or marked bad) and region_std (deviation of each region in
the unit of the file, by which it was divided).
"""

import json

from .steps.refusal import some


def to_text(quality: dict) -> str:
    """The dictionary for a column of the recordings table."""
    return json.dumps(quality, sort_keys=True, ensure_ascii=False)


def from_text(text: str) -> dict:
    return json.loads(text)


def remarks(quality: dict) -> list[str]:
    """What a person should look at, in a few words each; empty for a recording without fault."""
    found = []
    if quality["bads"]:
        what = "interpolated" if quality["interpolated"] else "left out"
        found.append(f"{len(quality['bads'])} bad, {what}: {' '.join(quality['bads'])}")
    if quality["without_position"]:
        found.append(f"no position: {some(quality['without_position'])}")
    for low, high in quality["band_missing_hz"]:
        found.append(f"nothing recorded at {low:g}–{high:g} Hz")
    for line, ratio in quality["line_noise"].items():
        if ratio > 100:
            found.append(f"line noise {line} Hz {ratio:.0f} ×")
    if quality["line_left_hz"]:
        found.append(f"mains of {quality['line_left_hz']:g} Hz not in contract.notch_hz")
    if quality["lost_s"]:
        found.append(f"{quality['lost_s']:g} s lost (missing or held values)")
    if "scrubbed" in quality and quality["left_out"]:
        found.append(f"{len(quality['left_out'])} regions of the atlas outside the image: "
                     f"{some(quality['left_out'])}")
    if quality.get("scrubbed"):
        found.append(f"{quality['scrubbed']} volumes scrubbed or missing")
    for reason, number in quality["windows_left_out"].items():
        found.append(f"{number} windows left out: {reason}")
    return found
