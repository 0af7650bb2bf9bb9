"""Sensors to parcels: sources are found, leakage is taken out, signs agree, heads are asked for."""

from dataclasses import replace

import mne
import nibabel
import numpy as np
import pytest

import neurofm
from neurofm import artifacts
from neurofm.data import contracts
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus, write_shard
from neurofm.data.parcel_rule import ParcelRule
from neurofm.data.shards import ShardReader
from neurofm.preprocessing import ingest, readers, training_statistics
from neurofm.preprocessing.simulation import Activity, brain, record
from neurofm.preprocessing.simulation.activity import SFREQ, shaped_noise
from neurofm.preprocessing.sources import parcellation, sign_alignment, template
from neurofm.preprocessing.standardize import ContractError, standardize
from neurofm.preprocessing.streaming import CausalStandardizer

RULE = ParcelRule(n_parcels=20, head="template", regularization=1.0)
CONTRACT = InputContract(sfreq=100.0, highpass_hz=1.0, lowpass_hz=40.0, notch_hz=(), window_s=10.0,
                         scale="recording_std", parcels=RULE)


def one_source(device: str, name: str = "O1", seed: int = 0, seconds: int = 40,
               moment_am: float = 25e-9):
    """(person, raw of a person in whom one dipole has a 10 Hz rhythm and all have some noise)."""
    person, rng = brain(seed), np.random.default_rng(seed)
    n_times = round(seconds * SFREQ)
    moment = 10e-9 * shaped_noise(rng, len(person.names), n_times, SFREQ, lambda hz: 1 / (1 + hz))
    row = person.names.index(name)
    moment[row] = moment_am * shaped_noise(
        rng, 1, n_times, SFREQ, lambda hz: np.exp(-0.5 * (hz - 10) ** 2))[0]
    activity = Activity(moment.astype(np.float32), moment[:1], ())
    return person, moment[row], record(person, activity, device, seed).raw


def joined(raw, contract) -> np.ndarray:
    return np.concatenate(list(standardize(raw, contract)), axis=1)


@pytest.mark.parametrize("method", ["lcmv", "minimum_norm"])
@pytest.mark.parametrize("device", ["mag102", "planar102", "eeg64"])
def test_a_source_is_found_where_it_is(device, method):
    person, moment, raw = one_source(device)
    rule = replace(RULE, method=method, orthogonalize=False)
    found = standardize(raw, CONTRACT.with_(parcels=rule))
    signal = np.concatenate(list(found), axis=1)
    truth = np.interp(np.arange(signal.shape[1]) / 100, np.arange(len(moment)) / SFREQ, moment)
    likeness = np.abs([np.corrcoef(row, truth)[0, 1] for row in signal])
    best = template.to_head(found.sensors.position)[likeness.argmax()]
    away = np.linalg.norm(best - person.position[person.names.index("O1")])
    assert away < 0.025  # 20 parcels are 5 cm apart
    assert likeness.max() > 0.6
    assert set(found.sensors.kinds) == {"roi"}


def test_parcels_share_nothing_without_delay_and_stay_what_they_are():
    _, _, raw = one_source("mag102")
    plain = joined(raw, CONTRACT.with_(parcels=replace(RULE, orthogonalize=False)))
    apart = joined(raw, CONTRACT)
    between = np.corrcoef(apart) - np.eye(20)
    assert np.abs(between).max() < 1e-4 < np.abs(np.corrcoef(plain) - np.eye(20)).max()
    likeness = np.abs(np.corrcoef(plain, apart)[:20, 20:])
    assert np.median(likeness.diagonal()) > 0.6
    assert (likeness.argmax(axis=1) == np.arange(20)).mean() > 0.9


def test_parcels_depend_on_where_sensors_are_and_not_on_their_order():
    _, _, raw = one_source("eeg64")
    order = np.random.default_rng(1).permutation(len(raw.ch_names))
    turned = raw.copy().reorder_channels([raw.ch_names[i] for i in order])
    one, two = joined(raw, CONTRACT), joined(turned, CONTRACT)
    assert np.allclose(np.abs(np.corrcoef(one, two)[:20, 20:]).diagonal(), 1, atol=1e-3)
    # Names without a template: those of the 10-10 system at other places are refused.
    moved = raw.copy().rename_channels({name: f"S{i:02}" for i, name in enumerate(raw.ch_names)})
    positions = {moved.ch_names[k]: moved.info["chs"][i]["loc"][:3] for i, k in enumerate(order)}
    moved.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"))
    assert not np.allclose(np.abs(np.corrcoef(one, joined(moved, CONTRACT))[:20, 20:]).diagonal(),
                           1, atol=0.1)


def test_a_channel_marked_bad_is_left_out():
    _, _, raw = one_source("mag102")
    raw._data[5] *= 50
    raw.info["bads"] = [raw.ch_names[5]]
    with_bad = joined(raw, CONTRACT)
    without = joined(raw.copy().drop_channels(raw.ch_names[5]), CONTRACT)
    assert np.allclose(with_bad, without, atol=1e-3)


def test_the_built_in_parcellation_is_symmetric_and_inside_the_skull():
    rule = parcellation.filled(ParcelRule(n_parcels=52))
    places = {name: np.array(points) for name, points in rule.points.items()}
    assert len(places) == 52
    for name, points in places.items():
        if name.startswith("L"):
            assert np.allclose(points * (-1, 1, 1), places["R" + name[1:]])
    everything = np.concatenate(list(places.values()))
    skull = template.inner_skull_mni() * 1000
    assert (everything > skull.min(axis=0)).all()
    assert (everything < skull.max(axis=0)).all()
    size = [len(points) for points in places.values()]
    assert max(size) < 2.5 * min(size)
    assert parcellation.filled(rule) is rule


def test_an_atlas_of_labels(data):
    rule = parcellation.filled(replace(RULE, atlas=str(data / "atlases/AAL2.nii.gz")))
    assert len(rule.points) >= 94
    assert rule.atlas == "AAL2.nii.gz"  # no path of this machine travels
    centers = parcellation.centers_m(rule)
    assert np.abs(centers).max() < 0.12
    # The first label is the left precentral gyrus.
    assert np.allclose(centers[0], (-0.039, -0.006, 0.051), atol=0.012)


def test_signs_of_sessions_come_to_agree():
    rng = np.random.default_rng(0)
    mixing = 0.6 * rng.standard_normal((8, 8)) / np.sqrt(8)

    def session(seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal((8, 4000))
        signal = np.zeros_like(noise)
        for t in range(1, 4000):
            signal[:, t] = mixing @ signal[:, t - 1] + noise[:, t]
        return signal

    signs = np.array([np.random.default_rng(100 + k).choice([-1, 1], 8) for k in range(6)])
    found = [sign_alignment.lagged([signs[k][:, None] * session(k)], (1, 2)) for k in range(6)]
    common = sign_alignment.template_of(found)
    right = np.array([signs[k] * sign_alignment.flips(found[k], common) for k in range(6)])
    right *= right[:, :1]  # all of a session may be turned at once
    assert (right == right[0]).mean() > 0.95
    assert (signs * signs[:, :1] == signs[0] * signs[0, 0]).mean() < 0.7  # there was work to do


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Three people in a helmet, one of them twice, the last one turned upside down in sign."""
    folder = tmp_path_factory.mktemp("archive")
    for subject, run in ((1, 1), (1, 2), (2, 1), (3, 1)):
        _, _, raw = one_source("mag102", seed=subject)
        raw.save(folder / f"sub-{subject}_run-{run}_raw.fif", verbose="ERROR")
    return folder


WORDS = ["--space", "parcels", "--parcels.n_parcels", "12", "--parcels.head", "template",
         "--contract.sfreq", "100", "--contract.highpass_hz", "1", "--contract.lowpass_hz", "40",
         "--contract.notch_hz", "[]", "--contract.window_s", "10", "--contract.scale",
         "recording_std", "--splits.test", '["3"]', "--workers", "1"]


@pytest.fixture(scope="module")
def corpus(archive, tmp_path_factory):
    out = tmp_path_factory.mktemp("parcels") / "corpus"
    assert ingest.main([str(archive), "--out", str(out), *WORDS]) == 0
    return out


def test_ingest_makes_parcels(corpus, archive, capsys):
    held = Corpus.open(corpus)
    assert set(held.layout(0).kinds) == {"roi"}
    assert held.contract.space == "parcels"
    assert len(held.contract.parcels.signs) == len(held.contract.parcels.lags)
    assert held.layout(0).has_position.all()
    assert ingest.main([str(archive), "--out", str(corpus), *WORDS]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_new_recording_gets_what_the_corpus_has(corpus, archive):
    """The contract alone brings a recording there, signs included."""
    held, contract = Corpus.open(corpus), contracts.load(corpus)
    windows = held.select(subject="3")
    raw = mne.io.read_raw_fif(archive / "sub-3_run-1_raw.fif", verbose="ERROR")
    found = neurofm.standardize(raw, contract).windows
    assert np.allclose(found, np.stack([held.signal(w) for w in windows]), atol=1e-3)


def test_two_sessions_of_one_person_have_the_same_signs(corpus):
    held = Corpus.open(corpus)
    lags = held.contract.parcels.lags
    one, two = (sign_alignment.lagged([held.signal(w) for w in held.select(subject="1", run=run)],
                                      lags) for run in ("1", "2"))
    assert (sign_alignment.flips(one, two) > 0).all()


def test_killed_between_turning_a_shard_and_noting_it(archive, tmp_path, monkeypatch):
    """Signs are turned in shards, and not noted: they are not what was written, and are made
    again."""
    out = tmp_path / "corpus"

    turned = []

    def as_killed(folder, tables, lags, note):
        for name in tables.recordings["recording"]:
            n = int((tables.windows["recording"] == len(turned)).sum())
            reader = ShardReader(folder / "windows", "float32")
            windows = [reader.read(f"{name}.arrow", k).reshape(12, -1).copy() for k in range(n)]
            for window in windows:
                window[3] *= -1
            write_shard(folder, name, windows)
            turned.append(name)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_statistics, "align", as_killed)
        with pytest.raises(KeyboardInterrupt):
            ingest.main([str(archive), "--out", str(out), *WORDS])
    assert len(turned) == 4
    assert ingest.main([str(archive), "--out", str(out), *WORDS]) == 0
    table = Corpus.open(out).recordings
    for name, noted in zip(table["recording"], table["sha256"], strict=True):
        assert artifacts.sha256(out / "windows" / f"{name}.arrow") == noted


def test_a_stream_is_scaled_by_its_past_and_makes_no_parcels(make_raw):
    raw = make_raw(19, seconds=40.0, sfreq=200.0)
    recording = readers.from_raw(raw)
    contract = CONTRACT.with_(parcels=None, window_s=5.0)
    with pytest.raises(ContractError, match="covariance of a whole recording"):
        CausalStandardizer(recording, CONTRACT)
    stream = CausalStandardizer(recording, contract)
    assert any("last 30 s" in said for said in stream.differences())
    windows = [window for at in range(0, recording.n_times, 500)
               for window in stream.push(recording.signal[:, at : at + 500])]
    assert len(windows) >= 6
    deviation = windows[-1].signal.std(axis=1)
    assert 0.5 < np.median(deviation) < 1.5


def test_what_is_missing_is_asked_for(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SUBJECTS_DIR", raising=False)
    out = tmp_path / "corpus"
    words = [word for word in WORDS if word not in ("--parcels.head", "template")]
    assert ingest.main([str(archive), "--out", str(out), *words]) == 3
    said = capsys.readouterr().out
    assert "SUBJECTS_DIR" in said
    assert "--parcels.head template" in said
    monkeypatch.setenv("SUBJECTS_DIR", str(tmp_path))
    (tmp_path / "sub-1").mkdir()
    raw = readers.read(archive / "sub-1_run-1_raw.fif").with_(subject="1")
    with pytest.raises(ContractError, match="no coregistration"):
        standardize(raw, CONTRACT.with_(parcels=replace(RULE, head="individual")))


def test_more_parcels_than_signals_are_refused(make_raw):
    raw = make_raw(19)
    with pytest.raises(ContractError, match="independent signals"):
        standardize(raw, CONTRACT)
    assert standardize(raw, CONTRACT.with_(parcels=replace(RULE, n_parcels=12)))
    assert standardize(raw, CONTRACT.with_(parcels=replace(RULE, orthogonalize=False)))


@pytest.mark.parametrize(("make", "match"), [
    (lambda: ParcelRule(n_parcels=7), "even number"),
    (lambda: ParcelRule(lags=()), "lags"),
    (lambda: InputContract(kinds=("roi",), parcels=RULE), "leave one of them out"),
    (lambda: parcellation.filled(ParcelRule(atlas="/nowhere.nii.gz")), "there is no file"),
])
def test_rules_that_cannot_be(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_meg_without_a_place_of_the_head_has_no_parcels(data):
    recording = readers.read(data / "meg_readers/141027_cropped_90Hz_raw.fif",
                             unknown_head="helmet")
    with pytest.raises(ContractError, match="where the sensors are over the head"):
        standardize(recording, InputContract(sfreq=90.0, highpass_hz=1.0, lowpass_hz=30.0,
                                             notch_hz=(), window_s=1.0, parcels=RULE))


def test_a_real_recording_of_three_kinds_of_sensors(data):
    recording = readers.read(data / "meg_readers/sample_audvis_trunc_raw_sss.fif")
    contract = CONTRACT.with_(window_s=1.0, kinds=("mag", "planar_grad"))
    found = np.concatenate(list(standardize(recording, contract)), axis=1)
    assert found.shape[0] == 20
    assert np.isfinite(found).all()
    assert np.abs(np.corrcoef(found) - np.eye(20)).max() < 0.05  # windows overlap at the end


def test_the_head_of_ones_own(archive, tmp_path, monkeypatch):
    """FreeSurfer's folder of a person who has the template's head: parcels are as from it."""
    subject = tmp_path / "sub-1"
    (subject / "bem").mkdir(parents=True)
    (subject / "mri/transforms").mkdir(parents=True)
    folder = template._file("head").parent
    skull = mne.read_bem_surfaces(folder / "fsaverage-inner_skull-bem.fif", verbose="ERROR")[0]
    mne.write_surface(subject / "bem/inner_skull.surf", skull["rr"] * 1000, skull["tris"],
                      verbose="ERROR")
    (subject / "mri/transforms/talairach.xfm").write_text(
        "MNI Transform File\n\nTransform_Type = Linear;\nLinear_Transform =\n"
        "1 0 0 0\n0 1 0 0\n0 0 1 0;\n")
    conformed = np.array([[-1, 0, 0, 128], [0, 0, 1, -128], [0, -1, 0, 128], [0, 0, 0, 1.0]])
    nibabel.freesurfer.MGHImage(np.zeros((256, 256, 256), np.uint8), conformed).to_filename(
        subject / "mri/orig.mgz")
    mne.write_trans(subject / "sub-1-trans.fif",
                    mne.transforms.Transform("head", "mri", template.head_to_305()))
    monkeypatch.setenv("SUBJECTS_DIR", str(tmp_path))
    recording = readers.read(archive / "sub-1_run-1_raw.fif").with_(subject="1")
    rule = replace(RULE, orthogonalize=False)
    own = joined(recording, CONTRACT.with_(parcels=replace(rule, head="individual")))
    general = joined(recording, CONTRACT.with_(parcels=rule))
    likeness = np.abs(np.corrcoef(own, general)[:20, 20:]).diagonal()
    assert np.median(likeness) > 0.7


def test_parcels_that_came_as_such(data, tmp_path):
    """HDF5 with a dataset a parcel, NPY, and FIF with misc channels: the same signals."""
    table = readers.ArrayTable(sfreq=600.0, kind="roi", unit="1")
    of_h5 = readers.read(data / "meg_parcels/DK_timecourse_20_test.h5", arrays=table)
    assert of_h5.n_channels == 34
    assert of_h5.sensors.names[3] == "cuneus"
    assert of_h5.duration_s == 60
    np.save(tmp_path / "one.npy", of_h5.signal.T)
    names = of_h5.sensors.names
    of_npy = readers.read(tmp_path / "one.npy", arrays=replace(table, names=names))
    info = mne.create_info(list(names), 600, "misc")
    mne.io.RawArray(of_h5.signal, info, verbose="ERROR").save(tmp_path / "one_raw.fif")
    of_fif = readers.read(tmp_path / "one_raw.fif")
    for other in (of_npy, of_fif):
        assert other.sensors.names == names
        assert set(other.sensors.kinds) == {"roi"}
        assert np.allclose(other.signal, of_h5.signal)
    with pytest.raises(ContractError, match="34 roi"):
        standardize(of_fif, InputContract())


def test_scale_over_the_recording_keeps_what_is_loud(make_raw):
    raw = make_raw(19, seconds=40.0, sfreq=200.0)
    raw._data[:, 4000:] *= 3
    contract = CONTRACT.with_(parcels=None, window_s=5.0)
    windows = standardize(raw, contract).windows
    assert np.allclose(np.concatenate(list(windows), axis=1).std(axis=1), 1, atol=1e-3)
    loud, soft = windows[-1].std(axis=1), windows[0].std(axis=1)
    assert np.median(loud / soft) == pytest.approx(3, rel=0.25)
