"""InputContract: what travels with every checkpoint."""

import json

import pytest

from neurofm.data.contract import InputContract


def test_round_trip_keeps_every_field(tmp_path):
    contract = InputContract(sfreq=200.0, lowpass_hz=None, notch_hz=(60.0,), kinds=("mag",),
                             stride_s=1.5, corpus="abc")
    contract.save(tmp_path)
    assert InputContract.load(tmp_path) == contract


def test_fingerprint_is_of_the_signal_not_of_the_corpus():
    contract = InputContract()
    assert contract.with_(corpus="abc").fingerprint == contract.fingerprint
    assert contract.with_(lowpass_hz=40.0).fingerprint != contract.fingerprint


def test_samples():
    contract = InputContract(sfreq=256.0, window_s=10.0)
    assert (contract.window_samples, contract.stride_samples) == (2560, 2560)
    assert contract.with_(stride_s=2.5).stride_samples == 640


def test_differences_name_field_and_both_values():
    ours = InputContract()
    assert ours.differences(ours.with_(window_s=2.0, corpus="x", max_bad=0.5)) == []
    assert ours.differences(ours.with_(reference="none")) == ["reference: average, none"]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"kinds": ("eg",)}, "must be some of"), ({"kinds": ()}, "must be some of"),
        ({"sfreq": 0.0}, "must be above 0"), ({"window_s": -1.0}, "must be above 0"),
        ({"stride_s": 11.0}, "drop signal in silence"), ({"lowpass_hz": 128.0}, "below half"),
        ({"highpass_hz": 97.0}, "must be below"), ({"notch_hz": (0.0,)}, "above 0"),
        ({"highpass_hz": -1.0}, "must be above 0, got -1.0; null for none"),
    ],
)
def test_bad_input_is_refused_where_it_is_written(fields, match):
    with pytest.raises(ValueError, match=match):
        InputContract(**fields)


def test_bad_input_of_files(tmp_path):
    with pytest.raises(ValueError, match=r"no preprocessor_config\.json"):
        InputContract.load(tmp_path)
    path = InputContract().save(tmp_path)
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "lowpas_hz": 3}))
    with pytest.raises(ValueError, match="did you mean 'lowpass_hz'"):
        InputContract.load(tmp_path)
    path.write_text(json.dumps({**fields, "contract_version": 9}))
    with pytest.raises(ValueError, match="newer neurofm"):
        InputContract.load(tmp_path)


def test_places_that_are_required_leave_no_trace(tmp_path):
    """Corpora and checkpoints of before there was a choice keep their fingerprints."""
    contract = InputContract()
    assert contract.fingerprint == "d5aec821687cb602"
    path = contract.save(tmp_path)
    assert "positions" not in json.loads(path.read_text())
    assert InputContract.load(tmp_path).positions == "required"
    optional = contract.with_(positions="optional")
    assert optional.fingerprint != contract.fingerprint
    optional.save(tmp_path)
    assert InputContract.load(tmp_path) == optional
    # Signals are alike; which sensors have no place is asked of the corpus.
    assert contract.differences(optional) == optional.differences(contract) == []
