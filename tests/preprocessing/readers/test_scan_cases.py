"""Scans that people have reported in public trackers: the right value, or a refusal that says what
to do."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import KINDS, Sensors
from neurofm.preprocessing import archive, readers
from neurofm.preprocessing.quality import remarks
from neurofm.preprocessing.readers import ImageTable, ReadError
from neurofm.preprocessing.standardize import ContractError, standardize

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
SHAPE, VOLUMES = (8, 6, 5), 40
LABELS = np.zeros(SHAPE, dtype=np.int16)
LABELS[2:5], LABELS[5:] = 3, 8


def scan(folder: Path, name: str = "sub-1_task-go_bold.nii.gz", shape=(*SHAPE, VOLUMES)) -> Path:
    wave = np.random.default_rng(0).standard_normal((9, VOLUMES))
    data = (100 + wave[LABELS]).astype(np.float32).reshape(shape)
    made = nibabel.Nifti1Image(data, AFFINE)
    made.header.set_xyzt_units("mm", "sec")
    made.header["pixdim"][4] = 2.0
    folder.mkdir(parents=True, exist_ok=True)
    nibabel.save(made, folder / name)
    return folder / name


def means(path: Path) -> np.ndarray:
    data = np.asarray(nibabel.load(path).dataobj).reshape(*SHAPE, VOLUMES)
    return np.stack([data[code == LABELS].mean(axis=0) for code in (3, 8)])


def atlas(folder: Path, data=LABELS, affine=AFFINE) -> ImageTable:
    nibabel.save(nibabel.Nifti1Image(data, affine), folder / "atlas.nii.gz")
    return ImageTable(atlas=str(folder / "atlas.nii.gz"))


@pytest.mark.parametrize("data", [
    LABELS[..., None], LABELS[..., None, None], LABELS.astype(np.float32) + np.float32(1e-3),
    np.where(LABELS == 0, np.nan, LABELS).astype(np.float32),
], ids=["xyz1", "xyz11", "floats", "nan"])
def test_labels_of_any_shape_are_labels(tmp_path, data):
    path = scan(tmp_path)
    found = readers.read(path, images=atlas(tmp_path, data))
    assert found.sensors.names == ("3", "8")
    assert np.allclose(found.signal, means(path), atol=1e-3)


@pytest.mark.parametrize("axes", [3, 4])
def test_one_map_is_one_region(tmp_path, axes):
    weight = np.linspace(0.1, 0.9, LABELS.size).reshape(SHAPE).astype(np.float32)
    data = weight if axes == 3 else weight[..., None]
    assert readers.read(scan(tmp_path), images=atlas(tmp_path, data)).sensors.names == ("map1",)


def test_an_image_with_an_axis_of_one(tmp_path):
    path = scan(tmp_path, shape=(*SHAPE, VOLUMES, 1))
    assert np.allclose(readers.read(path, images=atlas(tmp_path)).signal, means(path), atol=1e-3)


@pytest.mark.parametrize(("name", "content"), [
    ("atlas.tsv", "index\tname\n3\tLeft pallidum\n8\tRight pallidum\n"),
    ("atlas.csv", "name,index\nLeft pallidum,3\nRight pallidum,8\n"),
    ("atlas.xml", "<label><index>3</index><name>Left pallidum</name></label>"
                  "<label><index>8</index><name>Right pallidum</name></label>"),
])
def test_regions_are_called_by_the_table_beside_the_atlas(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    found = readers.read(scan(tmp_path), images=atlas(tmp_path))
    assert found.sensors.names == ("Left pallidum", "Right pallidum")


def test_a_region_between_voxels_is_not_called_outside(tmp_path):
    fine = np.kron(LABELS, np.ones((3, 3, 3), dtype=np.int16))
    fine[1, 1, 0] = 5  # one voxel of 1 mm in the image, at the middle of none of its voxels
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -1
    found = readers.read(scan(tmp_path), images=atlas(tmp_path, fine, affine))
    quality = standardize(found, FMRIContract()).quality
    assert quality["left_out"] == ["5"]
    told = " ".join(remarks(quality))
    assert "1 region of the atlas between the voxels of the image, left out: 5" in told
    assert "outside" not in told


@pytest.mark.parametrize(("said", "wanted"), [
    ('{"RepetitionTime": "2.0"}', 2.0), ('{"RepetitionTime": " 2 "}', 2.0),
    ('\ufeff{"RepetitionTime": 2.0}', 2.0), ('{"RepetitionTime": "n/a"}', 2.0),
    ('{"RepetitionTime": [2.0]}', r"RepetitionTime in sub-1_task-go_bold.json as a number"),
    ('{"RepetitionTime": "2 s"}', r"as a number of seconds, got '2 s'"),
    ('{"RepetitionTime": true}', "as a number of seconds"),
    ('{"RepetitionTime": 2.0,}', r"sub-1_task-go_bold.json is no valid JSON"),
    ('[2.0]', "wanted a JSON object"),
])
def test_bad_input_the_sidecar(tmp_path, said, wanted):
    path = scan(tmp_path)
    (tmp_path / "sub-1_task-go_bold.json").write_text(said)
    if isinstance(wanted, float):
        assert readers.read(path, images=atlas(tmp_path)).sfreq == pytest.approx(1 / wanted)
    else:
        with pytest.raises(ReadError, match=wanted) as caught:
            readers.read(path, images=atlas(tmp_path))
        assert "sub-1_task-go_bold" in caught.value.reason


@pytest.mark.parametrize("onset", ["n/a", "NaN", "", "nan", "N/A"])
def test_events_without_onset_are_left_out_and_named(tmp_path, onset):
    path = scan(tmp_path)
    (tmp_path / "sub-1_task-go_events.tsv").write_text(
        f"onset\tduration\ttrial_type\n4\t10\tface\n{onset}\t10\thouse\n8\tn/a\tface\n")
    found = readers.read(path, images=atlas(tmp_path))
    assert found.events.label == ("face", "face")
    assert found.events.onset_s.tolist() == [4.0, 8.0]
    assert found.events.duration_s.tolist() == [10.0, 0.0]
    told = remarks(standardize(found, FMRIContract()).quality)
    assert "1 event without an onset (n/a), left out: house" in told


def test_bad_input_an_onset_that_is_no_number(tmp_path):
    path = scan(tmp_path)
    (tmp_path / "sub-1_task-go_events.tsv").write_text(
        "onset\tduration\ttrial_type\n4 s\t10\tface\n")
    with pytest.raises(ReadError, match=r"sub-1_task-go_events.tsv, line 2.*got '4 s'"):
        readers.read(path, images=atlas(tmp_path))


def test_events_by_value_and_in_latin_1(tmp_path):
    path = scan(tmp_path)
    events = tmp_path / "sub-1_task-go_events.tsv"
    events.write_text("onset\tduration\tvalue\n4\t1\t1\n")
    assert readers.read(path, images=atlas(tmp_path)).events.label == ("1",)
    events.write_bytes("onset\tduration\ttrial_type\n4\t1\tMünze\n".encode("latin-1"))
    assert readers.read(path, images=atlas(tmp_path)).events.label == ("Münze",)


@pytest.mark.parametrize("at", ["task-go_events.tsv", "sub-1/sub-1_task-go_events.tsv",
                                "sub-1/func/sub-1_task-go_events.tsv"])
def test_events_further_up_and_without_echo(tmp_path, at):
    (tmp_path / "dataset_description.json").write_text('{"Name": "s", "BIDSVersion": "1.9.0"}')
    path = scan(tmp_path / "sub-1" / "func", "sub-1_task-go_echo-2_bold.nii.gz")
    (tmp_path / at).write_text("onset\tduration\ttrial_type\n4\t1\tface\n")
    assert readers.read(path, images=atlas(tmp_path)).events.label == ("face",)


def test_series_of_volumes_without_bold_in_their_names(tmp_path):
    lab = tmp_path / "lab"
    for name in ("rest.nii.gz", "filtered_func_data.nii"):
        scan(lab, name)
    scan(lab, "sub-1_dwi.nii.gz")
    scan(lab, "diffusion.nii.gz")
    (lab / "diffusion.bval").write_text("0 1000")
    nibabel.save(nibabel.Nifti1Image(LABELS, AFFINE), lab / "T1w.nii.gz")
    (lab / "broken.nii.gz").write_bytes(b"no image")
    found = archive.find([str(lab)], images=atlas(tmp_path))
    assert [Path(job.path).name for job in found.jobs] == ["filtered_func_data.nii", "rest.nii.gz"]
    assert sum(found.passed_over.values()) == 5
    assert np.allclose(readers.read(lab / "rest.nii.gz", images=atlas(tmp_path)).signal,
                       means(lab / "rest.nii.gz"), atol=1e-3)


@pytest.mark.parametrize("known", [0, 3])
def test_a_parcel_of_n_a_is_left_out_like_a_flat_one(known):
    """XCP-D writes parcels that a scan does not cover as n/a."""
    signal = np.random.default_rng(0).standard_normal((4, 40)).astype(np.float32)
    signal[1, known:] = np.nan
    signal[2] = 0.0
    sensors = Sensors(("a", "b", "c", "d"), np.full(4, KINDS.index("roi")),
                      np.full((4, 3), 0.01, dtype=np.float32), np.zeros((4, 3)))
    done = standardize(Recording(signal, 0.5, sensors, source="x.tsv"), FMRIContract())
    assert done.sensors.names == ("a", "d")
    assert np.isfinite(done.signal).all()
    assert done.quality["bads"] == {"b": "not measured (n/a)", "c": "flat"}
    assert done.quality["scrubbed"] == 0
    told = " ".join(remarks(done.quality))
    assert "1 region not measured (n/a), left out: b" in told


def test_bad_input_a_scan_too_short_to_be_filtered(tmp_path):
    found = readers.read(scan(tmp_path), images=atlas(tmp_path))
    short = found.with_(signal=found.signal[:, :20])
    with pytest.raises(ContractError, match=r"enough volumes to filter.*20"):
        standardize(short, FMRIContract())


def test_the_table_of_an_atlas_is_described_once(tmp_path):
    """BIDS: one table of labels holds for all resolutions."""
    (tmp_path / "atlas-X_dseg.tsv").write_text("index\tname\n3\tA\n8\tB\n")
    nibabel.save(nibabel.Nifti1Image(LABELS, AFFINE), tmp_path / "atlas-X_res-2_dseg.nii.gz")
    table = ImageTable(atlas=str(tmp_path / "atlas-X_res-2_dseg.nii.gz"))
    assert readers.read(scan(tmp_path), images=table).sensors.names == ("A", "B")
