"""Decoding a file: the same as through a corpus, or a refusal that leaves nothing behind."""

import numpy as np
import pandas as pd
import pytest

from neurofm import artifacts, checkpoints
from neurofm.data.corpus import Corpus
from neurofm.downstream.finetune import main as finetune
from neurofm.preprocessing.ingest import main as ingest
from neurofm.results import Results
from tests.support.one_person import decode, save_raw
from tests.support.planted import SFREQ


@pytest.fixture(scope="module")
def decoded(decoder, tmp_path_factory):
    """(recording, folder of results)."""
    folder = tmp_path_factory.mktemp("decoded")
    path = save_raw(folder / "somebody_raw.fif")
    assert decode(path, decoder, folder / "out") == 0
    return path, folder / "out"


def test_table_figure_and_page(decoded):
    path, out = decoded
    table = pd.read_csv(out / "predictions.tsv", sep="\t")
    assert list(table) == ["start_s", "stop_s", "predicted", "p_left", "p_right", "confidence",
                           "entropy", "abstained"]
    assert not table["abstained"].any()
    assert table["start_s"].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert np.allclose(table["stop_s"] - table["start_s"], 2)
    assert (table["predicted"] == ["left", "right"] * 4).mean() > 0.8
    assert pd.read_parquet(out / "predictions.parquet").equals(table)
    page = (out / "report.html").read_text()
    for said in (path.name, "data:image/png;base64,", "balanced accuracy", "0.1–45 Hz",
                 "16 eeg", "left (4), right (4)", "is not on the list of training subjects",
                 "not a medical",
                 "trained on 8 subjects", "The decoder names", "No fault was found", "<details>"):
        assert said in page, said
    assert "http" not in page.replace("http-equiv", "")
    assert artifacts.open_sealed(out, "results", hashes=True).config["model"]
    assert (out / "decoded.png").stat().st_size > 10_000


def test_same_as_through_a_corpus(decoded, decoder, tmp_path):
    path, out = decoded
    words = [f"--contract={decoder / 'preprocessor_config.json'}", "--workers=1"]
    assert ingest([str(path), f"--out={tmp_path / 'corpus'}", *words]) == 0
    corpus, model = Corpus.open(tmp_path / "corpus"), checkpoints.load(decoder)
    probability = model.predict(corpus.batch(np.arange(len(corpus)))).numpy()
    table = pd.read_csv(out / "predictions.tsv", sep="\t")
    assert np.allclose(table[["p_left", "p_right"]], probability, atol=1e-4)
    assert table["p_left"].std() > 0.05


def test_windows_at_events(decoded, decoder, tmp_path):
    path, _ = decoded
    assert decode(path, decoder, tmp_path / "out", "--events=[right]", "--tmin_s=0") == 0
    table = pd.read_csv(tmp_path / "out" / "predictions.tsv", sep="\t")
    assert table["start_s"].tolist() == [2, 6, 10, 14]


def test_again_does_nothing_and_other_things_are_not_overwritten(decoded, decoder, capsys):
    path, out = decoded
    before = artifacts.open_sealed(out).created
    assert decode(path, decoder, out) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert decode(path, decoder, out, "--abstain_below=0.9") == 1
    told = capsys.readouterr().err
    assert "was made with other settings (abstain_below: 0.0, wanted 0.9)" in told
    (out.parent / "notes").mkdir()
    (out.parent / "notes" / "mine.txt").write_text("mine")
    assert decode(path, decoder, out.parent / "notes") == 1
    assert "holds other things" in capsys.readouterr().err
    assert artifacts.open_sealed(out).created == before


def test_somebody_of_the_training_data_is_named(planted, decoder, tmp_path):
    folder = tmp_path / "planted"
    folder.mkdir()
    path = save_raw(folder / "sub-03_task-imagery_raw.fif")
    assert decode(path, decoder, tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "LEAK: model: 1 of 1 subject judged here is in its training data" in page
    assert "planted/03 is in this decoder&#x27;s training data (train)" in page


def test_cases_a_training_recording_under_another_name(planted, tmp_path):
    """An ingest may call people and data set as it likes; the file to decode has its own name."""
    (tmp_path / "lab").mkdir()
    for number, name in enumerate(("anna", "bert", "carl", "dora")):
        save_raw(tmp_path / "lab" / f"{name}_raw.fif", seed=number)
    contract = planted.backbone / "preprocessor_config.json"
    assert ingest([
        str(tmp_path / "lab"), f"--out={tmp_path / 'corpus'}", f"--contract={contract}",
        "--workers=1", "--dataset=motor", '--files=[{pattern: "(?P<subject>[a-z]+)_raw"}]',
        "--label.source=event", "--label.mapping={left: left, right: right}",
        "--splits.test=[dora]", "--splits.validation=[carl]"]) == 0
    assert finetune([f"--data={tmp_path / 'corpus'}", f"--model={planted.backbone}",
                     f"--out={tmp_path / 'decoder'}", "--decoder=network"]) == 0
    (tmp_path / "new").mkdir()
    path = (tmp_path / "lab" / "anna_raw.fif").rename(tmp_path / "new" / "today_raw.fif")
    assert decode(path, tmp_path / "decoder", tmp_path / "out") == 0
    assert [flag.kind for flag in Results.load(tmp_path / "out").flags] == ["LEAK"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "This recording is in this decoder&#x27;s training data (train, as motor/anna)" in page


def test_real_recording(data, decoder, tmp_path):
    """19 channels at 500 Hz of a data set, device and montage that were never trained on."""
    path = next((data / "eegmat" / "sub-01" / "eeg").glob("*arithmetic*.edf"))
    assert decode(path, decoder, tmp_path / "out") == 0
    table = pd.read_csv(tmp_path / "out" / "predictions.tsv", sep="\t")
    assert len(table) >= 30
    assert table["p_left"].between(0, 1).all()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "eegmat/01 is not on the list" in page
    assert "19 eeg" in page


def refused(capsys, path, model, tmp_path, *words) -> str:
    assert decode(path, model, tmp_path / "out", *words) == 1
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))
    return capsys.readouterr().err


def test_bad_input_recording_that_cannot_meet_the_contract(decoder, tmp_path, capsys):
    short = save_raw(tmp_path / "short_raw.fif", n_windows=2, sfreq=4 * SFREQ)
    said = refused(capsys, short, decoder, tmp_path)
    assert "short_raw.fif" in said
    assert "2 s for one window" in said
    slow = save_raw(tmp_path / "slow_raw.fif", sfreq=SFREQ / 2)
    assert "band up to 45 Hz" in refused(capsys, slow, decoder, tmp_path,
                                          "--lacking=refuse")
    helmet = save_raw(tmp_path / "helmet_raw.fif", kind="mag")
    said = refused(capsys, helmet, decoder, tmp_path)
    assert "sensors of kind eeg" in said
    assert "16 mag" in said


def test_bad_input_files(decoder, tmp_path, capsys):
    assert "no such file" in refused(capsys, tmp_path / "none.edf", decoder, tmp_path)
    (tmp_path / "empty.edf").touch()
    assert "empty" in refused(capsys, tmp_path / "empty.edf", decoder, tmp_path)
    (tmp_path / "text.docx").write_text("hello")
    assert "no recordings known" in refused(capsys, tmp_path / "text.docx", decoder, tmp_path)
    path = save_raw(tmp_path / "fine_raw.fif")
    assert "events named up" in refused(capsys, path, decoder, tmp_path, "--events=[up]")


def test_bad_input_model_without_classes(planted, tmp_path, capsys):
    path = save_raw(tmp_path / "fine_raw.fif")
    said = refused(capsys, path, planted.backbone, tmp_path)
    assert "BrainOmni, which has no classes" in said
    assert "neurofm finetune" in said
