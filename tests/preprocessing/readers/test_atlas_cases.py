"""Atlases and scans of unusual shape: the regions' own means, or a refusal that names the file."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from neurofm.preprocessing import readers
from neurofm.preprocessing.readers import ImageTable, ReadError

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
LABELS = np.zeros((8, 6, 5), dtype=np.int16)
LABELS[:4, :3, 1:], LABELS[4:, :3, 1:] = 1, 2
LABELS[:4, 3:, 1:], LABELS[4:, 3:, 1:] = 3, 4
_WAVES = np.random.default_rng(0).standard_normal((5, 30))
DATA = (1000 + 10 * _WAVES[LABELS]).astype(np.float32)
MEANS = np.stack([DATA[code == LABELS].mean(axis=0) for code in (1, 2, 3, 4)])
WEIGHT = np.stack([(code == LABELS) * 0.5 for code in (1, 2, 3, 4)], axis=-1).astype(np.float32)


def _scan(folder: Path, data=DATA, sidecar='{"RepetitionTime": 2.0}', **header) -> Path:
    made = nibabel.Nifti1Image(data, AFFINE)
    made.header.set_xyzt_units("mm", header.get("unit", "sec"))
    made.header["pixdim"][4] = header.get("step", 2.0)
    nibabel.save(made, folder / "sub-1_task-go_bold.nii.gz")
    if sidecar:
        (folder / "sub-1_task-go_bold.json").write_text(sidecar)
    return folder / "sub-1_task-go_bold.nii.gz"


def _read(folder: Path, atlas, affine=AFFINE, path=None, **options):
    nibabel.save(nibabel.Nifti1Image(atlas, affine), folder / "atlas.nii.gz")
    table = ImageTable(atlas=str(folder / "atlas.nii.gz"))
    return readers.read(path or _scan(folder), images=table, **options)


@pytest.mark.parametrize("atlas", [
    LABELS.astype(np.uint8), LABELS.astype(np.float64), np.where(LABELS == 0, -1, LABELS),
    LABELS[..., None], LABELS[..., None, None],
    (LABELS + 0.02 * (LABELS > 0)).astype(np.float32)[..., None],
    np.where(LABELS == 0, np.nan, LABELS)[..., None].astype(np.float32),
], ids=["uint8", "float64", "minus 1", "xyz1", "xyz11", "floats", "nan"])
def test_cases_labels_stay_labels(tmp_path, atlas):
    found = _read(tmp_path, atlas)
    assert found.sensors.names == ("1", "2", "3", "4")
    assert np.allclose(found.signal, MEANS, atol=1e-2)


def test_cases_labels_of_an_image_that_is_stored_mirrored(tmp_path):
    affine = AFFINE.copy()
    affine[0] = -4, 0, 0, 28
    assert np.allclose(_read(tmp_path, LABELS[::-1], affine).signal, MEANS, atol=1e-2)


@pytest.mark.parametrize("atlas", [WEIGHT, WEIGHT[:, :, :, None], (WEIGHT > 0).astype(np.uint8)])
def test_cases_maps_are_maps_on_any_axis(tmp_path, atlas):
    found = _read(tmp_path, atlas)
    assert found.sensors.names == ("map1", "map2", "map3", "map4")
    for one, mean in zip(found.signal, MEANS, strict=True):
        assert np.corrcoef(one, mean)[0, 1] > 0.9999


@pytest.mark.parametrize(("atlas", "said"), [
    (np.stack([LABELS, LABELS[::-1]], axis=-1), "holds 2 images of labels: give one of them"),
    (np.zeros_like(LABELS), "has no region: all its voxels are 0"),
    (np.zeros(LABELS.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]), "holds colors"),
])
def test_cases_bad_input_what_is_no_atlas(tmp_path, atlas, said):
    with pytest.raises(ReadError, match=said) as caught:
        _read(tmp_path, atlas)
    assert "atlas.nii.gz" in str(caught.value)


def test_cases_a_scan_with_an_axis_of_one_before_time(tmp_path):
    path = _scan(tmp_path, DATA[:, :, :, None])
    assert np.allclose(_read(tmp_path, LABELS, path=path).signal, MEANS, atol=1e-2)


@pytest.mark.parametrize(("unit", "step", "sidecar"), [
    ("msec", 2000.0, ""), ("sec", 2.0, ""), ("usec", 2e6, ""),
    ("sec", 0.0, '{"RepetitionTime": 2}'), ("unknown", 2.0, '{"RepetitionTime": "2.0"}'),
    ("msec", 2000.0, '\ufeff{"RepetitionTime": 2}')])
def test_cases_the_repetition_time_by_any_unit(tmp_path, unit, step, sidecar):
    path = _scan(tmp_path, sidecar=sidecar, unit=unit, step=step)
    assert _read(tmp_path, LABELS, path=path).sfreq == pytest.approx(0.5)


@pytest.mark.parametrize(("unit", "step", "sidecar", "said"), [
    ("sec", 0.0, "", "says no repetition time"), ("unknown", 2.0, "", "says no repetition time"),
    ("sec", 2.0, '{"RepetitionTime": 2000}', "correct the wrong one"),
    ("sec", 2.0, '{"RepetitionTime": [2.0]}', "as a number of seconds"),
    ("sec", 2.0, '{"RepetitionTime": 2.0,}', "no valid JSON"),
    ("msec", 2.0, "", r"got 0\.002 \(msec\)")])
def test_cases_bad_input_no_repetition_time_is_guessed(tmp_path, unit, step, sidecar, said):
    path = _scan(tmp_path, sidecar=sidecar, unit=unit, step=step)
    with pytest.raises(ReadError, match=said):
        _read(tmp_path, LABELS, path=path)


def test_cases_headers_of_other_machines(tmp_path):
    """Big-endian data, and a scale of NaN (which means none)."""
    path = _scan(tmp_path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[112:120] = np.array([np.nan, np.nan], "<f4").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))
    assert np.allclose(_read(tmp_path, LABELS, path=path).signal, MEANS, atol=1e-2)
    made = nibabel.Nifti1Image(DATA.astype(">f4"), AFFINE, nibabel.Nifti1Header(endianness=">"))
    made.header.set_xyzt_units("mm", "sec")
    made.header["pixdim"][4] = 2.0
    nibabel.save(made, path)
    assert np.allclose(_read(tmp_path, LABELS, path=path).signal, MEANS, atol=1e-2)


@pytest.mark.parametrize("where", [(2, 2, 2, slice(20, None)), (0,)])
def test_cases_voxels_of_nan_cost_themselves_alone(tmp_path, where):
    data = DATA.copy()
    data[where] = np.nan
    found = _read(tmp_path, LABELS, path=_scan(tmp_path, data))
    assert np.allclose(found.signal, MEANS, atol=1e-2)  # voxels of a region are alike


@pytest.mark.parametrize(("encoding", "stated", "label"), [
    ("latin-1", "", "Münze"), ("utf-16", "", "Münze"), ("utf-8-sig", "", "Münze"),
    ("cp1250", "cp1250", "źródło"), ("shift_jis", "shift_jis", "顔")])
def test_cases_events_of_scans_in_any_encoding(tmp_path, encoding, stated, label):
    path = _scan(tmp_path)
    (tmp_path / "sub-1_task-go_events.tsv").write_bytes(
        f"onset\tduration\ttrial_type\n4\t1\t{label}\n".encode(encoding))
    found = _read(tmp_path, LABELS, path=path, encoding=stated)
    assert found.events.label == (label,)
    assert ("encoding" in found.attributes) == (encoding == "latin-1")
