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
    """Raises ValueError where there is none: without words for what is no such file, else with the
    field that is wrong."""
    with open(path, "rb") as file:
        fixed = file.read(256)
        if len(fixed) < 256 or not fixed[252:256].strip() or fixed[:1] not in b"0\xff":
            raise ValueError
        n = _number(fixed[252:256], "number of signals")
        fields = file.read(256 * min(max(n, 0), 10**4)).decode("latin-1")
    if n < 1 or n != len(fields) // 256:
        raise ValueError(f"its number of signals is {n}, and {len(fields) // 256} of them are "
                         f"described")
    header_bytes = _number(fixed[184:192], "number of bytes of the header")
    if header_bytes != 256 * (n + 1):
        raise ValueError(f"its number of bytes of the header is {header_bytes}, wanted "
                         f"{256 * (n + 1)}, for {n} signals")
    if (n_records := _number(fixed[236:244], "number of data records")) < -1:
        raise ValueError(f"its number of data records is {n_records}, wanted -1 (not known) or "
                         f"more")
    rates = [_number(fields[216 * n + 8 * i:][:8], f"samples a record of signal {i + 1}")
             for i in range(n)]
    if (least := min(rates)) < 0:
        raise ValueError(f"its samples a record of signal {rates.index(least) + 1} are {least}")
    return Header(
        fixed, [fields[16 * i:16 * (i + 1)].strip() for i in range(n)],
        [fields[96 * n + 8 * i:][:8].strip() for i in range(n)], rates,
        float(_number(fixed[244:252], "duration of a data record", float)), n_records, header_bytes,
        3 if path.suffix.lower() == ".bdf" else 2)


def _number(field: bytes | str, name: str, kind: type = int):
    text = field.decode("latin-1") if isinstance(field, bytes) else field
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"its {name} is {text.strip()!r}") from None


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
