"""Images of fMRI: regions of an atlas on another grid, repetition times that are never guessed."""

import json

import nibabel
import numpy as np
import pytest

from neurofm import cli
from neurofm.data.corpus import Corpus
from neurofm.data.fmri_contract import FMRIContract
from neurofm.preprocessing import readers
from neurofm.preprocessing.quality import remarks
from neurofm.preprocessing.readers import ImageTable, ReadError
from neurofm.preprocessing.standardize import ContractError, standardize

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
AFFINE[:3, 3] = (-18, -24, -12)
SHAPE, VOLUMES = (12, 16, 10), 40


def labels_image(fine: bool = False):
    """Three slabs along x, labeled 10, 20 and 30; fine: on a grid of 1.5 mm."""
    step = 1.5 if fine else 3.0
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = AFFINE[:3, 3] - (3.0 - step) / 2  # the same space, voxel borders together
    shape = tuple(int(n * 3 / step) for n in SHAPE)
    x = np.arange(shape[0]) / shape[0]
    labels = np.where(x < 0.25, 0, np.where(x < 0.5, 10, np.where(x < 0.75, 20, 30)))
    return nibabel.Nifti1Image(np.broadcast_to(labels[:, None, None], shape).astype(np.int16),
                               affine)


def bold(folder, name: str = "sub-1_task-rest_bold.nii.gz", t_r: float = 2.0, unit: str = "sec",
         shift_mm: float = 0.0):
    """Each slab has a wave of its own, and noise."""
    rng = np.random.default_rng(0)
    label = np.asarray(labels_image().dataobj)
    waves = np.sin(2 * np.pi * np.array([0.02, 0.03, 0.05, 0.04])[:, None]
                   * np.arange(VOLUMES) * 2.0)
    signal = 100 + waves[label // 10] + 0.1 * rng.standard_normal((*SHAPE, VOLUMES))
    affine = AFFINE.copy()
    affine[0, 3] += shift_mm
    image = nibabel.Nifti1Image(signal.astype(np.float32), affine)
    image.header.set_zooms((3.0, 3.0, 3.0, t_r))
    image.header.set_xyzt_units("mm", unit)
    nibabel.save(image, folder / name)
    return folder / name, waves


def atlas(folder, fine: bool = False) -> ImageTable:
    nibabel.save(labels_image(fine), folder / "atlas.nii.gz")
    return ImageTable(atlas=str(folder / "atlas.nii.gz"))


@pytest.mark.parametrize("fine", [False, True])
def test_means_of_an_atlas_on_the_images_grid_or_another(tmp_path, fine):
    path, waves = bold(tmp_path)
    read = readers.read(path, images=atlas(tmp_path, fine))
    assert read.sensors.names == ("10", "20", "30")
    assert read.sfreq == 0.5
    for row in range(3):
        assert np.corrcoef(read.signal[row], waves[row + 1])[0, 1] > 0.999
    # Middle of voxels 3 … 5, 6 … 8 and 9 … 11 along x; of all along y and z.
    assert np.allclose(read.sensors.position * 1000,
                       [[-6, -1.5, 1.5], [3, -1.5, 1.5], [12, -1.5, 1.5]], atol=1e-3)


def test_voxels_of_a_mask(tmp_path):
    path, _ = bold(tmp_path)
    mask = np.zeros(SHAPE, dtype=np.int16)
    mask[4, 5, 6] = mask[10, 0, 0] = 1
    nibabel.save(nibabel.Nifti1Image(mask, AFFINE), tmp_path / "mask.nii.gz")
    table = ImageTable(atlas="voxels", mask=str(tmp_path / "mask.nii.gz"))
    read = readers.read(path, images=table)
    assert read.sensors.names == ("4-5-6", "10-0-0")
    data = np.asarray(nibabel.load(path).dataobj)
    assert np.allclose(read.signal, data[[4, 10], [5, 0], [6, 0]])
    assert np.allclose(read.sensors.position[0] * 1000, [-6, -9, 6])
    nibabel.save(nibabel.Nifti1Image(mask[:-1], AFFINE), tmp_path / "mask.nii.gz")
    with pytest.raises(ReadError, match="another grid"):
        readers.read(path, images=table)


def test_probabilistic_maps(tmp_path):
    path, waves = bold(tmp_path)
    label = np.asarray(labels_image().dataobj)
    maps = np.stack([label == code for code in (10, 20, 30)], axis=3).astype(np.float32)
    maps[5, ..., 0], maps[5, ..., 1] = 0.6, 0.4
    nibabel.save(nibabel.Nifti1Image(maps, AFFINE), tmp_path / "maps.nii.gz")
    read = readers.read(path, images=ImageTable(atlas=str(tmp_path / "maps.nii.gz")))
    assert read.sensors.names == ("map1", "map2", "map3")
    for row in range(3):
        assert np.corrcoef(read.signal[row], waves[row + 1])[0, 1] > 0.98


def test_bad_input_an_atlas_of_another_space(tmp_path):
    path, _ = bold(tmp_path, shift_mm=28.0)
    with pytest.raises(ReadError, match="3 regions, but only 1 of them"):
        readers.read(path, images=atlas(tmp_path))
    with pytest.raises(ReadError, match=r"images\.atlas"):
        readers.read(path)


def test_regions_that_the_image_lacks_are_told(tmp_path):
    path, _ = bold(tmp_path, shift_mm=18.0)  # slab 10 lies before the image now
    read = readers.read(path, images=atlas(tmp_path))
    assert read.sensors.names == ("20", "30")
    done = standardize(read, FMRIContract())
    assert done.quality["left_out"] == ["10"]
    assert any("1 region of the atlas outside the image: 10" in text
               for text in remarks(done.quality))


@pytest.mark.parametrize(("t_r", "unit", "beside", "wanted"), [
    (2000.0, "msec", None, 2.0), (2.0, "sec", 2.0, 2.0), (0.0, "sec", 1.5, 1.5),
    (1.0, "unknown", 1.5, 1.5),
    (2.0, "sec", 2.5, "correct the wrong one"), (1.0, "unknown", None, "says no repetition time"),
    (2000.0, "sec", None, "in seconds, got 2000"),
])
def test_repetition_time(tmp_path, t_r, unit, beside, wanted):
    path, _ = bold(tmp_path, t_r=t_r, unit=unit)
    if beside:
        (tmp_path / "sub-1_task-rest_bold.json").write_text(json.dumps({"RepetitionTime": beside}))
    if isinstance(wanted, float):
        assert readers.read(path, images=atlas(tmp_path)).sfreq == pytest.approx(1 / wanted)
    else:
        with pytest.raises(ReadError, match=wanted):
            readers.read(path, images=atlas(tmp_path))


def test_from_images_to_a_corpus_by_the_command(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    for person in range(3):
        bold(folder, f"sub-{person}_task-faces_space-MNI_desc-preproc_bold.nii.gz")
        (folder / f"sub-{person}_task-faces_events.tsv").write_text(
            "onset\tduration\ttrial_type\n4\t10\tface\n40\t10\thouse\n")
    nibabel.save(labels_image(), folder / "T1w.nii.gz")  # no recording: passed over
    table = atlas(tmp_path)
    words = ["ingest", str(folder), f"--out={tmp_path / 'corpus'}", "--modality=fmri",
             "--fmri.window_s=12", "--fmri.highpass_hz=null", "--label.source=event",
             "--label.mapping={face: face, house: house}", "--workers=1",
             "--splits.fractions=[1,0,0]"]
    assert cli.main([*words, f"--images.atlas={table.atlas}"]) == 0
    corpus = Corpus.open(tmp_path / "corpus")
    assert len(corpus) == 6
    assert corpus.windows["start_s"].tolist() == [4.0, 40.0] * 3
    assert sorted(set(corpus.recordings["subject"])) == ["0", "1", "2"]
    assert corpus.batch(corpus.select()).signal.shape == (6, 3, 6)


def fmriprep(root, subjects=("01", "02"), volumes: int = VOLUMES):
    """Derivatives as fMRIPrep writes them; in volume 20 the head moved, and the slabs with it."""
    rng = np.random.default_rng(1)
    (root / "dataset_description.json").parent.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({
        "Name": "fMRIPrep", "BIDSVersion": "1.4.0", "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "fMRIPrep", "Version": "23.1.0"}]}))
    for subject in subjects:
        func = root / f"sub-{subject}" / "func"
        func.mkdir(parents=True)
        stem = f"sub-{subject}_task-rest"
        path, _ = bold(func, f"{stem}_space-MNI_desc-preproc_bold.nii.gz")
        image = nibabel.load(path)
        moved = np.zeros((6, volumes))
        moved[0] = rng.standard_normal(volumes)
        data = np.asarray(image.dataobj) + 3 * moved[0]
        data[..., 20] += 40
        nibabel.save(nibabel.Nifti1Image(data.astype(np.float32), image.affine, image.header), path)
        nibabel.save(nibabel.Nifti1Image(np.ones(SHAPE, dtype=np.int16), image.affine),
                     func / f"{stem}_space-MNI_desc-brain_mask.nii.gz")
        names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
        columns = {}
        for name, value in zip(names, moved, strict=True):
            step = np.concatenate([[np.nan], np.diff(value)])
            columns |= {name: value, f"{name}_derivative1": step, f"{name}_power2": value**2,
                        f"{name}_derivative1_power2": step**2}
        far = np.full(volumes, 0.1)
        far[20] = 3.0
        columns |= {"framewise_displacement": far, "std_dvars": np.full(volumes, 1.0),
                    "csf": rng.standard_normal(volumes),
                    "white_matter": rng.standard_normal(volumes)}
        rows = ["\t".join(columns)] + [
            "\t".join("n/a" if np.isnan(v) else f"{v:.6f}" for v in row)
            for row in zip(*columns.values(), strict=True)]
        (func / f"{stem}_desc-confounds_timeseries.tsv").write_text("\n".join(rows) + "\n")
        (func / f"{stem}_desc-confounds_timeseries.json").write_text("{}")
    return root


def test_what_fmriprep_found_is_taken_out_and_scrubbed(tmp_path):
    root = fmriprep(tmp_path / "ds" / "derivatives" / "fmriprep")
    (tmp_path / "ds" / "participants.tsv").write_text("participant_id\tage\nsub-01\t31\n")
    out = tmp_path / "corpus"
    words = ["ingest", str(root), f"--out={out}", "--modality=fmri", "--workers=1",
             f"--images.atlas={atlas(tmp_path).atlas}", "--splits.fractions=[0.5,0.5,0]",
             "--fmri.lowpass_hz=null"]
    assert cli.main([*words, "--fmri.confounds=[motion,wm_csf,scrub]"]) == 0
    corpus = Corpus.open(out)
    assert corpus.recordings["subject"].tolist() == ["01", "02"]
    assert json.loads(corpus.recordings["attributes"][0])["age"] == "31"
    signal = corpus.signal(0)
    assert 20 in np.flatnonzero(np.isnan(signal).all(axis=0))
    left = signal[:, np.isfinite(signal).all(axis=0)]
    plain = tmp_path / "plain"
    assert cli.main([*words[:2], f"--out={plain}", *words[3:]]) == 0
    kept = Corpus.open(plain).signal(0)

    def movement(x):  # the one that was planted is the same in all slabs
        return np.corrcoef(x)[np.triu_indices(3, 1)].mean()

    assert movement(kept) > 0.9
    assert abs(movement(left)) < 0.4


def test_bad_input_confounds_that_are_not_there(tmp_path):
    path, _ = bold(tmp_path, "sub-1_task-rest_desc-preproc_bold.nii.gz")
    scan = readers.read(path, images=atlas(tmp_path))
    with pytest.raises(ContractError, match="what fMRIPrep writes of it"):
        standardize(scan, FMRIContract(confounds=("motion",)))
    with pytest.raises(ContractError, match="it is a table of regions"):
        standardize(scan.with_(image=""), FMRIContract(confounds=("motion",)))
    with pytest.raises(ValueError, match="unknown moton; nilearn knows"):
        FMRIContract(confounds=("moton",))


def test_a_repetition_time_may_stand_at_the_top_of_a_bids_folder(tmp_path):
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    (tmp_path / "task-rest_bold.json").write_text('{"RepetitionTime": 1.5}')
    func = tmp_path / "sub-1" / "ses-a" / "func"
    func.mkdir(parents=True)
    path, _ = bold(func, "sub-1_ses-a_task-rest_run-2_bold.nii.gz", t_r=0.0, unit="unknown")
    found = readers.read(path, images=atlas(tmp_path))
    assert found.sfreq == pytest.approx(1 / 1.5)
    assert (found.subject, found.session, found.task, found.run) == ("1", "a", "rest", "2")
