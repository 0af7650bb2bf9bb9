"""Simulated EEG and fMRI of the same minutes: is BOLD what the EEG's sources say, and no more?"""

import hashlib
import json
from dataclasses import replace

import mne
import numpy as np
import pandas as pd
import pytest
from scipy.signal import butter, sosfiltfilt

from neurofm import artifacts, config
from neurofm.preprocessing.readers import atlas
from neurofm.preprocessing.readers.timeseries import read_channel_table
from neurofm.preprocessing.simulate import SimulateConfig, main, scan_of, simulate, take_of, takes
from neurofm.preprocessing.simulation import DEVICES, REGIONS, TRIGGER, brain
from neurofm.preprocessing.simulation.body import body
from neurofm.preprocessing.simulation.bold import DRIVE_SFREQ, double_gamma
from neurofm.preprocessing.simulation.regions import template_weights, to_mni
from neurofm.preprocessing.simulation.residue import JERK_V, SLICES, residue
from tests.support.resealed import resealed

SCANNED = {"bold": True, "always": ("eeg19",), "devices": (), "devices_per_subject": 0}
SMALL = {**SCANNED, "subjects": 2, "minutes": 0.5}
T_R_S = (2.1, 1.5, 3.0)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    out = tmp_path_factory.mktemp("scanned")
    return simulate(SimulateConfig(str(out), **SCANNED, subjects=3, minutes=6))


@pytest.fixture(scope="module")
def unrelated(tmp_path_factory):
    out = tmp_path_factory.mktemp("unrelated")
    return simulate(SimulateConfig(str(out), **SCANNED, subjects=3, minutes=6, unrelated=True))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return simulate(SimulateConfig(str(tmp_path_factory.mktemp("small")), **SMALL))


def _scans(folder):
    """(raw, onsets of volumes, BOLD by region, sidecar, truth) of each recording."""
    for series in sorted(folder.rglob("*_timeseries.tsv")):
        name = series.name.removesuffix("_timeseries.tsv")
        eeg = series.parent.with_name("eeg") / f"{name}_eeg.fif"
        raw = mne.io.read_raw_fif(eeg, verbose="error")
        onset_s = raw.annotations.onset[raw.annotations.description == TRIGGER]
        sidecar = json.loads(series.with_suffix(".json").read_text())
        truth = dict(np.load(folder / "truth" / f"{name}.npz"))
        yield raw, onset_s, pd.read_csv(series, sep="\t"), sidecar, truth


def _lagged(folder, region, lags_s):
    """Correlation of BOLD with posterior alpha power of the EEG `lags_s` before, mean of people."""
    found = []
    for raw, onset_s, series, _, _ in _scans(folder):
        sfreq = int(raw.info["sfreq"])
        signal = raw.get_data()
        posterior = (signal - signal.mean(0))[[raw.ch_names.index(name) for name in ("O1", "O2")]]
        sos = butter(4, [8, 12.5], "bandpass", fs=sfreq, output="sos")
        alpha = sosfiltfilt(sos, posterior).reshape(2, -1, sfreq)
        power = np.log(np.square(alpha).mean(axis=(0, 2)))  # a value a second
        middle_s = np.arange(len(power)) + 0.5
        measured_s, bold = onset_s + (onset_s[1] - onset_s[0]) / 2, series[region]
        found.append([np.corrcoef(np.interp(measured_s - lag, middle_s, power), bold)[0, 1]
                      for lag in lags_s])
    return np.mean(found, axis=0)


def test_bold_is_the_drive_through_the_response_up_to_the_ceiling(archive):
    table = pd.read_csv(archive / "ceiling_bold.tsv", sep="\t", dtype={"subject": str})
    assert len(table) == 3 * len(REGIONS)
    for k, (_, onset_s, series, _, truth) in enumerate(_scans(archive)):
        rows = table[table["subject"] == f"{k + 1:03d}"].set_index("region")
        middle_s = (np.arange(truth["bold_drive"].shape[1]) + 0.5) / truth["drive_sfreq"]
        for region, drive in zip(truth["region"], truth["bold_drive"], strict=True):
            course = np.convolve(drive, truth["hrf"])[: len(drive)]
            measured_s = onset_s + (onset_s[1] - onset_s[0]) / 2
            predicted = np.interp(measured_s, middle_s, course)
            found = np.corrcoef(predicted, series[region])[0, 1]
            assert found == pytest.approx(rows.loc[region, "ceiling"], abs=0.005)
    # As much noise as signal; whoever reads the EEG perfectly still lacks what no generator knows.
    assert table["ceiling"].mean() == pytest.approx(1 / np.sqrt(2), abs=0.05)
    assert (table["ceiling_eeg"] < table["ceiling"]).mean() > 0.9
    deep = table["region"].str.contains("thalamus|putamen")
    assert table["ceiling_eeg"][deep].mean() < table["ceiling_eeg"][~deep].mean() - 0.1


def test_occipital_bold_falls_seconds_after_posterior_alpha_rises(archive):
    lags_s = np.arange(-4, 15)
    for side in ("left", "right"):
        found = _lagged(archive, f"occipital {side}", lags_s)
        assert 4 <= lags_s[np.argmin(found)] <= 7
        assert found.min() < -0.2
        assert abs(found[lags_s <= 0].mean()) < 0.1
    thalamus = _lagged(archive, "thalamus", lags_s)
    assert 4 <= lags_s[np.argmax(thalamus)] <= 7
    assert thalamus.max() > 0.2


def test_unrelated_bold_follows_nothing_in_the_eeg(archive, unrelated):
    lags_s = np.arange(4, 8)
    for region in ("occipital left", "occipital right", "thalamus"):
        assert abs(_lagged(unrelated, region, lags_s).mean()) < 0.12
    # The EEG is the same, and so is the scanner's clock; only BOLD is of other minutes.
    for one, other in zip(_scans(archive), _scans(unrelated), strict=True):
        assert np.array_equal(one[0].get_data(), other[0].get_data())
        assert np.array_equal(one[1], other[1])
        assert np.corrcoef(one[4]["bold_clean"][0], other[4]["bold_clean"][0])[0, 1] < 0.3
    table = pd.read_csv(unrelated / "ceiling_bold.tsv", sep="\t")
    assert (table["ceiling_eeg"] == 0).all()
    assert table["ceiling"].mean() > 0.6


def test_volumes_fill_the_recording_at_each_repetition_time(archive):
    rois = [region.name for region in REGIONS]
    for (raw, onset_s, series, sidecar, truth), t_r in zip(_scans(archive), T_R_S, strict=True):
        assert sidecar["RepetitionTime"] == t_r
        assert sidecar["NumberOfVolumes"] == len(series) == len(onset_s)
        assert list(series.columns) == sidecar["Columns"] == rois
        # Annotations of a FIF file are 32 bits: exact to some hundredths of a millisecond.
        assert np.allclose(onset_s, sidecar["StartTime"] + t_r * np.arange(len(series)), atol=1e-4)
        assert np.allclose(truth["volume_onset_s"], onset_s, atol=1e-4)
        assert 5 <= onset_s[0] <= 8
        assert 0 <= 360 - (onset_s[0] + len(series) * t_r) < t_r
        assert set(raw.annotations.description) == {"left", "right", TRIGGER}
    people = pd.read_csv(archive / "participants.tsv", sep="\t")
    assert tuple(people["t_r"]) == T_R_S


def test_without_a_scanner_everything_else_is_the_same():
    plain = SimulateConfig("none", subjects=1, minutes=0.5)
    quiet = replace(plain, bold=True, bcg_uv=0.0, motion_per_minute=0.0)
    take = takes(plain)[0]
    person, activity, measured = take_of(plain, take)
    same = take_of(quiet, take)
    assert np.array_equal(activity.generators, same[1].generators)
    assert np.array_equal(measured.raw.get_data(), same[2].raw.get_data())
    scanned, _ = scan_of(quiet, take, *same)
    assert np.array_equal(measured.raw.get_data(), scanned.raw.get_data())
    noisy, scan = scan_of(replace(plain, bold=True), take, person, activity, measured)
    assert not np.array_equal(measured.raw.get_data(), noisy.raw.get_data())
    assert np.array_equal(measured.clean, noisy.clean)
    # Fewer regions or another clock make no other person.
    slower = scan_of(replace(plain, bold=True, t_r_s=(0.7,)), take, person, activity, measured)[1]
    assert slower.bold.peak_s == scan.bold.peak_s


def test_people_differ_but_signs_do_not():
    runs = SimulateConfig("none", **{**SMALL, "subjects": 3}, runs=2)
    scans = [scan_of(runs, take, *take_of(runs, take))[1] for take in takes(runs)]
    peaks = [scan.bold.peak_s for scan in scans]
    assert peaks[0] == peaks[1] != peaks[2] == peaks[3] != peaks[4] == peaks[5]
    assert all(4.5 <= peak <= 5.5 for peak in peaks)
    assert np.argmax(double_gamma(4.7)) / DRIVE_SFREQ == pytest.approx(4.7, abs=0.1)
    person = brain(1)
    alpha, mu = person.generator("alpha shared"), person.generator("mu left")
    rows = {region.name: k for k, region in enumerate(REGIONS)}
    for scan in scans:
        weight = scan.bold.weights
        assert weight[rows["occipital left"], alpha] < 0 < weight[rows["thalamus"], alpha]
        assert weight[rows["motor left"], mu] < weight[rows["motor right"], mu] <= 0
        assert weight[rows["frontal left"], person.generator("background F3")] > 0
    template = template_weights(person)
    assert np.array_equal(np.sign(template[:-1]), np.sign(scans[0].bold.weights[:-1]))


def test_regions_lie_where_the_image_and_the_table_say(small):
    names, place = read_channel_table(small / "rois.tsv", "mm")
    assert names == [region.name for region in REGIONS]
    codes, centers = atlas.centers(str(small / "rois.nii.gz"))
    assert codes == tuple(str(k + 1) for k in range(len(names) - 1))  # all but "global"
    assert np.linalg.norm(centers - place[:-1], axis=1).max() < 0.002
    assert np.isnan(place[-1]).all()
    # Left is left, and beneath the electrodes of that name.
    person = brain(0)
    source = to_mni(person)
    for region, nearest in (("occipital left", "O1"), ("motor right", "C4 gyrus")):
        distance = np.linalg.norm(source - place[names.index(region)], axis=1)
        assert distance[person.names.index(nearest)] < 0.025


def test_heartbeat_is_about_a_second_and_a_few_microvolts():
    beats = body([1], [2], 60.0, 0.0)
    assert 0.6 < np.median(np.diff(beats.beat_s)) < 1.4
    assert 0.005 < np.diff(beats.beat_s).std() < 0.2
    assert len(beats.jerk_s) == 0
    info = DEVICES["eeg32"].make_info()
    pulses = residue(info, 60 * 400, beats, 5 + 2 * np.arange(20), 3.0, 0.0, [3])
    after = np.stack([pulses[:, round(at * 400) : round(at * 400) + 240]
                      for at in beats.beat_s[:-2]])
    assert np.median(np.abs(after).max(axis=2)) == pytest.approx(3e-6, rel=0.4)
    # It repeats from beat to beat, and neighbors on the cap see the same.
    mean = after.mean(axis=0)
    assert np.mean((after - mean) ** 2) < 0.3 * np.mean(mean**2)
    at = dict(zip(info["ch_names"], mean, strict=True))
    assert np.corrcoef(at["F3"], at["AF3"])[0, 1] > 0.8


def test_jerks_of_the_head_are_in_both():
    run = SimulateConfig("none", **{**SMALL, "minutes": 2}, motion_per_minute=3.0)
    take = takes(run)[0]
    made = take_of(run, take)
    measured, scan = scan_of(run, take, *made)
    still, calm = scan_of(replace(run, motion_per_minute=0.0), take, *made)
    assert len(scan.body.jerk_s) >= 2
    eeg = np.abs(measured.raw.get_data() - still.raw.get_data()).max(axis=0)
    spiky = np.abs(scan.bold.noisy - calm.bold.noisy).max(axis=0)
    near, hit = np.zeros(len(eeg), dtype=bool), set()
    for at in scan.body.jerk_s:
        first = round(at * 500)
        assert eeg[first : first + 600].max() > JERK_V / 4
        near[max(0, first - 1) : first + 602] = True
        volume = int((at - scan.onset_s[0]) // scan.scanner.t_r_s)
        hit |= {volume, volume + 1}
    assert eeg[~near].max() < 1e-9
    assert set(np.flatnonzero(spiky > 1e-9).tolist()) == hit & set(range(len(spiky)))


def test_gradients_left_are_locked_to_volumes_and_off_by_default():
    info = DEVICES["eeg64"].make_info()
    onset_s = 5.0 + 2.1 * np.arange(20)
    nothing = body([1], [2], 60.0, 0.0)
    assert not residue(info, 15000, nothing, onset_s, 0.0, 0.0, [3]).any()
    left = residue(info, 15000, nothing, onset_s, 0.0, 2.0, [3])
    first = round(onset_s[0] * 250)
    assert not left[:, : first - 1].any()
    assert np.allclose(left[:, first : first + 525], left[:, first + 525 : first + 1050], atol=1e-9)
    spectrum = np.abs(np.fft.rfft(left[:, first : first + 525 * 10])).mean(axis=0)
    assert np.argmax(spectrum) == SLICES * 10


def _hashes(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in ("run.yaml", "manifest.json", ".lock")}


def interrupted(*_, **__):
    raise KeyboardInterrupt


def test_interrupted_run_continues_and_everything_is_sealed(small, tmp_path, monkeypatch):
    folder, run = tmp_path / "begun", SimulateConfig(str(tmp_path / "begun"), **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "seal", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulate(run)
    lost, kept = sorted(folder.rglob("*_eeg.json"))
    lost.unlink()
    next(lost.parent.with_name("func").glob("*.tsv")).unlink()
    before = kept.stat().st_mtime_ns
    simulate(run)
    files = set(artifacts.open_sealed(folder, "archive", hashes=True).listed)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == files | {"manifest.json", ".lock"}
    assert kept.stat().st_mtime_ns == before
    assert _hashes(folder) == _hashes(small)
    with pytest.raises(ValueError, match=r"other settings \(bold_snr: 1.0, wanted 2.0\)"):
        simulate(replace(run, bold_snr=2.0))
    with pytest.raises(ValueError, match=r"t_r_s: \[2.1, 1.5, 3.0\], wanted \[2.0\]"):
        simulate(replace(run, t_r_s=(2.0,)))


def test_archives_begun_before_there_was_a_scanner_are_known(tmp_path, capsys):
    run = SimulateConfig(str(tmp_path), subjects=1, minutes=0.4, always=("eeg19",), devices=(),
                         devices_per_subject=0)
    simulate(run)
    content = artifacts.read_manifest(tmp_path).config
    first = list(content).index("bold")
    resealed(tmp_path, config={key: content[key] for key in list(content)[:first]})
    simulate(run)
    assert "is finished" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*_timeseries.*"))
    with pytest.raises(ValueError, match="bold: False, wanted True"):
        simulate(replace(run, bold=True, minutes=0.4, t_r_s=(1.0,)))


def test_other_devices_of_a_person_are_not_scanned_and_regions_may_be_few(tmp_path):
    run = SimulateConfig(str(tmp_path), bold=True, subjects=1, minutes=0.5, always=("eeg19",),
                         devices=("mag102",), n_rois=4)
    folder = simulate(run)
    scans = list(_scans(folder))
    assert [path.parent.parent.name for path in folder.rglob("*_timeseries.tsv")] == ["ses-eeg19"]
    assert list(scans[0][2].columns) == ["occipital left", "occipital right", "motor left",
                                         "motor right"]
    assert scans[0][4]["bold_clean"].shape == (4, len(scans[0][2]))
    meg = mne.io.read_raw_fif(next(folder.rglob("*_meg.fif")), verbose="error")
    assert TRIGGER not in meg.annotations.description


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"always": ("mag102",), "devices": ("axial100",)}, "bold wants an EEG device"),
        ({"t_r_s": (2.1, 0.0)}, r"t_r_s\[1\] must be above 0, got 0"),
        ({"t_r_s": ()}, "t_r_s wants one repetition time or more"),
        ({"minutes": 0.35}, r"room for 5 volumes of 3 s: ≥ 0\.38, got 0\.35"),
        ({"n_rois": 0}, "n_rois must be at least 1, got 0"),
        ({"n_rois": 13}, "n_rois must be in 1 … 12, the number of regions there are, got 13"),
        ({"bold_snr": 0.0}, "bold_snr must be above 0"),
        ({"bcg_uv": -1.0}, "bcg_uv must be at least 0"),
        ({"motion_per_minute": -1.0}, "motion_per_minute must be at least 0"),
        ({"gradient_residue_uv": -1.0}, "gradient_residue_uv must be at least 0"),
        ({"bold": False, "unrelated": True}, "set bold too"),
    ],
)
def test_bad_input_is_explained(tmp_path, fields, said):
    with pytest.raises(ValueError, match=said):
        simulate(SimulateConfig(str(tmp_path / "none"), **{"bold": True, "minutes": 0.6, **fields}))
    assert not (tmp_path / "none").exists()


def test_command_and_configuration(tmp_path, capsys):
    file = "configs/preprocessing/simulate_bold.yaml"
    run = config.parse(SimulateConfig, ["--config", file, "--out", "x"], command="simulate")
    assert (run.subjects, run.minutes, run.t_r_s) == (24, 10.0, T_R_S)
    out = tmp_path / "made"
    words = ["--subjects", "1", "--minutes", "0.5", "--t_r_s", "[2.0]"]
    assert main(["--config", file, "--out", str(out), *words]) == 0
    assert "1 recordings of 1 subjects" in capsys.readouterr().out
    assert len(list(_scans(out))) == 1
