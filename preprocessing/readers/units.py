"""Factors that bring the EEG of a file to volts, where its header does not say the unit."""

import re
from pathlib import Path

import numpy as np

from .. import montage
from . import edf_header

VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "nV": 1e-9}
_PREFIXES = {"": 1.0, "milli": 1e-3, "m": 1e-3, "micro": 1e-6, "u": 1e-6, "10^-6": 1e-6,
             "nano": 1e-9, "n": 1e-9}


_OF_MNE = {"uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "\x83\xcaV": 1e-6, "mV": 1e-3}  # else it takes 1


def volts(unit: str) -> float | None:
    """Volts of a unit as recorders spell it ("UV", "microvolts", "µV"); None of other text."""
    spelled = unit.strip().casefold()
    for sign in ("âμ", "\x83ê", "μ"):  # UTF-8 read as latin-1, shift-jis; micro folds to mu
        spelled = spelled.replace(sign, "u")
    prefix, v, rest = re.sub("volts?$", "v", spelled).rpartition("v")
    return _PREFIXES.get(prefix) if v and not rest else None


def gains(raw, names: list[str], stated: str = "", listed: dict[str, str] | None = None
          ) -> np.ndarray:
    """A factor a channel. MNE takes values without a unit that it knows for volts.

    stated: the unit of all EEG values in the file, whatever its header says. listed: channel →
    unit of channels.tsv, which counts where the header of an EDF or BDF says none.
    """
    spelled = _spelled(raw)
    if spelled is None:
        known = getattr(raw, "_orig_units", None) or {}
        return np.array([VOLTS[stated] / VOLTS.get(known.get(name, ""), 1.0) if stated else 1.0
                         for name in names])
    factors = np.ones(len(names))
    for row, name in enumerate(names):
        said = spelled.get(name, spelled.get(montage.numbered(name, raw.ch_names), ""))
        ours = (VOLTS.get(stated), volts(said), volts((listed or {}).get(name, "")), 1.0)
        factors[row] = next(unit for unit in ours if unit) / _OF_MNE.get(said, 1.0)
    return factors


def _spelled(raw) -> dict[str, str] | None:
    """Channel → unit as the header of an EDF or BDF has it; None of other files."""
    files = [Path(file) for file in getattr(raw, "filenames", None) or () if file]
    if not files or files[0].suffix.lower() not in (".edf", ".bdf") or not files[0].is_file():
        return None
    header = edf_header.read(files[0])
    return dict(zip(header.labels, header.units, strict=True))
