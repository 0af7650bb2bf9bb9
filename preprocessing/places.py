"""Places of electrodes in a file, judged by the template of their names.

A file may give places in the head frame, in that of a template's head (EEGLAB's default is MNI), on
a sphere, with x to the nose, in millimeters that it calls meters. Where the names are known, the
template tells which: places near it stand, places that fit it after a rigid turn are in another
frame, and places that do not fit it at all belong to other electrodes.
"""

import numpy as np
from jaxtyping import Float

from . import montage

_LEAST = 4  # electrodes with known names; with fewer, nothing can be judged
# Median distances to the template, meters. Heads and caps differ from it by about 1 cm, an ideal
# sphere by 2.4 cm; MNI coordinates taken for the head frame lie 5 cm off.
_SAME_FRAME_M, _OTHER_FRAME_M = 0.03, 0.02
_EARS = {"a1", "a2", "m1", "m2"}  # also names of other electrodes in caps of BioSemi
# EEGLAB's axes (x to the nose, y to the left) → right, front, up
_EEGLAB = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


class WrongPlaces(ValueError):
    """The places are not those of electrodes of these names."""


def judge(
    position: Float[np.ndarray, "channel 3"], template: Float[np.ndarray, "channel 3"],
    names: list[str], fiducials: Float[np.ndarray, "3 3"] | None = None,
) -> tuple[Float[np.ndarray, "channel 3"], str]:
    """Places in the head frame, and what was done with those of the file in a sentence ("" =
    nothing but filling in places that it lacks).

    position, template: NaN where unknown. fiducials: nasion, left and right point before the ear,
    in the file's own frame. Raises WrongPlaces.
    """
    position = position.astype(float)
    position[np.abs(position).sum(1) == 0] = np.nan
    known, named = np.isfinite(position).all(1), np.isfinite(template).all(1)
    ears = np.array([name.casefold() in _EARS for name in names], dtype=bool)
    both = known & named & ~ears
    if both.sum() < _LEAST or _degenerate(position[known]) or _on_a_line(position[both]):
        return _filled(montage.usable_eeg_positions(position), template), ""
    moved = montage.about_the_head(position)
    if _apart(moved[both], template[both]) <= _SAME_FRAME_M:
        return _filled(montage.usable_eeg_positions(position), template), ""
    turn, shift, apart = _fit(position[both], template[both])
    if apart > _OTHER_FRAME_M:
        if both.sum() < 0.5 * known.sum():  # a cap with some names in common by chance
            return _filled(montage.usable_eeg_positions(position), template), ""
        raise WrongPlaces(
            f"wanted electrodes at the places of their names, but those of the file are "
            f"{100 * apart:.1f} cm from the template (median of {both.sum()}) after the best "
            f"fit; names and places are in different orders, or the places are damaged: correct "
            f"or remove them in the file, and the template is used")
    unit = _unit_m(position[both])
    off_cm = 100 * float(np.median(np.linalg.norm(unit * position[both] - template[both], axis=1)))
    where = f"{off_cm:.3g} cm from the template" if unit == 1 else f"units of {unit:g} m"
    what = f"electrode places of the file are not in the head frame ({where})"
    by_fiducials = _by_fiducials(position, template, both, fiducials)
    if by_fiducials is not None:
        return _filled(by_fiducials, template), f"{what}; transformed by its fiducials"
    placed = position @ turn.T + shift
    placed[named] = template[named]
    return placed, f"{what}; those of the template are used instead"


def _filled(position: np.ndarray, template: np.ndarray) -> np.ndarray:
    """With the template's places where the file has none."""
    return np.where(np.isfinite(position).all(1)[:, None], position, template)


def _degenerate(places: np.ndarray) -> bool:
    """One point for most, or many in a plane: no places on a head. (Two pairs of a left and a right
    electrode always lie in a plane.)"""
    if len(np.unique(places, axis=0)) < 0.5 * len(places):
        return True
    spread = np.linalg.svd(places - places.mean(0), compute_uv=False)
    return bool(len(places) > _LEAST and spread[2] < 0.02 * spread[0])


def _on_a_line(places: np.ndarray) -> bool:
    """No turn can be told from such places."""
    spread = np.linalg.svd(places - places.mean(0), compute_uv=False)
    return bool(spread[1] < 0.1 * spread[0])


def _apart(places: np.ndarray, template: np.ndarray) -> float:
    """Median distance, meters, of the same head in another size (0.6–1.5); infinite of others."""
    size = float((places * template).sum() / np.square(places).sum())
    if not 0.6 < size < 1.5:
        return np.inf
    return float(np.median(np.linalg.norm(size * places - template, axis=1)))


def _fit(places: np.ndarray, template: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Turn (with a scale) and shift that bring places to the template, and the median distance
    that is left (Umeyama 1991, IEEE PAMI 13:376)."""
    center, aim = places.mean(0), template.mean(0)
    left, size, right = np.linalg.svd((template - aim).T @ (places - center))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])  # never a mirror image
    scale = (size * sign).sum() / np.square(places - center).sum()
    turn = scale * (left * sign) @ right
    shift = aim - turn @ center
    left_m = np.linalg.norm(places @ turn.T + shift - template, axis=1)
    return turn, shift, float(np.median(left_m))


def _by_fiducials(
    position: np.ndarray, template: np.ndarray, both: np.ndarray, fiducials: np.ndarray | None
) -> np.ndarray | None:
    """Positions in the head frame that the fiducials span, where they then lie on the template.

    MNE keeps the fiducials of EEGLAB as the file has them, electrodes turned and in meters.
    """
    if fiducials is None or not np.isfinite(fiducials).all():
        return None
    from mne.transforms import get_ras_to_neuromag_trans

    unit = _unit_m(position[both])
    for turn in (np.eye(3), _EEGLAB):
        nasion, left, right = fiducials @ turn.T * _unit_m(fiducials, 0.1)
        if np.linalg.norm(np.cross(nasion - left, right - left)) < 1e-4:
            continue
        into = get_ras_to_neuromag_trans(nasion, left, right)
        placed = unit * position @ into[:3, :3].T + into[:3, 3]
        if _apart(placed[both], template[both]) <= _SAME_FRAME_M:
            return placed
    return None


def _unit_m(places: np.ndarray, about_m: float = 0.09) -> float:
    """1, 0.1, 0.01 or 0.001: meters in the unit of places on a head."""
    radius = np.median(np.linalg.norm(places - places.mean(0), axis=1))
    return float(10.0 ** np.clip(np.round(np.log10(about_m / max(radius, 1e-9))), -3, 0))
