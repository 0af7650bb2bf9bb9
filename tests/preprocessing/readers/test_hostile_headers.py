"""Fields of headers that cannot be: each is named, in words of ours."""

import warnings

import numpy as np
import pytest

from neurofm import cli
from neurofm.data.contract import InputContract
from neurofm.preprocessing import readers
from neurofm.preprocessing.readers import ReadError
from neurofm.preprocessing.standardize import standardize
from neurofm.preprocessing.steps.refusal import ContractError
from tests.support.torture.signals import NAMES, brainvision, edf, microvolts

SHORT = microvolts()[:, :400]


def patched(path, at, text, width=8):
    content = bytearray(path.read_bytes())
    content[at:at + width] = text.encode().ljust(width)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("at", "text", "words"), [
    (236, "-5", "number of data records is -5, wanted -1"),
    (236, "two", "number of data records is 'two'"),
    (184, "0", f"number of bytes of the header is 0, wanted {256 * (len(NAMES) + 1)}"),
    (244, "1 s", "duration of a data record is '1 s'"),
    (256 + 216 * len(NAMES), "-200", "samples a record of signal 1 are -200"),
    (256 + 216 * len(NAMES) + 8, "many", "samples a record of signal 2 is 'many'"),
])
def test_hostile_field_of_an_edf_is_named(tmp_path, at, text, words):
    with pytest.raises(ReadError, match=words):
        readers.read(patched(edf(tmp_path / "a.edf", SHORT), at, text))


@pytest.mark.parametrize(("text", "words"), [
    ("0", "number of signals is 0"), ("-3", "number of signals is -3"),
    ("abc", "number of signals is 'abc'"), ("9999", "number of signals is 9999")])
def test_hostile_number_of_signals(tmp_path, text, words):
    with pytest.raises(ReadError, match=words):
        readers.read(patched(edf(tmp_path / "a.edf", SHORT), 252, text, 4))


def test_an_edf_of_unknown_length_is_read(tmp_path):
    assert readers.read(edf(tmp_path / "a.edf", SHORT, n_records="-1")).n_times == 400


@pytest.mark.parametrize(("key", "value"), [
    ("NumberOfChannels", "-3"), ("NumberOfChannels", "nan"), ("SamplingInterval", "-5000"),
    ("SamplingInterval", "inf")])
def test_hostile_field_of_a_vhdr_is_named(tmp_path, key, value):
    path = brainvision(tmp_path / "a.vhdr", SHORT)
    lines = [f"{key}={value}" if line.startswith(f"{key}=") else line
             for line in path.read_text().split("\n")]
    path.write_text("\n".join(lines))
    with pytest.raises(ReadError, match=f"wanted {key} > 0 in the header, got '{value}'"):
        readers.read(path)


@pytest.mark.parametrize("resolution", ["NaN", "-1", "inf", "abc"])
def test_hostile_resolution_of_a_vhdr_is_named(tmp_path, resolution):
    path = brainvision(tmp_path / "a.vhdr", SHORT)
    path.write_text(path.read_text().replace("Ch2=F4,,1,", f"Ch2=F4,,{resolution},"))
    with pytest.raises(ReadError, match=f"resolution > 0 of Ch2 in the header, got '{resolution}"):
        readers.read(path)


def test_no_advice_for_callers_in_python(tmp_path):
    path = brainvision(tmp_path / "a.vhdr", SHORT)
    path.write_text(path.read_text().replace("Ch1=F3,,1,µV", "Ch9=F3,,1,µV"))
    with pytest.raises(ReadError) as caught:
        readers.read(path)
    assert "overrides=" not in str(caught.value)


def test_hostile_integers_read_as_floating_point_are_no_signal(tmp_path):
    """Their values reach 1e38: filters would overflow, with a warning of numpy's."""
    path = brainvision(tmp_path / "a.vhdr", SHORT)
    rng = np.random.default_rng(0)
    path.with_suffix(".eeg").write_bytes(
        rng.integers(-2**15, 2**15, (len(NAMES), 800), dtype="<i2").tobytes())
    recording = readers.read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ContractError, match="NaN or infinite or beyond any measurement"):
            standardize(recording, InputContract(sfreq=100.0, highpass_hz=2.0, lowpass_hz=40.0,
                                                 window_s=0.5))


def test_a_backslash_in_double_quotes_is_said(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["ingest", str(tmp_path), "--files", r'[{pattern: "\d"}]', "--out", "c"])
    assert "put the text in single quotes" in capsys.readouterr().err
