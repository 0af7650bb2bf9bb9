"""Weights that others published, in a comparison on real EEG: what `neurofm import` made of the
reference's files (random weights, so no score is expected) beside a model of ours."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import torch

from neurofm import checkpoints, cli, seen
from neurofm.checkpoints.contracts import check_contract
from neurofm.data.corpus import Corpus
from neurofm.data.recording import Recording
from neurofm.downstream.benchmarks.decoding.question import main as evaluate
from neurofm.downstream.decoder import features
from neurofm.downstream.decoder.build import build
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.use import findings
from neurofm.models.brainomni import BrainOmni
from neurofm.preprocessing.ingest import main as ingest
from neurofm.published.command import main as import_published
from tests.support import planted as planted_module

PEOPLE = ("00", "01", "02", "03")  # two train, one chooses, one is the test


@pytest.fixture(scope="module")
def corpus(data, repo, tmp_path_factory):
    """Four people of eegmat in windows of 5 s, by the contract of the recipes."""
    folder = tmp_path_factory.mktemp("eegmat")
    archive = folder / "archive"
    archive.mkdir()
    for name in ("dataset_description.json", "participants.tsv", *(f"sub-{n}" for n in PEOPLE)):
        (archive / name).symlink_to(data / "eegmat" / name)
    words = [str(archive), f"--config={repo / 'configs/preprocessing/eegmat_decoding.yaml'}",
             "--dataset=ds004148", '--splits.validation=["02"]', '--splits.test=["03"]',
             "--workers=1", f"--out={folder / 'corpus'}"]
    assert ingest(words) == 0
    return folder / "corpus"


@pytest.fixture(scope="module")
def imported(released, tmp_path_factory):
    out = tmp_path_factory.mktemp("imported") / "out"
    assert import_published([str(released("brainomni")), "--family=brainomni", f"--out={out}"]) == 0
    return out


@pytest.fixture(scope="module")
def own(corpus, tmp_path_factory):
    """A small model of ours that takes this corpus and reads places by the other rule."""
    folder = tmp_path_factory.mktemp("own")
    model = BrainOmni.from_pretrained(planted_module.make_backbone(folder / "planted"))
    model.contract = Corpus.open(corpus).contract
    checkpoints.save_checkpoint(model, folder / "own", config={}, parents={},
                                ledger={"recordings": []}, metrics={})
    return folder / "own"


METHODS = ["frozen", "frozen@published", "frozen@own", "frozen_recentered@published",
           "lora@published", "band_power_lr"]


@pytest.fixture(scope="module")
def results(corpus, own, imported, tmp_path_factory):
    """Published weights as the model evaluated and as a further one, ours as another."""
    out = tmp_path_factory.mktemp("evaluation") / "out"
    assert evaluate([
        f"--data={corpus}", f"--model={imported}", f"--models.published={imported}",
        f"--models.own={own}", f"--out={out}", "--task=mental_arithmetic",
        f"--methods=[{','.join(METHODS)}]", "--seeds=1", "--tuning=1", "--train.steps=10",
        "--train_full.steps=2",
    ]) == 0
    return out


def plain(results) -> str:
    """The text of the page."""
    page = re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", (results / "report.html").read_text(),
                  flags=re.DOTALL)
    return " ".join(page.split())


def test_published_weights_stand_beside_ours(results):
    table = pd.read_csv(results / "table.tsv", sep="\t").set_index("method")
    assert list(table.index) == METHODS
    predictions = pd.read_parquet(results / "predictions.parquet")
    shown = predictions.pivot(index="window", columns="method", values="p_rest")
    assert shown.notna().all(axis=None)
    assert np.array_equal(shown["frozen"], shown["frozen@published"])
    for other in ("frozen@own", "frozen_recentered@published", "lora@published"):
        assert not np.allclose(shown["frozen"], shown[other], atol=1e-5), other
    assert not predictions["seen_in_pretraining"].any()


def test_the_page_says_which_model_a_name_means(results, own, imported):
    page, code = plain(results), checkpoints.fingerprint(imported)
    assert f"Networks named NAME@own are of the model in {own} (fingerprint " \
           f"{checkpoints.fingerprint(own)})." in page
    for named in ("without @", "named NAME@published"):
        assert f"Networks {named} are of the model in {imported} (fingerprint {code}); it holds " \
               f"weights published by others: " in page
    assert "read as weights of OpenTSLab/BrainOmni (MIT; arXiv 2505.18185)" in page


def test_a_data_set_of_which_nobody_listed_the_people_is_told(results):
    page = plain(results)
    for named in ("model", "models published"):
        assert f"DOUBT: {named}: its training data included data set ds004148; it is not known " \
               f"whether anybody judged here was in it" in page
    assert "models own: its training data" not in page
    assert "LEAK" not in page


def test_each_model_reads_places_by_its_own_rule(corpus, imported):
    """The corpus's contract says "head"; published weights learned "centered"."""
    opened, model = Corpus.open(corpus), checkpoints.load(imported)
    assert (opened.contract.geometry, model.contract.geometry) == ("head", "centred")
    data = labeled(opened)
    decoder = build(model, data, "frozen", {}, 0)
    assert decoder.contract.geometry == "centred"
    windows = np.arange(3)
    found = features.prepared(decoder, opened, windows, data.target).values.long()
    with torch.no_grad():
        by_rule = {rule: model.tokenizer.encode(opened.batch(windows, geometry=rule)).ids
                   for rule in ("centred", "head")}
    assert torch.equal(found, by_rule["centred"])
    assert not torch.equal(found, by_rule["head"])


def test_bad_input_a_narrower_band(planted, imported, tmp_path, capsys):
    """Sampled at 128 Hz: an ingest brings it to a band up to 96 Hz where it may lack the end."""
    chosen = [f"--data={planted.corpus}", f"--model={planted.backbone}",
              f"--models.published={imported}", f"--out={tmp_path / 'out'}",
              "--methods=[frozen@published,csp_lda]"]
    assert cli.main(["evaluate", "decoding", *chosen]) == 1
    said = capsys.readouterr().err
    assert f"{planted.corpus} does not meet the contract of {imported}" in said
    assert "lowpass_hz: 96.0, 45.0" in said
    assert "14 of its 14 recordings were sampled at 128 Hz" in said
    assert "hold nothing above 64 Hz" in said
    assert f"neurofm ingest … --contract={imported}/preprocessor_config.json" in said
    assert "--lacking=accept (14 of its 14 recordings" in said
    assert not (tmp_path / "out").exists()


def test_bad_input_another_band_that_ingest_could_give(corpus, imported):
    opened, model = Corpus.open(corpus), checkpoints.load(imported)
    narrow = dataclasses.replace(opened, contract=opened.contract.with_(lowpass_hz=60.0))
    with pytest.raises(ValueError, match=r"lowpass_hz: 96\.0, 60\.0\); ingest it again as the "
                                         r"model wants it: .*--contract\.window_s=5$"):
        check_contract(model, "published", narrow)


def test_bad_input_windows_shorter_than_the_tokenizer_reads(corpus, imported):
    opened, model = Corpus.open(corpus), checkpoints.load(imported)
    for window_s in (2.0, 4.0, 30.0):
        fine = dataclasses.replace(opened, contract=opened.contract.with_(window_s=window_s))
        check_contract(model, "published", fine)
    short = dataclasses.replace(opened, contract=opened.contract.with_(window_s=1.5))
    with pytest.raises(ValueError, match=r"windows of 1\.5 s are shorter than the 2 s \(512 "
                                         r"samples\) that published encodes together.*"
                                         r"--contract\.window_s=2 or more"):
        check_contract(model, "published", short)


def test_bad_input_recentered_after_the_model(planted, imported, tmp_path, capsys):
    chosen = [f"--data={planted.corpus}", f"--model={planted.backbone}",
              f"--models.published={imported}", f"--out={tmp_path / 'out'}",
              "--methods=[frozen@published_recentered]"]
    assert cli.main(["evaluate", "decoding", *chosen]) == 1
    assert "or write frozen_recentered@published" in capsys.readouterr().err


def identity(recording: Recording) -> pd.DataFrame:
    return pd.DataFrame([{"recording": recording.source, "dataset": recording.dataset,
                          "subject": recording.subject}])


def test_a_decoded_recording_of_such_a_data_set_is_told_of(imported):
    """What the frame of `decode` says: a doubt where the recording may have been trained on."""
    known, other = (Recording(np.zeros((1, 9), np.float32), 256.0, planted_module.cap(1),
                              subject="01", dataset=name) for name in ("ds000117-1.0.6", "mine"))
    ledger = {"model": checkpoints.read_ledger(imported)}
    (said,) = seen.flags(ledger, identity(known))
    assert said.kind == "DOUBT"
    assert "included data set ds000117; it is not known whether anybody judged" in said.text
    assert seen.flags(ledger, identity(other)) == []
    told = findings.trained_on(str(imported), other)
    assert any("It holds weights published by others" in line for line in told)

