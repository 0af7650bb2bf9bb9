"""What EEG sets of OpenNeuro have: names, electrodes and companions of many kinds, read as `ingest`
reads them."""

import datetime
import json

import mne
import numpy as np
import pytest

from neurofm.preprocessing import labels, montage, readers
from neurofm.preprocessing.labels import LabelRule
from neurofm.preprocessing.readers import ReadError
from neurofm.preprocessing.standardize import ContractError, standardize

NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Fz", "Pz"]
SIGNAL = 20e-6 * np.random.default_rng(0).standard_normal((12, 4000))


def _study(folder, name="sub-01_task-go_eeg.edf", **sidecars: str):
    """Path of the one recording of a BIDS folder; sidecars: name without its beginning → text."""
    eeg = folder / "study" / "sub-01" / "eeg"
    eeg.mkdir(parents=True)
    (folder / "study" / "dataset_description.json").write_text('{"Name": "s"}')
    raw = mne.io.RawArray(SIGNAL, mne.create_info(NAMES, 200.0, "eeg"), verbose="ERROR")
    mne.export.export_raw(eeg / name, raw, verbose="ERROR")
    for file, text in sidecars.items():
        (eeg / file.replace("__", "-").replace("_json", ".json").replace("_tsv", ".tsv")
         ).write_text(text)
    return eeg / name


def _electrodes(lacking=(), comma=False):
    """Electrodes 6 % further out than the template, millimeters."""
    places = 1060 * montage.look_up(NAMES, "standard_1005")[1]
    rows = [[name, *(["n/a"] * 3 if name in lacking else [f"{value:.3f}" for value in place])]
            for name, place in zip(NAMES, places, strict=True)]
    text = "\n".join("\t".join(row) for row in [["name", "x", "y", "z"], *rows]) + "\n"
    return text.replace(".", ",") if comma else text


SYSTEM = json.dumps({"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"})


@pytest.mark.parametrize("before", ["sub__01", "sub__01_task__go", "sub__01_space__CapTrak"])
@pytest.mark.parametrize("comma", [True, False])
def test_cases_electrodes_by_any_name_and_with_decimal_commas(tmp_path, before, comma):
    recording = readers.read(_study(tmp_path, **{
        f"{before}_electrodes_tsv": _electrodes(comma=comma),
        f"{before}_coordsystem_json": SYSTEM}))
    template = montage.look_up(NAMES, "standard_1005")[1]
    assert np.allclose(recording.sensors.position, 1.06 * template, atol=1e-4)
    assert recording.n_template_places == 0


def test_cases_an_electrode_without_coordinates_is_placed_by_its_name(tmp_path):
    recording = readers.read(_study(tmp_path, sub__01_electrodes_tsv=_electrodes(["Pz"]),
                                    sub__01_coordsystem_json=SYSTEM))
    template = montage.look_up(NAMES, "standard_1005")[1]
    assert np.allclose(recording.sensors.position[:11], 1.06 * template[:11], atol=1e-4)
    assert np.allclose(recording.sensors.position[11], template[11], atol=1e-4)
    assert recording.n_template_places == 1


@pytest.mark.parametrize(("name", "task", "run"), [
    ("sub-01_eeg.edf", None, None), ("sub-01_task-go_acq-a_eeg.edf", "go", None),
    ("sub-01_task-go_run-1a_eeg.edf", "go", "1a"), ("sub-01_task-go_run-01_eeg.vhdr", "go", "01")])
def test_cases_names_of_recordings(tmp_path, name, task, run):
    recording = readers.read(_study(tmp_path, name))
    assert (recording.subject, recording.task, recording.run) == ("01", task, run)
    assert np.allclose(recording.signal, SIGNAL, atol=2e-8)


def test_cases_a_header_that_names_no_markers(tmp_path):
    path = _study(tmp_path, "sub-01_task-go_eeg.vhdr")
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("MarkerFile")), "utf-8")
    path.with_suffix(".vmrk").unlink()
    assert np.allclose(readers.read(path).signal, SIGNAL, atol=2e-8)


def test_cases_negative_durations_are_none(tmp_path):
    recording = readers.read(_study(tmp_path, **{"sub__01_task__go_events_tsv": (
        "onset\tduration\ttrial_type\n2.0\t-1\tleft\n8.0\t0.5\tright\n")}))
    assert recording.events.duration_s.tolist() == [0.0, 0.5]
    found = labels.cuts(recording, LabelRule("event", mapping={"left": "L", "right": "R"}))
    assert found.onsets_s.tolist() == [2.0, 8.0]


@pytest.mark.parametrize(("ending", "said"), [(".eeg", "signal file sub.eeg is missing"),
                                              (".vmrk", "marker file sub.vmrk is missing")])
def test_cases_bad_input_companions_under_other_names(tmp_path, save, make_raw, ending, said):
    path = save(make_raw(), tmp_path / "sub.vhdr")
    path.with_suffix(ending).rename(tmp_path / f"SUB-01{ending}")
    with pytest.raises(ReadError, match=said):
        readers.read(path)


@pytest.mark.parametrize("in_bids", [True, False])
@pytest.mark.parametrize("more", [0, 50])
def test_cases_a_set_and_its_signal_under_another_name(tmp_path, more, in_bids):
    """EEG.data names the file as it was called when it was saved."""
    from scipy.io import savemat

    n, empty = 4000 + more, np.array([])
    chan = np.array([(name, [], [], []) for name in NAMES],
                    dtype=[("labels", "O"), ("X", "O"), ("Y", "O"), ("Z", "O")])
    if in_bids:
        _study(tmp_path).unlink()
    path = (tmp_path / "study" / "sub-01" / "eeg" / "sub-01_task-go_eeg.set" if in_bids
            else tmp_path / "a.set")
    savemat(path, {"EEG": {
        "setname": "x", "nbchan": 12, "trials": 1, "pnts": n, "srate": 200.0, "xmin": 0.0,
        "xmax": (n - 1) / 200, "times": np.arange(n) * 5.0, "data": "old.fdt", "chanlocs": chan,
        "event": empty, "epoch": empty, "icawinv": empty, "icaweights": empty, "icasphere": empty,
        "ref": "common", "chaninfo": {"nosedir": "+X"}, "history": "", "etc": {}}},
        appendmat=False, oned_as="row")
    path.with_suffix(".fdt").write_bytes((1e6 * SIGNAL).T.astype("<f4").tobytes())
    if more:
        with pytest.raises(ReadError, match=r"\.set: truncated: .*\.fdt holds"):
            readers.read(path)
    else:
        assert np.allclose(readers.read(path).signal, SIGNAL, atol=1e-9)


def test_cases_an_edf_that_starts_within_a_second(tmp_path):
    """Times in the file count from the whole second."""
    import edfio

    signal = 1e6 * SIGNAL.copy()
    signal[:, 1600] += 150
    edfio.Edf([edfio.EdfSignal(row, 200, label=name, physical_dimension="uV",
                               physical_range=(-400, 400))
               for name, row in zip(NAMES, signal, strict=True)],
              starttime=datetime.time(10, 0, 0, 500000),
              recording=edfio.Recording(startdate=datetime.date(2020, 1, 1)),
              annotations=[edfio.EdfAnnotation(8.0, None, "spike")]).write(tmp_path / "a.edf")
    recording = readers.read(tmp_path / "a.edf")
    assert recording.events.onset_s.tolist() == [8.0]
    assert recording.signal.mean(0).argmax() == 1600


def test_cases_some_channels_in_another_unit_are_bad_and_all_are_refused():
    from neurofm.data.contract import InputContract

    contract = InputContract(sfreq=100.0, lowpass_hz=40.0, window_s=4.0)
    for n, left in ((3, 9), (12, 0)):
        signal = SIGNAL.copy()
        signal[:n] *= 1e6
        recording = readers.from_raw(mne.io.RawArray(
            signal, mne.create_info(NAMES, 200.0, "eeg"), verbose="ERROR"))
        if left:
            done = standardize(recording, contract)
            assert set(done.quality["bads"]) == set(NAMES[:3])
            assert "absurdly large" in done.quality["bads"]["Fp1"]
        else:
            with pytest.raises(ContractError, match=r"1e6 times too large.*unit: uV"):
                standardize(recording, contract)
