"""The header of an EDF or BDF, and the text that EDF+ and BDF+ keep in each record.

Layout: edfplus.info/specs/edf.html (Kemp et al. 1992), edfplus.info/specs/edfplus.html.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Header:
    """What the header says; `rates` are samples a record."""

    fixed: bytes  # the first 256 bytes
    labels: list[str]
    units: list[str]
    rates: list[int]
    record_s: float
    n_records: int
    header_bytes: int
    width: int  # bytes a sample

    @property
    def record_bytes(self) -> int:
        return self.width * sum(self.rates)


def read(path: Path) -> Header:
    """Raises ValueError where there is none."""
    with open(path, "rb") as file:
        fixed = file.read(256)
        n = int(fixed[252:256])
        fields = file.read(256 * max(n, 0)).decode("latin-1")
    if not 0 <= n == len(fields) // 256:
        raise ValueError(f"wanted {n} signals, got {len(fields)} bytes of them")
    return Header(
        fixed, [fields[16 * i:16 * (i + 1)].strip() for i in range(n)],
        [fields[96 * n + 8 * i:][:8].strip() for i in range(n)],
        [int(fields[216 * n + 8 * i:][:8]) for i in range(n)], float(fixed[244:252]),
        int(fixed[236:244]), int(fixed[184:192]), 3 if path.suffix.lower() == ".bdf" else 2)


def annotations(path: Path, header: Header) -> Iterator[list[bytes]]:
    """Bytes of the annotation channels of each record that the file holds; nothing where it has no
    such channels."""
    width, rates = header.width, header.rates
    places = [(width * sum(rates[:i]), width * rates[i]) for i, label in enumerate(header.labels)
              if "annotations" in label.lower()]
    if not places:
        return
    with open(path, "rb") as file:
        held_bytes = path.stat().st_size - header.header_bytes
        for record in range(held_bytes // max(header.record_bytes, 1)):
            found = []
            for begin, length in places:
                file.seek(header.header_bytes + record * header.record_bytes + begin)
                found.append(file.read(length))
            yield found
