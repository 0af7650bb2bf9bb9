"""T1-weighted images: reading, registration, brain, bias field, and what is refused."""

import gzip

import nibabel
import numpy as np
import pytest

from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.t1_contract import T1Contract
from neurofm.preprocessing import readers
from neurofm.preprocessing.anatomy import bias as biases
from neurofm.preprocessing.anatomy import brain as brains
from neurofm.preprocessing.anatomy import register
from neurofm.preprocessing.anatomy import template as templates
from neurofm.preprocessing.readers import ReadError, VolumeTable
from neurofm.preprocessing.simulation import heads
from neurofm.preprocessing.standardize import standardize
from neurofm.preprocessing.standardize_t1 import _read
from neurofm.preprocessing.steps.refusal import ContractError

SMALL = T1Contract(shape=(40, 48, 40), voxel_mm=4.0)
SIZE = 1.05


@pytest.fixture(scope="module")
def head():
    """A head with its skull, 3 mm, turned and shifted."""
    scanner = heads.T1Scanner(voxel_mm=3.0, turn_deg=8.0, shift_mm=12.0)
    return heads.head(heads.Shape(SIZE, 1.0), scanner, [1], [2])


def save(path, data, affine, sform=1, qform=1, zooms=None, unit="mm"):
    image = nibabel.Nifti1Image(data, affine)
    image.set_sform(affine, code=sform)
    image.set_qform(affine, code=qform)
    image.header.set_xyzt_units(unit)
    if zooms:
        image.header["pixdim"][1:4] = zooms
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def read(path, **more):
    return readers.read(path, volumes=VolumeTable(**more))


def on_template(head, part, template):
    to_voxel = np.linalg.inv(head.affine) @ np.linalg.inv(head.to_mni) @ template.affine
    return _read(part.astype(np.float32), to_voxel, template.mask.shape)


def test_brainharmony_t1_registration_is_right_to_3_mm_and_finds_the_size(head):
    found = register.affine(head.image, head.affine)
    template = templates.load(8.0)
    place = template.places(template.mask)
    true = np.linalg.inv(head.to_mni)
    off = place @ (found.affine - true)[:3, :3].T + (found.affine - true)[:3, 3]
    assert np.linalg.norm(off, axis=1).mean() < 3.0
    assert found.size == pytest.approx(SIZE**3, rel=0.03)
    assert found.match > 0.8


def test_brainharmony_t1_brain_and_bias_field_against_the_truth(head):
    template = templates.load()
    work = on_template(head, head.image, template)
    true = on_template(head, head.brain, template) > 0.5
    assert not brains.is_stripped(work, template)
    assert brains.is_stripped(np.where(true, work, 0), template)
    found = brains.extract(work, template)

    def dice(one):
        return 2 * (one & true).sum() / (one.sum() + true.sum())

    assert dice(found) > max(0.97, dice(template.mask))  # better than the template's own mask
    field = np.log(on_template(head, head.bias, template)[found])
    left = field - np.log(biases.smooth(work, found)[found])
    assert left.std() < 0.75 * field.std()
    pytest.importorskip("SimpleITK")
    left = field - np.log(biases.n4(work, found, template.voxel_mm)[found])
    assert left.std() < 0.75 * field.std()


def test_brainharmony_t1_any_orientation_gives_the_same_image(head, tmp_path):
    once = save(tmp_path / "sub-1_T1w.nii.gz", head.image, head.affine)
    image = nibabel.load(once)
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt("PSL")))
    assert nibabel.aff2axcodes(turned.affine) == ("P", "S", "L")
    nibabel.save(turned, tmp_path / "other.nii")
    one, other = (standardize(read(path), SMALL) for path in (once, tmp_path / "other.nii"))
    assert np.abs(one.image - other.image).max() < 1e-3
    assert one.quality["brain"] == "by the template"
    # Inside the brain median 0 and robust deviation 1, outside exactly 0.
    inside = one.image[one.mask]
    low, middle, high = np.quantile(inside, (0.25, 0.5, 0.75))
    assert abs(middle) < 1e-3
    assert high - low == pytest.approx(1.349, rel=1e-3)
    assert not one.image[~one.mask].any()
    assert one.quality["snr"] == pytest.approx(25, rel=0.35)  # 0.7 / (0.03 · 0.85), with texture
    # The published scaling counts the background too.
    whole = standardize(read(once), SMALL.with_(scale="volume")).image
    assert whole.mean() == pytest.approx(0, abs=1e-4)
    assert whole.std() == pytest.approx(1, rel=1e-4)
    with pytest.raises(ContractError, match="T1-weighted image"):
        standardize(read(once), FMRIContract())


def test_brainharmony_t1_masks_of_pipelines(head, tmp_path):
    root = tmp_path / "study"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "s", "BIDSVersion": "1.9.0"}')
    t1 = save(root / "sub-1/ses-2/anat/sub-1_ses-2_T1w.nii.gz", head.image, head.affine)
    assert read(t1).mask is None
    free = tmp_path / "freesurfer/sub-1_ses-2/mri/brainmask.mgz"
    free.parent.mkdir(parents=True)
    nibabel.save(nibabel.MGHImage(head.brain.astype(np.uint8), head.affine), free)
    found = read(t1, derivatives=str(free.parents[2]))
    assert found.mask_source == "by the mask of FreeSurfer"
    assert (found.mask == head.brain).all()
    # fMRIPrep's of another session or space is not of this image.
    prep = root / "derivatives/fmriprep/sub-1"
    for name in ("ses-3/anat/sub-1_ses-3_desc-brain_mask.nii.gz",
                 "ses-2/anat/sub-1_ses-2_space-MNI152NLin6Asym_desc-brain_mask.nii.gz"):
        save(prep / name, head.brain.astype(np.uint8), head.affine)
    assert read(t1).mask is None
    save(prep / "ses-2/anat/sub-1_ses-2_desc-brain_mask.nii.gz", head.brain.astype(np.uint8),
         head.affine)
    assert read(t1).mask_source == "by the mask of fmriprep"
    assert read(t1, masks="none").mask is None
    made = standardize(read(t1), SMALL)
    assert made.quality["brain"] == "by the mask of fmriprep"
    assert made.quality["brain_ml"] == pytest.approx(head.brain_ml, rel=0.02)
    wrong = np.zeros_like(head.brain, dtype=np.uint8)
    wrong[:8, :8, :8] = 1
    save(prep / "ses-2/anat/sub-1_ses-2_desc-brain_mask.nii.gz", wrong, head.affine)
    with pytest.raises(ContractError, match="overlaps with the registered template"):
        standardize(read(t1), SMALL)


def flipped(affine):
    other = affine.copy()
    other[0] *= -1
    return other


BAD = {
    "series": (lambda p, d, a: save(p, np.stack([d, d], 3), a), "it is a series"),
    "voxels": (lambda p, d, a: save(p, d, a, zooms=(1, 1, 1)), "two voxel sizes"),
    "tiny": (lambda p, d, a: save(p, d, a @ np.diag([0.01, 0.01, 0.01, 1])), "which is no head"),
    "meters": (lambda p, d, a: save(p, d, a, unit="meter"), "lengths in meter"),
    "nowhere": (lambda p, d, a: save(p, d, a, 0, 0), "no place in space"),
    "nan": (lambda p, d, a: save(p, np.full_like(d, np.nan), a), "no voxel has a number"),
    "zeros": (lambda p, d, a: save(p, np.zeros_like(d), a), "all its voxels are 0"),
    "flat": (lambda p, d, a: save(p, d[:, :, 0], a), "three axes"),
}


@pytest.mark.parametrize("name", [*BAD, "truncated", "two_sides", "T2w", "huge", "folder"])
def test_brainharmony_t1_bad_files_are_refused_by_name(name, tmp_path):
    data = np.random.default_rng(0).random((40, 48, 44)).astype(np.float32)
    affine = np.diag([4.0, 4, 4, 1])
    path, more, says = tmp_path / f"sub-{name.replace('_', '')}_T1w.nii.gz", {}, ""
    if name in BAD:
        make, says = BAD[name]
        make(path, data, affine)
    elif name == "two_sides":
        save(path, data, affine)
        image = nibabel.load(path)
        image.header.set_qform(flipped(affine), code=1)
        nibabel.save(nibabel.Nifti1Image(data, affine, image.header), path)
        image = nibabel.load(path)
        image.set_sform(affine, code=1)
        image.set_qform(flipped(affine), code=1)
        nibabel.save(image, path)
        says = "left and right"
    elif name == "truncated":
        save(path, data, affine)
        path.write_bytes(path.read_bytes()[:20_000])
        says = "truncated"
    elif name == "T2w":
        path = save(tmp_path / "sub-1_T2w.nii.gz", data, affine)
        says = "no T1-weighted image by its name"
    elif name == "huge":
        save(path, data, affine)
        more, says = {"max_recording_gb": 1e-5}, "more than"
    else:
        path.write_bytes(gzip.compress(b"no image"))
        says = "NIfTI"
    with pytest.raises(ReadError, match=says) as raised:
        readers.read(path, volumes=VolumeTable(), **more)
    assert path.name in str(raised.value)


def test_brainharmony_t1_scaled_integers_and_nan_outside_the_brain(head, tmp_path):
    data = head.image.copy()
    image = nibabel.Nifti1Image(np.rint((data + 3) / 0.25).astype(np.int16), head.affine)
    image.header.set_slope_inter(0.25, -3.0)  # written beside the integers as they are
    nibabel.save(image, tmp_path / "a_T1w.nii.gz")
    assert np.abs(read(tmp_path / "a_T1w.nii.gz").data - data).max() <= 0.126
    data[~head.brain] = np.nan  # as SPM writes what lies outside a mask
    found = read(save(tmp_path / "b_T1w.nii.gz", data, head.affine))
    assert "no number (NaN)" in found.notes[0]
    made = standardize(found, SMALL)
    assert made.quality["brain"] == "the image held no skull"
    data[head.brain & (np.random.default_rng(0).random(data.shape) < 0.1)] = np.nan
    with pytest.raises(ContractError, match="a number in every voxel of the brain"):
        standardize(read(save(tmp_path / "c_T1w.nii.gz", data, head.affine)), SMALL)


def test_brainharmony_t1_what_is_no_t1_of_a_head_fails(head, tmp_path):
    inverse = np.where(head.brain, 1000 - head.image, 0)  # dark white matter: a T2 by another name
    with pytest.raises(ContractError, match="it may be a T2"):
        standardize(read(save(tmp_path / "a.nii.gz", inverse.astype(np.float32), head.affine)),
                    SMALL)
    half = head.image[:, :, : head.image.shape[2] // 2]
    with pytest.raises(ContractError, match=r"lies outside the image|it is 0"):
        standardize(read(save(tmp_path / "b.nii.gz", half, head.affine)), SMALL)
