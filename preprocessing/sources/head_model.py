"""The head between parcels and sensors: MNE's forward solution for points of the brain.

"template" is a sphere of the size of this head: the inner skull of MNE's fsaverage, scaled. For MEG
it is Sarvas's, for EEG four shells, the brain 0.9 of the radius. "individual" is FreeSurfer's and
MNE's model of the subject's own head.
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from neurofm.data.recording import Recording

from ..steps.refusal import ContractError
from . import template

_BRAIN = 0.9  # of the head's radius: MNE's four shells
_INSIDE = 0.97  # of the brain's radius: points are kept a little below it


@dataclass(frozen=True, eq=False)
class Head:
    """A head model and where it came from."""

    # [point, 3], meters, in the frame that forward solutions want them in ("MRI", or of the
    # template the head frame)
    points: Float[np.ndarray, "point 3"]
    conductor: object  # sphere or BEM of MNE
    trans: object = None  # between the frames


def head_of(recording: Recording, info, which: str, mni_m: Float[np.ndarray, "point 3"]) -> Head:
    """which: "individual" or "template". mni_m: places in MNI space, meters. Raises ContractError
    where a file of the individual head is missing."""
    if which == "template":
        return _template(recording, info, mni_m)
    return _individual(recording, mni_m)


def _template(recording: Recording, info, mni_m) -> Head:
    import mne

    center, radius = template.sphere()
    scale = _scale(recording, info, center, radius / _BRAIN)
    center, radius = center * scale, radius * scale
    away = template.to_head(mni_m) * scale - center
    length = np.linalg.norm(away, axis=1, keepdims=True)
    inside = away * np.minimum(1.0, _INSIDE * radius / np.maximum(length, 1e-6))
    conductor = mne.make_sphere_model(center, radius / _BRAIN, info=None, verbose="ERROR")
    return Head(center + inside, conductor)


def _scale(recording: Recording, info, center, radius: float) -> float:
    """Size of this head over the template's: by electrodes (beyond a few), else by fiducials."""
    is_eeg = np.array(recording.sensors.kinds) == "eeg"
    if is_eeg.sum() >= 8:
        away = np.linalg.norm(recording.sensors.position[is_eeg] - center, axis=1)
        return float(np.median(away) / radius)
    fiducials = [point["r"] for point in info["dig"] or () if int(point["kind"]) == 1]
    if len(fiducials) < 3:
        return 1.0
    return float(np.linalg.norm(fiducials, axis=1).sum() / template.fiducial_distances().sum())


def _individual(recording: Recording, mni_m) -> Head:
    import mne

    root = os.environ.get("SUBJECTS_DIR", "")
    subject = next((name for name in (f"sub-{recording.subject}", f"{recording.subject}")
                    if root and (Path(root) / name).is_dir()), None)
    if subject is None:
        raise _lost(recording, f"no folder sub-{recording.subject} or {recording.subject} in "
                               f"SUBJECTS_DIR ({root or 'which is not set'})")
    folder = Path(root) / subject
    trans = _one_file(recording, [Path(recording.folder), folder, folder / "bem"],
                      [f"*{recording.subject}*-trans.fif", f"{subject}-trans.fif"])
    if trans is None:
        raise _lost(recording, f"no coregistration, a file *{recording.subject}*-trans.fif beside "
                               f"the recording or in {folder}")
    try:
        to_305 = mne.read_talxfm(subject, root, verbose="ERROR")["trans"]
        conductor = _bem(subject, root, "eeg" in recording.sensors.kinds)
    except (OSError, ValueError) as error:
        raise _lost(recording, f"its head model cannot be read: {error}") from error
    points = template.moved(template.mni_to_305(mni_m), np.linalg.inv(to_305))
    return Head(points, conductor, mne.read_trans(trans, verbose="ERROR"))


@lru_cache(maxsize=8)
def _bem(subject: str, root: str, has_eeg: bool):
    """The solution in bem/, else made of its surfaces: one shell for MEG, three where EEG is."""
    import mne

    solutions = sorted((Path(root) / subject / "bem").glob("*-bem-sol.fif"))
    if solutions:
        return mne.read_bem_solution(solutions[0], verbose="ERROR")
    shells = (0.3, 0.006, 0.3) if has_eeg else (0.3,)
    surfaces = mne.make_bem_model(subject, conductivity=shells, subjects_dir=root, verbose="ERROR")
    return mne.make_bem_solution(surfaces, verbose="ERROR")


def _one_file(recording: Recording, folders: list[Path], patterns: list[str]) -> Path | None:
    for folder in folders:
        for pattern in patterns:
            found = sorted(folder.glob(pattern)) if folder.is_dir() else []
            if len(found) > 1:
                raise _lost(recording, f"several coregistrations in {folder}: "
                                       f"{', '.join(path.name for path in found)}; leave one there")
            if found:
                return found[0]
    return None


def _lost(recording: Recording, came: str) -> ContractError:
    return ContractError(
        recording.source, "the head of this person (parcels.head: individual)", came,
        "give FreeSurfer's folder (SUBJECTS_DIR) and a coregistration (mne coreg), or take the "
        "template head: --parcels.head template",
    )


def forward(info, head: Head):
    """MNE's forward solution for dipoles at all points of the head in three directions each."""
    import mne

    normal = np.tile([0.0, 0.0, 1.0], (len(head.points), 1))
    space = mne.setup_volume_source_space(pos={"rr": head.points, "nn": normal},
                                          verbose="ERROR")
    return mne.make_forward_solution(info, head.trans, space, head.conductor, mindist=0.0,
                                     verbose="ERROR")
