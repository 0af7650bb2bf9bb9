"""What an EDF or BDF file's header promises, checked before MNE reads on.

MNE reads a truncated file as if the recording had ended there, and brings every channel to the
fastest one's rate, so a slow EEG beside a fast EMG would pass for a wide-band EEG. Layout of the
header: Kemp et al. 1992, edfplus.info/specs/edf.html.
"""

from pathlib import Path

from .. import montage
from .errors import ReadError


def check_edf(path: Path) -> list[str]:
    """Check length against header; returns the channels to exclude so that EEG keeps its rate."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        fixed = file.read(256)
        try:
            n_signals = int(fixed[252:256])
            n_records, header_bytes = int(fixed[236:244]), int(fixed[184:192])
            record_s = float(fixed[244:252])
            fields = file.read(256 * n_signals).decode("latin-1")
            labels = [fields[16 * i:16 * (i + 1)].strip() for i in range(n_signals)]
            rates = [int(fields[216 * n_signals + 8 * i:][:8]) for i in range(n_signals)]
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
    eeg = [montage.why_not_eeg(label) is None and "annotations" not in label.lower()
           for label in labels]
    fastest = max((rate for rate, keep in zip(rates, eeg, strict=True) if keep), default=0)
    if fastest and any(rate > fastest for rate, keep in zip(rates, eeg, strict=True) if not keep):
        return [label for label, rate in zip(labels, rates, strict=True)
                if rate > fastest and "annotations" not in label.lower()]
    return []
