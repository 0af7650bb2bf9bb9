"""From a simulated scanner to series of regions on disk, by the commands of a user."""

import json

import mne
import nibabel
import numpy as np
import pandas as pd
import pytest

from neurofm import checkpoints, cli
from neurofm.data.pairs import Pairs
from neurofm.data.volume_windows import VolumeWindows


def run(*words: str) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """archive/ (4 people, 3 minutes), pairs/, model/."""
    out = tmp_path_factory.mktemp("scanner")
    assert run("simulate", f"--out={out / 'archive'}", "--bold=true", "--subjects=4",
               "--minutes=3", "--always=[eeg19]", "--devices=[]", "--devices_per_subject=0") == 0
    assert run("pair", out / "archive", f"--out={out / 'pairs'}",
               f"--rois={out / 'archive' / 'rois.tsv'}", "--contract.sfreq=100",
               "--contract.lowpass_hz=40", "--contract.notch_hz=[]",
               '--splits.test=["004"]', '--splits.validation=["003"]') == 0
    assert run("pretrain", "--model=neurobolt_sequence", f"--data={out / 'pairs'}",
               f"--out={out / 'model'}", "--architecture={n_sources: 8}") == 0
    return out


def eeg_of(folder, subject: str):
    return next((folder / "archive").glob(f"sub-{subject}/*/eeg/*_eeg.fif"))


def test_pretrain_solves_and_says_whom_it_has_seen(folder):
    model = checkpoints.load(folder / "model")
    assert model.config.sfreq == 100
    assert "occipital left" in model.config.rois
    assert model.read.weight.abs().max() > 0
    seen = {row["subject"].rsplit("/", 1)[-1] for row in
            checkpoints.read_ledger(folder / "model")["recordings"]}
    assert seen == {"001", "002"}


def test_series_image_figure_and_page(folder, tmp_path, capsys):
    out, eeg = tmp_path / "out", eeg_of(folder, "004")
    words = ["synthesize", eeg, f"--model={folder / 'model'}", f"--out={out}",
             f"--atlas={folder / 'archive' / 'rois.nii.gz'}",
             '--partner={"/eeg/": "/func/", "_eeg.fif": "_timeseries.tsv"}', "--permutations=200"]
    assert run(*words) == 0
    stem = eeg.name.removesuffix("_eeg.fif") + "_desc-synthesized"
    table = pd.read_csv(out / f"{stem}_timeseries.tsv", sep="\t")
    sidecar = json.loads((out / f"{stem}_timeseries.json").read_text())
    rois = checkpoints.load(folder / "model").config.rois
    assert tuple(table.columns) == rois
    real = pd.read_csv(next((folder / "archive").glob("sub-004/*/func/*.tsv")), sep="\t")
    assert len(table) == len(real)
    assert np.allclose(table.mean(), 0, atol=1e-3)
    assert np.allclose(table.std(ddof=0), 1, atol=1e-3)
    assert sidecar["RepetitionTime"] in (2.1, 1.5, 3.0)
    assert "not measured" in sidecar["Description"]
    image = nibabel.load(out / f"{stem}_bold.nii.gz")
    assert image.shape[3] == len(table)
    assert image.header.get_zooms()[3] == pytest.approx(sidecar["RepetitionTime"])
    labels = np.asarray(nibabel.load(folder / "archive" / "rois.nii.gz").dataobj)
    voxel = tuple(np.argwhere(labels == 1)[0])
    assert np.allclose(image.get_fdata()[voxel], table[rois[0]], atol=1e-3)
    assert (image.get_fdata()[labels == 0] == 0).all()
    assert (out / f"{stem}.png").stat().st_size > 5000
    page = (out / "report.html").read_text()
    assert "Nothing here was measured by a scanner" in page
    assert "Holm" in page
    assert "no label" in capsys.readouterr().out  # the global mean is no place
    assert run(*words) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_without_triggers_a_repetition_time_is_said(folder, tmp_path):
    out = tmp_path / "out"
    assert run("synthesize", eeg_of(folder, "003"), f"--model={folder / 'model'}", f"--out={out}",
               "--t_r=1.0", "--delay_s=6") == 0
    table = pd.read_csv(next(out.glob("*_timeseries.tsv")), sep="\t")
    assert len(table) == 174
    assert "it is not known how close" in (out / "report.html").read_text()


def test_bad_input_synthesize(folder, tmp_path, capsys):
    eeg, model = eeg_of(folder, "003"), folder / "model"
    assert run("synthesize", eeg, f"--model={model}", f"--out={tmp_path / 'a'}",
               "--trigger=S999") == 3
    assert "an annotation S999 at each volume" in capsys.readouterr().out
    assert run("synthesize", tmp_path, f"--model={model}", f"--out={tmp_path / 'b'}") != 0
    assert "no EEG was found" in capsys.readouterr().err
    assert run("synthesize", eeg, f"--model={model}", f"--out={tmp_path / 'c'}",
               f"--atlas={tmp_path / 'none.nii.gz'}") != 0
    assert "there is no file" in capsys.readouterr().err
    assert run("pretrain", "--model=brainomni", f"--data={folder / 'pairs'}",
               f"--tokenizer={model}", f"--out={tmp_path / 'd'}") != 0
    assert "choose another model" in capsys.readouterr().err


def test_the_published_model_trains_on_volumes(folder, tmp_path, capsys):
    """NeuroBOLT itself, small: a window of EEG before each volume, electrodes by name."""
    pairs, out = tmp_path / "pairs", tmp_path / "neurobolt"
    small = ("--architecture={n_times: 800, n_blocks: 1, n_spectral_blocks: 1, n_scales: 2, "
             "patch: 200, drop_path: 0.0}")
    words = ["pretrain", "--model=neurobolt", small, "--train.steps=2", "--train.batch_windows=4"]
    assert run(*words, f"--data={folder / 'pairs'}", f"--out={tmp_path / 'x'}") != 0
    assert "--contract.scale none" in capsys.readouterr().err
    assert run("pair", folder / "archive", f"--out={pairs}", "--contract.sfreq=200",
               "--contract.lowpass_hz=70", "--contract.scale=none",
               '--splits.test=["004"]', '--splits.validation=["003"]') == 0
    assert run(*words, f"--data={pairs}", f"--out={out}") == 0
    model = checkpoints.load(out)
    assert model.config.channels[:2] == ("Fp1", "Fp2")
    data = VolumeWindows(Pairs.open(pairs), n_times=800)
    windows = data.select("test")
    batch = data.batch(windows[:3])
    assert model.predict(batch).shape == (3, 12)
    scan, volume, first = (int(column[windows[1]]) for column in data.index)
    assert (first + 800) / 200 == pytest.approx(data.pairs.volume_s(scan)[volume], abs=0.003)
    assert np.allclose(batch.signal[1].numpy(), data.pairs.eeg(scan)[:, first : first + 800])
    assert np.allclose(batch.target[1].numpy(), data.target(scan)[:, volume], equal_nan=True)


def test_volumes_after_bad_eeg_are_not_made_up(folder, tmp_path):
    raw = mne.io.read_raw_fif(eeg_of(folder, "004"), preload=True, verbose="error")
    whole, out = tmp_path / "eeg" / "sub-004_task-rest_eeg.fif", tmp_path / "out"
    whole.parent.mkdir()
    raw.annotations.append(raw.first_time + 60.0, 30.0, "BAD_jerk")
    raw.save(whole, verbose="error")
    scan = next((folder / "archive").glob("sub-004/*/func/*_timeseries.tsv"))
    for suffix in (".tsv", ".json"):
        partner = tmp_path / "func" / f"sub-004_task-rest_timeseries{suffix}"
        partner.parent.mkdir(exist_ok=True)
        partner.write_bytes(scan.with_suffix(suffix).read_bytes())
    assert run("synthesize", whole, f"--model={folder / 'model'}", f"--out={out}",
               '--partner={"/eeg/": "/func/", "_eeg.fif": "_timeseries.tsv"}',
               f"--atlas={folder / 'archive' / 'rois.nii.gz'}", "--permutations=200") == 0
    table = pd.read_csv(next(out.glob("*_timeseries.tsv")), sep="\t")
    sidecar = json.loads(next(out.glob("*_timeseries.json")).read_text())
    measured_s = sidecar["StartTime"] + (np.arange(len(table)) + 0.5) * sidecar["RepetitionTime"]
    lost = table.isna().all(axis=1).to_numpy()
    assert (measured_s[lost].min(), measured_s[lost].max()) == pytest.approx((67.5, 94.5), abs=3)
    assert not table[~lost].isna().any().any()
    image = nibabel.load(next(out.glob("*_bold.nii.gz")))
    assert np.isfinite(image.get_fdata()).all()
    nearness = pd.read_csv(out / "nearness.tsv", sep="\t")
    assert nearness["r"].between(-1, 1).all()
