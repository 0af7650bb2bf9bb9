"""Trials that are cut already: arrays with a trial axis, epochs with metadata."""

import os

import mne
import numpy as np
import pandas as pd
import pytest
import scipy.io

from neurofm.data.contract import InputContract
from neurofm.preprocessing import archive
from neurofm.preprocessing.readers import ArrayTable, ReadError, from_raw, read
from neurofm.preprocessing.segments import CUT, continuous
from neurofm.preprocessing.standardize import standardize

NAMES = ("C3", "Cz", "C4", "Fz", "Pz")
TABLE = {"sfreq": 100.0, "unit": "V", "names": NAMES}
WORDS = ["go", "stop", "go", "wait"]


@pytest.fixture
def trials(make_raw) -> np.ndarray:
    """Volts [trial, channel, time]: 4 × 5 × 200."""
    return np.stack([make_raw(len(NAMES), 2, 100.0, seed).get_data() for seed in range(4)])


def _table(**fields) -> ArrayTable:
    return ArrayTable(**{**TABLE, "axes": "trial,channel,time", **fields})


def _labels(recording) -> list[tuple[float, str]]:
    """(second, label) of what is no cut."""
    events = recording.events
    return [(round(float(at), 6), label) for at, label in
            zip(events.onset_s, events.label, strict=True) if label != CUT]


def test_a_published_array_of_trials(data):
    folder = data / "meg_hand_direction"
    table = ArrayTable(sfreq=400.0, axes="trial,channel,time", unit="fT", kind="axial_grad",
                       labels={"X_": "y_"})
    recording = read(folder / "X_test.npy", arrays=table)
    array, labels = np.load(folder / "X_test.npy"), np.load(folder / "y_test.npy")
    assert continuous(recording) == [(400 * i, 400 * (i + 1)) for i in range(74)]
    assert _labels(recording) == [(float(i), str(label)) for i, label in enumerate(labels)]
    for i in (0, 20, 73):
        part = recording.signal[:, 400 * i:400 * (i + 1)]
        assert np.allclose(part, array[i] * 1e-15, rtol=1e-5, atol=0)
    assert not recording.sensors.has_position.any()


@pytest.mark.parametrize("axes", [
    "trial,channel,time", "trial,time,channel", "channel,time,trial", "time,channel,trial",
    "channel,trial,time", "time,trial,channel"])
def test_any_order_of_axes_is_the_same_recording(tmp_path, axes, trials):
    order = [("trial", "channel", "time").index(name) for name in axes.split(",")]
    np.save(tmp_path / "a.npy", trials.transpose(order))
    recording = read(tmp_path / "a.npy", arrays=_table(axes=axes))
    assert np.allclose(recording.signal, np.concatenate(trials, axis=1), rtol=1e-6)
    assert recording.sensors.names == NAMES
    assert recording.events.label == (CUT,) * 4  # without labels nothing is known of a trial


def test_no_filter_and_no_window_runs_from_one_trial_into_the_next(tmp_path, trials):
    trials[1] += 0.01 * np.sign(np.arange(200) - 100)  # ten thousand times the signal
    contract = InputContract(sfreq=100.0, lowpass_hz=40.0, window_s=1.5, stride_s=0.5,
                             scale="none", bad_channels="none")
    np.save(tmp_path / "all.npy", trials)
    np.save(tmp_path / "one.npy", trials[2:3])
    whole = standardize(read(tmp_path / "all.npy", arrays=_table()), contract)
    alone = standardize(read(tmp_path / "one.npy", arrays=_table()), contract)
    assert whole.start_s.tolist() == [0, 0.5, 2, 2.5, 4, 4.5, 6, 6.5]
    assert np.allclose(whole.windows[4:6], alone.windows, atol=1e-10)


class TestLabels:
    def test_in_the_same_file(self, tmp_path, trials):
        for suffix, save in ((".npz", lambda path, held: np.savez(path, **held)),
                             (".mat", scipy.io.savemat)):
            path = tmp_path / f"a{suffix}"
            save(path, {"x": trials, "y": np.array([1.0, 2.0, 1.0, 2.0])})
            recording = read(path, arrays=_table(label_variable="y"))
            assert _labels(recording) == [(0, "1"), (2, "2"), (4, "1"), (6, "2")], suffix

    @pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".mat"])
    def test_in_a_file_beside_it(self, tmp_path, suffix, trials):
        np.save(tmp_path / "sub1_data.npy", trials)
        path = tmp_path / f"sub1_labels{suffix}"
        {".npy": lambda: np.save(path, np.array(WORDS)[:, None]),
         ".npz": lambda: np.savez(path, only=np.array(WORDS)),
         ".csv": lambda: path.write_text("label\n3\n4\n3\n5\n"),
         ".mat": lambda: scipy.io.savemat(path, {"y": np.array(WORDS, dtype=object)}),
         }[suffix]()
        table = _table(labels={"_data": "_labels", ".npy": suffix})
        wanted = ["3", "4", "3", "5"] if suffix == ".csv" else WORDS
        found = _labels(read(tmp_path / "sub1_data.npy", arrays=table))
        assert [label for _, label in found] == wanted

    def test_a_trial_of_which_nothing_is_said(self, tmp_path, trials):
        np.savez(tmp_path / "a.npz", x=trials, y=[1, np.nan, 2, np.nan])
        recording = read(tmp_path / "a.npz", arrays=_table(label_variable="y"))
        assert _labels(recording) == [(0, "1"), (4, "2")]
        assert len(continuous(recording)) == 4

    def test_a_folder_holds_recordings_and_their_labels(self, tmp_path, trials):
        """Labels are no recordings; those of another day are another recording."""
        for part in ("train", "test"):
            np.save(tmp_path / f"X_{part}.npy", trials)
            np.save(tmp_path / f"y_{part}.npy", np.zeros(4))
        table = _table(labels={"X_": "y_"})
        before = archive.find([str(tmp_path)], arrays=table)
        assert [job.source.rpartition("/")[2] for job in before.jobs] == ["X_test.npy",
                                                                          "X_train.npy"]
        assert before.passed_over["labels of trials"] == 2
        os.utime(tmp_path / "y_test.npy", ns=(2**62, 2**62))
        after = archive.find([str(tmp_path)], arrays=table)
        assert [a.mtime_ns == b.mtime_ns for a, b in zip(before.jobs, after.jobs, strict=True)
                ] == [False, True]

    def test_bad_input(self, tmp_path, trials):
        np.save(tmp_path / "X_1.npy", trials)
        np.savez(tmp_path / "a.npz", x=trials, y=np.zeros(4), z=np.zeros((4, 2)))

        def refused(name, match, **fields):
            with pytest.raises(ReadError, match=match):
                read(tmp_path / name, arrays=_table(**fields))

        refused("X_1.npy", r"the labels of its 4 trials in y_1\.npy.*no such file",
                labels={"X_": "y_"})
        refused("X_1.npy", r"names none of the parts of its name \(data\)", labels={"data": "y"})
        refused("X_1.npy", r"no such file", labels={".npy": ".txt"})
        np.save(tmp_path / "y_1.npy", np.zeros(5))
        refused("X_1.npy", r"a label for each of 4 trials.*shape \(5,\) in y_1\.npy",
                labels={"X_": "y_"})
        refused("a.npz", r"a variable 'labels' of a\.npz, which has x, y, z",
                label_variable="labels")
        refused("a.npz", r"got an array of shape \(4, 2\)", label_variable="z")
        refused("X_1.npy", r"the 2 axes time,channel, got shape \(4, 5, 200\).*arrays\.axes: "
                           r"trial,channel,time", axes="time,channel")
        with pytest.raises(ValueError, match=r"are of trials, but arrays\.axes"):
            ArrayTable(sfreq=1.0, labels={"X_": "y_"})
        with pytest.raises(ValueError, match="a text that is not empty"):
            _table(labels={"": "y_"})

    def test_bad_input_axes_that_make_trials_too_short(self, tmp_path, trials):
        np.save(tmp_path / "a.npy", trials.transpose(0, 2, 1))
        recording = read(tmp_path / "a.npy", arrays=_table(names=()))
        with pytest.raises(ValueError, match=r"lasts 0\.05 s \(the longest of 4 stretches\)"):
            standardize(recording, InputContract(sfreq=100.0, lowpass_hz=40.0, window_s=1.0))


class TestMetadata:
    """Epochs whose events are called by a column of their metadata."""

    @pytest.fixture
    def epochs(self, make_raw):
        made = mne.make_fixed_length_epochs(make_raw(5, 8), 2.0, preload=True, verbose="ERROR")
        made.metadata = pd.DataFrame({"answer": ["yes", "no", None, "yes"],
                                      "size": [1.0, 2.0, np.nan, 2.5], "day": [3, 3, 4, 4]})
        return made

    @pytest.mark.parametrize(("column", "labels"), [
        ("answer", [(0, "yes"), (2, "no"), (6, "yes")]),
        ("size", [(0, "1"), (2, "2"), (6, "2.5")]),
        ("day", [(0, "3"), (2, "3"), (4, "4"), (6, "4")]),
        ("", [(0, "1"), (2, "1"), (4, "1"), (6, "1")]),
    ])
    def test_a_column_names_the_events(self, epochs, column, labels):
        recording = from_raw(epochs, metadata=column)
        assert _labels(recording) == labels
        assert len(continuous(recording)) == 4

    def test_of_a_file(self, data):
        path = data / "meg_readers/subject04-epo.fif"
        plain, by_column = read(path), read(path, metadata="label")
        assert [(at, {"related": "6", "unrelated": "7"}[label]) for at, label in _labels(plain)
                ] == _labels(by_column)

    def test_hierarchical_names_of_events_stay(self, epochs):
        epochs.event_id = {"seen/left": 1}
        assert {label for _, label in _labels(from_raw(epochs))} == {"seen/left"}

    def test_bad_input(self, epochs, make_raw):
        with pytest.raises(ReadError, match="the file has the columns answer, size, day"):
            from_raw(epochs, metadata="anwser")
        epochs.metadata = None
        with pytest.raises(ReadError, match="the file has no metadata"):
            from_raw(epochs, metadata="answer")
        with pytest.raises(ReadError, match="this is no file of epochs"):
            from_raw(make_raw(5, 8), metadata="answer")
