"""Kinds of scans of fMRI, read with an atlas of two regions; tables of regions beside them."""

import gzip
import json
from functools import cache
from pathlib import Path

import nibabel
import numpy as np

from . import Kinds
from .signals import cut

KINDS = Kinds()
good, fails, passed = KINDS.good, KINDS.fails, KINDS.passed
SHAPE, VOLUMES, T_R = (6, 5, 4), 40, 2.0
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
LABELS = np.ones(SHAPE, dtype=np.int16)
LABELS[3:] = 2
NAME = "sub-1_task-rest_bold.nii.gz"


@cache
def values() -> np.ndarray:
    """[x, y, z, volume]: the course of each region."""
    wave = np.random.default_rng(0).standard_normal((3, VOLUMES))
    return (100 + wave[LABELS]).astype(np.float32)


def truth() -> np.ndarray:
    """[region, volume]"""
    return np.stack([values()[code == LABELS].mean(axis=0) for code in (1, 2)])


def atlas(path: Path) -> Path:
    nibabel.save(nibabel.Nifti1Image(LABELS, AFFINE), path)
    return path


def centers(path: Path) -> Path:
    """Places of the regions of tables."""
    path.write_text("name\tx\ty\tz\nA\t-0.03\t0\t0.02\nB\t0.03\t0\t0.02\n")
    return path


def scan(path: Path, data: np.ndarray | None = None, t_r: float = T_R, unit: str = "sec",
         affine: np.ndarray = AFFINE) -> Path:
    made = nibabel.Nifti1Image(values() if data is None else data, affine)
    made.header.set_xyzt_units("mm", unit)
    if made.ndim > 3:
        made.header["pixdim"][4] = t_r
    nibabel.save(made, path)
    return path


def beside(path: Path, content: str | bytes) -> Path:
    """The scan, with a sidecar."""
    sidecar = path.with_name(path.name.split(".")[0] + ".json")
    sidecar.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@good()
def nifti_plain(folder):
    return scan(folder / NAME)


@good()
def nifti_not_packed(folder):
    return scan(folder / "sub-1_task-rest_bold.nii")


@good()
def nifti_five_axes(folder):
    return scan(folder / NAME, values()[..., None])


@good()
def nifti_milliseconds(folder):
    return scan(folder / NAME, t_r=2000.0, unit="msec")


@good()
def nifti_repetition_time_as_text(folder):
    return beside(scan(folder / NAME), '{"RepetitionTime": "2.0"}')


@good()
def nifti_json_with_mark(folder):
    return beside(scan(folder / NAME), b'\xef\xbb\xbf{"RepetitionTime": 2.0}')


@good()
def nifti_rate_in_the_sidecar(folder):
    return beside(scan(folder / NAME, t_r=0), '{"RepetitionTime": 2.0}')


@good()
def nifti_voxels_of_nan(folder):
    data = values().copy()
    data[0, 0] = np.nan
    return scan(folder / NAME, data)


@fails("wanted RepetitionTime")
def nifti_repetition_time_as_words(folder):
    return beside(scan(folder / NAME), '{"RepetitionTime": "two seconds"}')


@fails("is no valid JSON")
def nifti_json_with_trailing_comma(folder):
    return beside(scan(folder / NAME), '{"RepetitionTime": 2.0,}')


@fails("correct the wrong one")
def nifti_two_repetition_times(folder):
    return beside(scan(folder / NAME), '{"RepetitionTime": 3.0}')


@fails("no repetition time")
def nifti_without_repetition_time(folder):
    return scan(folder / NAME, t_r=0)


@fails("repetition time")
def nifti_nan_repetition_time(folder):
    return scan(folder / NAME, t_r=np.nan)


@fails("repetition time in seconds")
def nifti_milliseconds_called_seconds(folder):
    return scan(folder / NAME, t_r=2000.0)


@fails("truncated")
def nifti_gz_truncated(folder):
    return cut(scan(folder / NAME))


@fails("truncated")
def nifti_truncated(folder):
    return cut(scan(folder / "sub-1_task-rest_bold.nii"))


@fails("cannot be read as NIfTI")
def nifti_header_broken(folder):
    path = scan(folder / "sub-1_task-rest_bold.nii")
    path.write_bytes(b"\7" * 400 + path.read_bytes()[400:])
    return path


@fails("truncated")
def nifti_of_huge_shape(folder):
    path = scan(folder / "sub-1_task-rest_bold.nii")
    whole = bytearray(path.read_bytes())
    whole[42:50] = np.array([32767] * 4, dtype="<i2").tobytes()
    path.write_bytes(whole)
    return path


@fails("truncated")
def nifti_gz_of_huge_shape(folder):
    whole = nifti_of_huge_shape(folder).read_bytes()
    (folder / "sub-1_task-rest_bold.nii").unlink()
    (folder / NAME).write_bytes(gzip.compress(whole))
    return folder / NAME


@fails("four axes")
def nifti_three_axes(folder):
    return scan(folder / NAME, values()[..., 0])


@fails("four axes")
def nifti_two_times(folder):
    return scan(folder / NAME, np.stack([values(), values()], axis=-1))


@good("gap")
def nifti_volume_of_nan(folder):
    data = values().copy()
    data[..., 7] = np.nan
    return scan(folder / NAME, data)


@fails("NaN")
def nifti_nan(folder):
    return scan(folder / NAME, np.nan * values())


@fails("constant")
def nifti_constant(folder):
    return scan(folder / NAME, np.ones_like(values()))


@fails("regions")
def nifti_elsewhere(folder):
    away = AFFINE.copy()
    away[:3, 3] = 500
    return scan(folder / NAME, affine=away)


@fails("affine")
def nifti_affine_of_zero(folder):
    path = scan(folder / "sub-1_task-rest_bold.nii")
    whole = bytearray(path.read_bytes())
    whole[280:328] = bytes(48)
    path.write_bytes(whole)
    return path


@fails("0 bytes")
def nifti_empty(folder):
    (folder / NAME).touch()
    return folder / NAME


@fails("is no gzip file")
def nifti_text(folder):
    (folder / NAME).write_text("hello\n" * 20)
    return folder / NAME


@fails("is no gzip file")
def nifti_not_packed_but_called_gz(folder):
    scan(folder / "sub-1_task-rest_bold.nii").rename(folder / NAME)
    return folder / NAME


@fails("git lfs pull")
def nifti_lfs_pointer(folder):
    (folder / NAME).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 1\n")
    return folder / NAME


@fails("datalad get")
def nifti_annex_pointer(folder):
    (folder / NAME).write_text("/annex/objects/MD5E-s123456--d41d8cd9.nii.gz\n")
    return folder / NAME


@fails("wanted columns onset")
def nifti_events_without_onset(folder):
    (folder / "sub-1_task-rest_events.tsv").write_text("time\tlabel\n1\tgo\n")
    return scan(folder / NAME)


@fails("is in space T1w")
def fmriprep_own_space(folder):
    return scan(folder / "sub-1_task-rest_space-T1w_desc-preproc_bold.nii.gz")


@good()
def fmriprep_template_space(folder):
    (folder / "sub-1_task-rest_desc-confounds_timeseries.tsv").write_text("csf\n1\n2\n")
    return scan(folder / "sub-1_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")


@passed("another space")
def fmriprep_second_space(folder):
    fmriprep_template_space(folder)
    return fmriprep_own_space(folder)


@fails("cannot be read as CIFTI-2")
def cifti_random_bytes(folder):
    (folder / "sub-1_bold.dtseries.nii").write_bytes(np.random.default_rng(0).bytes(4000))
    return folder / "sub-1_bold.dtseries.nii"


@fails("cannot be read as CIFTI-2")
def cifti_that_is_nifti(folder):
    return scan(folder / "sub-1_bold.nii").rename(folder / "sub-1_bold.ptseries.nii")


@good()
def cifti_parcels(folder):
    return cifti(folder / "sub-1_bold.ptseries.nii")


@fails("truncated")
def cifti_truncated(folder):
    return cut(cifti(folder / "sub-1_bold.ptseries.nii"), 0.98)


@fails("repetition time in seconds")
def cifti_hertz(folder):
    return cifti(folder / "sub-1_bold.ptseries.nii", unit="HERTZ")


@fails("both hemispheres")
def gifti_one_hemisphere(folder):
    (folder / "sub-1_hemi-L_bold.func.gii").write_text("<GIFTI/>")
    return folder / "sub-1_hemi-L_bold.func.gii"


@passed(".nii.gz")
def anatomy(folder):
    return scan(folder / "sub-1_T1w.nii.gz", values()[..., 0])


@good()
def table_of_regions(folder):
    return regions(folder / "sub-1_atlas-x_timeseries.tsv")


@good("five gaps")
def table_of_regions_with_gaps(folder):
    return regions(folder / "sub-1_atlas-x_timeseries.tsv", lost=5)


@fails("enough volumes")
def table_of_regions_cut(folder):
    return cut(regions(folder / "sub-1_atlas-x_timeseries.tsv"), less=3)


def regions(path: Path, lost: int = 0) -> Path:
    rows = [[f"{value:.5f}" for value in row] for row in truth().T]
    for row in rows[:lost]:
        row[:] = ["n/a", "n/a"]
    path.write_text("\n".join("\t".join(row) for row in [["A", "B"], *rows]) + "\n")
    return path


def cifti(path: Path, unit: str = "SECOND") -> Path:
    from nibabel import cifti2

    voxels = [np.argwhere(code == LABELS) for code in (1, 2)]
    parcels = cifti2.ParcelsAxis(["1", "2"], voxels, [{}, {}], affine=AFFINE, volume_shape=SHAPE)
    series = cifti2.SeriesAxis(0, T_R, VOLUMES, unit)
    nibabel.save(cifti2.Cifti2Image(truth().T.astype(np.float32),
                                    cifti2.Cifti2Header.from_axes((series, parcels))), path)
    return path


def study(folder: Path, about: str) -> Path:
    """A BIDS folder whose sidecar holds for all its scans."""
    (folder / "sub-1" / "func").mkdir(parents=True)
    (folder / "dataset_description.json").write_text(
        json.dumps({"Name": folder.name, "BIDSVersion": "1.9.0"}))
    (folder / "task-rest_bold.json").write_text(about)
    return scan(folder / "sub-1" / "func" / NAME)


@good()
def bids_of_scans(folder):
    return study(folder, '{"RepetitionTime": "2.0", "TaskName": "rest"}')


@fails("is no valid JSON")
def bids_of_scans_with_broken_json(folder):
    return study(folder, '{"RepetitionTime": 2.0 "TaskName": "rest"}')
