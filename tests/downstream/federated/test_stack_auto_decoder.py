"""Sites that share an automatic decoder: its linear models train on, nothing else changes."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from neurofm import checkpoints, cli
from neurofm.data.corpus import Corpus
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.decoder.stack import fit_stack
from neurofm.downstream.decoder.stacked_build import build_stacked, measure
from neurofm.downstream.federated import plans, stack_plan
from neurofm.downstream.federated.learning import Learning
from neurofm.downstream.federated.site import Site
from neurofm.downstream.scoring.predictions import predict
from tests.support.one_person import decode, save_raw
from tests.support.planted import make_corpus

VIEWS = ("power", "filter_bank_recentered", "spatial_patterns")


@pytest.fixture(scope="module")
def sites(tmp_path_factory) -> dict[str, str]:
    """Two sites, of 16 and of 10 electrodes."""
    folder = tmp_path_factory.mktemp("sites")
    return {f"site{n}": str(make_corpus(folder / f"c{n}", caps=(n,), split=["train"] * 5,
                                        n_windows=8, seed=k)) for k, n in enumerate((16, 10))}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A decoder of three other people: of little use yet."""
    folder = tmp_path_factory.mktemp("start")
    corpus = Corpus.open(make_corpus(folder / "corpus", split=["train"] * 3, n_windows=4, seed=7,
                                     effect=0.5))
    data = labeled(corpus)
    windows = data.windows["train"]
    model = build_stacked(data, windows, views=VIEWS)
    table = corpus.windows.iloc[windows]
    fit_stack(model, measure(model, data, windows), windows, table["recording"].to_numpy(),
              table["start_s"].to_numpy(), say=lambda text: None)
    # Other people by the same names, which would be a leak.
    checkpoints.save_checkpoint(model, folder / "decoder", config={}, parents={}, metrics={},
                                ledger={"recordings": []})
    return folder / "decoder"


def federate(sites, model, out, *words: str) -> int:
    return cli.main(["federate", f"--sites={json.dumps(sites)}", f"--out={out}",
                     f"--learning.model={model}", "--learning.train.batch_windows=16",
                     "--learning.rounds=3", "--folds=[0]", *words])


def test_sites_train_its_linear_models_on(sites, start, tmp_path):
    out = tmp_path / "out"
    assert federate(sites, start, out) == 0
    before = checkpoints.load(start)
    width = sum(linear.weight.shape[1] for linear, share in
                zip(before.linear, before.share, strict=True) if share > 0)
    shared = load_file(sorted((out / "work/federated/server/federated-0-0").glob(
        "*.safetensors"))[-1])
    assert {name: value.shape for name, value in shared.items()} == {
        "weight": (2, width), "bias": (2,)}
    assert not np.allclose(shared["weight"], stack_plan.Views(before).weight.detach())
    table = pd.read_csv(out / "sites.tsv", sep="\t").set_index(["site", "method"])
    for method in ("federated", "local", "pooled"):
        assert table.loc[("all sites", method), "balanced_accuracy"] > 0.7, method
    page = (out / "report.html").read_text()
    assert "the linear models of its views" in page
    assert "except their own mean over all their trials" in page
    kept = pd.read_parquet(out / "predictions.parquet")
    for name, folder in sites.items():
        made = out / "work/federated" / name / "fold-0-seed-0/checkpoint"
        model, corpus = checkpoints.load(made), Corpus.open(folder)
        assert model.config.views == VIEWS
        assert model.config.channels == before.config.channels
        # What the checkpoint answers is what was judged.
        own = kept[(kept["site"] == name) & (kept["method"] == "federated")].sort_values("window")
        windows = own["window"].to_numpy()
        data = labeled(corpus)
        again = predict(model, measure(model, data, windows), windows, "cpu")
        assert np.allclose(again, own[["p_left", "p_right"]], atol=1e-6)
        known = checkpoints.read_ledger(made)
        assert not {each["subject"] for each in known["recordings"]} & set(own["subject"])
        assert "other sites" in known["published"][0]["note"]
    raw = save_raw(tmp_path / "new_raw.fif", labels=["left", "right"] * 8)
    assert decode(raw, made, tmp_path / "decoded") == 0
    found = pd.read_csv(tmp_path / "decoded" / "predictions.tsv", sep="\t")["predicted"]
    assert (found == ["left", "right"] * 8).mean() > 0.7
    assert cli.main(["show", str(made)]) == 0


def test_before_the_first_step_it_is_the_checkpoint(sites, start):
    learning = Learning(model=str(start), classes=["left", "right"])
    plan = plans.build(Site("a", sites["site16"], ""), learning)
    weights = plans.initial(learning)
    assert all(np.array_equal(plan.weights()[name], weights[name]) for name in weights)
    model = checkpoints.load(start)
    windows, data = plan.data.windows["test"], plan.data
    expected = predict(model, measure(model, data, windows), windows, "cpu")
    assert np.allclose(plan.predict(windows), expected, atol=1e-5)
    logits = plan.source.take(windows) @ plan.model.weight.T + plan.model.bias
    assert np.allclose(logits.softmax(dim=1).detach(), expected, atol=1e-4)


@pytest.mark.parametrize(("words", "said"), [
    (["--learning.adapt=lora"], "learning.architecture and learning.adapt"),
    (["--learning.classes=[right,left]"], "--learning.classes '[left, right]'"),
    (["--channels={site16: [E1]}"], "channels are of a FLEEG"),
])
def test_bad_input_says_what_to_do(sites, start, tmp_path, capsys, words, said):
    assert federate(sites, start, tmp_path / "out", *words, "--methods=[federated]") != 0
    assert said in capsys.readouterr().err
