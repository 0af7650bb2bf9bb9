"""fMRI on surfaces: GIFTI of two hemispheres and CIFTI, against signals that are known."""

import json

import nibabel
import numpy as np
import pytest
from nibabel import cifti2, gifti

from neurofm import cli
from neurofm.data.corpus import Corpus
from neurofm.preprocessing import readers
from neurofm.preprocessing.readers import ImageTable, ReadError

N, VOLUMES, T_R = 60, 50, 1.5
WAVES = np.sin(2 * np.pi * np.array([0.02, 0.035, 0.05, 0.07])[:, None]
               * np.arange(VOLUMES) * T_R)
LABEL = {"L": np.repeat([0, 3, 7], 20), "R": np.repeat([3, 7, 0], 20)}
STEM = "sub-1_task-rest_hemi-{}_space-fsaverage5_bold.func.gii"
CORTEX = {"L": "CIFTI_STRUCTURE_CORTEX_LEFT", "R": "CIFTI_STRUCTURE_CORTEX_RIGHT"}


def save(path, *arrays, intent="NIFTI_INTENT_NONE"):
    image = gifti.GiftiImage(darrays=[
        gifti.GiftiDataArray(np.asarray(array), intent=kind, datatype=f"NIFTI_TYPE_{of}")
        for array, kind, of in arrays])
    nibabel.save(image, path)
    return path


def points(side: str) -> np.ndarray:
    """Vertices on a hemisphere, mm."""
    rng = np.random.default_rng("LR".index(side))
    place = rng.standard_normal((N, 3))
    place = 60 * place / np.linalg.norm(place, axis=1, keepdims=True)
    place[:, 0] = abs(place[:, 0]) * (-1 if side == "L" else 1)
    return place.astype(np.float32)


def signals(side: str) -> np.ndarray:
    """A wave for each region of each side, and noise; the medial wall is 0."""
    rng = np.random.default_rng(5 + "LR".index(side))
    wave = {0: 0, 3: WAVES[0], 7: WAVES[1]} if side == "L" else {0: 0, 3: WAVES[2], 7: WAVES[3]}
    signal = np.array([wave[k] + (k > 0) * (100 + 0.1 * rng.standard_normal(VOLUMES))
                       for k in LABEL[side]])
    return np.broadcast_to(signal, (N, VOLUMES)).astype(np.float32)


@pytest.fixture
def surfaces(tmp_path):
    """A run with its atlas and its meshes."""
    faces = np.array([[i, i + 1, i + 2] for i in range(N - 2)], dtype=np.int32)
    for side in "LR":
        save(tmp_path / f"mesh_hemi-{side}.surf.gii",
             (points(side), "NIFTI_INTENT_POINTSET", "FLOAT32"),
             (faces, "NIFTI_INTENT_TRIANGLE", "INT32"))
        save(tmp_path / f"atlas_hemi-{side}.label.gii",
             (LABEL[side].astype(np.int32), "NIFTI_INTENT_LABEL", "INT32"))
        save(tmp_path / STEM.format(side),
             *((volume, "NIFTI_INTENT_TIME_SERIES", "FLOAT32") for volume in signals(side).T))
    name = STEM.format("L").replace(".func.gii", ".json")
    (tmp_path / name).write_text(json.dumps({"RepetitionTime": T_R}))
    return tmp_path


def images(folder, **fields) -> ImageTable:
    return ImageTable(**{"atlas": str(folder / "atlas_hemi-L.label.gii"),
                         "mesh": str(folder / "mesh_hemi-L.surf.gii"), **fields})


def test_regions_of_both_hemispheres(surfaces):
    read = readers.read(surfaces / STEM.format("L"), images=images(surfaces))
    assert read.sensors.names == ("L-3", "L-7", "R-3", "R-7")
    assert read.sfreq == pytest.approx(1 / T_R)
    for row, wave in enumerate(WAVES):
        assert np.corrcoef(read.signal[row], wave)[0, 1] > 0.99
    wanted = points("R")[LABEL["R"] == 7].mean(axis=0) / 1000
    assert np.allclose(read.sensors.position[3], wanted, atol=1e-5)


def test_from_surfaces_to_a_corpus_by_the_command(surfaces, tmp_path):
    (surfaces / "func").mkdir()
    for file in surfaces.glob("sub-1*"):
        file.rename(surfaces / "func" / file.name)
    out = tmp_path / "corpus"
    assert cli.main(["ingest", str(surfaces / "func"), f"--out={out}", "--modality=fmri",
                     f"--images.atlas={surfaces / 'atlas_hemi-L.label.gii'}",
                     f"--images.mesh={surfaces / 'mesh_hemi-L.surf.gii'}", "--workers=1",
                     "--splits.fractions=[1,0,0]"]) == 0
    corpus = Corpus.open(out)
    assert corpus.recordings["subject"].tolist() == ["1"]  # the right hemisphere is no second run
    assert corpus.signal(0).shape == (4, VOLUMES)


@pytest.mark.parametrize(("change", "message"), [
    (lambda f: (f / STEM.format("R")).unlink(), "wanted both hemispheres"),
    (lambda f: (f / "mesh_hemi-R.surf.gii").unlink(), "wanted the left hemisphere's mesh"),
    (lambda f: (f / "atlas_hemi-R.label.gii").unlink(), "give images.atlas, labels of the left"),
    (lambda f: (f / STEM.format("L").replace(".func.gii", ".json")).unlink(),
     "wanted RepetitionTime .seconds."),
    (lambda f: save(f / "atlas_hemi-R.label.gii",
                    (np.ones(9, dtype=np.int32), "NIFTI_INTENT_LABEL", "INT32")),
     "they are of different meshes"),
])
def test_bad_input_surfaces(surfaces, change, message):
    change(surfaces)
    with pytest.raises(ReadError, match=message):
        readers.read(surfaces / STEM.format("L"), images=images(surfaces))


def grayordinates() -> cifti2.BrainModelAxis:
    """Both cortices without the medial wall, and a nucleus of 2 × 2 × 2 voxels."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-4, -10, 6)
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[1:3, 1:3, 1:3] = True
    models = [cifti2.BrainModelAxis.from_surface(np.flatnonzero(LABEL[side]), N, CORTEX[side])
              for side in "LR"]
    return models[0] + models[1] + cifti2.BrainModelAxis.from_mask(mask, "thalamus_left", affine)


def dense(path, brain, unit="SECOND", step=T_R):
    rows = [signals(side)[LABEL[side] > 0] for side in "LR"]
    rng = np.random.default_rng(9)
    rows.append(WAVES[3] + 50 + 0.1 * rng.standard_normal((8, VOLUMES)))
    series = cifti2.SeriesAxis(0, step, VOLUMES, unit)
    nibabel.save(cifti2.Cifti2Image(np.concatenate(rows).T.astype(np.float32), (series, brain)),
                 path)
    return path


def test_grayordinates_by_an_atlas(surfaces):
    brain = grayordinates()
    path = dense(surfaces / "rfMRI_REST1_LR_Atlas.dtseries.nii", brain)
    code = np.concatenate([LABEL["L"][LABEL["L"] > 0], LABEL["R"][LABEL["R"] > 0] + 10,
                           np.full(8, 30)])
    table = {0: ("???", (0, 0, 0, 0))} | {
        int(k): (f"region {k}", (1, 1, 1, 1)) for k in np.unique(code)}
    atlas = surfaces / "atlas.dlabel.nii"
    nibabel.save(cifti2.Cifti2Image(code[None].astype(np.float32), (
        cifti2.LabelAxis(["atlas"], table), brain)), atlas)
    read = readers.read(path, images=images(surfaces, atlas=str(atlas)))
    assert read.sensors.names == ("region 3", "region 7", "region 13", "region 17", "region 30")
    for row, wave in enumerate([*WAVES, WAVES[3]]):
        assert np.corrcoef(read.signal[row], wave)[0, 1] > 0.99
    assert np.allclose(read.sensors.position[4], np.array([-1, -7, 9]) / 1000, atol=1e-6)
    wanted = points("L")[LABEL["L"] == 3].mean(axis=0) / 1000
    assert np.allclose(read.sensors.position[0], wanted, atol=1e-5)
    with pytest.raises(ReadError, match="do not say what their regions are"):
        readers.read(path, images=images(surfaces))
    wrong = dense(surfaces / "hz.dtseries.nii", brain, unit="HERTZ")
    with pytest.raises(ReadError, match=r"repetition time in seconds, it says 1\.5 hertz"):
        readers.read(wrong, images=images(surfaces, atlas=str(atlas)))


def test_parcels_as_they_are(surfaces):
    parcels = [("A", {CORTEX["L"]: np.arange(20, 40)}), ("B", {CORTEX["R"]: np.arange(20)})]
    brain = cifti2.ParcelsAxis(
        [name for name, _ in parcels], [np.zeros((0, 3), dtype=int)] * 2,
        [vertices for _, vertices in parcels], np.eye(4), (2, 2, 2),
        {CORTEX["L"]: N, CORTEX["R"]: N})
    path = surfaces / "run.ptseries.nii"
    nibabel.save(cifti2.Cifti2Image(WAVES[:2].T.astype(np.float32) + 7, (
        cifti2.SeriesAxis(0, 0.72, VOLUMES, "SECOND"), brain)), path)
    read = readers.read(path, images=images(surfaces, atlas=""))
    assert read.sensors.names == ("A", "B")
    assert read.sfreq == pytest.approx(1 / 0.72)
    assert np.allclose(read.signal, WAVES[:2] + 7, atol=1e-5)
    assert np.allclose(read.sensors.position[1], points("R")[:20].mean(axis=0) / 1000, atol=1e-5)


def test_a_volume_without_numbers_was_scrubbed(surfaces):
    """As in volumes: it is NaN, and the other volumes count."""
    whole = readers.read(surfaces / STEM.format("L"), images=images(surfaces))
    for side in "LR":
        signal = signals(side).copy()
        signal[:, 4] = np.nan
        save(surfaces / STEM.format(side),
             *((volume, "NIFTI_INTENT_TIME_SERIES", "FLOAT32") for volume in signal.T))
    found = readers.read(surfaces / STEM.format("L"), images=images(surfaces))
    assert found.sensors.names == whole.sensors.names
    assert np.isnan(found.signal[:, 4]).all()
    kept = np.arange(VOLUMES) != 4
    assert np.array_equal(found.signal[:, kept], whole.signal[:, kept])
