"""Sensors without a known place: left out, or kept and said to be without."""

import json

import numpy as np
import pytest

from neurofm.data.contract import InputContract
from neurofm.preprocessing.readers import from_raw, read
from neurofm.preprocessing.standardize import ContractError, standardize

CONTRACT = InputContract(sfreq=100.0, lowpass_hz=40.0, window_s=4.0)
OPTIONAL = CONTRACT.with_(positions="optional")


def _renamed(raw, n: int):
    """The first `n` channels have names that no montage knows."""
    return raw.rename_channels({name: f"x{i}" for i, name in enumerate(raw.ch_names[:n])})


def test_they_are_kept_without_a_place_and_listed(make_raw):
    recording = from_raw(_renamed(make_raw(19), 3))
    done = standardize(recording, OPTIONAL)
    assert done.quality["without_position"] == ["x0", "x1", "x2"]
    assert done.sensors.names == recording.sensors.names
    assert np.isnan(done.sensors.position[:3]).all()
    assert done.sensors.has_position[3:].all()
    # The signal is what it would be with places.
    assert np.array_equal(done.windows, standardize(from_raw(make_raw(19)), CONTRACT).windows)


def test_the_origin_is_no_place(make_raw):
    recording = from_raw(make_raw(19))
    position = recording.sensors.position.copy()
    position[4] = 0
    sensors = type(recording.sensors)(recording.sensors.names, recording.sensors.kind, position,
                                      recording.sensors.orientation)
    done = standardize(recording.with_(sensors=sensors), OPTIONAL)
    assert np.isnan(done.sensors.position[4]).all()
    assert done.quality["without_position"] == [recording.sensors.names[4]]


def test_where_all_have_a_place_nothing_is_different(make_raw):
    one, other = (standardize(from_raw(make_raw(19)), each) for each in (CONTRACT, OPTIONAL))
    assert one.sensors.fingerprint == other.sensors.fingerprint
    assert np.array_equal(one.windows, other.windows)
    assert other.quality["without_position"] == []


def test_what_has_no_place_is_neither_interpolated_nor_interpolated_from(make_raw):
    recording = from_raw(_renamed(make_raw(32), 3))
    signal = recording.signal.copy()
    signal[1] = signal[7] = 0
    done = standardize(recording.with_(signal=signal), OPTIONAL)
    assert done.quality["interpolated"] == [recording.sensors.names[7]]
    assert done.quality["left_out"] == ["x1"]
    assert np.isfinite(done.windows).all()
    # As if the unplaced channels were not there: a spline reads places.
    rest = [row for row in range(32) if row > 2]
    alone = standardize(recording.with_(signal=signal).pick(rest),
                        CONTRACT.with_(scale="none", reference="none"))
    whole = standardize(recording.with_(signal=signal), OPTIONAL.with_(scale="none",
                                                                       reference="none"))
    mended = [done.sensors.names.index(recording.sensors.names[7]) for done in (alone, whole)]
    assert np.array_equal(alone.windows[:, mended[0]], whole.windows[:, mended[1]])


def test_meg_whose_head_is_nowhere(data):
    recording = read(data / "meg_readers/141027_cropped_90Hz_raw.fif")
    done = standardize(recording, InputContract(
        sfreq=90.0, lowpass_hz=40.0, window_s=0.5, notch_hz=(), positions="optional"))
    assert np.isnan(done.sensors.position).all()
    assert set(done.sensors.kinds) == {"planar_grad", "mag"}


def test_required_says_what_else_can_be_done(make_raw):
    with pytest.raises(ContractError, match=r"contract\.positions: optional"):
        standardize(from_raw(_renamed(make_raw(19), 19)), CONTRACT)


@pytest.fixture
def folder(tmp_path, make_raw):
    """Two recordings as plain arrays: ten channels nobody can place."""
    for i in range(2):
        (tmp_path / "lab").mkdir(exist_ok=True)
        np.save(tmp_path / "lab" / f"p{i}.npy", make_raw(10, 12, seed=i).get_data())
    return tmp_path / "lab"


ARRAYS = ("--arrays.sfreq", "200", "--arrays.unit", "V", "--arrays.axes", "channel,time")


def test_ingest_says_it_on_screen_in_the_page_and_in_the_corpus(folder, ingest, quick):
    outcome = ingest(folder, *ARRAYS, *quick, "--contract.positions", "optional")
    assert outcome.status == 0
    assert "10 eeg, 10 of them without a place (2 recordings)" in outcome.text
    assert "note        1 of 1 layouts have sensors without a known place" in outcome.text
    page = (outcome.out / "quality.html").read_text()
    assert "10 eeg, 10 of them without a place" in page
    assert "networks refuse them" in page
    assert "no position: eeg001, eeg002" in page
    corpus = outcome.corpus
    assert corpus.contract.positions == "optional"
    (layout,) = corpus.layouts.values()
    assert np.isnan(layout.position).all()
    assert layout.fingerprint in corpus.layouts  # the same after it was written and read
    assert len(json.loads(corpus.recordings["quality"][0])["without_position"]) == 10
    text = (outcome.out / "layouts.json").read_text()
    assert "NaN" not in text  # which is no JSON
    assert "0.0, 0.0, 0.0]" not in text.partition("orientation")[0]


def test_settings_of_an_older_ingest_count_as_the_defaults_of_what_came_later(
    folder, tmp_path, make_raw, save, ingest, quick
):
    lab = tmp_path / "caps"
    save(make_raw(seconds=12), lab / "a_raw.fif")
    first = ingest(lab, *quick)
    path = first.out / ".ingest" / "settings.json"
    settings = json.loads(path.read_text())
    for name in ("labels", "label_variable"):
        settings["arrays"].pop(name)
    settings.pop("metadata")
    settings.pop("checksum")  # nor was there one
    path.write_text(json.dumps(settings))
    assert "positions" not in settings["contract"]
    assert "nothing to do" in ingest(lab, *quick).text
    for words, said in ((["--metadata", "answer"], "metadata:  there, answer now"),
                        (["--contract.positions", "optional"],
                         "contract.positions: None there, optional now")):
        with pytest.raises(ValueError, match="made with other settings") as caught:
            ingest(lab, *quick, *words)
        assert said in str(caught.value)
