"""EEG files that people have complained about, built small: each is right, or refused by name."""

import json

import numpy as np
import pytest

from neurofm.preprocessing import montage, places, readers, segments
from neurofm.preprocessing.archive import find
from neurofm.preprocessing.readers import ReadError

NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Fz", "Pz"]
_ALS = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # x to the nose, y left


def _template() -> np.ndarray:
    return montage.look_up(NAMES, "standard_1005")[1].astype(float)


def _mni() -> tuple[np.ndarray, np.ndarray]:
    """Electrodes [12, 3] and fiducials [3, 3] as the template stores them: MNI, meters."""
    import mne

    known = mne.channels.make_standard_montage("standard_1005").get_positions()
    return (np.array([known["ch_pos"][name] for name in NAMES]),
            np.array([known[name] for name in ("nasion", "lpa", "rpa")]))


def _signal(seconds: float = 20.0, n: int = len(NAMES), sfreq: float = 200.0, seed: int = 0):
    return 20e-6 * np.random.default_rng(seed).standard_normal((n, round(seconds * sfreq)))


def _eeglab(path, events=(), *, data=None, places_mm=None, fiducials_mm=None, trials=1):
    """A .set as EEGLAB writes it: x to the nose, y to the left, millimeters."""
    from scipy.io import savemat

    data = 1e6 * _signal() if data is None else data
    located = np.full((len(NAMES), 3), np.nan) if places_mm is None else places_mm @ _ALS.T
    fields = [("labels", "O"), ("X", "O"), ("Y", "O"), ("Z", "O")]
    info: dict = {"nosedir": "+X"}
    if fiducials_mm is not None:
        said = ("Nasion", "Left periauricular point", "Right periauricular point")
        info["nodatchans"] = np.array(
            [(name[:3], *point, "FID", name)
             for name, point in zip(said, fiducials_mm @ _ALS.T, strict=True)],
            dtype=[*fields, ("type", "O"), ("description", "O")])
    n_times = data.shape[1] if not isinstance(data, str) else 4000
    kinds = [("type", "O"), ("latency", "O"), ("duration", "O")]
    epochs = np.array([])
    if trials > 1:
        kinds.append(("epoch", "O"))
        epochs = np.array([(i + 1, "go", 0.0) for i in range(trials)],
                          dtype=[("event", "O"), ("eventtype", "O"), ("eventlatency", "O")])
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"EEG": {
        "setname": "x", "nbchan": len(NAMES), "trials": trials, "pnts": n_times, "srate": 200.0,
        "xmin": 0.0, "xmax": (n_times - 1) / 200, "times": np.arange(n_times) * 5.0, "data": data,
        "chanlocs": np.array([(name, *place) for name, place in zip(NAMES, located, strict=True)],
                             dtype=fields),
        "event": np.array(list(events), dtype=kinds) if len(events) else np.array([]),
        "epoch": epochs, "icawinv": np.array([]), "icaweights": np.array([]),
        "icasphere": np.array([]), "ref": "common", "chaninfo": info, "history": "", "etc": {},
    }}, appendmat=False, oned_as="row")
    return path


def _edf(path, labels, signal, unit="uV"):
    import edfio

    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf([edfio.EdfSignal(1e6 * row, 200, label=label, physical_dimension=unit,
                               physical_range=(-200, 200))
               for label, row in zip(labels, signal, strict=True)]).write(path)
    return path


def _study(folder, channels: str = "", **sidecars: str):
    """A BIDS folder of one EDF recording of NAMES: path of the recording."""
    eeg = folder / "study" / "sub-01" / "eeg"
    path = _edf(eeg / "sub-01_task-go_eeg.edf", NAMES, _signal(), sidecars.pop("unit", "uV"))
    (folder / "study" / "dataset_description.json").write_text(
        json.dumps({"Name": "s", "BIDSVersion": "1.9.0"}))
    if channels:
        (eeg / "sub-01_task-go_channels.tsv").write_text(channels)
    for name, content in sidecars.items():
        suffix = "json" if name == "coordsystem" else "tsv"
        (eeg / f"sub-01_{name}.{suffix}").write_text(content)
    return path


# Places in another frame


@pytest.mark.parametrize("fiducials", [True, False])
def test_cases_eeglab_places_in_mni_are_brought_to_the_head_frame(tmp_path, fiducials):
    at, fids = _mni()
    path = _eeglab(tmp_path / "rec.set", places_mm=1000 * at,
                   fiducials_mm=1000 * fids if fiducials else None)
    recording = readers.read(path)
    assert np.allclose(recording.sensors.position, _template(), atol=1e-4)
    assert "not in the head frame (5.3" in recording.notes[0]
    assert ("by its fiducials" in recording.notes[0]) == fiducials


def test_cases_fiducials_keep_what_was_digitized(tmp_path):
    at, fids = _mni()
    own = at + 0.004 * np.random.default_rng(0).standard_normal(at.shape)  # a head of its own
    path = _eeglab(tmp_path / "rec.set", places_mm=1000 * own, fiducials_mm=1000 * fids)
    shifted = np.linalg.norm(readers.read(path).sensors.position - _template(), axis=1)
    assert np.allclose(shifted, np.linalg.norm(own - at, axis=1), atol=1e-4)


@pytest.mark.parametrize("unit", [1.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("axes", [np.eye(3), _ALS])
@pytest.mark.parametrize("frame", ["head", "mni"])
def test_cases_any_frame_any_axes_any_unit_ends_in_the_head_frame(unit, axes, frame):
    at = (_template() if frame == "head" else _mni()[0]) @ axes.T * unit
    placed, note = places.judge(at, _template(), NAMES)
    assert np.allclose(placed, _template(), atol=1e-4)
    as_it_stands = unit == 1 and frame == "head" and np.array_equal(axes, np.eye(3))
    assert (note == "") == as_it_stands


def test_cases_unnamed_electrodes_go_with_the_named_ones():
    at, template = _mni()[0], _template()
    template[4] = np.nan
    placed, _ = places.judge(at, template, [*NAMES[:4], "X7", *NAMES[5:]])
    assert np.allclose(placed, _template(), atol=1e-3)


@pytest.mark.parametrize("n_named", [4, 6])
@pytest.mark.parametrize("n", [4, 12])
def test_cases_few_known_names_tell_the_frame(n_named, n):
    template = _template()[:n]
    template[n_named:] = np.nan
    placed, note = places.judge(_mni()[0][:n], template, [*NAMES[:n_named], *"ABCDEFGH"][:n])
    assert np.allclose(placed, _template()[:n], atol=1e-3)
    assert "not in the head frame" in note


@pytest.mark.parametrize("size", [0.8, 1.0, 1.12])
def test_cases_a_head_of_another_size_stays_as_it_is(size):
    own = size * _template() + 0.005 * np.random.default_rng(1).standard_normal((12, 3))
    placed, note = places.judge(own, _template(), NAMES)
    assert note == ""
    assert np.allclose(placed, own)


@pytest.mark.parametrize("change", [lambda at: at[::-1], lambda at: at * (-1, 1, 1)])
def test_cases_bad_input_places_of_other_electrodes_are_refused(change):
    with pytest.raises(places.WrongPlaces, match="after the best fit"):
        places.judge(change(_template()), _template(), NAMES)


def test_cases_bad_input_a_file_with_swapped_places_is_named(tmp_path):
    path = _eeglab(tmp_path / "rec.set", places_mm=1000 * _mni()[0][::-1])
    with pytest.raises(ReadError, match=r"rec\.set: wanted electrodes at the places"):
        readers.read(path)


@pytest.mark.parametrize("landmarks", [True, False])
def test_cases_bids_electrodes_in_a_system_called_other(tmp_path, landmarks):
    at, fids = _mni()
    rows = "".join(f"{name}\t" + "\t".join(f"{value:.3f}" for value in place) + "\n"
                   for name, place in zip(NAMES, 1000 * at @ _ALS.T, strict=True))
    said = {"EEGCoordinateSystem": "Other", "EEGCoordinateUnits": "mm",
            "EEGCoordinateSystemDescription": "x to the nose"}
    if landmarks:
        said["AnatomicalLandmarkCoordinates"] = dict(
            zip(("NAS", "LPA", "RPA"), (1000 * fids @ _ALS.T).tolist(), strict=True))
    recording = readers.read(_study(tmp_path, electrodes=f"name\tx\ty\tz\n{rows}",
                                    coordsystem=json.dumps(said)))
    assert np.allclose(recording.sensors.position, _template(), atol=1e-4)
    assert ("by its fiducials" in recording.notes[0]) == landmarks


# Channels that vanish


@pytest.mark.parametrize("label", ["EEG O2-Ref", "O2"])
@pytest.mark.parametrize("equal", [True, False])
def test_cases_one_label_twice_never_vanishes(tmp_path, label, equal):
    signal = _signal(n=13)
    if equal:
        signal[12] = signal[9]
    names = [label if name == "O2" else name for name in NAMES]
    recording = readers.read(_edf(tmp_path / "a.edf", [*names, label], signal))
    assert recording.sensors.names[9] == "O2"
    assert recording.sensors.has_position.all()
    if equal:
        assert recording.n_channels == 12
        assert list(recording.left_out.values()) == ["a copy of O2 with equal data"]
    else:
        assert recording.n_channels == 13
        assert "the same electrode" in recording.notes[0]


def test_cases_one_electrode_in_two_spellings_with_equal_data_is_one_channel(tmp_path):
    signal = _signal(n=13)
    signal[12] = signal[10]
    recording = readers.read(_edf(tmp_path / "a.edf", [*NAMES, "EEG FZ-REF"], signal))
    assert recording.sensors.names == tuple(NAMES)
    assert recording.left_out == {"EEG FZ-REF": "a copy of Fz with equal data"}


def test_cases_copies_of_unknown_names_are_one_channel(tmp_path):
    signal = _signal(n=14)
    signal[13] = signal[12]
    path = _edf(tmp_path / "a.edf", [*NAMES, "X1", "X1"], signal)
    assert list(readers.read(path).left_out) == ["X1-1"]


def test_cases_electrodes_in_an_unknown_system_are_said(tmp_path):
    rows = "".join(f"{name}\t1\t2\t3\n" for name in NAMES)
    path = _study(tmp_path, electrodes=f"name\tx\ty\tz\n{rows}", coordsystem=json.dumps(
        {"EEGCoordinateSystem": "Ours", "EEGCoordinateUnits": "mm"}))
    assert "sub-01_electrodes.tsv was not used" in readers.read(path).notes[0]


def test_cases_bipolar_derivations_are_kept_between_their_electrodes(tmp_path):
    pairs = ["FP1-F7", "F7-T7", "T7-P7", "P7-O1", "T8-P8", "T8-P8", "ECG"]
    signal = _signal(n=7)
    signal[5] = signal[4]
    recording = readers.read(_edf(tmp_path / "a.edf", pairs, signal))
    assert recording.sensors.names == ("Fp1-F7", "F7-T7", "T7-P7", "P7-O1", "T8-P8")
    ends = montage.look_up(["Fp1", "F7"], "standard_1005")[1]
    assert np.allclose(recording.sensors.position[0], ends.mean(0), atol=1e-6)
    assert "differences of two electrodes" in recording.notes[0]
    assert set(recording.left_out) == {"T8-P8-1", "ECG"}


def test_cases_derivations_against_one_electrode_are_a_reference(tmp_path):
    recording = readers.read(_edf(tmp_path / "a.edf", ["F3-Cz", "F4-Cz", "O1-Cz"], _signal(n=3)))
    assert recording.sensors.names == ("F3", "F4", "O1")
    assert recording.notes == ("Cz is the reference of 3 channels by their names",)


def test_cases_channels_left_out_are_said_on_the_terminal(tmp_path, ingest, quick):
    pairs = ["FP1-F7", "F7-T7", "T7-P7", "P7-O1", "T8-P8", "T8-P8", "ECG"]
    signal = _signal(n=7)
    signal[5] = signal[4]
    outcome = ingest(_edf(tmp_path / "lab" / "a.edf", pairs, signal), *quick, "--workers", "1")
    assert outcome.status == 0
    assert "T8-P8-1 (a copy of T8-P8 with equal data)" in outcome.text
    assert "ECG (by its name ECG, not EEG)" in outcome.text
    assert "differences of two electrodes" in outcome.text
    said = json.loads(outcome.corpus.recordings["quality"][0])
    assert set(said["not_used"]) == {"T8-P8-1", "ECG"}


# Joints


@pytest.mark.parametrize("kind", ["boundary", -99, -99.0, "-99"])
def test_cases_no_window_runs_over_a_joint_of_eeglab(tmp_path, kind):
    code = "1" if isinstance(kind, str) else 1
    path = _eeglab(tmp_path / "rec.set", [(kind, 2000.5, 400.0), (code, 401.0, 0.0)])
    recording = readers.read(path)
    assert segments.continuous(recording) == [(0, 2000), (2000, 4000)]
    assert "1" in recording.events.label


def test_cases_a_code_of_minus_99_elsewhere_is_an_event(make_raw):
    import mne

    raw = make_raw()
    raw.set_annotations(mne.Annotations([5.0], [0.0], ["-99"]))
    assert segments.continuous(readers.from_raw(raw)) == [(0, raw.n_times)]


# BIDS


@pytest.mark.parametrize("rows", [NAMES[::-1], [name.upper() for name in NAMES], NAMES[2:],
                                  [f"EEG {name}" for name in NAMES]])
def test_cases_rows_of_channels_tsv_belong_to_the_channels_they_name(tmp_path, rows):
    bad, ecg = rows[-1], rows[-2]
    text = "name\ttype\tunits\tstatus\n" + "".join(
        f"{name}\t{'ECG' if name == ecg else 'EEG'}\tuV\t{'bad' if name == bad else 'good'}\n"
        for name in rows)
    recording = readers.read(_study(tmp_path, text))
    spelled = dict(zip([name.upper() for name in NAMES], NAMES, strict=True))

    def electrode(name):
        return spelled[name.upper().removeprefix("EEG ")]

    assert recording.bads == (electrode(bad),)
    assert recording.left_out == {electrode(ecg): "of type ecg in the file"}
    assert len(recording.sensors) == 11
    assert np.allclose(recording.signal[0] * 1e6, 1e6 * _signal()[0], atol=0.01)
    assert any("does not list" in note for note in recording.notes) == (len(rows) < 12)


def test_cases_a_row_of_another_name_at_the_same_place(tmp_path):
    text = "name\ttype\n" + "".join(
        f"{'EKG' if name == 'Pz' else name}\t{'ECG' if name == 'Pz' else 'EEG'}\n"
        for name in NAMES)
    assert readers.read(_study(tmp_path, text)).left_out == {"Pz": "of type ecg in the file"}


def test_cases_bad_input_a_missing_marker_file_is_named(tmp_path, make_raw, save):
    path = save(make_raw(), tmp_path / "sub.vhdr")
    (tmp_path / "sub.vmrk").unlink()
    with pytest.raises(ReadError, match=r"its marker file sub\.vmrk is missing"):
        readers.read(path)


def test_cases_types_that_are_not_given_leave_eeg_as_it_is(tmp_path):
    text = "name\ttype\tunits\n" + "".join(f"{name}\tn/a\tuV\n" for name in NAMES)
    assert readers.read(_study(tmp_path, text)).n_channels == 12


def test_cases_units_of_channels_tsv_where_the_header_has_none(tmp_path):
    text = "name\ttype\tunits\n" + "".join(f"{name}\tEEG\tuV\n" for name in NAMES)
    recording = readers.read(_study(tmp_path, text, unit=""))
    assert 15e-6 < recording.signal.std() < 25e-6


@pytest.mark.parametrize("header", ["", "mV"])
def test_cases_a_unit_stated_by_key_goes_before_the_header(tmp_path, header):
    path = _edf(tmp_path / "a.edf", NAMES, _signal(), header)
    assert readers.read(path).signal.std() > 1e-3
    assert 15e-6 < readers.read(path, unit="uV").signal.std() < 25e-6


def test_cases_epochs_of_eeglab_in_bids(tmp_path):
    data = 1e6 * _signal(20.0).reshape(len(NAMES), 10, 400).transpose(0, 2, 1)
    events = [("go", 400 * i + 101.0, 0.0, i + 1) for i in range(10)]
    folder = _study(tmp_path).parent
    (folder / "sub-01_task-go_eeg.edf").unlink()
    path = _eeglab(folder / "sub-01_task-go_eeg.set", events, data=data, trials=10)
    recording = readers.read(path)
    assert (recording.subject, recording.n_times) == ("01", 4000)
    assert len(segments.continuous(recording)) == 10
    assert recording.events.label.count("go") == 10


# Files that belong together


def test_cases_a_marker_one_past_the_end_is_no_truncation(tmp_path, make_raw, save):
    path = save(make_raw(seconds=20), tmp_path / "sub.vhdr")
    marks = tmp_path / "sub.vmrk"
    marks.write_text(marks.read_text("utf-8").rstrip() + "\nMk9=Stimulus,S  9,4001,1,0\n", "utf-8")
    assert readers.read(path).n_times == 4000
    marks.write_text(marks.read_text("utf-8").replace(",4001,", ",4200,"), "utf-8")
    with pytest.raises(ReadError, match="truncated"):
        readers.read(path)


def test_cases_a_look_alike_of_a_part_is_a_recording(tmp_path, make_raw, save):
    for name, seconds in (("rest.fif", 20), ("rest-1.fif", 30)):
        save(make_raw(seconds=seconds), tmp_path / name)
    assert [job.source.rpartition("/")[2] for job in find([str(tmp_path)]).jobs] == [
        "rest-1.fif", "rest.fif"]


def test_cases_parts_of_a_split_recording(tmp_path, make_raw):
    make_raw(n_channels=30, seconds=100).save(
        tmp_path / "a_raw.fif", split_size="2MB", verbose="ERROR")
    parts = sorted(tmp_path.glob("a_raw-*.fif"))
    assert parts
    found = find([str(tmp_path)])
    assert [job.source.rpartition("/")[2] for job in found.jobs] == ["a_raw.fif"]
    assert readers.read(tmp_path / "a_raw.fif").duration_s == 100
    moved = parts[0].rename(tmp_path / "elsewhere.fif")
    with pytest.raises(ReadError, match=f"is missing: {parts[0].name}"):
        readers.read(tmp_path / "a_raw.fif")
    moved.rename(parts[0])
    (tmp_path / "a_raw.fif").unlink()
    with pytest.raises(ReadError, match=r"the part before it, a_raw\.fif"):
        readers.read(find([str(tmp_path)]).jobs[0].path)


def test_cases_bad_input_a_missing_fdt_is_named(tmp_path):
    path = _eeglab(tmp_path / "rec.set", data="old_name.fdt")
    with pytest.raises(ReadError, match=r"signal file old_name\.fdt is missing"):
        readers.read(path)


def test_cases_bits_that_are_always_on_mark_no_event(make_raw):
    import mne

    raw = make_raw()
    codes = np.full((1, raw.n_times), 0xFF00, float)
    for at, code in ((400, 1), (1600, 2)):
        codes[0, at:at + 20] += code
    raw.add_channels([mne.io.RawArray(codes, mne.create_info(["Status"], 200.0, "stim"),
                                      verbose="ERROR")], force_update_info=True)
    events = readers.from_raw(raw).events
    assert dict(zip(events.label, events.onset_s, strict=True)) == {"1": 2.0, "2": 8.0}


def test_cases_bad_input_an_average_in_memory_is_named(make_raw):
    import mne

    raw = make_raw()
    average = mne.EvokedArray(raw.get_data()[:, :100], raw.info, verbose="ERROR")
    with pytest.raises(ReadError, match="got a EvokedArray"):
        readers.from_raw(average)


def test_cases_channels_of_a_lower_rate_are_said(tmp_path):
    import edfio

    path, signal = tmp_path / "a.edf", 1e6 * _signal()
    edfio.Edf([edfio.EdfSignal(row[::2] if name == "Pz" else row, 100 if name == "Pz" else 200,
                               label=name, physical_dimension="uV", physical_range=(-200, 200))
               for name, row in zip(NAMES, signal, strict=True)]).write(path)
    recording = readers.read(path)
    assert recording.notes == (
        "1 EEG channels were recorded at 100 Hz and upsampled to 200 Hz: Pz",)
