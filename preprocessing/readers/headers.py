"""What the header of an EDF, BDF or BrainVision recording promises, checked before MNE reads on.

MNE reads a truncated file as if the recording had ended there, and brings every channel of an EDF
to the fastest one's rate, so a slow EEG beside a fast EMG would pass for a wide-band EEG. Layouts:
edfplus.info/specs/edf.html (Kemp et al. 1992); BrainVision Core Data Format 1.0.
"""

import re
from pathlib import Path

import numpy as np

from neurofm.terminal import printable

from .. import montage
from . import beside, edf_header
from .errors import ReadError

_FILES = re.compile(r"^\s*(DataFile|MarkerFile)\s*[=:]\s*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)

# Of a channel: Ch1=name,reference,resolution,unit
_RESOLUTION = re.compile(r"^(Ch\d+)\s*=[^,\n]*,[^,\n]*,([^,\n]*)", re.MULTILINE)


def check_edf(path: Path) -> list[str]:
    """Check length against header; returns the channels to exclude so that EEG keeps its rate."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        first = file.read(1)
    if (first == b"\xff") != (path.suffix.lower() == ".bdf") and first in b"0\xff":
        kind = "BDF" if first == b"\xff" else "EDF"
        raise ReadError(path, f"is {kind} by its first byte, another format with this "
                              f"extension; rename it to .{kind.lower()}")
    try:
        header = edf_header.read(path)
    except ValueError as error:
        which = f" that can be read: {printable(str(error))}" if str(error) else ""
        raise ReadError(path, f"has no {path.suffix[1:].upper()} header{which}; it is damaged, or "
                              f"another format with this extension") from None
    signals = [label for label in header.labels if "annotations" not in label.lower()]
    if signals and not 0 < header.record_s < np.inf:
        raise ReadError(path, f"its header says records of {header.record_s:g} s, so its sampling "
                              f"rate is not known; correct the header, or export it again")
    held_bytes = size - header.header_bytes
    if header.record_bytes and held_bytes < header.n_records * header.record_bytes:
        came = max(0, held_bytes) // header.record_bytes
        raise ReadError(path, f"truncated: its header promises "
                              f"{header.n_records * header.record_s:g} s, the file holds "
                              f"{came * header.record_s:g} s; copy it again from the source")
    if header.n_records == 0 or held_bytes <= 0:
        raise ReadError(path, "the recording has no samples (zero length); leave it out, or copy "
                              "it again from the source")
    return [*faster_than_eeg(path)]


def faster_than_eeg(path: Path) -> dict[str, str]:
    """Channels of an EDF or BDF that were sampled faster than its EEG, with the reason to leave
    them out: MNE would bring the EEG to their rate. Empty for other files."""
    if path.suffix.lower() not in (".edf", ".bdf") or not path.is_file():
        return {}
    header = edf_header.read(path)
    rates = dict(zip(header.labels, header.rates, strict=True))
    fastest = max((rate for label, rate in rates.items() if _is_eeg(label)), default=0)
    return {label: f"{montage.why_not_eeg(label)}, sampled faster than EEG"
            for label, rate in rates.items() if fastest and rate > fastest
            and "annotations" not in label.lower()}


def rates_note(path: Path) -> str:
    """A sentence where EEG channels of an EDF or BDF have different rates: MNE brings all to the
    highest. "" otherwise."""
    if path.suffix.lower() not in (".edf", ".bdf"):
        return ""
    header = edf_header.read(path)
    if header.record_s <= 0:
        return ""
    eeg = {label: rate / header.record_s
           for label, rate in zip(header.labels, header.rates, strict=True) if _is_eeg(label)}
    slow = [label for label, rate in eeg.items() if rate < max(eeg.values())]
    if not slow:
        return ""
    return (f"{len(slow)} EEG channels were recorded at {min(eeg.values()):g} Hz and upsampled to "
            f"{max(eeg.values()):g} Hz: {', '.join(slow[:8])}{', …' if len(slow) > 8 else ''}")


def _is_eeg(label: str) -> bool:
    return montage.why_not_eeg(label) is None and "annotations" not in label.lower()


def check_gdf(path: Path) -> None:
    """Raise ReadError where a GDF promises more channels than the file has bytes for: MNE would
    read as many names. Of each channel the header has 256 bytes (GDF 2.51, 1.25)."""
    with open(path, "rb") as file:
        head = file.read(256)
    if len(head) < 256 or head[:4] != b"GDF ":
        return  # MNE says what is wrong
    first = head[4:6] in (b"0.", b"1.") and head[4:7] != b"1.9"
    n = int.from_bytes(head[252:256 if first else 254], "little")
    if 256 * (1 + n) > path.stat().st_size:
        raise ReadError(path, f"truncated, or its header is damaged: that promises {n} channels, "
                              f"the file has {path.stat().st_size} bytes; copy it again from the "
                              f"source")


def _positive(written: str) -> bool:
    """Whether a header says a number above zero, with a point or a comma."""
    number = re.match(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?(?![^\W\d_])", written.strip())
    return number is not None and 0 < float(number[0].replace(",", ".")) < np.inf


def check_brainvision(path: Path) -> None:
    """Check the length of the binary file against header and markers of a .vhdr, and that both lie
    beside it."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:  # headers of old recorders, without a Codepage line
        text = content.decode("latin-1")
    for key, name in _FILES.findall(text.partition("[Comment]")[0]):
        if name:
            beside.named(path, key, name.replace("$b", path.stem))
    said = dict(re.findall(r"^(\w+)=(.*?)\s*$", text, flags=re.MULTILINE))
    named = said.get("DataFile", "").replace("$b", path.stem)
    binary = path.parent / named
    if not named or "NumberOfChannels" not in said:
        return  # not a BrainVision header: MNE says what is wrong
    if not binary.is_file():
        raise ReadError(path, f"its signal file {named} is missing; copy it beside the header")
    for key in ("SamplingInterval", "NumberOfChannels"):
        if key in said and not _positive(said[key]):
            raise ReadError(path, f"wanted {key} > 0 in the header, got {said[key]!r}; correct it, "
                                  f"or export the recording again")
    for channel, resolution in _RESOLUTION.findall(text):
        if resolution and not _positive(resolution):
            raise ReadError(path, f"wanted a resolution > 0 of {channel} in the header, got "
                                  f"{resolution!r}; correct it, or export the recording again")
    if said.get("DataFormat", "BINARY").upper() != "BINARY":
        return
    width = {"INT_16": 2, "UINT_16": 2, "INT_32": 4}.get(said.get("BinaryFormat", "").upper(), 4)
    frames, rest = divmod(binary.stat().st_size, width * int(said["NumberOfChannels"]))
    markers = path.parent / said.get("MarkerFile", "").replace("$b", path.stem)
    last = 0
    if said.get("MarkerFile") and not markers.is_file():
        raise ReadError(path, f"its marker file {markers.name} is missing, with events and joints; "
                              f"copy it beside the header, or take the line MarkerFile out of the "
                              f"header to read without events")
    if markers.is_file():
        found = re.findall(r"^Mk\d+=[^,]*,[^,]*,(\d+)", markers.read_text(errors="replace"),
                           flags=re.MULTILINE)
        last = max(map(int, found), default=0)
    # Recorders set a last marker where the next sample would have been.
    promised = max(last - 1, int(said.get("DataPoints") or 0))
    if rest or promised > frames:
        raise ReadError(path, f"truncated: {named} holds {frames} samples"
                              f"{' and a part of one' if rest else ''}"
                              + (f", header and markers reach {promised}" if promised > frames
                                 else "") + "; copy it again from the source")
