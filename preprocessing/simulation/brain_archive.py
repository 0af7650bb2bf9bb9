"""Simulated people of whom a T1 and resting fMRI are taken, as a BIDS folder:

    sub-001/anat/sub-001_T1w.nii.gz                         in the scanner's space, with skull
    sub-001/func/sub-001_task-rest_bold.nii.gz, .json       in MNI space
    rois.nii.gz, rois.tsv                                   atlas of the regions
    participants.tsv                                        traits, and what else differs
    derivatives/fmriprep/sub-001/anat/…_desc-brain_mask.nii.gz   with brains.masks

    trait = (structure + function) / √2

structure widens the lateral ventricles, function couples two networks; both are standard normal
and independent, so the trait correlates with either by 0.71 and a perfect reader of one of them
reaches no more. trait_group is high where the trait is above 0. Head size, pose, a smooth
deformation, bias field, noise, site (another noise and repetition time) are independent of them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurofm import artifacts
from neurofm.journal import Journal

from ..brain_rule import BrainRule
from . import heads, resting
from .anatomy import seed_of

_SITES = ("A", "B")
_SITE_NOISE = (1.0, 1.5)  # of the T1
_FMRIPREP = "derivatives/fmriprep"


@dataclass(frozen=True)
class Person:
    """One of them."""

    number: int
    structure: float
    function: float
    head_size: float  # of a length, over the template's
    site: int
    has_t1: bool
    has_fmri: bool

    @property
    def name(self) -> str:
        return f"sub-{self.number:03d}"

    @property
    def trait(self) -> float:
        return (self.structure + self.function) / np.sqrt(2)


def person(number: int, rule: BrainRule, seed: int) -> Person:
    """A person, by number and seed alone."""
    rng = np.random.default_rng(seed_of(seed, "person", number))
    structure, function, size = rng.standard_normal(3)
    site, lack = int(rng.integers(2)), rng.random()
    return Person(number, float(structure), float(function), float(np.exp(rule.size * size)), site,
                  lack >= rule.without_t1,
                  not rule.without_t1 <= lack < rule.without_t1 + rule.without_fmri)


def write_person(folder: Path, who: Person, rule: BrainRule, seed: int, minutes: float,
                 t_r_s: tuple[float, ...]) -> dict:
    """Write the files of a person unless they are there; returns the row of participants.tsv, with
    the files under "files"."""
    note, journal = folder / "truth" / f"{who.name}.json", Journal(folder)
    if journal.kept(f"truth/{who.name}.json"):  # written last
        row = json.loads(note.read_text())
        if all(map(journal.kept, row["files"])):
            return row
    row = {"participant_id": who.name, "trait": round(who.trait, 4),
           "trait_group": "high" if who.trait > 0 else "low",
           "structure": round(who.structure, 4), "function": round(who.function, 4),
           "head_size": round(who.head_size, 4), "site": _SITES[who.site]}
    files = list[str]()
    if who.has_t1:
        files += _write_t1(folder, who, rule, seed, row)
    if who.has_fmri:
        files += _write_fmri(folder, who, rule, seed, minutes, t_r_s[who.site % len(t_r_s)], row)
    artifacts.write_json(note, {**row, "files": files})
    for name in (*files, f"truth/{who.name}.json"):
        journal.note(name, artifacts.sha256(folder / name))
    return {**row, "files": files}


def _write_t1(folder: Path, who: Person, rule: BrainRule, seed: int, row: dict) -> list[str]:
    scanner = heads.T1Scanner(rule.voxel_mm, rule.bias, rule.noise * _SITE_NOISE[who.site])
    shape = heads.Shape(who.head_size, rule.ventricles_mm * who.structure)
    taken = heads.head(shape, scanner, seed_of(seed, "head", who.number),
                       seed_of(seed, "t1", who.number))
    row |= {"ventricles_ml": round(taken.ventricles_ml, 2), "brain_ml": round(taken.brain_ml, 1)}
    name = f"{who.name}/anat/{who.name}_T1w"
    _save(folder / f"{name}.nii.gz", np.clip(taken.image, 0, 32767).astype(np.int16),
          taken.affine, "scanner")
    artifacts.write_json(folder / f"{name}.json", {"Modality": "MR", "ProtocolName": "simulated"})
    files = [f"{name}.nii.gz", f"{name}.json"]
    if rule.masks:
        files.append(f"{_FMRIPREP}/{who.name}/anat/{who.name}_desc-brain_mask.nii.gz")
        _save(folder / files[-1], taken.brain.astype(np.uint8), taken.affine, "scanner")
    return files


def _write_fmri(folder: Path, who: Person, rule: BrainRule, seed: int, minutes: float,
                t_r_s: float, row: dict) -> list[str]:
    labels, affine = resting.atlas(rule.n_regions, rule.bold_voxel_mm)
    course = resting.regions(
        rule.coupling * who.function, rule.n_regions, round(minutes * 60 / t_r_s), t_r_s,
        seed_of(seed, "network", who.number), seed_of(seed, "rest", who.number))
    series = resting.image(course, labels, seed_of(seed, "voxels", who.number))
    row["t_r"] = t_r_s
    name = f"{who.name}/func/{who.name}_task-rest_bold"
    _save(folder / f"{name}.nii.gz", series, affine, "mni", t_r_s)
    artifacts.write_json(folder / f"{name}.json", {"TaskName": "rest", "RepetitionTime": t_r_s})
    return [f"{name}.nii.gz", f"{name}.json"]


def write_tables(folder: Path, rows: list[dict], rule: BrainRule) -> list[str]:
    """Write what describes the whole archive; returns the names of the files."""
    import pandas as pd

    table = pd.DataFrame(rows).drop(columns="files")
    table.to_csv(folder / "participants.tsv", sep="\t", index=False, na_rep="n/a")
    about = {"Name": "Structure and function, simulated by neurofm", "BIDSVersion": "1.9.0",
             "DatasetType": "raw", "License": "CC0"}
    artifacts.write_json(folder / "dataset_description.json", about)
    files = ["participants.tsv", "dataset_description.json"]
    if any(row.get("t_r") for row in rows):
        labels, affine = resting.atlas(rule.n_regions, rule.bold_voxel_mm)
        _save(folder / "rois.nii.gz", labels, affine, "mni")
        codes = np.unique(labels[labels > 0]).tolist()
        lines = ["index\tname\tnetwork", *(
            f"{code}\tregion{code:03d}\t{(code - 1) % resting.N_NETWORKS + 1}" for code in codes)]
        (folder / "rois.tsv").write_text("\n".join(lines) + "\n")
        files += ["rois.nii.gz", "rois.tsv"]
    if rule.masks and any("brain_ml" in row for row in rows):
        name = f"{_FMRIPREP}/dataset_description.json"
        artifacts.write_json(folder / name, {**about, "DatasetType": "derivative"})
        files.append(name)
    return files


def _save(path: Path, data: np.ndarray, affine: np.ndarray, space: str, t_r_s: float = 0.0) -> None:
    """Write an image; the same numbers give the same bytes."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(data, affine)
    image.set_sform(affine, code=space)
    image.set_qform(affine, code=space)
    image.header.set_xyzt_units("mm", "sec")
    if t_r_s:
        image.header.set_zooms((*image.header.get_zooms()[:3], t_r_s))
    nibabel.save(image, path)
