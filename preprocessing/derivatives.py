"""Several files of one run (spaces, resolutions, smoothings, echoes) → the one that is a recording.

fMRIPrep, XCP-D and tedana write a run several times, told apart by entities of BIDS Derivatives. An
atlas fits the files of its own space: that is what `images.space` says, else the atlas's name or
header. Templates of a group (MNI…) go before a person's own space.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from . import text
from .readers.errors import ReadError
from .readers.options import ImageTable

# Entities that tell apart files of one run; all others tell apart runs.
_OF_ONE_RUN = ("space", "cohort", "res", "den", "desc", "echo", "part")
OWN = {"t1w", "t2w", "anat", "func", "bold", "boldref", "orig", "individual", "native", "scanner",
        "fsnative"}
_DESC = ("preproc", "denoised", "optcomDenoised", "optcom", "")  # which goes before which
_SPACES = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
_BEST_ECHO_S = 0.03  # echo time with a good contrast at 3 T, where no combined image is there


def entities(name: str) -> dict[str, str]:
    """Entities in a file's name: "sub-1_space-T1w_bold.nii.gz" → {"sub": "1", "space": "T1w"}."""
    stem = name.split(".")[0]
    return dict(part.split("-", 1) for part in stem.split("_") if "-" in part)


def wanted(table: ImageTable) -> dict[str, str]:
    """space (and res, den where `images.space` has them) of the atlas; empty where nobody says."""
    if table.space:
        name, *more = table.space.split(":")
        return {"space": name, **entities("_".join(more))}
    return _stated(table.atlas) if table.atlas else {}


@lru_cache(maxsize=16)
def _stated(atlas: str) -> dict[str, str]:
    """What the name of an atlas says of its space, or the header of its image."""
    name = Path(atlas).name
    if found := re.search(r"(?:^|_)(?:space|tpl)-([A-Za-z0-9]+)|(MNI152NLin[A-Za-z0-9]+)", name):
        return {"space": found[1] or found[2]}
    if "FSLMNI152" in name:
        return {"space": "MNI152NLin6Asym"}
    if not name.endswith((".nii", ".nii.gz")) or not Path(atlas).is_file():
        return {}
    import nibabel

    try:
        header = nibabel.load(atlas).header
        codes = {int(header["sform_code"]), int(header["qform_code"])}
    except (nibabel.filebasedimages.ImageFileError, KeyError, ValueError, OSError):
        return {}
    return {"space": "MNI"} if 4 in codes else {}


def fits(space: str, other: str) -> bool:
    """Whether two names of spaces may mean one: "MNI" is any space of that family."""
    one, two = space.casefold(), other.casefold()
    family = {"mni", "mni152"}
    return one == two or (one.startswith("mni") and two.startswith("mni")
                          and bool({one, two} & family))


def check_space(path: Path, table: ImageTable) -> None:
    """Raise ReadError where an image and the atlas are of different spaces."""
    own, space = entities(path.name).get("space"), wanted(table).get("space")
    if own is None:
        return
    if space and not fits(own, space):
        raise ReadError(path, f"is in space {own}, but images.atlas {Path(table.atlas).name} is in "
                              f"{space}{' (images.space)' if table.space else ''}: give an atlas "
                              f"in {own} or the image in {space}; images.space corrects what the "
                              f"atlas says")
    if not space and own.casefold() in OWN:
        raise ReadError(path, f"is in space {own}, the person's own, in which an atlas of a group "
                              f"does not lie: give the image in a template's space (MNI…), or "
                              f"images.space: {own} if images.atlas was made for this person")


def one_a_run(
    paths: list[Path], shown: Callable[[Path], str], table: ImageTable
) -> dict[Path, str]:
    """Files that are left out, with the reason. shown: what messages call a file."""
    runs: dict[tuple, list[Path]] = {}
    for path in paths:
        said = entities(path.name)
        if said and path.name.split(".")[0].endswith("bold"):
            key = tuple(sorted((key, value) for key, value in said.items()
                               if key not in _OF_ONE_RUN))
            runs.setdefault((path.parent, key), []).append(path)
    lost: dict[Path, str] = {}
    for files in runs.values():
        kept, *others = sorted(files, key=lambda path: _rank(path, table))
        lost |= {path: f"{_why(path, kept)}; taken is {shown(kept)}" for path in others}
    return lost


def one_a_scan(paths: list[Path], shown: Callable[[Path], str]) -> dict[Path, str]:
    """Of the files that pipelines write of one T1 those that are left out, with the reason. Kept is
    the one in the person's own space: what is warped to a template has lost sizes and shapes."""
    scans: dict[tuple, list[Path]] = {}
    for path in paths:
        if said := entities(path.name):
            key = tuple(sorted((key, value) for key, value in said.items()
                               if key not in _OF_ONE_RUN))
            scans.setdefault((path.parent, key), []).append(path)
    lost: dict[Path, str] = {}
    for files in scans.values():
        kept, *others = sorted(files, key=_rank_of_scan)
        lost |= {path: f"{_why(path, kept, 'scan')}; taken is {shown(kept)}" for path in others}
    return lost


def _rank_of_scan(path: Path) -> tuple:
    said = entities(path.name)
    space, desc = said.get("space", ""), said.get("desc", "")
    return (bool(space) and space.casefold() not in OWN, _rank_of_space(space),
            _DESC.index(desc) if desc in _DESC else len(_DESC),
            said.get("res", "").zfill(6), path.name)


def _rank(path: Path, table: ImageTable) -> tuple:
    """What comes first is taken."""
    said, like = entities(path.name), wanted(table)
    space = said.get("space", "")
    desc = said.get("desc", "")
    return (
        _kind(path) != _kind_of_atlas(table.atlas),
        "space" in like and not (space and fits(space, like["space"])),
        *(key in like and said.get(key) != like[key] for key in ("res", "den")),
        _rank_of_space(space), said.get("part", "mag") != "mag", _rank_of_echo(path, said),
        _DESC.index(desc) if desc in _DESC else len(_DESC),
        *(said.get(key, "").zfill(6) for key in ("res", "den")), path.name,
    )


def _rank_of_space(space: str) -> int:
    if space in _SPACES:
        return _SPACES.index(space)
    if not space:
        return len(_SPACES) + 2
    return len(_SPACES) + (0 if space.startswith("MNI") else
                           3 if space.casefold() in OWN else 1)


def _rank_of_echo(path: Path, said: dict[str, str]) -> tuple[int, float, str]:
    """Combined images first; of single echoes that nearest to a usual echo time."""
    if "echo" not in said:
        return 0, 0.0, ""
    beside = path.with_name(path.name.split(".")[0] + ".json")
    try:
        time_s = float(text.read_json(beside)["EchoTime"])
    except (OSError, KeyError, TypeError, ValueError):
        return 1, 1.0, said["echo"].zfill(6)
    return 1, abs(time_s - _BEST_ECHO_S), said["echo"].zfill(6)


def _kind(path: Path) -> str:
    return ("cifti" if path.name.endswith((".dtseries.nii", ".ptseries.nii")) else
            "gifti" if path.name.endswith(".gii") else "volume")


def _kind_of_atlas(atlas: str) -> str:
    return ("cifti" if atlas.endswith(".dlabel.nii") or not atlas else
            "gifti" if atlas.endswith((".gii", ".annot")) else "volume")


def _why(path: Path, kept: Path, one: str = "run") -> str:
    ours, theirs = entities(path.name), entities(kept.name)
    if "echo" in ours and "echo" in theirs:
        return ("one echo of a run, of which no combined image is there (combine the echoes first, "
                "as fMRIPrep and tedana do)")
    differing = [key for key in _OF_ONE_RUN if ours.get(key) != theirs.get(key)]
    return (f"the same {one} with another "
            f"{', '.join(differing) if differing else 'format'}")
