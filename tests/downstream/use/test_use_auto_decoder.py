"""A stacked decoder in every command that takes a decoder: the same answers, or a reason."""

import json

import mne
import numpy as np
import pandas as pd
import pytest
import torch

import neurofm
from neurofm import artifacts, checkpoints, cli
from neurofm.checkpoints.robustness import Robustness
from neurofm.data.corpus import Corpus
from neurofm.downstream.decoder.build import open_backbone
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.decoder.stack import fit_stack
from neurofm.downstream.decoder.stacked_build import build_stacked, measure
from neurofm.downstream.scoring import robustness
from neurofm.downstream.stream import read_table
from neurofm.preprocessing import readers
from tests.support.one_person import decode, save_raw
from tests.support.planted import cap, make_corpus
from tests.support.unplaced import unplaced

VIEWS = ("power", "filter_bank_recentered")


def make(folder, data_at, backbone="", *, number=False, views=VIEWS, worse=False):
    """A sealed checkpoint of a Stacked, trained on the corpus."""
    corpus = Corpus.open(data_at)
    data = labeled(corpus, number=number)
    windows = np.union1d(data.windows["train"], data.windows["validation"])
    model = build_stacked(data, windows, open_backbone(str(backbone)) if backbone else None,
                          views=views)
    table = corpus.windows.iloc[windows]
    fit_stack(model, measure(model, data, windows), windows, table["recording"].to_numpy(),
              table["start_s"].to_numpy(), say=lambda text: None)
    folder.mkdir(parents=True)
    if worse:
        found = robustness.measure(model, corpus, data.windows["validation"], data.target,
                                   say=lambda text: None)
        found.save(folder)
    files = checkpoints.write_checkpoint(
        model, folder, config={}, metrics={},
        ledger=checkpoints.training_ledger(corpus, {"train": windows}, None))
    artifacts.seal(folder, "checkpoint", config={}, files=files)
    return folder


@pytest.fixture(scope="module")
def stacked(planted, tmp_path_factory):
    """Name → checkpoint: placed, with a network inside, of numbers, with channels by name."""
    folder = tmp_path_factory.mktemp("stacked")
    numbers = make_corpus(folder / "corpus", number=True, split=["train"] * 5 + ["validation"] * 2)
    nowhere = unplaced(planted.corpus, folder / "nowhere")
    return {
        "placed": make(folder / "placed", planted.corpus),
        "network": make(folder / "network", planted.corpus, planted.backbone,
                        views=("power_recentered", "network")),
        "numbers": make(folder / "numbers", numbers, number=True, worse=True),
        "by_name": make(folder / "by_name", nowhere)}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return save_raw(tmp_path_factory.mktemp("somebody") / "somebody_raw.fif", n_windows=20)


def answers_of(path, model):
    """Of the standardized file, centered on itself, by the model alone."""
    made = neurofm.standardize(readers.read(path), model.contract)
    batch = neurofm.data.batch.collate([*made], [made.sensors] * len(made), model.contract.geometry)
    pooled = model.pool(batch)
    return model.name(pooled, pooled.mean(dim=0)).numpy()


def test_decode_and_stream_give_the_answers_of_the_model(stacked, recording, tmp_path):
    for name, folder in stacked.items():
        model = checkpoints.load(folder)
        expected = answers_of(recording, model)
        assert decode(recording, folder, tmp_path / name) == 0, name
        table = pd.read_csv(tmp_path / name / "predictions.tsv", sep="\t")
        columns = ["p_left", "p_right"] if model.classes else ["predicted"]
        assert np.allclose(table[columns], expected, atol=2e-4), name
        live = tmp_path / f"{name}_live"
        words = [f"--replay={recording}", f"--model={folder}", f"--out={live}", "--speed=40"]
        assert cli.main(["stream", *words, f"--center_on=[{recording}]"]) == 0, name
        got = read_table(live / "predictions.tsv")
        # Filters that know only the past shift phases and low bands, so not to the digit.
        assert np.corrcoef(got[columns[0]], table[columns[0]])[0, 1] > 0.9, name
        if model.classes:
            assert (table["predicted"] == ["left", "right"] * 10).mean() > 0.85, name


def test_another_cap_is_told(stacked, recording, tmp_path, capsys):
    raw = mne.io.read_raw_fif(recording, preload=True, verbose="ERROR")
    few = tmp_path / "few_raw.fif"
    raw.copy().pick(raw.ch_names[:10]).save(few, verbose="ERROR")
    assert decode(few, stacked["placed"], tmp_path / "no") != 0
    said = capsys.readouterr().err
    assert "wanted 12 channels or more, spread over the head" in said, said
    assert decode(few, stacked["placed"], tmp_path / "yes", "--lacking=accept") == 0
    said = "The recording has 62 % of the channels."
    assert said in capsys.readouterr().out
    assert said in (tmp_path / "yes" / "report.html").read_text()
    raw.copy().pick(raw.ch_names[:3]).save(tmp_path / "3_raw.fif", verbose="ERROR")
    assert decode(tmp_path / "3_raw.fif", stacked["placed"], tmp_path / "3",
                  "--lacking=accept") != 0
    assert "wanted 4 electrodes at least" in capsys.readouterr().err
    # By name there is nothing to interpolate from: the missing one is named.
    raw.copy().drop_channels(["E5"]).save(tmp_path / "15_raw.fif", verbose="ERROR")
    assert decode(tmp_path / "15_raw.fif", stacked["by_name"], tmp_path / "15",
                  "--lacking=accept") != 0
    assert "missing: E5" in capsys.readouterr().err


def test_distances_of_a_cap(stacked):
    model, sensors = checkpoints.load(stacked["placed"]), cap()
    own, half = (torch.from_numpy(each.geometry(model.contract.geometry))[:, :3].double()
                 for each in (sensors, sensors[np.arange(0, 16, 2)]))
    assert set(model.distances_m(sensors).values()) == {0.0}
    way_m = model.distances_m(sensors[np.arange(0, 16, 2)])
    assert [way_m[f"E{k}"] > 0.005 for k in range(16)] == [False, True] * 8
    cosine = torch.nn.functional.cosine_similarity(own[1], half).max()
    assert way_m["E1"] == pytest.approx(0.095 * float(cosine.acos()), abs=1e-4)
    assert checkpoints.load(stacked["by_name"]).distances_m(sensors) == {}


def test_exported(stacked, planted, tmp_path):
    corpus = Corpus.open(planted.corpus)
    for name in ("network", "by_name"):
        out, folder, model = tmp_path / name, stacked[name], checkpoints.load(stacked[name])
        assert cli.main(["export", str(folder), f"--out={out}"]) == 0, name
        about = json.loads((out / "export.json").read_text())
        assert about["channels"] == list(model.config.channels), name
        loaded = torch.export.load(out / "model.pt2").module()
        batch = corpus.batch(np.array([5]), geometry=model.contract.geometry)
        pooled = model.pool(batch)
        center = model.center + 0.1 * torch.randn_like(model.center)
        inputs = [batch.signal, batch.geometry, batch.kind, batch.valid]
        answer, features = loaded(*inputs, center)
        assert torch.allclose(answer, model.name(pooled, center), atol=1e-5), name
        assert torch.allclose(features, pooled, atol=1e-4), name
        with pytest.raises(AssertionError, match=r"Guard failed|shape"):  # of torch: another cap
            loaded(*(each[:, :3] for each in inputs), center)


def test_features_come_from_the_network_inside(stacked, planted, recording):
    inside = open_backbone(str(stacked["network"]))
    assert type(inside) is type(checkpoints.load(planted.backbone))
    one, two = (neurofm.embed(recording, model).values
                for model in (checkpoints.load(stacked["network"]), inside))
    assert np.array_equal(one, two)
    with pytest.raises(ValueError, match="classical views alone and no pretrained model"):
        neurofm.embed(recording, stacked["placed"])
    with pytest.raises(ValueError, match=r"holds none\. Give the pretrained model"):
        open_backbone(str(stacked["placed"]))


def test_explained_and_worse_recordings(stacked, planted, tmp_path):
    words = [f"--data={planted.corpus}", f"--model={stacked['placed']}", "--permutations=20"]
    assert cli.main(["explain", *words, f"--out={tmp_path / 'maps'}"]) == 0
    maps = pd.read_csv(tmp_path / "maps" / "attribution.tsv", sep="\t")
    assert maps.loc[maps["pattern_db"].abs().idxmax(), "band"] == "alpha"
    measured = Robustness.read(stacked["numbers"])
    assert measured.metric == "mae"
    assert measured.conditions[0].score < 0.6 * measured.chance


def test_the_card_lists_views(stacked):
    model = checkpoints.load(stacked["network"])
    assert sum(model.weights.values()) == pytest.approx(1)
    card = (stacked["network"] / "README.md").read_text()
    for said in ("pipeline_tag: other", "features of the pretrained model", "log band power, "
                 "re-centered", "train: 10 subjects", "## Views", "`neurofm decode`",
                 "\n- Sampling rate: 128 Hz\n"):
        assert said in card, said
