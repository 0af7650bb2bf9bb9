"""fMRI through the evaluation that exists: connectivity as baseline, people and sites held out."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from downstream import baselines
from downstream.evaluate import main as evaluate
from downstream.evaluation import methods
from downstream.features import check_contract
from neurofm.data import corpus as corpora
from neurofm.data.corpus import Corpus
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.sensors import Sensors

N = 8


def regions() -> Sensors:
    places = np.random.default_rng(0).uniform(-0.06, 0.06, (N, 3))
    return Sensors(tuple(f"R{i}" for i in range(N)), np.full(N, 4), places, np.zeros((N, 3)))


def scans(rng, label: str, n_volumes: int) -> np.ndarray:
    """Two networks; in "patient" the first two regions have left theirs."""
    waves = rng.standard_normal((2, n_volumes))
    network = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    if label == "patient":
        network = np.array([1, 1, 0, 0, 1, 1, 1, 1])
    signal = waves[network] + rng.standard_normal((N, n_volumes))
    return (signal / signal.std(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Thirty people of two sites with repetition times of their own; some volumes are missing."""
    folder = tmp_path_factory.mktemp("fmri") / "corpus"
    rng, layout = np.random.default_rng(0), regions()
    recordings, windows = [], []
    for person in range(30):
        label, site = ("patient", "control")[person % 2], ("A", "B")[person % 3 == 0]
        sfreq = {"A": 0.5, "B": 1 / 3}[site]
        signal = scans(rng, label, 120 if site == "A" else 80)
        signal[:, 5] = np.nan
        name = f"p{person}"
        digest = corpora.write_shard(folder, name, [signal])
        recordings.append({
            "recording": name, "dataset": "simulated", "subject": name, "session": None,
            "task": None, "run": None, "split": "train", "layout": layout.fingerprint,
            "n_channels": N, "n_windows": 1, "duration_s": signal.shape[1] / sfreq,
            "sfreq_original": sfreq, "bads": "", "quality": "{}",
            "attributes": {"site": site, "age": str(20 + person)}, "source": name,
            "sha256": digest})
        windows.append({"recording": person, "row": 0, "start_s": 0.0, "label": label})
    corpora.seal(folder, FMRIContract(), pd.DataFrame(recordings), pd.DataFrame(windows),
                 {layout.fingerprint: layout}, pd.DataFrame(columns=["source", "reason"]), {})
    return Corpus.open(folder)


WORDS = ["--task=diagnosis", "--classes=[patient,control]", "--seeds=1", "--tuning=2"]


@pytest.mark.parametrize("words", [
    ["--protocol.kind=kfold", "--protocol.folds=3"],
    ["--protocol.kind=across", "--protocol.column=site"],
])
def test_connectivity_tells_patients_of_other_people_and_sites(corpus, tmp_path, words):
    out = tmp_path / "out"
    assert evaluate([f"--corpus={corpus.folder}", f"--out={out}", *WORDS, *words]) == 0
    table = pd.read_csv(out / "table.tsv", sep="\t").set_index("method")
    assert {"fc_lr", "fc_tangent_lr"} <= set(table.index)  # all that fit are the default
    assert table.loc["fc_lr", "balanced_accuracy"] > 0.85
    assert table.loc["fc_tangent_lr", "balanced_accuracy"] > 0.85
    assert (table["subjects"] == 30).all()
    page = (out / "report.html").read_text()
    assert "own repetition time" in page
    predictions = pd.read_parquet(out / "predictions.parquet")
    each = predictions[predictions["method"] == "fc_lr"]
    assert each["subject"].is_unique


def test_connectivity_is_correlation_of_what_was_measured(corpus):
    cls = baselines.find("fc_lr")
    x = np.empty(3, dtype=object)
    for row in range(3):
        signal = corpus.signal(row)
        x[row] = signal[:, np.isfinite(signal).all(axis=0)]
    found = cls(0, c=1.0).features(x, np.arange(3), training=True)
    assert found.shape == (3, N * (N - 1) // 2)
    wanted = np.stack([np.corrcoef(scan)[np.tril_indices(N, -1)] for scan in x])
    assert np.corrcoef(np.tanh(found).ravel(), wanted.ravel())[0, 1] > 0.99
    x[1] = corpus.signal(1)
    with pytest.raises(ValueError, match="NaN"):
        cls(0, c=1.0).fit(x, np.array([0, 1, 0]), np.arange(3))


def test_bad_input_methods_of_the_other_modality(corpus, planted):
    for names, fmri, message in ((["csp_lda"], True, "does not read fMRI; these do: pattern_lr"),
                                 (["fc_lr"], False, "does not read EEG or MEG")):
        with pytest.raises(ValueError, match=message):
            methods.check(names, [""], number=False, fmri=fmri)
    from neurofm import hub

    with pytest.raises(ValueError, match="holds fmri"):
        check_contract(hub.load(planted.backbone), "model", corpus)


def test_age_from_connectivity_is_a_number(corpus, tmp_path):
    """Nothing is planted there, so nothing is found: but every method answers."""
    aged = dataclasses.replace(corpus, windows=corpus.windows.assign(
        label=[attributes["age"] for attributes in corpus.recordings["attributes"]]))
    folder = tmp_path / "aged"
    for row in range(30):
        corpora.write_shard(folder, f"p{row}", [corpus.signal(row)])
    corpora.seal(folder, FMRIContract(), aged.recordings, aged.windows, aged.layouts,
                 pd.DataFrame(columns=["source", "reason"]), {})
    out = tmp_path / "out"
    assert evaluate([f"--corpus={folder}", f"--out={out}", "--task=age", "--seeds=1",
                     "--tuning=1", "--protocol.kind=kfold", "--protocol.folds=3"]) == 0
    table = pd.read_csv(out / "table.tsv", sep="\t")
    assert {"fc_ridge", "fc_tangent_ridge"} <= set(table["method"])
    assert np.isfinite(table["mae"]).all()
