"""Files of many makers become recordings; the ones that cannot say why."""

import shutil

import mne
import numpy as np
import pytest

from neurofm.data.sensors import HEAD_CENTER_M, Sensors
from neurofm.preprocessing import readers
from neurofm.preprocessing.readers import ReadError, from_raw, read
from neurofm.preprocessing.segments import CUT, continuous

MEG = "meg_readers"


def _counts(recording) -> dict[str, int]:
    kinds = recording.sensors.kinds
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


@pytest.mark.parametrize(
    ("file", "sfreq", "counts"),
    [
        ("010409_Motor_task_coregist-export_tiny_1s.con", 2000.0, {"axial_grad": 151}),
        ("Example_RICOH160-1_10021-export_anonymyze.con", 2000.0, {"axial_grad": 160}),
        ("exported4D_solaris_raw.fif", 678.17, {"mag": 248, "eeg": 3}),
        ("sample_audvis_trunc_raw_sss.fif", 300.31,
         {"planar_grad": 204, "mag": 102, "eeg": 60}),
        ("testdata_ctf_short_discontinuous.ds_raw.fif", 1200.0, {"axial_grad": 273, "eeg": 8}),
        ("141027_cropped_90Hz_raw.fif", 90.0, {"planar_grad": 204, "mag": 102}),
        ("neuromag122_test_file-raw.fif", 1000.0, {"planar_grad": 122}),
        ("test_edf_overlapping_annotations.edf", 128.0, {"eeg": 64}),
        ("subject04-epo.fif", 50.0, {"eeg": 32}),
    ],
)
def test_files_of_many_makers(data, file, sfreq, counts):
    recording = read(data / MEG / file)
    assert recording.sfreq == pytest.approx(sfreq, abs=0.01)
    assert _counts(recording) == counts
    assert recording.signal.dtype == np.float32
    assert recording.signal.shape[1] > 0


def test_signal_and_places_are_those_of_mne(data):
    path = data / MEG / "sample_audvis_trunc_raw_sss.fif"
    raw = mne.io.read_raw(path, verbose="ERROR")
    recording = read(path)
    for name in ("MEG 0113", "MEG 0111", "EEG 060"):
        row = recording.sensors.names.index(name)
        assert np.allclose(recording.signal[row], raw.get_data(name)[0], rtol=1e-6)
    eeg = [i for i, kind in enumerate(recording.sensors.kinds) if kind == "eeg"]
    wanted = np.array([raw.info["chs"][raw.ch_names.index(recording.sensors.names[i])]["loc"][:3]
                       for i in eeg])
    assert np.allclose(recording.sensors.position[eeg], wanted, atol=1e-6)
    # Helmet and head: every MEG sensor is outside the electrodes' mean radius.
    distance = np.linalg.norm(recording.sensors.position - HEAD_CENTER_M, axis=1)
    assert distance[~np.isin(np.arange(len(distance)), eeg)].min() > 0.08
    assert recording.band_hz == pytest.approx((0.1, 80.0))


@pytest.mark.parametrize("file", ["141027_cropped_90Hz_raw.fif", "neuromag122_test_file-raw.fif"])
def test_meg_without_head_position_has_no_places_unless_the_helmet_is_asked_for(data, file):
    assert not read(data / MEG / file).sensors.has_position.any()
    placed = read(data / MEG / file, unknown_head="helmet").sensors
    assert placed.has_position.all()
    distance = np.linalg.norm(placed.position - HEAD_CENTER_M, axis=1)
    assert 0.09 < np.median(distance) < 0.14


def test_cases_a_lock_left_in_a_bids_folder(data, tmp_path, monkeypatch):
    """mne-bids leaves NAME.json.lock where a reader was killed, and then waits for it; and an
    archive is read, not written to."""
    import filelock

    folder = tmp_path / "archive"
    shutil.copytree(data / "eegmat/sub-00", folder / "sub-00")
    for path in (data / "eegmat").glob("*.*s*"):
        shutil.copy(path, folder)
    edf = folder / "sub-00/eeg/sub-00_task-rest_eeg.edf"
    edf.with_suffix(".json.lock").touch()
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(filelock.SoftFileLock, "acquire", None)  # nobody may ask for it
    recording = read(edf)
    assert recording.attributes["line_hz"] == "50"
    assert sorted(folder.rglob("*")) == before


def test_eegmat_names_ecg_and_difference(data):
    recording = read(data / "eegmat/sub-00/eeg/sub-00_task-rest_eeg.edf")
    assert len(recording.sensors) == 19
    assert set(recording.sensors.names) <= {
        "Fp1", "Fp2", "F3", "F4", "F7", "F8", "T7", "T8", "C3", "C4", "P7", "P8", "P3", "P4", "O1",
        "O2", "Fz", "Cz", "Pz"}
    assert recording.sensors.has_position.all()
    assert recording.band_hz == (0.5, 45.0)
    # A file of a BIDS folder has its identity, its person and its sidecar.
    assert (recording.dataset, recording.subject, recording.task) == ("eegmat", "00", "rest")
    assert recording.attributes["sex"] == "F"
    assert recording.attributes["line_hz"] == "50"


def test_eegmmidb_names_and_annotations(data):
    recording = read(data / "eegmmidb/S001R04.edf")
    assert len(recording.sensors) == 64
    assert recording.sensors.has_position.all()
    assert recording.sensors.names[:3] == ("FC5", "FC3", "FC1")
    labels = recording.events.label
    assert [labels.count(code) for code in ("T0", "T1", "T2")] == [15, 8, 7]
    assert recording.events.onset_s[0] == 0
    assert recording.events.duration_s[1] == pytest.approx(4.1)


def test_eeglab_template_is_moved_onto_the_head(data):
    recording = read(data / "eeglab_sample/eeglab_data.set")
    assert len(recording.sensors) == 30  # EOG1 and EOG2 are none
    vertex = recording.sensors.position[recording.sensors.names.index("Cz")]
    assert vertex == pytest.approx([0, 0, 0.14], abs=1e-3)
    assert recording.events.label.count("square") == 80


def test_epochs_are_joined_with_cuts_and_implausible_places_replaced(data):
    recording = read(data / MEG / "subject04-epo.fif")
    assert recording.n_times == 200 * 60
    stretches = continuous(recording)
    assert len(stretches) == 200
    assert {stop - start for start, stop in stretches} == {60}
    assert recording.events.label.count("related") == 100
    assert recording.events.label.count(CUT) == 200
    onset_s = recording.events.onset_s[recording.events.label.index("related")]
    assert onset_s % 1.2 == pytest.approx(0.2)
    # The file's positions are in mm: places come from the names.
    assert recording.sensors.has_position.all()
    assert np.abs(recording.sensors.position).max() < 0.2


@pytest.mark.parametrize("extension", [".edf", ".vhdr", ".set", "_raw.fif", ".bdf"])
def test_a_recording_survives_its_format(tmp_path, extension, make_raw, save):
    raw = make_raw(19, 10)
    raw.set_annotations(mne.Annotations([2.0, 5.5], [0.0, 1.0], ["go", "stop"]))
    recording = read(save(raw, tmp_path / f"one{extension}"))
    assert recording.sensors.names == tuple(raw.ch_names)
    assert recording.sensors.has_position.all()
    assert recording.n_times >= raw.n_times
    error = recording.signal[:, :raw.n_times] - raw.get_data()
    assert np.abs(error).max() < 0.5e-6  # 16 bits of EDF
    onset_s = dict(zip(recording.events.label, recording.events.onset_s, strict=True))
    named = {label.split("/")[-1]: time for label, time in onset_s.items()}
    assert named["go"] == pytest.approx(2.0, abs=0.01)
    assert named["stop"] == pytest.approx(5.5, abs=0.01)


def test_events_count_from_the_first_sample_of_a_cropped_recording(tmp_path, make_raw, save):
    raw = make_raw(5, 20)
    raw.set_meas_date(1_700_000_000)
    raw.set_annotations(mne.Annotations([12.0], [1.0], ["go"],
                                        orig_time=raw.info["meas_date"]))
    path = save(raw.crop(10.0), tmp_path / "cropped_raw.fif")
    assert read(path).events.onset_s == pytest.approx([2.0])


def test_a_stimulus_channel_gives_events_where_there_are_no_annotations(data):
    recording = read(data / MEG / "sample_audvis_trunc_raw_sss.fif")
    assert all(label.isdigit() for label in recording.events.label)


def test_only_eeg_and_meg_stay(tmp_path, make_raw, save):
    raw = make_raw(6, 5)
    raw.set_channel_types({"Fp1": "eog", "Fp2": "ecg", "F7": "misc"}, verbose="ERROR")
    assert read(save(raw, tmp_path / "a_raw.fif")).sensors.names == ("F3", "Fz", "F4")


def test_bad_channels_of_the_file_are_kept_by_their_clean_names(make_raw):
    raw = make_raw(4, 5)
    raw.rename_channels({"Fp2": "EEG FP2-REF"})
    raw.info["bads"] = ["EEG FP2-REF"]
    assert from_raw(raw).bads == ("Fp2",)


def test_slow_eeg_beside_a_fast_emg_keeps_its_rate(tmp_path):
    """MNE brings all channels of an EDF to the fastest one's rate: the band would look wider."""
    import edfio

    random = np.random.default_rng(0)
    signals = [edfio.EdfSignal(20 * random.standard_normal(100 * 10), 100, label=name,
                               physical_dimension="uV", physical_range=(-200, 200))
               for name in ("EEG C3", "EEG C4", "EEG O1")]
    signals.append(edfio.EdfSignal(20 * random.standard_normal(500 * 10), 500, label="EMG chin",
                                   physical_dimension="uV", physical_range=(-200, 200)))
    edfio.Edf(signals).write(tmp_path / "sleep.edf")
    recording = read(tmp_path / "sleep.edf")
    assert recording.sfreq == 100
    assert recording.sensors.names == ("C3", "C4", "O1")


def test_names_that_mean_nothing_can_be_renamed(make_raw):
    raw = make_raw(3, 5)
    raw.rename_channels({"Fp1": "ch-a", "Fp2": "ch-b", "F7": "ch-c"})
    assert not from_raw(raw).sensors.has_position.any()
    sensors = from_raw(raw, rename={"ch-a": "C3", "ch-b": "ECG"}).sensors
    assert sensors.names == ("C3", "ch-c")
    assert sensors.has_position.tolist() == [True, False]


def test_two_names_of_one_electrode_stay_apart(make_raw):
    raw = make_raw(3, 5)
    raw.rename_channels({"Fp1": "EEG C3-A2", "Fp2": "EEG C3-REF"})
    names = from_raw(raw).sensors.names
    assert len(set(names)) == 3
    assert names[0] == "C3"


def test_a_large_recording_is_kept_in_a_file_and_is_the_same(monkeypatch, make_raw):
    from neurofm.preprocessing import memory

    raw = make_raw(8, 20)
    plain = from_raw(raw).signal
    monkeypatch.setattr(memory, "LARGE_BYTES", 1000)
    mapped = from_raw(raw).signal
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(plain, mapped)


class TestArrays:
    def test_children(self, data):
        table = readers.ArrayTable(
            sfreq=128.0, channels=str(data / "adhd_children/Standard-10-20-Cap19new.ced"))
        recording = read(data / "adhd_children/ADHD/v10p.mat", arrays=table)
        assert recording.signal.shape == (19, 14304)
        assert recording.sensors.names[:4] == ("Fp1", "Fp2", "F3", "F4")  # by the Number column
        place = dict(zip(recording.sensors.names, recording.sensors.position, strict=True))
        assert place["Fp1"][0] < 0 < place["Fp2"][0]
        assert place["O1"][1] < 0 < place["Fp1"][1]
        assert place["Cz"][2] > 0.12
        by_name = read(data / "adhd_children/ADHD/v10p.mat", arrays=readers.ArrayTable(
            sfreq=128.0, names=recording.sensors.names)).sensors
        assert np.linalg.norm(by_name.position - recording.sensors.position, axis=1).max() < 0.04

    @pytest.mark.parametrize("extension", [".npy", ".npz", ".mat", ".csv"])
    def test_formats(self, tmp_path, extension):
        import scipy.io

        signal = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float64)
        path = tmp_path / f"a{extension}"
        {".npy": lambda: np.save(path, signal), ".npz": lambda: np.savez(path, x=signal),
         ".mat": lambda: scipy.io.savemat(path, {"x": signal}),
         ".csv": lambda: np.savetxt(path, signal, delimiter=",", header="C3,Cz,C4", comments=""),
         }[extension]()
        table = readers.ArrayTable(sfreq=100.0, unit="mV", names=("C3", "Cz", "C4"))
        recording = read(path, arrays=table)
        assert np.allclose(recording.signal, signal.T * 1e-3, rtol=1e-5)
        assert recording.sensors.has_position.all()

    def test_bad_input(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros((10, 4)))
        with pytest.raises(ReadError, match="does not say its sampling rate"):
            read(tmp_path / "a.npy")
        with pytest.raises(ReadError, match="wanted 2 channels"):
            read(tmp_path / "a.npy", arrays=readers.ArrayTable(sfreq=1, names=("C3", "C4")))
        np.savez(tmp_path / "b.npz", x=np.zeros((5, 2)), y=np.zeros((5, 2)))
        with pytest.raises(ReadError, match=r"name it: arrays\.variable"):
            read(tmp_path / "b.npz", arrays=readers.ArrayTable(sfreq=1))


def _bad(path, match):
    with pytest.raises(ReadError, match=match) as caught:
        read(path)
    assert path.name in str(caught.value)
    assert str(path.parent) not in caught.value.reason


class TestBadInput:
    """Each family of bad files, with the reason that a person reads."""

    def test_bad_input_missing_and_unknown(self, tmp_path):
        _bad(tmp_path / "none.edf", "no such file")
        (tmp_path / "notes.docx").write_text("hello")
        _bad(tmp_path / "notes.docx", r"named \*\.docx are no recordings")

    @pytest.mark.parametrize("extension", [".edf", ".bdf", ".vhdr", ".set", "_raw.fif", ".con"])
    def test_bad_input_text_in_disguise(self, tmp_path, extension):
        (tmp_path / f"a{extension}").write_text("hello world\n" * 100)
        _bad(tmp_path / f"a{extension}", "another format with this extension")

    @pytest.mark.parametrize("extension", [".edf", ".vhdr", ".set", "_raw.fif", ".con"])
    def test_bad_input_empty(self, tmp_path, extension):
        (tmp_path / f"a{extension}").touch()
        _bad(tmp_path / f"a{extension}", "the file is empty")

    @pytest.mark.parametrize(
        ("file", "name"),
        [("eegmmidb/S001R04.edf", "a_raw.fif"),
         ("meg_readers/sample_audvis_trunc_raw_sss.fif", "a.edf"),
         ("eegmmidb/S001R04.edf", "a.bdf")],
    )
    def test_bad_input_wrong_extension(self, data, tmp_path, file, name):
        (tmp_path / name).write_bytes((data / file).read_bytes())
        _bad(tmp_path / name, "another format")

    @pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
    def test_bad_input_truncated_edf(self, data, tmp_path, share):
        content = (data / "eegmmidb/S001R04.edf").read_bytes()
        (tmp_path / "a.edf").write_bytes(content[:int(share * len(content))])
        _bad(tmp_path / "a.edf", "truncated|damaged")

    @pytest.mark.parametrize(
        ("file", "share"),
        [("sample_audvis_trunc_raw_sss.fif", 0.6), ("sample_audvis_trunc_raw_sss.fif", 0.95),
         ("010409_Motor_task_coregist-export_tiny_1s.con", 0.6)],
    )
    def test_bad_input_truncated_meg(self, data, tmp_path, file, share):
        content = (data / MEG / file).read_bytes()
        (tmp_path / file).write_bytes(content[:int(share * len(content))])
        _bad(tmp_path / file, "truncated")

    def test_bad_input_truncated_brainvision(self, tmp_path, make_raw, save):
        raw = make_raw(5, 10)
        raw.set_annotations(mne.Annotations([9.0], [0.0], ["late"]))
        path = save(raw, tmp_path / "a.vhdr")
        binary = path.with_suffix(".eeg")
        content = binary.read_bytes()
        binary.write_bytes(content[:len(content) // 2 + 1])
        _bad(path, "truncated: a.eeg holds")
        binary.unlink()
        _bad(path, "a.eeg is missing")

    def test_bad_input_truncated_eeglab(self, data, tmp_path):
        for name, share in (("eeglab_data.set", 1.0), ("eeglab_data.fdt", 0.5)):
            content = (data / "eeglab_sample" / name).read_bytes()
            (tmp_path / name).write_bytes(content[:int(share * len(content))])
        _bad(tmp_path / "eeglab_data.set", r"truncated: eeglab_data\.fdt holds 1952256 bytes")

    def test_bad_input_average(self, data):
        with pytest.raises(ReadError, match="an average"):
            read(data / MEG / "test-ave.fif.gz")

    def test_bad_input_no_brain_channel(self, tmp_path, make_raw, save):
        raw = make_raw(3, 5)
        raw.set_channel_types(dict.fromkeys(raw.ch_names, "ecog"), verbose="ERROR")
        _bad(save(raw, tmp_path / "a_raw.fif"), "no EEG or MEG channel; it has 3 ecog")
        raw = make_raw(2, 5)
        raw.rename_channels({"Fp1": "ECG", "Fp2": "EOG left"})
        _bad(save(raw, tmp_path / "b_raw.fif"), "by its name ECG, not EEG")

    def test_bad_input_zero_length(self, tmp_path, make_raw, save):
        content = bytearray(save(make_raw(2, 5), tmp_path / "a.edf").read_bytes())
        content[236:244] = b"0       "
        (tmp_path / "a.edf").write_bytes(content)
        _bad(tmp_path / "a.edf", "no samples")


def test_sensors_of_the_index_of_formats(make_raw):
    assert readers.claims("x.edf")
    assert readers.claims("x_raw.fif.gz")
    assert not readers.claims("participants.tsv")
    assert isinstance(from_raw(make_raw(2, 1)).sensors, Sensors)


def test_the_identity_is_no_measured_place_of_the_head(data):
    """Readers of KIT and OPMs give it where nobody measured: device coordinates are no places."""
    raw = mne.io.read_raw(data / MEG / "sample_audvis_trunc_raw_sss.fif", verbose="ERROR")
    with raw.info._unlock():
        raw.info["dev_head_t"] = mne.transforms.Transform("meg", "head")
    sensors = from_raw(raw).sensors
    meg = np.array(sensors.kinds) != "eeg"
    assert not sensors.has_position[meg].any()
    assert sensors.has_position[~meg].all()
    assert from_raw(raw, unknown_head="helmet").sensors.has_position.all()


def test_marks_of_bad_stretches_do_not_hide_the_stimulus_channel(make_raw):
    raw = make_raw(4, 30)
    codes = np.zeros((1, raw.n_times))
    codes[0, 1000:1010], codes[0, 3000:3010] = 5, 7
    stimulus = mne.create_info(["STI 014"], raw.info["sfreq"], "stim")
    raw.add_channels([mne.io.RawArray(codes, stimulus, verbose="ERROR")], force_update_info=True)
    raw.set_annotations(mne.Annotations([1.0, 4.0], [1.0, 0.0], ["BAD_eye", "EDGE boundary"]))
    events = from_raw(raw).events
    assert events.label == ("BAD_eye", "EDGE boundary", "5", "7")
    assert events.onset_s == pytest.approx([1, 4, 5, 15])
    raw.set_annotations(mne.Annotations([2.0], [0.0], ["go"]))
    assert from_raw(raw).events.label == ("go",)


def test_epochs_of_eeglab(tmp_path, make_raw):
    epochs = mne.make_fixed_length_epochs(make_raw(5, 20), 2.0, preload=True, verbose="ERROR")
    mne.export.export_epochs(tmp_path / "a.set", epochs, overwrite=True, verbose="ERROR")
    recording = read(tmp_path / "a.set")
    assert recording.n_times == 4000
    assert len(continuous(recording)) == 10
    assert np.abs(recording.signal[0, :400] - epochs.get_data()[0, 0]).max() < 1e-8


def test_every_extension_is_known_to_the_reader_it_is_given_to(tmp_path):
    from neurofm.preprocessing.readers.mne_raw import EXTENSIONS

    # A format without a header (.nxe) reads as anything.
    for extension in set(EXTENSIONS) - {".nxe"}:
        (tmp_path / f"a{extension}").write_bytes(b"nothing of the kind" * 300)
        with pytest.raises(ReadError) as caught:
            read(tmp_path / f"a{extension}")
        assert "Unsupported file type" not in caught.value.reason, extension


def test_a_packed_file_is_read_in_few_pieces(tmp_path, make_raw, save, monkeypatch):
    """MNE unpacks it from the beginning for each."""
    from neurofm.preprocessing.readers import mne_raw

    raw = make_raw(4, 20)
    raw.save(tmp_path / "a_raw.fif.gz", verbose="ERROR")
    monkeypatch.setattr(mne_raw, "_CHUNK_BYTES", 1000)
    calls, wanted = [], raw.get_data()
    original = mne.io.BaseRaw.get_data
    monkeypatch.setattr(mne.io.BaseRaw, "get_data",
                        lambda *words, **named: calls.append(1) or original(*words, **named))
    assert np.allclose(read(tmp_path / "a_raw.fif.gz").signal, wanted, atol=1e-12)
    assert len(calls) == 1


def test_which_processing_of_a_4d_folder_is_read_does_not_depend_on_the_file_system(
    tmp_path, monkeypatch
):
    import pathlib

    from neurofm.preprocessing.readers import mne_raw

    for name in ("hc,rfDC", "c,rfDC", "config"):
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(pathlib.Path, "glob",
                        lambda self, pattern: iter([self / "hc,rfDC", self / "c,rfDC"]))
    opened = []
    monkeypatch.setattr(mne.io, "read_raw_bti", lambda path, **_: opened.append(path.name))
    mne_raw.open_raw(tmp_path)
    assert opened == ["c,rfDC"]


def test_a_header_of_an_old_recorder_with_umlauts(tmp_path, make_raw, save):
    from neurofm.preprocessing.readers.headers import check_brainvision

    path = save(make_raw(5, 10), tmp_path / "a.vhdr")
    path.with_suffix(".eeg").rename(tmp_path / "Müller.eeg")
    text = path.read_text(encoding="utf-8").replace("DataFile=a.eeg", "DataFile=Müller.eeg")
    path.write_bytes(text.encode("latin-1", errors="replace"))
    check_brainvision(path)


class TestArrayTables:
    def test_bad_input_axes_the_other_way(self, tmp_path):
        np.save(tmp_path / "a.npy", np.random.default_rng(0).standard_normal((4, 500)))
        with pytest.raises(ReadError, match=r"give arrays\.axes: channel,time"):
            read(tmp_path / "a.npy", arrays=readers.ArrayTable(sfreq=100.0))

    def test_bad_input_unit_of_another_kind(self):
        with pytest.raises(ValueError, match=r"arrays\.unit must be one of T"):
            readers.ArrayTable(sfreq=100.0, kind="mag")

    def test_bad_input_complex_numbers_and_more_axes(self, tmp_path):
        table = readers.ArrayTable(sfreq=100.0)
        np.save(tmp_path / "a.npy", np.zeros((50, 4), dtype=complex))
        with pytest.raises(ReadError, match="wanted real numbers"):
            read(tmp_path / "a.npy", arrays=table)
        np.save(tmp_path / "b.npy", np.zeros((5, 4, 3)))
        with pytest.raises(ReadError, match="one recording a file"):
            read(tmp_path / "b.npy", arrays=table)

    def test_upper_case_extension(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros((50, 3)))
        (tmp_path / "a.npy").rename(tmp_path / "A.NPY")
        assert read(tmp_path / "A.NPY", arrays=readers.ArrayTable(sfreq=1.0)).n_times == 50

    def test_bad_input_table_of_positions(self, tmp_path):
        from neurofm.preprocessing.readers.timeseries import read_channel_table

        path = tmp_path / "e.tsv"
        path.write_text("name\tx\ty\tz\nC3\t-0.06\t0.0\t0.09\nEKG\tn/a\tn/a\tn/a\n")
        names, position = read_channel_table(path)
        assert names == ["C3", "EKG"]
        assert np.isnan(position[1]).all()
        path.write_text("name\tx\ty\tz\nC3\t-60\t0\t90\n")
        with pytest.raises(ValueError, match="wanted positions in meters"):
            read_channel_table(path)
        path.write_text("name\tx\ty\tz\nC3\tleft\t0\t90\n")
        with pytest.raises(ValueError, match="got 'left'"):
            read_channel_table(path)


def test_messages_about_a_recording_in_memory_say_so():
    raw = mne.io.RawArray(np.zeros((1, 0)), mne.create_info(["Cz"], 100.0, "eeg"), verbose="error")
    with pytest.raises(ReadError, match=r"^recording in memory: the recording has no samples"):
        from_raw(raw)


def test_memory_that_ran_out_is_not_told_as_a_damaged_file(monkeypatch):
    from neurofm.preprocessing.readers import mne_raw

    def none_left(shape):
        raise MemoryError(f"Unable to allocate {shape}")

    monkeypatch.setattr(mne_raw.memory, "empty", none_left)
    raw = mne.io.RawArray(np.zeros((1, 9)), mne.create_info(["Cz"], 100.0, "eeg"), verbose="error")
    with pytest.raises(MemoryError):
        from_raw(raw)
