"""fMRI through the evaluation that exists: connectivity as baseline, people and sites held out."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import neurofm
from neurofm import checkpoints
from neurofm.checkpoints import store
from neurofm.checkpoints.contracts import check_contract
from neurofm.data import corpus as corpora
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.sensors import Sensors
from neurofm.downstream import baselines
from neurofm.downstream.benchmarks.decoding import methods
from neurofm.downstream.benchmarks.decoding.question import main as evaluate
from neurofm.downstream.benchmarks.hidden_regions.question import main as fill_in
from neurofm.downstream.finetune import main as finetune
from neurofm.downstream.scoring import brain_figures, covariates
from neurofm.models.brainmae import BrainMAE, BrainMAEConfig
from neurofm.models.protocol import RegionModel
from neurofm.pretrain.train import main as pretrain
from neurofm.results import Results
from tests.support import flagged

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
            "sfreq_original": sfreq, "bads": "",
            "quality": json.dumps({"region_std": [1.0 + (label == "patient")] * N}),
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
    assert evaluate([f"--data={corpus.folder}", f"--out={out}", *WORDS, *words]) == 0
    table = pd.read_csv(out / "table.tsv", sep="\t").set_index("method")
    assert {"fc_lr", "fc_tangent_lr"} <= set(table.index)  # all that fit are the default
    assert table.loc["fc_lr", "balanced_accuracy"] > 0.85
    assert table.loc["fc_tangent_lr", "balanced_accuracy"] > 0.85
    assert table.loc["roi_variance_lr", "balanced_accuracy"] > 0.95  # patients vary twice as much
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
    for names, contract, message in (
        (["csp_lda"], FMRIContract(), "does not read fMRI; these do: pattern_lr"),
        (["fc_lr"], InputContract(), "does not read EEG or MEG"),
    ):
        with pytest.raises(ValueError, match=message):
            methods.check(names, [""], number=False, contract=contract)
    with pytest.raises(ValueError, match="holds fmri"):
        check_contract(checkpoints.load(planted.backbone), "model", corpus)


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
    assert evaluate([f"--data={folder}", f"--out={out}", "--task=age", "--seeds=1",
                     "--tuning=1", "--protocol.kind=kfold", "--protocol.folds=3"]) == 0
    table = pd.read_csv(out / "table.tsv", sep="\t")
    assert {"fc_ridge", "fc_tangent_ridge"} <= set(table["method"])
    assert np.isfinite(table["mae"]).all()


@pytest.fixture(scope="module")
def model(corpus, tmp_path_factory):
    """A BrainMAE after a few steps on the scans."""
    out = tmp_path_factory.mktemp("model") / "brainmae"
    architecture = {"dim": 16, "n_heads": 2, "n_static": 1, "n_adaptive": 1, "n_blocks": 1,
                    "n_factors": 6}
    assert pretrain(["--model=brainmae", f"--data={corpus.folder}", f"--out={out}",
                     f"--architecture={json.dumps(architecture)}", "--train.steps=30",
                     "--train.batch_windows=4", "--train.lr=3e-3"]) == 0
    return out


def test_networks_stand_in_the_table_beside_connectivity(corpus, model, tmp_path):
    out = tmp_path / "out"
    assert evaluate([f"--data={corpus.folder}", f"--model={model}", f"--out={out}", *WORDS,
                     "--tuning=1", "--protocol.kind=kfold", "--protocol.folds=2",
                     "--train.steps=20", "--covariates=[age]",
                     "--train_full.steps=2", "--train_random.steps=2",
                     "--methods=[frozen,attentive,mean_pool,full,lora,random_frozen,random,fc_lr]"
                     ]) == 0
    table = pd.read_csv(out / "table.tsv", sep="\t").set_index("method")
    assert table.loc["frozen", "balanced_accuracy"] > 0.8  # as connectivity: factors go together
    assert table["balanced_accuracy"].between(0, 1).all()
    page = (out / "report.html").read_text()
    assert "Graph of regions" in page
    assert "States over time" in page
    with pytest.raises(ValueError, match="covariances pools by 'covariances', which this model"):
        evaluate([f"--data={corpus.folder}", f"--model={model}", f"--out={tmp_path / 'x'}",
                  *WORDS, "--methods=[covariances]"])


@pytest.mark.parametrize("mode", ["frozen", "full"])
def test_a_decoder_of_scans_names_a_new_one(corpus, model, tmp_path, mode):
    folder = tmp_path / "split"
    for row in range(30):
        corpora.write_shard(folder, f"p{row}", [corpus.signal(row)])
    split = ["train"] * 18 + ["validation"] * 4 + ["test"] * 8
    corpora.seal(folder, FMRIContract(), corpus.recordings.assign(split=split), corpus.windows,
                 corpus.layouts, pd.DataFrame(columns=["source", "reason"]), {})
    out = tmp_path / "decoder"
    assert finetune([f"--data={folder}", f"--model={model}", f"--out={out}", f"--mode={mode}",
                     "--decoder=network", "--classes=[patient,control]",
                     "--train_full.steps=3"]) == 0
    decoder = checkpoints.load(out)
    assert decoder.modality == "fmri"
    found = decoder.predict(corpus.batch(np.arange(30)))
    assert torch.allclose(found.sum(dim=1), torch.ones(30))
    # Any other repetition time, length and number of regions: it is the same decoder.
    shorter = corpus.batch(np.array([1]))
    cut = dataclasses.replace(shorter, signal=shorter.signal[:, :7, :60],
                              geometry=shorter.geometry[:, :7], valid=shorter.valid[:, :7],
                              kind=shorter.kind[:, :7], measured=shorter.measured[:, :60])
    assert decoder.predict(cut).shape == (1, 2)


@pytest.fixture
def split_corpus(corpus, tmp_path):
    """The corpus with people to judge and people to choose by."""
    folder = tmp_path / "split"
    for row in range(30):
        corpora.write_shard(folder, f"p{row}", [corpus.signal(row)])
    split = ["train"] * 18 + ["validation"] * 4 + ["test"] * 8
    corpora.seal(folder, FMRIContract(), corpus.recordings.assign(split=split), corpus.windows,
                 corpus.layouts, pd.DataFrame(columns=["source", "reason"]), {})
    return folder


def test_filled_in_regions_are_compared_with_ridge(corpus, split_corpus, model, tmp_path, capsys):
    folder = split_corpus
    out = tmp_path / "filled"
    command = [f"--data={folder}", f"--model={model}", f"--out={out}", "--shares=[0.5]"]
    assert fill_in(command) == 0
    found = Results.load(out)
    people = tuple(sorted(f"simulated/p{k}" for k in range(22, 30)))  # trained on all thirty
    flagged.check(out, capsys.readouterr().out, "LEAK", "model", people)
    assert found.subjects == 8
    assert {row["method"] for row in found.scores} == {"model", "guess", "ridge", "random"}
    assert [row["hidden"] for row in found.comparisons] == ["segments", "whole scan"]
    page = (out / "report.html").read_text()
    assert "50 % of regions hidden in segments: model R² " in found.summary
    assert found.summary in page
    assert "model_low" not in page
    table = pd.read_csv(out / "table.tsv", sep="\t")
    assert table["hidden"].tolist() == ["segments", "whole scan"]
    assert (table["subjects"] == 8).all()
    # Two networks of four regions and noise of as much power: half of it can be told, at most.
    assert table["r2_ridge"].between(0.15, 0.5).all()
    assert ((table["low"] <= table["difference"]) & (table["difference"] <= table["high"])).all()
    assert fill_in(command) == 0  # finished: nothing is done
    with pytest.raises(ValueError, match="no window with split='test'"):
        fill_in([f"--data={corpus.folder}", f"--model={model}", f"--out={tmp_path / 'x'}"])


class MeanOfOthers(RegionModel):
    """Another model of regions: each hidden one is half the mean of those seen."""

    config_class = BrainMAEConfig

    def __init__(self, config):
        super().__init__(config)
        self.inner = BrainMAE(config)
        self.post_init()

    def forward(self, batch):
        raise NotImplementedError

    def cut(self, batch):
        return self.inner.cut(batch)

    def fill_in(self, batch, hidden):
        seg = self.cut(batch)
        seen = ~hidden.transpose(1, 2)[..., None]
        mean = (seg.volumes * seen).sum(dim=1, keepdim=True) / seen.sum(dim=1, keepdim=True)
        return (mean / 2).expand_as(seg.volumes), seg


def test_hidden_regions_of_any_model_that_predicts_them(
    split_corpus, model, tmp_path, monkeypatch, capsys
):
    theirs = flagged.of_published(Path(model), tmp_path / "theirs", "simulated")
    trained = checkpoints.load(model)
    other = MeanOfOthers(trained.config).eval()
    other.contract = trained.contract
    words = [f"--data={split_corpus}", f"--model={theirs}", "--shares=[0.5]"]
    monkeypatch.setattr(store, "load", lambda place: other)
    out = tmp_path / "out"
    assert fill_in([*words, f"--out={out}"]) == 0
    flagged.check(out, capsys.readouterr().out, "DOUBT", "model")
    table = pd.read_csv(out / "table.tsv", sep="\t")
    assert table["r2_guess"].isna().all()
    assert "nan" not in (out / "report.html").read_text().partition("<table")[2].lower()[:4000]
    assert table["r2_model"].tolist() == table["r2_random"].tolist()  # it has no weights
    assert (table["high"] < 0).all()  # ridge regression is better

    monkeypatch.setattr(store, "load", lambda place: torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"wanted a model that predicts hidden regions, such as a "
                                         r"brainmae, this is a Linear \(no RegionModel of"):
        fill_in([*words, f"--out={tmp_path / 'x'}"])
    assert not (tmp_path / "x").exists()


def test_answers_that_follow_movement_are_told(corpus, tmp_path):
    """Movement is planted in one method's answers, and in the label not at all."""
    rng = np.random.default_rng(0)
    moved = rng.random(30)
    recordings = corpus.recordings.assign(attributes=[
        json.dumps({"mean_fd": str(value)}) for value in moved])
    people = dataclasses.replace(corpus, recordings=recordings)
    label = np.array(["patient", "control"])[np.arange(30) % 2]
    logit = {"follows": 3 * (moved - 0.5), "knows": np.where(label == "control", 2.0, -2.0)
             + 0.1 * rng.standard_normal(30)}
    tables = [pd.DataFrame({
        "method": name, "seed": 0, "window": np.arange(30), "subject": recordings["subject"],
        "recording": recordings["recording"], "label": label,
        "p_patient": 1 / (1 + np.exp(value)), "p_control": 1 / (1 + np.exp(-value))})
        for name, value in logit.items()]
    found = covariates.table(pd.concat(tables), ("patient", "control"), people, ["mean_fd"])
    found = found.set_index("method")
    assert found.loc["follows", "r"] > 0.95
    assert abs(found.loc["knows", "r"]) < 0.5
    assert abs(found.loc[covariates.LABEL, "r"]) < 0.4
    assert found.loc["knows", ["low_half", "high_half"]].tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="has a number 'mean_df'; columns and attrib"):
        covariates.check(people, ["mean_df"])
    said = covariates.in_words(found.reset_index(), "follows")
    assert "answers of follows among people of one label: r = +1.00" in said[0]


def test_features_of_scans_of_unlike_lengths(corpus, model, tmp_path):
    """What the shorter one lacks is 0, and the rest as it would be alone."""
    folder = tmp_path / "unlike"
    digests = [corpora.write_shard(folder, f"p{row}", [
        corpus.signal(row)[:, : 40 if row == 4 else None]]) for row in range(30)]
    corpora.seal(folder, FMRIContract(), corpus.recordings.assign(sha256=digests), corpus.windows,
                 corpus.layouts,
                 pd.DataFrame(columns=["source", "reason"]), {})
    found = neurofm.embed(folder, str(model), batch_windows=1)
    assert found.shape[:3] == (30, N, 14)  # 240 s in segments of 17.64 s
    short = neurofm.load(model).embed(Corpus.open(folder).batch(np.array([4])))[0].detach()
    assert short.shape[1] == 5  # 80 s
    assert np.allclose(found[4, :, :5], short, atol=1e-6)
    assert np.abs(found[4, :, 5:]).max() == 0
    assert np.abs(found[3, :, 5:13]).max() > 0


def test_variance_of_regions_where_training_people_scale(corpus, tmp_path):
    """Nothing was divided out of a scan by itself then, so nothing has to be multiplied again."""
    folder, contract = tmp_path / "scaled", FMRIContract(
        scale="training_iqr", statistics={f"R{i}": (0.0, 2.0) for i in range(N)})
    digests = [corpora.write_shard(folder, f"p{row}", [
        (2.0 if row % 2 == 0 else 1.0) * corpus.signal(row)]) for row in range(30)]  # patients
    corpora.seal(folder, contract, corpus.recordings.assign(quality="{}", sha256=digests),
                 corpus.windows,
                 corpus.layouts, pd.DataFrame(columns=["source", "reason"]), {})
    assert np.allclose(Corpus.open(folder).signal(1), corpus.signal(1) / 2, equal_nan=True)
    out = tmp_path / "out"
    assert evaluate([f"--data={folder}", f"--out={out}", *WORDS, "--protocol.kind=kfold",
                     "--protocol.folds=3", "--methods=[roi_variance_lr]"]) == 0
    table = pd.read_csv(out / "table.tsv", sep="\t")
    assert table["balanced_accuracy"][0] > 0.95


def test_pictures_where_there_is_nothing_to_draw(corpus, tmp_path):
    """No static graph, and scans of two segments, both of them ends: a report must not fail."""
    torch.manual_seed(0)
    model = BrainMAE(BrainMAEConfig(dim=16, n_heads=2, n_static=0, n_adaptive=1, n_blocks=1,
                                    n_factors=4, segment_s=130.0, t_r=2.0)).eval()
    assert brain_figures.draw(tmp_path, model, corpus, np.arange(4), np.arange(2)) == []
