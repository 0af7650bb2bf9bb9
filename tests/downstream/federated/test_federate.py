"""`neurofm federate`, as a user runs it: sites of a shape each, FLEEG or a pretrained encoder."""

import html
import json

import mne
import numpy as np
import pandas as pd
import pytest
import torch

import neurofm
from neurofm import checkpoints, cli
from tests.support import planted as planted_module
from tests.support.federated_sites import SHAPES, corpora

QUICK = ("--learning.rounds=2", "--learning.train.batch_windows=16", "--learning.train.lr=3e-3")


def federate(found: dict[str, str], out, *words: str) -> int:
    return cli.main(["federate", f"--sites={json.dumps(found)}", f"--out={out}", *QUICK, *words])


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, str]:
    """Four sites; one has fewer people than the others."""
    folder = tmp_path_factory.mktemp("sites")
    found = corpora(folder / "five", n=3)
    return {**found, "home": corpora(folder / "four", n=4, people=4)["home"]}


@pytest.fixture(scope="module")
def results(found, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "out"
    assert federate(found, out, "--learning.protocol.kind=loso") == 0
    return out


@pytest.mark.long
def test_everybody_is_judged_once_by_every_method(results, found):
    table = pd.read_parquet(results / "predictions.parquet")
    windows = {name: 12 * (4 if name == "home" else 5) for name in found}
    for (method, site), part in table.groupby(["method", "site"]):
        assert len(part) == windows[site], (method, site)
        assert not part.duplicated(["subject", "recording", "start_s"]).any()
    people = pd.read_csv(results / "people.tsv", sep="\t", dtype={"subject": str})
    assert len(people) == 3 * 19
    sites = pd.read_csv(results / "sites.tsv", sep="\t").set_index(["site", "method"])
    assert sites.loc[("all sites", "federated"), "people"] == 19
    for name in found:
        mean = people[(people["site"] == name) & (people["method"] == "pooled")]
        assert sites.loc[(name, "pooled"), "balanced_accuracy"] == pytest.approx(
            mean["balanced_accuracy"].mean(), abs=1e-4)
        gain = (sites.loc[(name, "federated"), "balanced_accuracy"]
                - sites.loc[(name, "local"), "balanced_accuracy"])
        assert sites.loc[(name, "federated"), "gain"] == pytest.approx(gain, abs=2e-5)


@pytest.mark.long
def test_page_figures_and_sizes(results, capsys):
    page = html.unescape((results / "report.html").read_text())
    assert page.count("<img") == 2
    for words in ("0.812 MB down", "Stays at the site", "none of their trials is in any weight",
                  "none: shared weights may reveal a site's data", "9 of eeg",
                  "these intervals are approximate"):
        assert words in page
    assert (results / "sites.png").stat().st_size > 10_000
    rounds = pd.read_csv(results / "rounds.tsv", sep="\t")
    assert len(rounds) == 5 * 2
    assert (rounds["bytes_up"] <= 820_000).all()


@pytest.mark.long
def test_a_finished_federation_does_nothing_and_another_is_refused(results, found, capsys):
    assert federate(found, results, "--learning.protocol.kind=loso") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert federate(found, results) != 0
    assert "choose another --out" in capsys.readouterr().err


@pytest.mark.long
def test_a_personalised_decoder_is_a_checkpoint(results, found):
    folder = results / "work" / "federated" / "lab" / "fold-0-seed-0" / "checkpoint"
    model = neurofm.load(folder)
    assert model.config.sfreq == 100
    assert model.contract.window_s == 1.5
    ledger = checkpoints.read_ledger(folder)
    assert "other sites" in ledger["published"][0]["note"]
    held_out = set(pd.read_parquet(folder.parent / "predictions.parquet")["subject"])
    assert len(held_out) == 1
    assert not held_out & {row["subject"] for row in ledger["recordings"]}


def save_raw(path, names_lost: int = 0, n_windows: int = 6):
    """A recording at the site "lab": its electrodes in another order, and one more."""
    n_channels, sfreq, window_s = SHAPES["lab"]
    cap = planted_module.cap(n_channels)
    contract = planted_module.CONTRACT.with_(sfreq=sfreq, window_s=window_s, lowpass_hz=28.0)
    rng = np.random.default_rng(3)
    labels = ["left", "right"] * (n_windows // 2)
    signal = np.concatenate(list(planted_module.windows_of(rng, cap, labels, 0.9, contract)), 1)
    order = rng.permutation(n_channels)[names_lost:]
    places = {cap.names[k]: cap.position[k].astype(float) for k in order}
    places["more"] = np.array([0.0, 0.07, 0.06])
    info = mne.create_info(list(places), sfreq, "eeg")
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    signal = np.concatenate([signal[order], rng.standard_normal((1, signal.shape[1]))])
    raw = mne.io.RawArray(1e-5 * signal, info, verbose="ERROR")
    raw.save(path, overwrite=True, verbose="ERROR")
    return path


@pytest.mark.long
def test_a_personalised_decoder_decodes_recordings_of_its_site(results, tmp_path, capsys):
    """By the names of its channels, as any decoder; the page says how it did on held-out people."""
    folder = results / "work" / "federated" / "lab" / "fold-0-seed-0" / "checkpoint"
    path, out = save_raw(tmp_path / "new_raw.fif"), tmp_path / "decoded"
    assert cli.main(["decode", str(path), f"--model={folder}", f"--out={out}"]) == 0
    table = pd.read_csv(out / "predictions.tsv", sep="\t")
    model = neurofm.load(folder)
    windows = neurofm.standardize(neurofm.read(path), model.contract)
    assert windows.sensors.names != model.config.ch_names
    rows = [windows.sensors.names.index(name) for name in model.config.ch_names]
    with torch.no_grad():
        expected = model.logits(torch.from_numpy(windows.windows[:, rows])).softmax(dim=-1)
    assert np.allclose(table[["p_left", "p_right"]], expected, atol=1e-5)
    assert neurofm.embed(path, model).shape == (len(table), 1, 7, 200)
    page = (out / "report.html").read_text()
    assert "On 1 subject not in its training data: about" in page
    assert "One subject says little about others" in page
    assert "are not calibrated" in page
    assert cli.main(["stream", f"--replay={path}", "--speed=20", f"--model={folder}",
                     f"--out={tmp_path / 'live'}"]) == 0
    assert len(pd.read_csv(tmp_path / "live" / "predictions.tsv", sep="\t")) >= 4
    capsys.readouterr()
    fewer = save_raw(tmp_path / "fewer_raw.fif", names_lost=2)
    assert cli.main(["decode", str(fewer), f"--model={folder}", f"--out={tmp_path / 'x'}"]) != 0
    told = capsys.readouterr().err
    assert "fewer_raw.fif: this FLEEG reads the channels" in told
    assert "the recording has no" in told


@pytest.mark.long
@pytest.mark.usefixtures("checked_here")
def test_its_card_names_channels_and_held_out_people(results, tmp_path):
    folder = results / "work" / "federated" / "lab" / "fold-0-seed-0" / "checkpoint"
    staged = tmp_path / "staged"
    assert cli.main(["publish", str(folder), "lab/hands", "--license=cc-by-4.0",
                     "--dry_run=true", f"--staged={staged}"]) == 0
    card = (staged / "README.md").read_text()
    channels = ", ".join(neurofm.load(folder).config.ch_names)
    for words in (f"Reads these channels, by their names: {channels}", "Classes: left, right",
                  "Takes eeg signals", "balanced accuracy, planted, 1 subject,",
                  "neurofm decode RECORDING --model lab/hands", "other sites"):
        assert words in card, words
    told = card.split("Non-default settings: ")[1].splitlines()[0]
    assert "sfreq 100" in told
    assert "dropout" not in told
    assert not (staged / "test").exists()


def test_bad_words_are_explained(found, tmp_path, capsys):
    for words, told in (
        (["--sites={a: b}"], "wanted two or more"),
        (["--methods=[federated,alone]"], "methods wants some of federated, local, pooled"),
        (["--averaging.strategy=krum"], "needs 5 sites, there are 4"),
        (["--learning.rouns=3"], "rounds"),
        (["--engine=ray", "--jobs=2"], "jobs is of engine=in_process"),
    ):
        with pytest.raises(SystemExit):
            federate(found, tmp_path / "x", *words)
        assert told in capsys.readouterr().err
    planted_module.make_corpus(tmp_path / "one", split=["train"] * 5, number=True)
    assert federate({**found, "odd": str(tmp_path / "one")}, tmp_path / "x") != 0
    assert "different classes" in capsys.readouterr().err


@pytest.mark.long
def test_flowers_simulation_engine_gives_the_same(results, found, tmp_path):
    """Sites as processes of Ray: equal to calling them one after another."""
    assert federate(found, tmp_path / "out", "--learning.protocol.kind=loso", "--engine=ray",
                    "--folds=[0]", "--methods=[federated]") == 0
    one, two = (pd.read_parquet(folder / "predictions.parquet") for folder in
                (results, tmp_path / "out"))
    both = two.merge(one[one["method"] == "federated"],
                     on=["method", "site", "subject", "recording", "start_s", "fold"])
    assert len(both) == len(two) == 48
    assert np.abs(both["p_left_x"] - both["p_left_y"]).max() < 1e-5
