"""What the header of an EDF, BDF or BrainVision recording promises, checked before MNE reads on.

MNE reads a truncated file as if the recording had ended there, and brings every channel of an EDF
to the fastest one's rate, so a slow EEG beside a fast EMG would pass for a wide-band EEG. Layouts:
edfplus.info/specs/edf.html (Kemp et al. 1992); BrainVision Core Data Format 1.0.
"""

import re
from pathlib import Path

from .. import montage
from .errors import ReadError


def check_edf(path: Path) -> list[str]:
    """Check length against header; returns the channels to exclude so that EEG keeps its rate."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        fixed = file.read(256)
        if (fixed[:1] == b"\xff") != (path.suffix.lower() == ".bdf") and fixed[:1] in b"0\xff":
            kind = "BDF" if fixed[:1] == b"\xff" else "EDF"
            raise ReadError(path, f"is {kind} by its first byte, another format with this "
                                  f"extension; rename it to .{kind.lower()}")
        try:
            n_signals = int(fixed[252:256])
            n_records, header_bytes = int(fixed[236:244]), int(fixed[184:192])
            record_s = float(fixed[244:252])
            fields = file.read(256 * n_signals).decode("latin-1")
            labels, rates = _signals(fields)
        except ValueError:
            raise ReadError(path, f"has no {path.suffix[1:].upper()} header; it is damaged, or "
                                  f"another format with this extension") from None
    width = 3 if path.suffix.lower() == ".bdf" else 2
    record_bytes = width * sum(rates)
    if n_records > 0 and record_bytes and size < header_bytes + n_records * record_bytes:
        came = max(0, size - header_bytes) // record_bytes
        raise ReadError(path, f"truncated: its header promises {n_records * record_s:g} s, the "
                              f"file holds {came * record_s:g} s; copy it again from the source")
    if n_records == 0 or size <= header_bytes:
        raise ReadError(path, "the recording has no samples (zero length)")
    if fixed[192:197] in (b"EDF+D", b"BDF+D"):
        came = max(0, size - header_bytes) // max(record_bytes, 1)
        _check_no_gap(path, labels, rates, header_bytes, came, record_s)
    eeg = [_is_eeg(label) for label in labels]
    fastest = max((rate for rate, keep in zip(rates, eeg, strict=True) if keep), default=0)
    if fastest and any(rate > fastest for rate, keep in zip(rates, eeg, strict=True) if not keep):
        return [label for label, rate in zip(labels, rates, strict=True)
                if rate > fastest and "annotations" not in label.lower()]
    return []


def rates_note(path: Path) -> str:
    """A sentence where EEG channels of an EDF or BDF have different rates: MNE brings all to the
    highest. "" otherwise."""
    if path.suffix.lower() not in (".edf", ".bdf"):
        return ""
    with open(path, "rb") as file:
        fixed = file.read(256)
        n_signals, record_s = int(fixed[252:256]), float(fixed[244:252])
        labels, rates = _signals(file.read(256 * n_signals).decode("latin-1"))
    if record_s <= 0:
        return ""
    eeg = {label: rate / record_s for label, rate in zip(labels, rates, strict=True)
           if _is_eeg(label)}
    slow = [label for label, rate in eeg.items() if rate < max(eeg.values())]
    if not slow:
        return ""
    return (f"{len(slow)} EEG channels were recorded at {min(eeg.values()):g} Hz and upsampled to "
            f"{max(eeg.values()):g} Hz: {', '.join(slow[:8])}{', …' if len(slow) > 8 else ''}")


def _signals(fields: str) -> tuple[list[str], list[int]]:
    """Labels, and samples a record, of the signals in an EDF header after its first 256 bytes."""
    n = len(fields) // 256
    return ([fields[16 * i:16 * (i + 1)].strip() for i in range(n)],
            [int(fields[216 * n + 8 * i:][:8]) for i in range(n)])


def _is_eeg(label: str) -> bool:
    return montage.why_not_eeg(label) is None and "annotations" not in label.lower()


def _check_no_gap(
    path: Path, labels: list[str], rates: list[int], header_bytes: int, n_records: int,
    record_s: float,
) -> None:
    """A discontinuous EDF+ is refused: MNE joins its pieces and leaves events at their old times.

    Each record begins its annotations with its own onset ("+10.5", then two separators).
    """
    width = 3 if path.suffix.lower() == ".bdf" else 2
    column = next((i for i, label in enumerate(labels) if "annotations" in label.lower()), None)
    if column is None:
        return
    before, length = width * sum(rates[:column]), width * rates[column]
    first_s = None
    with open(path, "rb") as file:
        for record in range(n_records):
            file.seek(header_bytes + record * width * sum(rates) + before)
            said = re.match(rb"([+-]\d+(?:\.\d*)?)\x14", file.read(length))
            if said is None:
                continue
            onset_s = float(said[1]) - record * record_s
            first_s = onset_s if first_s is None else first_s
            if abs(onset_s - first_s) > 1e-3:
                raise ReadError(
                    path, f"the recording is discontinuous (EDF+D): {record * record_s:g} s of "
                          f"signal are followed by a gap of {onset_s - first_s:g} s; export it "
                          f"as continuous EDF+C, or each piece as a file")


def check_brainvision(path: Path) -> None:
    """Check the length of the binary file against header and markers of a .vhdr."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:  # headers of old recorders, without a Codepage line
        text = content.decode("latin-1")
    said = dict(re.findall(r"^(\w+)=(.*?)\s*$", text, flags=re.MULTILINE))
    named = said.get("DataFile", "").replace("$b", path.stem)
    binary = path.parent / named
    if not named or "NumberOfChannels" not in said:
        return  # not a BrainVision header: MNE says what is wrong
    if not binary.is_file():
        raise ReadError(path, f"its signal file {named} is missing; copy it beside the header")
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
