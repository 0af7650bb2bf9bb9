"""Pipes, sockets and devices among recordings: refused by name, since opening one never ends."""

import os
import socket
from pathlib import Path

import pytest

from neurofm.preprocessing import readers
from neurofm.preprocessing.ingest import main
from neurofm.preprocessing.readers import ArrayTable, ImageTable, ReadError, ReadOptions
from tests.support.hostile import bounded
from tests.support.torture.signals import NAMES, brainvision, edf, microvolts

WORDS = "is no regular file"
SHORT = microvolts()[:, :400]
NAMES_OF_RECORDINGS = (
    "a.edf", "a.bdf", "a.gdf", "a.fif", "a.fif.gz", "a_epo.fif", "a.vhdr", "a.ahdr", "a.set",
    "a.con", "a.sqd", "a.raw", "a.egi", "a.cnt", "a.cdt", "a.nxe", "a.nedf", "a.lay", "a.data",
    "a.snirf", "a.npy", "a.npz", "a.mat", "a.csv", "a.tsv", "a.h5", "a_bold.nii.gz", "a.nii",
    "a_hemi-L.func.gii", "a.dtseries.nii", "a.ds", "a.mff")


def refused(path: Path, name: str) -> None:
    with bounded(), pytest.raises(ReadError, match=WORDS) as caught:
        readers.opened(path, ReadOptions(arrays=ArrayTable(sfreq=200.0, names=NAMES),
                                         images=ImageTable()))
    assert name in str(caught.value)


@pytest.mark.parametrize("name", NAMES_OF_RECORDINGS)
def test_a_recording_that_is_a_pipe(tmp_path, name):
    os.mkfifo(tmp_path / name)
    refused(tmp_path / name, name)


def test_a_recording_that_is_a_socket_a_device_or_leads_to_a_pipe(tmp_path):
    with socket.socket(socket.AF_UNIX) as listens:
        listens.bind(str(tmp_path / "a.edf"))
        refused(tmp_path / "a.edf", "a socket")
    (tmp_path / "b.edf").symlink_to("/dev/zero")
    refused(tmp_path / "b.edf", "a device")
    os.mkfifo(tmp_path / "there.edf")
    (tmp_path / "c.edf").symlink_to(tmp_path / "there.edf")
    refused(tmp_path / "c.edf", "a pipe")


@pytest.mark.parametrize("companion", ["a.eeg", "a.vmrk", "a.json"])
def test_a_companion_that_is_a_pipe(tmp_path, companion):
    path = brainvision(tmp_path / "a.vhdr", SHORT)
    (tmp_path / companion).unlink(missing_ok=True)
    os.mkfifo(tmp_path / companion)
    refused(path, companion)


def test_a_part_of_a_folder_that_is_a_pipe(tmp_path):
    (tmp_path / "a.mff" / "inside").mkdir(parents=True)
    os.mkfifo(tmp_path / "a.mff" / "inside" / "signal1.bin")
    refused(tmp_path / "a.mff", "signal1.bin")


def bids_folder(root: Path) -> Path:
    """Two people: the recording that is given back has each sidecar of its own."""
    for subject in ("01", "02"):
        (root / f"sub-{subject}" / "eeg").mkdir(parents=True)
        edf(root / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-x_eeg.edf", SHORT)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    return root / "sub-01" / "eeg" / "sub-01_task-x_eeg.edf"


SIDECARS = ("events.tsv", "channels.tsv", "eeg.json", "electrodes.tsv", "coordsystem.json")


@pytest.mark.parametrize("sidecar", [
    *(f"sub-01/eeg/sub-01_task-x_{name}" for name in SIDECARS), "sub-01/sub-01_scans.tsv",
    "task-x_eeg.json", "participants.tsv"])
def test_a_sidecar_that_is_a_pipe(tmp_path, sidecar):
    path = bids_folder(tmp_path / "bids")
    os.mkfifo(tmp_path / "bids" / sidecar)
    refused(path, Path(sidecar).name)


def test_hostile_pipes_cost_one_recording_and_the_others_go_on(tmp_path, capsys):
    root = tmp_path / "bids"
    bids_folder(root)
    os.mkfifo(root / "sub-01" / "eeg" / "sub-01_task-x_events.tsv")
    for number, suffix in ((3, ".vhdr"), (4, ".set"), (5, ".fif"), (6, ".bdf")):
        (root / f"sub-{number:02}" / "eeg").mkdir(parents=True)
        os.mkfifo(root / f"sub-{number:02}" / "eeg" / f"sub-{number:02}_task-x_eeg{suffix}")
    rc = main([str(root), "--out", str(tmp_path / "c"), "--workers", "1",
               "--contract.window_s", "0.5", "--contract.sfreq", "100",
               "--contract.lowpass_hz", "40", "--contract.highpass_hz", "2"])
    failures = (tmp_path / "c" / "failures.tsv").read_text().splitlines()[1:]
    assert rc
    assert len(failures) == 5
    assert all(WORDS in line for line in failures)
    assert "1 (" in capsys.readouterr().out  # recording of the second subject
