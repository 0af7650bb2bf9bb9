"""From simulated people to corpora of T1s and fMRI, read together."""

import json
import shutil

import nibabel
import numpy as np
import pandas as pd
import pytest

from neurofm import cli, verify
from neurofm.data import brains
from neurofm.data.corpus import Corpus
from neurofm.data.windows import SplitLeakError
from neurofm.preprocessing import ingest as ingesting
from neurofm.preprocessing import simulate as simulating

PEOPLE = ["--t1", "true", "--minutes", "2", "--t_r_s", "[2.0]", "--brains.voxel_mm", "5",
          "--brains.bold_voxel_mm", "12", "--brains.n_regions", "10"]
LACKING = ["--brains.without_t1", "0.3", "--brains.without_fmri", "0.3", "--brains.masks", "true"]
GRID = ["--modality", "t1", "--t1.shape", "[20, 24, 20]", "--t1.voxel_mm", "8", "--storage",
        "float16", "--workers", "1", "--terms", "{sim: CC0}"]
HELD_OUT = ["--splits.validation", "[002]", "--splits.test", "[003]"]


def simulate(out, *words):
    assert simulating.main([*PEOPLE, *words, "--out", str(out)]) == 0
    return out


def ingest(out, *words):
    return ingesting.main([*map(str, words), "--out", str(out)])


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Five people, of whom some have no T1 or no fMRI."""
    return simulate(tmp_path_factory.mktemp("people") / "sim", "--subjects", "5", "--seed", "3",
                    *LACKING)


@pytest.fixture(scope="module")
def corpora(people, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpora")
    assert ingest(out / "t1", people, *GRID, *HELD_OUT) == 0
    assert ingest(out / "fmri", people, "--modality", "fmri", "--images.atlas",
                  people / "rois.nii.gz", "--workers", "1", *HELD_OUT) == 0
    return out


def test_brainharmony_t1_people_depend_on_their_number_alone(people, tmp_path, capsys):
    table = pd.read_csv(people / "participants.tsv", sep="\t")
    assert np.allclose(table["trait"], (table["structure"] + table["function"]) / 2**0.5,
                       atol=1e-3)
    assert table["ventricles_ml"].isna().any()
    assert table["t_r"].isna().any()
    again = simulate(tmp_path / "again", "--subjects", "1", "--first_subject", "2", "--seed", "3",
                     *LACKING)
    made = sorted(path.relative_to(again) for path in again.glob("sub-*/*/*"))
    assert made
    assert all((again / name).read_bytes() == (people / name).read_bytes()
                        for name in made)
    with pytest.raises(SystemExit):
        simulate(tmp_path / "b", "--noise", "2")
    assert "noise would be ignored with t1" in capsys.readouterr().err


def test_brainharmony_t1_structure_widens_the_ventricles_alone():
    from neurofm.preprocessing.simulation import heads

    scanner = heads.T1Scanner(voxel_mm=4.0)
    found = [heads.head(heads.Shape(1.0, wide), scanner, [1], [2]) for wide in (-1.5, 0.0, 1.5)]
    small, middle, large = (each.ventricles_ml for each in found)
    assert small < 0.8 * middle < 0.8 * 0.8 * large
    assert np.ptp([each.brain_ml for each in found]) < 0.01 * found[0].brain_ml


def test_brainharmony_t1_function_couples_two_networks():
    from neurofm.preprocessing.simulation import resting

    means = []
    for coupling in (-0.6, 0.6):
        course = resting.regions(coupling, 20, 400, 2.0, [1], [2])
        r = np.corrcoef(course)
        means.append([r[0::5, 1::5].mean(), r[2::5, 3::5].mean()])
    assert means[1][0] - means[0][0] > 0.2
    assert abs(means[1][1] - means[0][1]) < 0.05


def test_brainharmony_t1_corpus_is_whole_and_finished(people, corpora, capsys):
    corpus = Corpus.open(corpora / "t1")
    truth = pd.read_csv(people / "participants.tsv", sep="\t").dropna(subset="brain_ml")
    assert len(corpus) == len(truth)
    assert corpus.contract.modality == "t1"
    batch = corpus.batch(np.arange(len(corpus)))
    assert batch.volume.shape == (len(corpus), 20, 24, 20)
    assert batch.volume_valid.all()
    assert len(batch) == len(corpus)
    assert batch.signal.shape[1:] == (0, 0)
    inside = batch.volume[0][batch.volume[0] != 0]
    assert abs(inside.median()) < 0.05
    assert len(inside) < 0.6 * batch.volume[0].numel()
    quality = pd.DataFrame([json.loads(text) for text in corpus.recordings["quality"]])
    assert (quality["brain"] == "by the mask of fmriprep").all()
    size = truth.set_index("participant_id")["head_size"].to_numpy() ** 3
    assert np.allclose(quality["head_size"].astype(float), size, rtol=0.06)  # voxels of 5 mm
    page = (corpora / "t1/quality.html").read_text()
    assert page.count("data:image/png") == len(corpus)
    assert "SNR" in page
    capsys.readouterr()
    assert ingest(corpora / "t1", people, *GRID, *HELD_OUT) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert verify.main([str(corpora / "t1")]) == 0


def test_brainharmony_t1_scans_and_images_of_the_same_people(people, corpora):
    parts = [Corpus.open(corpora / name) for name in ("t1", "fmri")]
    data = brains.join(parts)
    images, scans = ({str(s) for s in part.subjects(np.arange(len(part)))} for part in parts)
    assert images - scans
    assert scans - images
    assert images & scans
    subjects = data.subjects(np.arange(len(data)))
    assert {*subjects} == images | scans
    assert len(data) == len(images | scans)
    batch = data.batch(np.arange(len(data)))
    has_image = np.isin(subjects, [*images])
    has_scan = np.isin(subjects, [*scans])
    assert (batch.volume_valid.numpy() == has_image).all()
    assert (batch.valid.any(1).numpy() == has_scan).all()
    assert (batch.measured.any(1).numpy() == has_scan).all()
    assert not batch.volume[~batch.volume_valid].any()
    for window in np.flatnonzero(has_image):  # each has its own person's
        alone = parts[0].batch(np.flatnonzero(
            parts[0].subjects(np.arange(len(parts[0]))) == subjects[window]))
        assert (batch.volume[window] == alone.volume[0]).all()
    some = np.flatnonzero(has_scan)[:1]
    assert (data.signal(some[0]) == parts[1].signal(some[0])).all()
    with pytest.raises(ValueError, match="wanted a corpus of fMRI and one of T1"):
        brains.join([parts[1], parts[1]])


def test_brainharmony_t1_one_person_in_two_splits_is_an_error(people, corpora, tmp_path):
    table = Corpus.open(corpora / "t1").recordings
    trained = {*table["subject"][table["split"] == "train"]}
    common = sorted(trained & {*Corpus.open(corpora / "fmri").recordings["subject"]})
    assert ingest(tmp_path / "fmri", people, "--modality", "fmri", "--images.atlas",
                  people / "rois.nii.gz", "--workers", "1", "--splits.validation",
                  f"[{common[0]}]") == 0
    parts = [Corpus.open(tmp_path / "fmri"), Corpus.open(corpora / "t1")]
    with pytest.raises(SplitLeakError, match="Give both ingests the same splits"):
        brains.join(parts)


def test_brainharmony_t1_models_that_read_no_images_are_refused(corpora, tmp_path, capsys):
    """Before, the first step ended with 'cannot convert float NaN to integer'."""
    assert cli.main(["pretrain", "--model", "brainmae", "--data",
                     f"[{corpora / 'fmri'}, {corpora / 't1'}]", "--out", str(tmp_path / "m")]) == 1
    assert "reads no T1-weighted images" in capsys.readouterr().err


def test_brainharmony_t1_heads_with_faces_are_not_published(people, corpora, tmp_path, capsys):
    words = ["org/name", "--license", "cc0-1.0", "--dry-run"]
    assert cli.main(["publish", str(corpora / "t1"), *words]) == 0
    assert "dry run: nothing was sent" in capsys.readouterr().out
    first = next(people.glob("sub-*/anat/*_T1w.nii.gz"))
    shutil.copy(first, tmp_path / first.name)
    assert ingest(tmp_path / "whole", tmp_path / first.name, *GRID, "--t1.skull", "keep",
                  "--dataset", "sim") == 0
    assert cli.main(["publish", str(tmp_path / "whole"), *words]) == 1
    assert "a face can be drawn" in capsys.readouterr().err


def test_brainharmony_t1_nothing_is_skipped_in_silence(people, tmp_path, capsys):
    root = tmp_path / "study"
    anat = root / "sub-1/anat"
    anat.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "s", "BIDSVersion": "1.9.0"}')
    first = next(people.glob("sub-*/anat/*_T1w.nii.gz"))
    for name in ("sub-1_run-1_T1w", "sub-1_run-2_T1w", "sub-1_space-MNI152NLin6Asym_run-1_T1w"):
        shutil.copy(first, anat / f"{name}.nii.gz")
    image = nibabel.load(first)
    nibabel.save(image, anat / "sub-1_T2w.nii.gz")
    (anat / "sub-1_acq-cut_T1w.nii.gz").write_bytes(first.read_bytes()[:5000])
    assert ingest(tmp_path / "out", root, *GRID, "--terms", "{study: CC0}") == 3
    said = capsys.readouterr().out
    assert "1 failed" in said
    assert "truncated" in said
    assert "the same scan with another space" in said  # left out, and what is taken instead
    assert "passed over" in said
    assert "T2w" in (
        tmp_path / "out/.ingest/passed_over.tsv").read_text()
    assert len(Corpus.open(tmp_path / "out")) == 2  # two runs of one session are two images
