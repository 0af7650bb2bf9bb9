"""One file adds a reader or a step: a package of somebody else, found by its entry point."""

import json

import numpy as np
import pytest

from neurofm.data.corpus import Corpus
from neurofm.preprocessing import quality
from tests.support.toy_package import toy_package

READER = '''
    """Reads *.toy: a table whose first line is the rate, the second the electrodes."""
    import mne
    import numpy as np

    from neurofm.preprocessing.readers import ReadError, mne_raw

    KIND = "recording"


    def claims(path):
        return path.name.endswith(".toy")


    def read(path, options):
        with open(path) as file:
            sfreq, names = file.readline(), file.readline().split()
            signal = np.loadtxt(file).T
        if not float(sfreq) > 0:
            raise ReadError(path, f"wanted a rate above 0 Hz, got {sfreq.strip()}")
        raw = mne.io.RawArray(signal, mne.create_info(names, float(sfreq), "eeg"), verbose="ERROR")
        return mne_raw.convert(raw, options, str(path))
'''
STEP = '''
    """Clips what is louder than a limit."""
    import numpy as np

    from neurofm.preprocessing.steps import PerWindow, Step


    def apply(recording, contract, quality):
        limit = STEP.settings(contract)["limit_uv"] * 1e-6
        quality["clip"] = float((np.abs(recording.signal) > limit).mean())
        return recording.with_(signal=np.clip(recording.signal, -limit, limit))


    def words(contract):
        return [("Clipped", f"at {STEP.settings(contract)['limit_uv']:g} µV")]


    def remarks(quality):
        return [f"{quality['clip']:.1%} of the samples clipped"]


    STEP = Step("clip", apply, live=PerWindow(), words=words, remarks=remarks, after="reference",
                defaults={"limit_uv": 100.0})
    MUTE = Step("mute", apply, after="clip")
'''
STREAM = '''
    import sys

    from neurofm.data.contract import InputContract
    from neurofm.preprocessing import readers
    from neurofm.preprocessing.standardize import standardize
    from neurofm.preprocessing.streaming import CausalStandardizer

    live, contract = readers.read(sys.argv[1]), InputContract.load(sys.argv[2])
    if len(sys.argv) > 3:
        contract = contract.with_(steps={**contract.steps, sys.argv[3]: {}})
    got = CausalStandardizer(live, contract).push(live.signal)
    print(contract.in_words())
    print("loudest", max(abs(window.signal).max() for window in got),
          max(abs(window).max() for window in standardize(live, contract)))
'''
NAMES = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "O1", "O2")
SHAPING = ["--contract.window_s=2", "--contract.lowpass_hz=40", "--contract.scale=none",
           "--contract.highpass_hz=1", "--workers=1"]


@pytest.fixture
def toy(tmp_path):
    return toy_package(
        tmp_path / "site", "toy", {"reader": READER, "step": STEP, "stream": STREAM},
        {"neurofm.readers": {"toy_table": "reader"},
         "neurofm.steps": {"clip": "step:STEP", "mute": "step:MUTE"}})


@pytest.fixture
def files(tmp_path):
    """Three recordings of people, 20 µV of smooth noise."""
    folder = tmp_path / "files"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for person in range(3):
        signal = np.cumsum(rng.standard_normal((len(NAMES), 20 * 128)), axis=1)
        signal -= signal.mean(axis=1, keepdims=True)
        signal *= 20e-6 / signal.std()
        text = f"128\n{' '.join(NAMES)}\n" + "\n".join(
            " ".join(f"{value:.4e}" for value in row) for row in signal.T)
        (folder / f"p{person}.toy").write_text(text)
    return folder


def test_one_file_adds_a_reader(toy, files, tmp_path):
    done = toy.neurofm("ingest", files, f"--out={tmp_path / 'c'}", *SHAPING)
    assert done.returncode == 0, done.stdout + done.stderr
    corpus = Corpus.open(tmp_path / "c")
    assert len(corpus.recordings) == 3
    assert next(iter(corpus.layouts.values())).names == NAMES
    assert "toy_table" in toy.neurofm("ingest", "--help").stdout


def test_bad_input_in_somebody_elses_reader_is_listed_with_its_file(toy, files, tmp_path):
    path = files / "p1.toy"
    path.write_text(path.read_text().replace("128", "-1", 1))
    done = toy.neurofm("ingest", files, f"--out={tmp_path / 'c'}", *SHAPING)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "wanted a rate above 0 Hz" in (tmp_path / "c" / "failures.tsv").read_text()
    assert len(Corpus.open(tmp_path / "c").recordings) == 2


def test_one_file_adds_a_step(toy, files, tmp_path):
    out, step = tmp_path / "c", '--contract.steps={"clip": {"limit_uv": 5}}'
    done = toy.neurofm("ingest", files, f"--out={out}", *SHAPING, step)
    assert done.returncode == 0, done.stdout + done.stderr
    corpus = Corpus.open(out)
    assert np.abs(corpus.signal(0)).max() == pytest.approx(5e-6)
    kept = json.loads((out / "preprocessor_config.json").read_text())
    assert kept["steps"] == {"clip": {"limit_uv": 5}}
    page = (out / "quality.html").read_text()
    assert "at 5 µV" in page
    assert "of the samples clipped" in page
    assert "Installed: clip, mute" in " ".join(toy.neurofm("ingest", "--help").stdout.split())

    streamed = toy.python("-m", "toy.stream", files / "p0.toy", out)
    assert "- Clipped: at 5 µV" in streamed.stdout, streamed.stderr
    loudest = streamed.stdout.split("loudest ")[1].split()
    assert [float(value) for value in loudest] == pytest.approx([5e-6, 5e-6])

    mute = toy.python("-m", "toy.stream", files / "p0.toy", out, "mute")
    assert mute.returncode == 1
    assert "the step mute cannot: it does not say how it lives in a stream" in mute.stderr

    # Without the package: what it made can be read, and nothing is standardized without the step.
    assert ("Step clip", "limit_uv 5") in corpus.contract.described()
    assert quality.remarks(quality.from_text(corpus.recordings["quality"].iloc[0])) == []


def test_an_installed_step_changes_nothing_unless_asked_for(toy, files, tmp_path):
    done = toy.neurofm("ingest", files, f"--out={tmp_path / 'c'}", *SHAPING)
    assert done.returncode == 0, done.stderr
    corpus = Corpus.open(tmp_path / "c")
    assert all("clip" not in quality.from_text(text) for text in corpus.recordings["quality"])
    assert "steps" not in corpus.contract.to_dict()


@pytest.mark.parametrize(("given", "wanted"), [
    ('{"clip": {"limit": 5}}', "contract.steps.clip: no setting 'limit'; did you mean 'limit_uv'"),
    ('{"clap": {}}', "the step 'clap', which no installed package has (installed: clip, mute)"),
])
def test_bad_input_settings_of_a_step_are_checked_before_any_work(toy, files, tmp_path, given,
                                                                  wanted):
    done = toy.neurofm("ingest", files, f"--out={tmp_path / 'c'}", *SHAPING,
                       f"--contract.steps={given}")
    assert done.returncode != 0
    assert wanted in done.stderr
    assert "Traceback" not in done.stderr
