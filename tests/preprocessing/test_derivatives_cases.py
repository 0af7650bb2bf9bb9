"""Of the files that pipelines write of one run one is a recording; the others are named."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from neurofm.preprocessing import archive, derivatives, readers
from neurofm.preprocessing.readers import ImageTable, ReadError

RUN = "sub-01_task-go"


def study(folder: Path, names: list[str], kind: str = "derivative") -> Path:
    """Empty files under these names in a BIDS folder."""
    root = folder / "study"
    func = root / "sub-01" / "func"
    func.mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps(
        {"Name": "s", "BIDSVersion": "1.9.0", "DatasetType": kind}))
    for name in names:
        (func / name).touch()
    return root


def taken(root: Path, **table: str) -> tuple[list[str], archive.Found]:
    found = archive.find([str(root)], images=ImageTable(**{"atlas": "atlas.nii.gz", **table}))
    return [Path(job.path).name.removeprefix(f"{RUN}_") for job in found.jobs], found


MNI, OTHER = "space-MNI152NLin2009cAsym_", "space-MNI152NLin6Asym_"
BOLD = "desc-preproc_bold.nii.gz"


@pytest.mark.parametrize(("names", "table", "wanted"), [
    (["space-T1w_" + BOLD, MNI + BOLD], {}, MNI + BOLD),
    ([BOLD, MNI + BOLD], {}, MNI + BOLD),
    ([MNI + BOLD, OTHER + BOLD], {}, MNI + BOLD),
    ([MNI + BOLD, OTHER + BOLD], {"space": "MNI152NLin6Asym"}, OTHER + BOLD),
    ([MNI + BOLD, OTHER + BOLD], {"atlas": "tpl-MNI152NLin6Asym_dseg.nii.gz"}, OTHER + BOLD),
    ([MNI + BOLD, "space-T1w_" + BOLD], {"space": "T1w"}, "space-T1w_" + BOLD),
    ([OTHER + "res-2_" + BOLD, OTHER + "res-1_" + BOLD], {}, OTHER + "res-1_" + BOLD),
    ([OTHER + "res-2_" + BOLD, OTHER + "res-1_" + BOLD], {"space": "MNI152NLin6Asym:res-2"},
     OTHER + "res-2_" + BOLD),
    ([MNI + "desc-smooth_bold.nii.gz", MNI + BOLD], {}, MNI + BOLD),
    ([MNI + "desc-denoised_bold.nii.gz", MNI + "desc-denoisedSmoothed_bold.nii.gz"], {},
     MNI + "desc-denoised_bold.nii.gz"),
    ([MNI + BOLD, "space-fsLR_den-91k_bold.dtseries.nii"], {}, MNI + BOLD),
    ([MNI + BOLD, "space-fsLR_den-91k_bold.dtseries.nii"], {"atlas": "a.dlabel.nii"},
     "space-fsLR_den-91k_bold.dtseries.nii"),
    (["space-fsLR_den-170k_bold.dtseries.nii", "space-fsLR_den-91k_bold.dtseries.nii"],
     {"atlas": "a.dlabel.nii"}, "space-fsLR_den-91k_bold.dtseries.nii"),
    (["space-fsLR_den-170k_bold.dtseries.nii", "space-fsLR_den-91k_bold.dtseries.nii"],
     {"atlas": "a.dlabel.nii", "space": "fsLR:den-170k"}, "space-fsLR_den-170k_bold.dtseries.nii"),
    (["echo-1_bold.nii.gz", "echo-2_bold.nii.gz", "bold.nii.gz"], {}, "bold.nii.gz"),
    (["echo-1_" + BOLD, "echo-2_" + BOLD, "desc-optcom_bold.nii.gz"], {},
     "desc-optcom_bold.nii.gz"),
    (["part-mag_bold.nii.gz", "part-phase_bold.nii.gz"], {}, "part-mag_bold.nii.gz"),
    (["space-MNIInfant_cohort-1_" + BOLD, "space-T2w_" + BOLD], {},
     "space-MNIInfant_cohort-1_" + BOLD),  # Nibabies
    (["space-MNIInfant_cohort-1_" + BOLD, OTHER + BOLD], {}, OTHER + BOLD),
])
def test_one_file_a_run(tmp_path, names, table, wanted):
    kept, found = taken(study(tmp_path, [f"{RUN}_{name}" for name in names]), **table)
    assert kept == [wanted]
    lost = {name.rsplit("/", 1)[-1].removeprefix(f"{RUN}_") for name in found.left_out}
    assert lost == {*names} - {wanted}
    assert all(wanted in why for why in found.left_out.values())
    assert not found.passed_over.keys() & {*found.left_out.values()}  # told once


def test_runs_tasks_and_acquisitions_are_recordings_of_their_own(tmp_path):
    names = [f"sub-01_task-{task}_{rest}{MNI}{BOLD}" for task in ("go", "rest")
             for rest in ("run-1_", "run-2_", "acq-fast_run-2_", "dir-AP_run-1_")]
    kept, found = taken(study(tmp_path, names))
    assert len(kept) == 8
    assert not found.left_out


def test_of_single_echoes_that_with_the_usual_echo_time(tmp_path):
    root = study(tmp_path, [f"{RUN}_echo-{k}_bold.nii.gz" for k in (1, 2, 3)], "raw")
    assert taken(root)[0] == ["echo-1_bold.nii.gz"]
    for k, time_s in enumerate((0.013, 0.031, 0.049), start=1):
        (root / f"sub-01/func/{RUN}_echo-{k}_bold.json").write_text(
            json.dumps({"EchoTime": time_s}))
    kept, found = taken(root)
    assert kept == ["echo-2_bold.nii.gz"]
    assert "no combined image" in next(iter(found.left_out.values()))


def image(path: Path, code: int = 2, n: int = 0):
    affine = np.diag([4.0, 4, 4, 1])
    labels = np.repeat([[[1]], [[2]]], 3, axis=0) * np.ones((6, 4, 4))
    data = labels.astype(np.int16)
    if n:
        wave = np.random.default_rng(0).standard_normal((3, n))
        data = (100 + wave[data]).astype(np.float32)
    made = nibabel.Nifti1Image(data, affine)
    made.set_sform(affine, code)
    made.set_qform(affine, code)
    if n:
        made.header.set_xyzt_units("mm", "sec")
        made.header.set_zooms((4, 4, 4, 2.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(made, path)
    return path


@pytest.mark.parametrize(("name", "code", "space", "atlas", "wanted"), [
    ("space-T1w_", 2, "", "atlas.nii.gz", "the person's own"),
    ("space-T1w_", 4, "", "atlas.nii.gz", "is in space T1w, but images.atlas"),
    (MNI, 2, "", "tpl-MNI152NLin6Asym_dseg.nii.gz", "is in space MNI152NLin2009cAsym"),
    (MNI, 2, "T1w", "atlas.nii.gz", "is in space MNI152NLin2009cAsym"),
    (MNI, 2, "MNI152NLin2009cAsym", "tpl-MNI152NLin6Asym_dseg.nii.gz", ""),
    (MNI, 4, "", "atlas.nii.gz", ""),
    ("space-T1w_", 2, "T1w", "atlas.nii.gz", ""),
    ("", 4, "", "atlas.nii.gz", ""),
])
def test_bad_input_an_atlas_of_another_space_is_refused(tmp_path, name, code, space, atlas, wanted):
    path = image(tmp_path / f"{RUN}_{name}desc-preproc_bold.nii.gz", n=20)
    table = ImageTable(atlas=str(image(tmp_path / atlas, code)), space=space)
    derivatives._stated.cache_clear()
    if wanted:
        with pytest.raises(ReadError, match=wanted):
            readers.read(path, images=table)
    else:
        assert readers.read(path, images=table).sensors.names == ("1", "2")


@pytest.mark.parametrize("where", [
    "derivatives/prep", "../prep:DatasetLinks", "../prep:SourceDatasets", "../prep:sourcedata"])
def test_events_of_the_raw_folder(tmp_path, where):
    raw = study(tmp_path, [], "raw")
    place, _, how = where.partition(":")
    root = raw / place
    if how == "sourcedata":
        root = tmp_path / "prep"
        (root / "sourcedata").mkdir(parents=True)
        raw = raw.rename(root / "sourcedata" / "raw")
    said = {"DatasetLinks": {"raw": str(raw)},
            "SourceDatasets": [{"URL": f"file://{raw}"}]}
    path = image(root / f"sub-01/func/{RUN}_{MNI}{BOLD}", n=20)
    (root / "dataset_description.json").write_text(json.dumps(
        {"Name": "d", "DatasetType": "derivative", **({how: said[how]} if how in said else {})}))
    (raw / "task-go_events.tsv").write_text("onset\tduration\ttrial_type\n4\t2\tface\n")
    table = ImageTable(atlas=str(image(tmp_path / "atlas.nii.gz")))
    assert readers.read(path, images=table).events.label == ("face",)
    (raw / f"sub-01/func/{RUN}_events.tsv").write_text("onset\tduration\ttrial_type\n6\t2\tdog\n")
    assert readers.read(path, images=table).events.label == ("dog",)  # the nearest goes first
