"""One file adds a reader, a step, a tokenizer, a model, a task, a baseline or a benchmark.

Each stands in a package of somebody else (`tests/support/toy`), found by its entry point; nothing
of neurofm is touched. What is made goes the whole way: files → ingest → pretrain → evaluate.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurofm import artifacts
from neurofm.data.contract import FILE_NAME, InputContract
from neurofm.data.corpus import Corpus
from neurofm.data.pairs import Pairs
from neurofm.preprocessing import quality
from neurofm.results import Results
from tests.support import flagged, fmri
from tests.support.planted import cap, windows_of
from tests.support.toy_package import ToyPackage, toy_package

NAMES = ("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P3", "P4",
         "O1", "O2")
LIMIT_UV = 15
# No filter and the rate of the files: what a stream has not seen yet changes no window.
PLAIN = [f"--contract.{setting}" for setting in (
    "sfreq=128", "window_s=2", "lowpass_hz=null", "highpass_hz=null", "notch_hz=[]",
    "scale=channel_std", "bad_channels=none", "amplitude_uv=[0.01, 1000]")]
STEP = f'--contract.steps={{"clip": {{"limit_uv": {LIMIT_UV}}}}}'
LABELS = ["--label.source=event", '--label.mapping={"left": "left", "right": "right"}']
QUICK = ["--train.steps=3", "--train.batch_windows=4"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> ToyPackage:
    return toy_package(tmp_path_factory.mktemp("site"))


def write(path: Path, seed: int, n_windows: int = 12) -> Path:
    """A table of 20 µV with the planted effect."""
    labels = ["left", "right"] * (n_windows // 2)
    signal = np.concatenate(list(windows_of(
        np.random.default_rng(seed), cap(), labels, 0.9)), axis=1)
    events = " ".join(f"{2 * k}:{label}" for k, label in enumerate(labels))
    rows = "\n".join(" ".join(f"{value:.4e}" for value in row) for row in 20e-6 * signal.T)
    path.write_text(f"128\n{' '.join(NAMES)}\n{events}\n{rows}\n")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Recordings of eight people, in the format that only the toy's reader reads."""
    folder = tmp_path_factory.mktemp("archive") / "toys"
    folder.mkdir()
    for person in range(8):
        write(folder / f"sub-{person:02d}_task-imagery.toy", person)
    return folder


@pytest.fixture(scope="module")
def corpus(toy, files) -> Path:
    """Read by the toy's reader, clipped by its step."""
    out = files.parent / "corpus"
    toy.each(["ingest", files, f"--out={out}", *PLAIN, STEP, *LABELS, "--workers=1",
              '--splits.validation=["04", "05"]', '--splits.test=["06", "07"]'])
    return out


@pytest.fixture(scope="module")
def model(toy, corpus) -> Path:
    out = corpus.parent / "model"
    toy.each(["pretrain", "--model=toy_loud", f"--data={corpus}", f"--out={out}", *QUICK])
    return out


def test_one_file_reader(corpus):
    found = Corpus.open(corpus)
    assert len(found.recordings) == 8
    assert next(iter(found.layouts.values())).names == NAMES
    assert set(found.windows["label"]) == {"left", "right"}


def test_one_file_bad_input_of_a_reader_is_listed_with_its_file(toy, files, tmp_path):
    folder = tmp_path / "toys"
    folder.mkdir()
    good = files / "sub-01_task-imagery.toy"
    (folder / good.name).write_text(good.read_text())
    (folder / "bad.toy").write_text(good.read_text().replace("128", "-1", 1))
    done = toy.neurofm("ingest", folder, f"--out={tmp_path / 'c'}", *PLAIN, "--workers=1")
    assert done.returncode == 3, done.stdout + done.stderr
    failures = (tmp_path / "c" / "failures.tsv").read_text()
    assert "bad.toy" in failures
    assert "wanted a rate above 0 Hz, got -1" in failures
    assert len(Corpus.open(tmp_path / "c").recordings) == 1
    # An installed step changes nothing unless a contract asks for it.
    kept = Corpus.open(tmp_path / "c")
    assert "clip" not in quality.from_text(kept.recordings["quality"].iloc[0])
    assert "steps" not in kept.contract.to_dict()


def test_one_file_step_in_ingest(corpus):
    kept = json.loads((corpus / FILE_NAME).read_text())
    assert kept["steps"] == {"clip": {"limit_uv": LIMIT_UV}}
    page = (corpus / "quality.html").read_text()
    assert f"at {LIMIT_UV} µV" in page
    assert "of the samples clipped" in page
    # Without the package: what it made can be read, and nothing is standardized without the step.
    found = Corpus.open(corpus)
    assert ("Step clip", f"limit_uv {LIMIT_UV}") in found.contract.described()
    assert quality.remarks(quality.from_text(found.recordings["quality"].iloc[0])) == []


@pytest.mark.long
def test_one_file_step_gives_the_same_window_by_file_and_by_stream(toy, corpus, model, tmp_path):
    """Answers of `neurofm stream` are those of `neurofm decode`; without the step they are not."""
    decoder, path = tmp_path / "decoder", write(tmp_path / "sub-09_task-imagery.toy", 9)
    toy.each(["finetune", f"--data={corpus}", f"--model={model}", f"--out={decoder}",
              "--decoder=network", "--train.steps=20", "--train.lr=1e-2"])
    contract = InputContract.load(decoder)
    asked = {"plain": {}, "mute": {**contract.steps, "mute": {}}}
    plain, mute = (flagged.changed(decoder, tmp_path / name, FILE_NAME,
                                   contract.with_(steps=steps).to_dict())
                   for name, steps in asked.items())
    said = toy.each(
        ["decode", path, f"--model={decoder}", f"--out={tmp_path / 'file'}"],
        ["stream", f"--replay={path}", f"--model={decoder}", f"--out={tmp_path / 'live'}",
         "--speed=40"],
        ["decode", path, f"--model={plain}", f"--out={tmp_path / 'without'}"],
        ["decode", path, f"--model={mute}", f"--out={tmp_path / 'muted'}"])
    assert "12 windows" in said
    file, live, without = (pd.read_csv(tmp_path / name / "predictions.tsv", sep="\t")
                           for name in ("file", "live", "without"))
    assert live["start_s"].tolist() == file["start_s"].tolist() == list(range(0, 24, 2))
    assert np.allclose(live["p_left"], file["p_left"], atol=1e-3)
    assert np.abs(without["p_left"] - file["p_left"]).min() > 0.05
    for name in ("file", "live"):
        assert f"at {LIMIT_UV} µV" in (tmp_path / name / "report.html").read_text()
    refused = toy.neurofm("stream", f"--replay={path}", f"--model={mute}",
                          f"--out={tmp_path / 'no'}")
    assert refused.returncode == 1
    assert "the step mute cannot: it does not say how it lives in a stream" in refused.stderr


@pytest.mark.parametrize(("given", "wanted"), [
    ('{"clip": {"limit": 5}}', "contract.steps.clip: no setting 'limit'; did you mean 'limit_uv'"),
    ('{"clap": {}}', "the step 'clap', which no installed package has (installed: clip, mute)"),
])
def test_one_file_bad_input_settings_of_a_step(toy, files, tmp_path, given, wanted):
    """They are checked before any work."""
    done = toy.neurofm("ingest", files, f"--out={tmp_path / 'c'}", *PLAIN,
                       f"--contract.steps={given}")
    assert done.returncode != 0
    assert wanted in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_one_file_tokenizer(toy, corpus, tmp_path):
    run, tokens, out = tmp_path / "tokenizer", tmp_path / "tokens", tmp_path / "results"
    toy.each(
        ["pretrain", "--model=toy_sign", f"--data={corpus}", f"--out={run}", *QUICK,
         "--architecture.border=0.7"],
        ["tokenize", f"--data={corpus}", f"--model={run}", f"--out={tokens}"],
        ["evaluate", "reconstruction", f"--data={corpus}", f"--model={run}", f"--out={out}"])
    assert artifacts.open_sealed(run, "checkpoint").config["architecture"] == {"border": 0.7}
    assert artifacts.open_sealed(tokens, "tokens").config["shape"] == [len(NAMES), 256, 1]
    explained = {row["method"]: row["value"] for row in Results.load(out).scores
                 if row["metric"] == "pve"}
    assert explained.keys() == {"model", "mu_law (2)", "quantile (2)"}  # it is one of samples
    assert 50 < explained["model"] < 100


@pytest.mark.long
def test_one_file_model(toy, corpus, model, tmp_path):
    run = tmp_path / "decoder"
    toy.each(["finetune", f"--data={corpus}", f"--model={model}", f"--out={run}",
              "--decoder=network", QUICK[0]])
    code = f"import neurofm; print(type(neurofm.load({str(run)!r}).backbone).__name__)"
    assert toy.python("-c", code).stdout.strip() == "ToyLoud"


@pytest.mark.long
def test_one_file_task_and_baseline_beside_a_model(toy, corpus, model, tmp_path):
    out = tmp_path / "out"
    toy.each(["evaluate", "decoding", f"--data={corpus}", f"--model={model}", f"--out={out}",
              "--task=toy_side", "--methods=[frozen, toy_nearest, band_power_lr]", "--seeds=1",
              "--tuning=1", "--train.steps=5"])
    assert "Which side is meant, says the toy?" in (out / "report.html").read_text()
    found = Results.load(out)
    assert {"frozen", "toy_nearest", "band_power_lr"} <= set(found.methods)
    assert {"frozen", "toy_nearest"} <= {row["method"] for row in found.scores}


def test_one_file_benchmark(toy, corpus, model, tmp_path):
    """The frame does for it what it does for every question."""
    out, leaky = tmp_path / "out", tmp_path / "leaky"
    line = ["evaluate", "toy-question", f"--data={corpus}", f"--model={model}"]
    said = toy.each([*line, f"--out={out}"], [*line, f"--out={out}"],
                    [*line, f"--out={leaky}", "--split=train"])
    made = artifacts.open_sealed(out, "results", hashes=True)
    assert f"is finished ({made.fingerprint}): nothing to do" in said
    found = Results.load(out)
    assert (found.question, found.subjects, found.flags) == ("toy-question", 2, [])
    assert found.command.startswith("neurofm evaluate toy-question --data=")
    assert -1 <= found.scores[0]["value"] <= 1
    assert "Toy question" in (out / "report.html").read_text()
    people = Corpus.open(corpus).subjects(Corpus.open(corpus).select("train"))
    flagged.check(leaky, said, "LEAK", "model", tuple(sorted(set(people))))

    refused = toy.neurofm(*line, f"--out={out}", "--split=validation")
    assert refused.returncode == 1
    assert "made with other settings (split: test, wanted validation)" in refused.stderr


def test_one_file_benchmark_of_weights_that_others_published(toy, corpus, model, tmp_path):
    dataset = Corpus.open(corpus).recordings["dataset"].iloc[0]
    theirs = flagged.of_published(model, tmp_path / "theirs", dataset.title())
    out = tmp_path / "out"
    said = toy.each(["evaluate", "toy-question", f"--data={corpus}", f"--model={theirs}",
                     f"--out={out}"])
    flagged.check(out, said, "DOUBT", "model")


@pytest.mark.long
def test_one_file_masked_model_is_judged_by_hidden_regions(toy, tmp_path):
    data, run, out = fmri.make(tmp_path / "fmri"), tmp_path / "masked", tmp_path / "out"
    toy.each(
        ["pretrain", "--model=toy_masked", f"--data={data}", f"--out={run}", "--train.steps=100",
         "--train.batch_windows=4", "--train.lr=0.03"],
        ["evaluate", "hidden-regions", f"--data={data}", f"--model={run}", f"--out={out}",
         "--shares=[0.5]"])
    table = pd.read_csv(out / "table.tsv", sep="\t")
    assert table["r2_guess"].isna().all()  # it has no linear part
    assert (table["r2_model"] > 0.05).all()  # trained,
    assert (table["r2_random"] == 0).all()  # and not
    assert (table["difference"] < 0).all()  # it knows of no networks, ridge regression does


def test_one_file_model_of_scans_is_judged_by_bold_and_synthesizes(toy, tmp_path):
    files, pairs, run, judged, made = (
        tmp_path / name for name in ("archive", "pairs", "loudness", "judged", "made"))
    toy.each(
        ["simulate", f"--out={files}", "--bold=true", "--subjects=3", "--minutes=2",
         "--always=[eeg19]", "--devices=[]", "--devices_per_subject=0", "--n_rois=4"])
    eeg, = files.rglob("sub-003*_eeg.fif")
    toy.each(
        ["pair", files, f"--rois={files / 'rois.tsv'}", "--contract.sfreq=100",
         "--contract.lowpass_hz=45", '--splits.validation=["002"]', '--splits.test=["003"]',
         f"--out={pairs}"],
        ["pretrain", "--model=toy_loudness", f"--data={pairs}", f"--out={run}", "--train.steps=2",
         "--train.batch_windows=1"],
        ["evaluate", "bold", f"--data={pairs}", f"--model={run}", "--methods=[ours, alpha_hrf]",
         "--permutations=20", f"--out={judged}"],
        ["synthesize", eeg, f"--model={run}", "--t_r=2",
         f"--out={made}"])
    scores = {row["method"]: row["value"] for row in Results.load(judged).scores
              if row["metric"] == "r"}
    assert set(scores) == {"ours", "alpha_hrf"}
    (series,) = made.glob("*_timeseries.tsv")
    table = pd.read_csv(series, sep="\t")
    assert list(table) == list(Pairs.open(pairs).rois.names)
    assert len(table) > 40
    shape = np.corrcoef(table.to_numpy().T)
    assert np.allclose(np.abs(shape), 1, atol=1e-3)  # one loudness behind every region


@pytest.mark.long
def test_one_file_model_of_tokens_is_judged_by_next_token_and_generation(toy, corpus, tmp_path):
    samples, run, nexts, made, judged = (
        tmp_path / name for name in ("samples", "bigram", "next", "generated", "judged"))
    toy.each(
        ["pretrain", "--model=quantile", f"--data={corpus}", f"--out={samples}",
         "--architecture.n_tokens=6"],
        ["pretrain", "--model=toy_bigram", f"--data={corpus}", f"--tokenizer={samples}",
         f"--out={run}", "--train.steps=60", "--train.batch_windows=8", "--train.lr=0.3"],
        ["evaluate", "next-token", f"--data={corpus}", f"--model={run}", f"--out={nexts}",
         "--order=4"],
        ["generate", f"--data={corpus}", f"--model={run}", f"--out={made}", "--seconds=10",
         "--burn_in_s=0"],
        ["evaluate", "generation", f"--data={corpus}", f"--generated.toy={made}",
         f"--out={judged}", "--ar_order=4", "--mvar_order=2", "--permutations=20",
         "--bands={alpha: [8, 13]}"])
    nats = pd.read_csv(nexts / "table.tsv", sep="\t").set_index("prediction")["nats"]
    assert nats["model"] < nats["unigram"]
    assert nats["model"] == pytest.approx(nats["bigram"], abs=0.1)  # which is what it is
    found = Results.load(judged)
    assert found.methods[0] == "real" or "toy" in found.methods
    assert "toy" in {row["method"] for row in found.scores}
    raw_files = sorted(path.name for path in made.glob("*_raw.fif"))
    assert len(raw_files) == 2


def test_one_file_in_help(toy):
    """All of them are named where they can be chosen."""
    said = " ".join(toy.each(["--help"], ["evaluate", "--help"]).split())
    assert said.count("toy-question How evenly features follow loudness: a toy question.") == 2
    for line, wanted in (
        (["ingest"], ["toy_table", "Installed: clip, mute"]),
        (["pretrain"], ["toy_bigram, toy_loud, toy_loudness, toy_masked, toy_sign"]),
        (["evaluate", "decoding"], ["toy_side", "toy_nearest"]),
        (["evaluate", "toy-question"], ["Checkpoint of a model with features (required)"]),
    ):
        found = " ".join(toy.neurofm(*line, "--help").stdout.split())
        for words in wanted:
            assert words in found, (line, words)


def test_one_file_that_cannot_be_imported(planted, tmp_path):
    """Others still load; asked for by name, it is told."""
    toy = toy_package(tmp_path, "toy_broken", {"broken": "import no_such_package"},
                      {"neurofm.models": {"toy_broken": "broken:Model"}})
    done = toy.neurofm("pretrain", "--model=toy_broken", "--data=x", "--out=y")
    assert done.returncode != 0
    assert "toy_broken.broken:Model, which cannot be imported" in done.stderr
    code = f"import neurofm; print(type(neurofm.load({str(planted.backbone)!r})).__name__)"
    assert toy.python("-c", code).stdout.strip() == "BrainOmni"
