"""The template head: MNE's fsaverage, its inner skull and its fiducials, in MNI and head frames."""

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

# FreeSurfer's "MNI305 to MNI152" (its wiki, "CoordinateSystems", 8b); fsaverage's surfaces are in
# MNI305.
_305_TO_152 = np.array([
    [0.9975, -0.0073, 0.0176, -0.0429],
    [0.0146, 1.0009, -0.0024, 1.5496],
    [-0.0130, -0.0093, 0.9971, 1.1840],
    [0.0, 0.0, 0.0, 1.0],
])
_FSAVERAGE = "data/fsaverage"


def moved(place: Float[np.ndarray, "point 3"], by: Float[np.ndarray, "4 4"]):
    return place @ by[:3, :3].T + by[:3, 3]


def mni_to_305(place: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    """MNI152, meters → MNI305, meters."""
    return moved(place * 1000, np.linalg.inv(_305_TO_152)) / 1000


def _file(name: str) -> Path:
    import mne

    return Path(mne.__file__).parent / _FSAVERAGE / f"fsaverage-{name}.fif"


@cache
def head_to_305() -> Float[np.ndarray, "4 4"]:
    import mne

    return np.asarray(mne.read_trans(_file("trans"), verbose="ERROR")["trans"])


@cache
def _inner_skull() -> Float[np.ndarray, "vertex 3"]:
    """MNI305, meters."""
    import mne

    return mne.read_bem_surfaces(_file("inner_skull-bem"), verbose="ERROR")[0]["rr"].astype(float)


def inner_skull_mni() -> Float[np.ndarray, "vertex 3"]:
    """MNI152, meters."""
    return moved(_inner_skull() * 1000, _305_TO_152) / 1000


def to_head(place: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    """MNI152 → the template's head frame, meters."""
    return moved(mni_to_305(place), np.linalg.inv(head_to_305()))


@cache
def sphere() -> tuple[Float[np.ndarray, "3"], float]:
    """(center in the head frame, radius in meters) of the sphere nearest to the inner skull's upper
    part, where cortex and sensors are."""
    from scipy.optimize import least_squares

    skull = moved(_inner_skull(), np.linalg.inv(head_to_305()))
    upper = skull[skull[:, 2] > 0.03]

    def off(guess):
        return np.linalg.norm(upper - guess[:3], axis=1) - guess[3]

    found = least_squares(off, [0.0, 0.01, 0.04, 0.08]).x
    return found[:3], float(found[3])


@cache
def fiducial_distances() -> Float[np.ndarray, "3"]:
    """From the head frame's origin to left ear, nasion and right ear, meters."""
    import mne

    points, _ = mne.io.read_fiducials(_file("fiducials"), verbose="ERROR")
    place = np.array([point["r"] for point in points], dtype=float)
    return np.linalg.norm(moved(place, np.linalg.inv(head_to_305())), axis=1)
