"""A third kind of signal is one file in anybody's package: no file of neurofm knows it."""

import pytest

from tests.support.toy_package import ToyPackage, toy_package

OPTICAL = '''
    """Light that comes back from the cortex, at one rate, kept as a percentage."""

    from dataclasses import dataclass
    from typing import Literal

    import numpy as np

    from neurofm.data.base_contract import Contract
    from neurofm.data.contract_words import windows
    from neurofm.preprocessing.standardize import Standardized, by_kind


    @dataclass(frozen=True)
    class OpticalContract(Contract):
        sfreq: float = 16.0
        window_s: float = 2.0
        stride_s: float | None = None
        corpus: str = ""
        contract_version: int = 1
        modality: Literal["optical"] = "optical"

        kinds = ("eeg",)
        geometry, positions, scale = "head", "required", "none"
        highpass_hz = lowpass_hz = None
        name = "light"

        @property
        def window_samples(self):
            return round(self.sfreq * self.window_s)

        def read(self, signal, names):
            return signal / 100

        def described(self):
            return [("Signals", "light"), ("Windows", windows(self.window_s, self.stride_s))]

        def how_to_ingest(self, path, sfreq, window_s):
            return "measure it again"


    @by_kind.register
    def _of_light(contract: OpticalContract, recording, onsets_s):
        start = np.arange(0, recording.n_times - contract.window_samples + 1,
                          contract.window_samples)
        return Standardized(recording.signal, recording.sensors, contract, start,
                            np.arange(len(start)))
'''
SCRIPT = '''
import sys
from pathlib import Path

import numpy as np

from neurofm.data.corpus import Corpus
from neurofm.data.recording import Recording
from neurofm.downstream.decoder.embedding import of_recording
from neurofm.downstream.estimators.epochs import batches, contract_for
from neurofm.nn import example
from neurofm.preprocessing import quality_page
from neurofm.preprocessing.standardize import standardize
from neurofm.preprocessing.training_statistics import completed
from tests.support.planted import cap, make_corpus
from toy_light.optical import OpticalContract

folder = make_corpus(Path(sys.argv[1]), contract=OpticalContract(sfreq=64.0))
corpus = Corpus.open(folder)
assert type(corpus.contract) is OpticalContract and corpus.t_r(np.arange(3)) is None
assert np.allclose(corpus.signal(0) * 100, corpus._read(0).reshape(16, -1))
assert corpus.batch(np.arange(4)).signal.shape == (4, 16, 128)
assert completed(corpus.contract, None, None) is corpus.contract
assert example.windows(corpus.contract).signal.shape[2] == 128
recordings = corpus.recordings.assign(quality='{"bads": {}, "amplitude": {}, "line_noise": {}, '
                                              '"windows_left_out": {}, "interpolated": [], '
                                              '"without_position": [], "left_out": [], '
                                              '"band_missing_hz": [], "nan_share": 0.0, '
                                              '"lost_s": 0.0, "line_left_hz": null, '
                                              '"highpass_hz": null, "sfreq_original": 64.0}')
object.__setattr__(corpus, "recordings", recordings)
quality_page.write(folder, corpus, {}, corpus.contract)
page = (folder / "quality.html").read_text()
assert "light" in page and "frequency (Hz)" in page
raw = Recording(np.ones((16, 300), np.float32), 64.0, cap(16))
(batch,) = of_recording(standardize(raw, corpus.contract), 8)
assert batch.signal.shape == (2, 16, 128)
cut = [raw.pick(slice(None)).with_(signal=raw.signal[:, :128])] * 3
assert [len(each.signal) for each in batches(cut, contract_for(cut, corpus.contract), 2)] == [2, 1]
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> ToyPackage:
    return toy_package(tmp_path_factory.mktemp("packages"), "toy_light", {"optical": OPTICAL},
                       {"neurofm.contracts": {"optical": "optical:OpticalContract"}})


@pytest.fixture(scope="module")
def corpus(toy, tmp_path_factory):
    out = tmp_path_factory.mktemp("light") / "corpus"
    done = toy.python("-c", SCRIPT, out)
    assert done.returncode == 0, done.stderr
    return out


def test_one_file_kind_of_signal_is_judged(toy, corpus, tmp_path):
    words = ["evaluate", "decoding", f"--data={corpus}", "--seeds=1", "--tuning=1"]
    done = toy.neurofm(*words, f"--out={tmp_path / 'out'}", "--methods=[band_power_lr, csp_lda]")
    assert done.returncode == 0, done.stderr
    assert "light" in (tmp_path / "out" / "report.html").read_text()
    refused = toy.neurofm(*words, f"--out={tmp_path / 'no'}", "--methods=[fc_lr]")
    assert "does not read light; these do: band_power_lr" in " ".join(refused.stderr.split())


def test_one_file_kind_of_signal_is_not_taken_for_another(toy, corpus, planted, tmp_path):
    done = toy.neurofm("evaluate", "decoding", f"--data={corpus}", f"--out={tmp_path / 'out'}",
                       f"--model={planted.backbone}", "--methods=[frozen]")
    assert done.returncode == 1
    assert "takes EEG or MEG, but" in done.stderr
    assert "holds optical" in " ".join(done.stderr.split())
