"""coordsystem.json → nasion and the points before the ears, in the frame of the electrodes."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from .. import text
from .errors import ReadError

_NAMES = (("nas", "nasion", "nz"), ("lpa",), ("rpa",))


def read(sidecars: list[Path]) -> Float[np.ndarray, "3 3"] | None:
    """Nasion, left, right in the file's numbers (units are told by their size), or None."""
    path = next((file for file in sidecars if file.name.endswith("coordsystem.json")), None)
    if path is None:
        return None
    try:
        said = text.read_json(path)
    except ReadError:
        return None  # mne-bids says what is wrong with it, where it matters
    for key in ("AnatomicalLandmarkCoordinates", "FiducialsCoordinates"):
        places = said.get(key)
        if not isinstance(places, dict):
            continue
        places = {name.casefold(): place for name, place in places.items()}
        found = [next((places[name] for name in names if name in places), None)
                 for names in _NAMES]
        try:
            points = np.array(found, dtype=float)
        except (TypeError, ValueError):
            continue
        if points.shape == (3, 3) and np.isfinite(points).all():
            return points
    return None
