"""Factors that bring the EEG of a file to volts, where its header does not say the unit."""

import numpy as np

VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "nV": 1e-9}


def gains(raw, names: list[str], stated: str = "", listed: dict[str, str] | None = None
          ) -> np.ndarray:
    """A factor a channel. MNE takes values without a known unit for volts.

    stated: the unit of all EEG values in the file, whatever its header says. listed: channel →
    unit of channels.tsv, which counts where the header of an EDF or BDF says none.
    """
    header = getattr(raw, "_orig_units", None) or {}
    factors = np.ones(len(names))
    for row, name in enumerate(names):
        own = VOLTS.get(header.get(name, ""))
        if stated:
            factors[row] = VOLTS[stated] / (own or 1.0)
        elif listed and own is None and "EDF" in type(raw).__name__.upper():
            factors[row] = VOLTS.get(listed.get(name, "").replace("microV", "uV"), 1.0)
    return factors
