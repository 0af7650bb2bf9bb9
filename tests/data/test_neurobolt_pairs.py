"""Pairs on disk: whole scans come back as they were written, with their times and their people."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from neurofm import artifacts, checkpoints
from neurofm.data import pairs as store
from neurofm.data.bad_eeg import bad_samples, blind
from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.pairs import Pairs
from neurofm.data.scans import Scans
from neurofm.data.sensors import KINDS, Sensors
from neurofm.data.windows import SplitLeakError

CONTRACT = InputContract(sfreq=200.0, highpass_hz=0.5, lowpass_hz=70.0, kinds=("eeg",),
                         scale="recording_std")
BOLD = FMRIContract(highpass_hz=None, lowpass_hz=0.15)
ROIS = Sensors(("Cuneus", "Putamen", "Global"), np.full(3, KINDS.index("roi")),
               np.array([[0, -0.08, 0.02], [0.025, 0.005, 0], [np.nan] * 3]), np.zeros((3, 3)))
SHAPES = ((4, 900, 20), (6, 1300, 31), (4, 700, 15))  # channels, samples, volumes


def _cap(n: int) -> Sensors:
    place = np.random.default_rng(n).normal(0, 0.05, (n, 3)) + 0.05
    return Sensors(tuple(f"E{i}" for i in range(n)), np.zeros(n), place, np.zeros((n, 3)))


def _signals(scan: int) -> tuple[np.ndarray, np.ndarray]:
    n_channels, n_times, n_volumes = SHAPES[scan]
    random = np.random.default_rng(scan)
    eeg = random.standard_normal((n_channels, n_times)).astype(np.float32)
    bold = 100 + random.standard_normal((3, n_volumes)).astype(np.float32)
    bold[:, 4] = np.nan
    return eeg, bold


def _write(folder, splits=("train", "train", "test"), subjects=("1", "1", "2")):
    rows, layouts = [], {}
    for scan, (split, subject) in enumerate(zip(splits, subjects, strict=True)):
        (eeg, bold), cap = _signals(scan), _cap(SHAPES[scan][0])
        layouts[cap.fingerprint] = cap
        digests = store.write_scan(folder, f"s{scan}", eeg, bold)
        rows.append({
            **dict.fromkeys(store.SCAN_COLUMNS), "recording": f"s{scan}", "dataset": "d",
            "subject": subject, "split": split, "layout": cap.fingerprint, "n_channels": len(cap),
            "n_times": eeg.shape[1], "duration_s": eeg.shape[1] / 200, "t_r": 2.1,
            "n_volumes": bold.shape[1], "first_volume_s": 1.5 + scan, "source": f"s{scan}.fif",
            "quality": json.dumps({"bad_s": [[1.0, 2.0]] if scan else []}), "attributes": "{}",
            "sha256_eeg": digests[0], "sha256_bold": digests[1]})
    return store.seal(folder, CONTRACT, BOLD, pd.DataFrame(rows), layouts, ROIS,
                      pd.DataFrame(columns=["source", "reason"]), {})


def test_every_scan_comes_back_whole(tmp_path):
    manifest = _write(tmp_path)
    pairs = Pairs.open(tmp_path)
    assert len(pairs) == 3
    for scan in range(3):
        eeg, bold = _signals(scan)
        assert np.array_equal(pairs.eeg(scan), eeg)
        assert np.array_equal(pairs.bold(scan), bold, equal_nan=True)
        assert pairs.layout(scan).names == _cap(len(eeg)).names
        assert np.allclose(pairs.volume_s(scan), 1.5 + scan + 2.1 * np.arange(bold.shape[1]))
        assert pairs.t_r(scan) == 2.1
    assert pairs.rois.fingerprint == ROIS.fingerprint
    assert (pairs.contract, pairs.bold_contract) == (CONTRACT.with_(corpus=pairs.fingerprint), BOLD)
    assert pairs.fingerprint == manifest.fingerprint
    assert pairs.bad_s(0).shape == (0, 2)
    assert pairs.bad_s(1).tolist() == [[1, 2]]
    assert artifacts.open_sealed(tmp_path, "pairs", hashes=True).files.keys() >= {
        "eeg/s0.arrow", "bold/s2.arrow", "rois.json", "bold_config.json"}


def test_signals_are_views_and_travel_to_loader_processes(tmp_path):
    _write(tmp_path)
    pairs = Pairs.open(tmp_path)
    for signal in (pairs.eeg(1), pairs.bold(1)):
        assert not signal.flags.owndata
        assert not signal.flags.writeable
    again = pickle.loads(pickle.dumps(pairs))
    assert np.array_equal(again.eeg(1), pairs.eeg(1))


def test_splits_are_of_people(tmp_path):
    _write(tmp_path)
    pairs = Pairs.open(tmp_path)
    assert pairs.select("train").tolist() == [0, 1]
    assert pairs.select(subject="2").tolist() == [2]
    assert pairs.subjects(np.array([0, 2])).tolist() == ["d/1", "d/2"]
    with pytest.raises(ValueError, match="wanted scans with split='validation'"):
        pairs.select("validation")
    ledger = checkpoints.training_ledger(pairs, {"train": pairs.select("train")})
    assert [(entry["recording"], entry["subject"]) for entry in ledger["recordings"]] == [
        ("s0", "d/1"), ("s1", "d/1")]
    with pytest.raises(SplitLeakError, match="d/1"):
        _write(tmp_path / "leak", splits=("train", "test", "test"))


def test_a_leak_made_afterwards_is_found_at_load(tmp_path):
    _write(tmp_path)
    table = pd.read_feather(tmp_path / "scans.arrow").assign(split=["train", "test", "test"])
    table.to_feather(tmp_path / "scans.arrow", compression="uncompressed")
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    artifacts.seal(tmp_path, "pairs", config={}, files=list(files))
    with pytest.raises(SplitLeakError):
        Pairs.open(tmp_path)


def test_unfinished_pairs_are_not_read(tmp_path):
    _write(tmp_path)
    artifacts.unseal(tmp_path)
    with pytest.raises(artifacts.ArtifactError, match="wanted a finished pairs"):
        Pairs.open(tmp_path)


def test_pairs_need_neither_readers_nor_torch():
    code = ("import sys, neurofm.data.pairs\n"
            "print([name for name in ('mne', 'torch', 'nilearn', 'preprocessing', 'pretrain') "
            "if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_volumes_after_bad_eeg_do_not_count(tmp_path):
    """A stretch marked bad is silent in batches; volumes that see mostly it have no target."""
    sfreq, n_times = 200.0, 6000
    bad = bad_samples(np.array([[5.0, 14.0], [20.0, 20.0]]), n_times, sfreq)
    assert bad.sum() == 9 * 200 + 1  # a joint is one sample
    volume_s = np.array([1.0, 9.0, 11.0, 14.0, 19.9, 20.1, 29.0])
    # of the 12 s (or fewer) before: 0, 4 of 9, 6 of 11, 9 of 12, 6.1 of 12, 5.9 of 12, 0 s
    assert blind(bad, sfreq, volume_s).tolist() == [False, False, True, True, True, False, False]

    _write(tmp_path)
    pairs = Pairs.open(tmp_path)
    scans = Scans(pairs)
    assert not scans.bad(0).any()
    batch = scans.batch(np.array([0, 1]))
    assert not batch.bad[0].any()
    assert batch.bad[1].nonzero().ravel().tolist() == list(range(200, 400))
    assert (batch.signal[1, :, 200:400] == 0).all()
    assert np.array_equal(batch.signal[1, :6, 400:1300], pairs.eeg(1)[:, 400:])
    assert not scans.blind(1).any()  # a second of twelve is not most
