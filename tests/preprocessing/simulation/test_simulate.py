"""Simulated archives: is the physics right, and does the same seed give the same bytes?"""

import hashlib
from dataclasses import replace

import mne
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.signal import butter, resample, sosfiltfilt

from neurofm import artifacts
from neurofm.data.sensors import Sensors
from neurofm.preprocessing.simulate import SimulateConfig, main, simulate, take_of, takes
from neurofm.preprocessing.simulation import DEVICES, brain, ceiling, lead_field, live, record
from neurofm.preprocessing.simulation.anatomy import electrode_directions

MEG = [name for name, device in DEVICES.items() if device.datatype == "meg"]
EEG = [name for name, device in DEVICES.items() if device.datatype == "eeg"]
SMALL = {"subjects": 2, "minutes": 0.4, "devices": ("eeg19", "mag102")}


@pytest.fixture(scope="module")
def person():
    return brain(3)


@pytest.fixture(scope="module")
def minute(person):
    return live(person, 4, 60)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return simulate(SimulateConfig(str(tmp_path_factory.mktemp("simulated")), **SMALL))


def _field(person, device, seed=5):
    info = DEVICES[device].make_info()
    return lead_field(person, info, np.random.default_rng(seed)), info


def _band(signal, sfreq, low, high):
    return sosfiltfilt(butter(4, [low, high], "bandpass", fs=sfreq, output="sos"), signal)


@pytest.mark.parametrize("device", MEG)
def test_radial_dipoles_are_silent_in_meg(person, device):
    outwards = person.position - person.center
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    along = np.cross(outwards, [0.3, 0.5, 0.8])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    silent, _ = _field(replace(person, orientation=outwards), device)
    loud, _ = _field(replace(person, orientation=along), device)
    assert np.abs(silent).max() < 1e-3 * np.abs(loud).max()


def test_eeg_topographies_are_smooth_under_average_reference(person):
    field, info = _field(person, "eeg64")
    field = field - field.mean(0)
    place = Sensors.from_info(info, range(64)).position
    distance = np.linalg.norm(place[:, None] - place[None], axis=-1)
    nearest = np.argsort(distance, axis=1)[:, 1:5]
    neighbors = field[nearest].mean(1)
    similar = [np.corrcoef(a, b)[0, 1] for a, b in zip(field.T, neighbors.T, strict=True)]
    assert np.median(similar) > 0.9
    assert min(similar) > 0.6


def test_sources_lie_inside_the_brain_beneath_their_names():
    for seed in range(5):
        person = brain(seed)
        outwards = person.position - person.center
        assert (np.linalg.norm(outwards, axis=1) < 0.9 * person.radius).all()
        c3 = outwards[person.names.index("C3 gyrus")]
        angle = np.degrees(np.arccos(c3 @ electrode_directions()["C3"] / np.linalg.norm(c3)))
        assert angle < 12


def test_a_source_under_c3_is_strongest_at_c3(person):
    field, info = _field(person, "eeg64")
    topography = np.abs((field - field.mean(0))[:, person.names.index("C3 gyrus")])
    strongest = [info["ch_names"][i] for i in np.argsort(-topography)[:4]]
    assert "C3" in strongest


@pytest.mark.parametrize(
    ("device", "low", "high"),
    [*((name, 4e-6, 40e-6) for name in EEG), ("mag102", 2e-13, 2e-12), ("axial100", 1e-13, 2e-12),
     ("planar102", 3e-12, 4e-11)],
)
def test_amplitudes_are_those_of_real_recordings(person, minute, device, low, high):
    raw = record(person, minute, device, 6).raw
    signal = _band(raw.get_data(), raw.info["sfreq"], 0.5, 40)
    typical = np.median((signal - signal.mean(0)).std(1))
    assert low < typical < high


def test_alpha_is_posterior_and_spectrum_falls():
    ratio, octaves = [], []
    for seed in range(4):
        person = brain([12, seed])
        raw = record(person, live(person, seed, 60), "eeg64", 6, noise=0.0).raw
        signal = raw.get_data()
        power, hz = mne.time_frequency.psd_array_welch(
            signal - signal.mean(0), raw.info["sfreq"], n_fft=500, verbose="error"
        )
        peak = np.abs(hz - person.generators[person.generator("alpha left")].peak_hz) < 1
        at = dict(zip(raw.ch_names, power[:, peak].mean(1), strict=True))
        posterior = np.mean([at[name] for name in ("O1", "Oz", "O2", "PO7", "PO8")])
        ratio.append(posterior / np.mean([at[name] for name in ("Fp1", "Fp2", "AF3", "AF4")]))
        octaves.append([power[:, (hz >= low) & (hz < 2 * low)].mean() for low in (1, 4, 16, 45)])
    assert np.median(ratio) > 2.5
    assert min(ratio) > 1
    assert (np.diff(octaves, axis=1) < 0).all()


def _lateralization(seed, reactivity):
    """log mu power over C3 minus C4 of right and of left trials, [trial] each."""
    person = brain([9, seed], reactivity)
    activity = live(person, [10, seed], 120, blinks_per_minute=0)
    raw = record(person, activity, "eeg19", [11, seed]).raw
    signal = raw.get_data() - raw.get_data().mean(0)
    mu = _band(signal[[raw.ch_names.index(name) for name in ("C3", "C4")]], 500.0, 8, 13)
    found = {"left": [], "right": []}
    for onset, label in zip(raw.annotations.onset, raw.annotations.description, strict=True):
        first = round((onset + 1) * 500)
        c3, c4 = np.log(mu[:, first : first + 1500].var(1))
        found[label].append(c3 - c4)
    return np.array(found["right"]), np.array(found["left"])


def test_imagined_movement_desynchronises_the_other_hemisphere():
    pairs = [_lateralization(seed, 1.0) for seed in range(8)]
    effect = [right.mean() - left.mean() for right, left in pairs]
    # A right hand lowers mu over C3, the left hemisphere.
    assert np.mean(effect) < -0.2
    assert np.mean(np.array(effect) < 0) >= 0.75
    # One threshold for everybody decodes people it never saw, but far from always.
    right = np.concatenate([right for right, _ in pairs])
    left = np.concatenate([left for _, left in pairs])
    accuracy = ((right < 0).mean() + (left >= 0).mean()) / 2
    assert 0.55 < accuracy < 0.9


def test_without_reactivity_labels_mean_nothing():
    effect = [np.subtract(*map(np.mean, _lateralization(seed, 0.0))) for seed in range(8)]
    assert abs(np.mean(effect)) < 3 * np.std(effect) / np.sqrt(8) + 0.05


def test_a_brain_looks_the_same_through_devices_of_other_rates(person, minute):
    seen = {name: record(person, minute, name, 7, noise=0.0).raw for name in ("eeg19", "eeg64")}
    at_c3 = {name: raw.get_data(picks=["C3"])[0] for name, raw in seen.items()}
    slower = resample(at_c3["eeg19"], len(at_c3["eeg64"]))
    assert np.corrcoef(slower, at_c3["eeg64"])[0, 1] > 0.99


def test_ceiling_rises_as_noise_falls(person, minute):
    found = []
    for noise in (3.0, 1.0, 0.3, 0.0):
        measured = record(person, minute, "mag102", 8, noise=noise)
        noisy = measured.raw.get_data().astype(np.float32)
        found.append(ceiling(noisy, measured.clean, 300.0, 2.0))
    assert found == sorted(found)
    assert 0.9 < found[1] < 0.98
    assert found[-1] == pytest.approx(1.0, abs=1e-5)


def test_ceiling_is_what_theory_says_for_white_signals():
    rng = np.random.default_rng(0)
    clean = rng.standard_normal((40, 5120))
    noisy = clean + 0.5 * rng.standard_normal((40, 5120))
    assert ceiling(noisy, clean, 256.0, 10.0) == pytest.approx(1 / np.sqrt(1.25), abs=0.01)
    with pytest.raises(ValueError, match="at least 7680 samples"):
        ceiling(noisy, clean, 256.0, 30.0)


def test_labels_are_balanced_and_trials_apart(person):
    for seed in range(5):
        trials = live(person, seed, 100).trials
        labels = [trial.label for trial in trials]
        assert labels.count("left") == labels.count("right") > 4
        gaps = np.diff([trial.onset_s for trial in trials]) - trials[0].duration_s
        assert gaps.min() >= 1.9
        assert trials[-1].onset_s + trials[-1].duration_s < 100


def test_archive_is_read_as_any_other(archive):
    people = pd.read_csv(archive / "participants.tsv", sep="\t")
    table = pd.read_csv(archive / "ceiling.tsv", sep="\t")
    assert list(people["participant_id"]) == ["sub-001", "sub-002"]
    assert set(table["device"]) == {"eeg64", "eeg19", "mag102"}
    assert table["ceiling_2s"].between(0.9, 0.98).all()
    for file, device in zip(table["file"], table["device"], strict=True):
        raw = mne.io.read_raw_fif(archive / file, verbose="error")
        assert set(raw.annotations.description) == {"left", "right"}
        assert raw.info["sfreq"] == DEVICES[device].sfreq
        sensors = Sensors.from_info(raw.info, range(len(raw.ch_names)))
        assert set(sensors.kinds) == {"mag" if device == "mag102" else "eeg"}
        # In head coordinates, around the head, as geometry expects it.
        radius = np.linalg.norm(sensors.geometry("head")[:, :3], axis=1)
        assert radius.min() > 0.6
        assert radius.max() < 1.6


def test_kinds_of_gradiometers():
    kinds = {}
    for device in ("axial100", "planar102"):
        info = DEVICES[device].make_info()
        kinds[device] = set(Sensors.from_info(info, range(len(info["ch_names"]))).kinds)
    assert kinds == {"axial100": {"axial_grad"}, "planar102": {"planar_grad"}}


def test_truth_explains_the_recording(archive):
    run = SimulateConfig(str(archive), **SMALL)
    take = takes(run)[0]
    truth = np.load(archive / "truth" / f"{take.name}.npz")
    _, activity, measured = take_of(run, take)
    # The right hand's rhythm through the saved coupling and lead field is part of the signal.
    generator = list(truth["generator"]).index("mu left")
    topography = truth["lead_field"] @ truth["coupling"][:, generator]
    assert truth["channel"][np.argmax(np.abs(topography - topography.mean()))] in ("C3", "CP3",
                                                                                   "C5", "C1")
    source = truth["coupling"] @ activity.generators
    predicted = truth["lead_field"] @ resample(source, measured.clean.shape[1], axis=1)
    assert np.corrcoef(predicted.ravel(), measured.clean.ravel())[0, 1] > 0.99


def _hashes(folder, pattern="*.fif"):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob(pattern))}


def test_same_seed_same_bytes_whatever_else_is_simulated(archive, tmp_path):
    alone = simulate(SimulateConfig(
        str(tmp_path / "alone"), subjects=1, first_subject=2, minutes=0.4, always=(),
        devices=("eeg19", "eeg64"), devices_per_subject=0,
    ))
    whole, one = _hashes(archive), _hashes(alone)
    assert len(one) == 2
    assert one.items() <= whole.items()
    other = simulate(SimulateConfig(
        str(tmp_path / "other"), subjects=1, first_subject=2, minutes=0.4, devices=("eeg19",),
        seed=1,
    ))
    assert not set(_hashes(other).values()) & set(whole.values())


def test_several_at_once_make_the_same_bytes(archive, tmp_path):
    run = SimulateConfig(str(tmp_path / "at_once"), **SMALL, jobs=3)
    folder = simulate(run)
    assert (artifacts.open_sealed(folder, "archive", hashes=True).files
            == artifacts.open_sealed(archive).files)
    assert simulate(replace(run, jobs=1)) == folder  # finished, whatever jobs are


def test_a_recording_that_fails_in_its_process_is_named(tmp_path):
    run = SimulateConfig(str(tmp_path / "archive"), **SMALL, jobs=2)
    first = takes(run)[0]
    blocked = tmp_path / "archive" / f"sub-{first.subject:03d}"
    (tmp_path / "archive" / "truth").mkdir(parents=True)
    blocked.write_text("")  # a file where a folder must be
    with pytest.raises(ValueError, match=rf"sub-{first.subject:03d}_\S+: .*Error"):
        simulate(run)
    blocked.unlink()
    simulate(run)


def stopped(monkeypatch, run: SimulateConfig) -> None:
    """Simulate, but for the seal."""
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "seal", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulate(run)


def test_interrupted_run_continues_and_finished_run_is_left_alone(
    archive, tmp_path, capsys, monkeypatch
):
    folder, run = tmp_path / "begun", SimulateConfig(str(tmp_path / "begun"), **SMALL)
    stopped(monkeypatch, run)
    assert _hashes(folder) == _hashes(archive)
    lost, damaged, *kept = sorted(folder.rglob("*_run-01_*.json"))
    lost.unlink()
    recording = damaged.with_suffix(".fif")
    content = bytearray(recording.read_bytes())
    content[len(content) // 2] ^= 1
    recording.write_bytes(content)
    before = [path.stat().st_mtime_ns for path in kept]
    simulate(run)
    artifacts.open_sealed(folder, "archive", hashes=True)
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert _hashes(folder) == _hashes(archive)
    fingerprints = {artifacts.open_sealed(each).fingerprint for each in (folder, archive)}
    assert len(fingerprints) == 1  # wherever it was made
    capsys.readouterr()
    simulate(run)
    assert "is finished" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"other settings \(noise: 1.0, wanted 2.0\)"):
        simulate(replace(run, noise=2.0))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"devices": ("eeg12",)}, "unknown device 'eeg12'; did you mean 'eeg32'"),
        ({"devices": ("fnirs",)}, "There are eeg19, eeg32"),
        ({"devices": ("eeg64",)}, r"twice are \['eeg64'\]"),
        ({"always": ("eeg64", "eeg64")}, r"twice are \['eeg64'\]"),
        ({"subjects": 0}, "^subjects must be at least 1, got 0$"),
        ({"devices": (), "always": ()}, "no device"),
        ({"minutes": 0.1}, "room for a trial"),
        ({"devices_per_subject": 9}, "devices_per_subject"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_bad_input_is_explained(tmp_path, fields, said):
    with pytest.raises(ValueError, match=said):
        simulate(SimulateConfig(str(tmp_path / "none"), **fields))
    assert not (tmp_path / "none").exists()


def test_bad_input_folder_of_something_else(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    for out, said in ((tmp_path / "thesis", "holds other things"),
                      (tmp_path / "thesis" / "chapter.tex", "wanted a folder")):
        with pytest.raises(ValueError, match=said):
            simulate(SimulateConfig(str(out), **SMALL))
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


def test_command(tmp_path, capsys):
    out = tmp_path / "made"
    words = ["--subjects", "1", "--minutes", "0.4", "--devices", "[eeg19]", "--always", "[]"]
    assert main(["--out", str(out), *words]) == 0
    assert "1 recordings of 1 subjects" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["--out", str(out), "--subjets", "3"])
    assert "subjects" in capsys.readouterr().err


def test_amplitudes_of_a_lobe_rise_together_where_asked_for():
    person = brain(4)
    apart, together = live(person, 7, 60), live(person, 7, 60, comodulation=0.8)
    assert np.array_equal(apart.generators, live(person, 7, 60, comodulation=0.0).generators)
    rows = [person.generator(f"alpha {side}") for side in ("left", "right")]

    def likeness(activity) -> float:
        size = np.abs(activity.generators[rows]).reshape(2, -1, 250).mean(axis=2)
        return np.corrcoef(np.log(size))[0, 1]

    assert likeness(together) > likeness(apart) + 0.2


def test_a_recording_in_memory_is_the_one_of_the_archive(archive):
    import neurofm

    path = next(archive.rglob("sub-*eeg19*_eeg.fif"), None) or next(archive.rglob("sub-*_eeg.fif"))
    stored = mne.io.read_raw_fif(path, verbose="error")
    settings = yaml.safe_load((archive / "run.yaml").read_text())
    device = path.name.split("_ses-")[1].split("_")[0]
    raw = neurofm.simulate_raw(
        device, subject=int(path.name[4:7]),
        **{name: settings[name] for name in ("minutes", "reactivity", "noise", "seed")})
    np.testing.assert_allclose(raw.get_data(), stored.get_data(), rtol=1e-5, atol=1e-12)
    assert raw.annotations.description.tolist() == stored.annotations.description.tolist()
