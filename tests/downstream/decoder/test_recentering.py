"""A decoder that re-centers: trained and saved so, and given a person's average in use."""

from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
import torch

from neurofm import checkpoints
from neurofm.data.corpus import Corpus
from neurofm.downstream import stream as stream_module
from neurofm.downstream.decoder import features
from neurofm.downstream.decoder.embedding import of_recording
from neurofm.downstream.estimators.sklearn_face import NeuroFMClassifier
from neurofm.downstream.finetune import main as finetune
from neurofm.downstream.scoring import attribution
from neurofm.downstream.scoring.predictions import predict
from neurofm.downstream.stream import read_table
from neurofm.downstream.use import centering, many, one
from neurofm.downstream.use.centering import Running
from neurofm.models.decoder import Decoder
from neurofm.preprocessing import readers
from neurofm.preprocessing.standardize import standardize
from tests.support.one_person import decode, save_raw
from tests.support.planted import CONTRACT, cap, make_corpus

P = ["p_left", "p_right"]


@pytest.fixture(scope="module")
def recentered(planted, tmp_path_factory):
    """Folder of a frozen decoder of the planted effect that re-centers."""
    out = tmp_path_factory.mktemp("recentered") / "decoder"
    assert finetune([
        f"--data={planted.corpus}", f"--model={planted.backbone}", f"--out={out}",
        "--decoder=network", "--architecture.recentered=true", "--train.steps=40",
        "--train.lr=1e-3"]) == 0
    return out


@pytest.fixture
def blocks(tmp_path):
    """Two recordings of one person, each of one state, as rest and task are recorded."""
    folder = tmp_path / "blocks"
    folder.mkdir()
    for side in ("left", "right"):
        save_raw(folder / f"sub-77_task-{side}_raw.fif", labels=[side] * 12, seed=7)
    return folder


def shares(out) -> dict[str, float]:
    """Share of "left" in the answers to each of the two recordings."""
    return {side: (pd.read_csv(out / f"sub-77_task-{side}_raw" / "predictions.tsv", sep="\t")
                   ["predicted"] == "left").mean() for side in ("left", "right")}


def test_checkpoint_says_so_and_gives_what_was_judged(recentered, planted):
    model, corpus = checkpoints.load(recentered), Corpus.open(planted.corpus)
    assert model.config.recentered
    table = pd.read_parquet(recentered / "test" / "predictions.parquet")
    for _, part in table.groupby("subject"):
        pooled = model.pool(corpus.batch(part["window"].to_numpy()))
        said = model.name(pooled, features.center(pooled)).numpy()
        assert np.allclose(said, part[P], atol=1e-4)
    assert (table["label"] == table["predicted"]).mean() > 0.8


def test_center_of_nobody_known_is_the_training_peoples(recentered, planted):
    model, corpus = checkpoints.load(recentered), Corpus.open(planted.corpus)
    windows = corpus.select("train")
    pooled, subjects = model.pool(corpus.batch(windows)), corpus.subjects(windows)
    means = [pooled[torch.from_numpy(subjects == who)].mean(0) for who in np.unique(subjects)]
    assert torch.allclose(model.head.centre, torch.stack(means).mean(0), atol=1e-4)
    batch = corpus.batch(windows[:5])
    assert torch.equal(model.predict(batch), model.predict(batch, model.head.centre))
    odds = [model.predict(batch, center).log().diff() for center in (None, means[-1])]
    assert (odds[0] - odds[1]).abs().max() > 0.1


@pytest.fixture(scope="module")
def two_caps(tmp_path_factory):
    """A corpus of people recorded by 16 and by 24 electrodes."""
    return Corpus.open(make_corpus(tmp_path_factory.mktemp("two") / "caps", caps=(16, 24)))


def test_a_person_has_an_average_for_each_device(recentered, two_caps):
    model, windows = checkpoints.load(recentered), two_caps.select("test")
    target = np.zeros(len(two_caps.windows), dtype=np.int64)
    pooled = features.pooled(model, features.prepared(model, two_caps, windows, target))
    said = predict(model, pooled, windows, "cpu")
    layout = np.array([len(two_caps.layout(w)) for w in windows])
    subject = two_caps.subjects(windows)
    for who in np.unique(subject):
        for n in (16, 24):
            own = np.flatnonzero((subject == who) & (layout == n))
            seen = model.pool(two_caps.batch(windows[own]))
            assert np.allclose(model.name(seen, features.center(seen)), said[own], atol=1e-4)
    moved = features.recentered(pooled, [windows]).values
    assert moved[torch.from_numpy(layout == 16)].mean(0).abs().max() < 1e-4
    # A few channels left out as bad are the same device still: an average of each recording alone
    # would take away what sets rest and task apart.
    whole = cap(16)
    assert whole.resembles(whole[2:])
    assert not whole.resembles(whole[4:])
    assert not whole.resembles(cap(24))


def test_maps_are_of_what_a_re_centering_decoder_says_of_each_person(recentered, two_caps):
    model, windows = checkpoints.load(recentered), two_caps.select("test")
    windows = windows[[len(two_caps.layout(w)) == 16 for w in windows]]
    target = (two_caps.windows["label"].to_numpy()[windows] == "right").astype(np.int64)
    found, = attribution.maps(model, two_caps, windows, target, draws=20)
    answers = np.empty((len(windows), 2))
    for who in np.unique(two_caps.subjects(windows)):
        own = np.flatnonzero(two_caps.subjects(windows) == who)
        seen = model.pool(two_caps.batch(windows[own]))
        answers[own] = model.name(seen, features.center(seen)).numpy()
    wanted, = attribution.of_answers(answers, model.classes, two_caps, windows, target, draws=20)
    assert np.allclose(found.pattern, wanted.pattern, atol=1e-3)


def test_recordings_of_a_person_by_another_device_are_not_averaged(recentered, blocks, tmp_path,
                                                                   capsys):
    left, right = sorted(blocks.glob("*.fif"))
    small = mne.io.read_raw_fif(right, verbose="ERROR").pick(slice(0, 10))
    small.save(blocks / "sub-77_task-small_raw.fif", verbose="ERROR")
    # Two validation people cannot tell what ten of sixteen channels cost.
    assert decode(blocks, recentered, tmp_path / "out", "--lacking=accept") == 0
    together = shares(tmp_path / "out")
    assert together["left"] > 0.8
    assert together["right"] < 0.2
    page = (tmp_path / "out" / "sub-77_task-small_raw" / "report.html").read_text()
    assert "average over 12 windows of sub-77_task-small_raw.fif" in page
    one = blocks / "sub-77_task-small_raw.fif"
    assert decode(left, recentered, tmp_path / "one", f"--center_on=[{left},{one}]") == 1
    assert "has other sensors (10 eeg" in capsys.readouterr().err


def test_one_file_is_centered_on_itself_or_on_others(recentered, blocks, tmp_path, capsys):
    left, right = sorted(blocks.glob("*.fif"))
    for name, words in (("alone", []), ("given", [f"--center_on=[{left},{right}]"])):
        assert decode(left, recentered, tmp_path / name, *words) == 0
        doubt = "Answers are relative to the average of this recording."
        for said in (capsys.readouterr().out, (tmp_path / name / "report.html").read_text(),
                     (tmp_path / name / "results.json").read_text()):
            assert (doubt in said) == (name == "alone")
    alone, given = (pd.read_csv(tmp_path / name / "predictions.tsv", sep="\t")
                    for name in ("alone", "given"))
    model = checkpoints.load(recentered)
    seen = [centering.seen(model, standardize(readers.read(path), model.contract), 4).pooled
            for path in (left, right)]
    for table, center in ((alone, seen[0].mean(0)), (given, torch.cat(seen).mean(0))):
        assert np.allclose(table[P], model.name(seen[0], center), atol=1e-4)
    # One state alone is taken for the average: what the page warns of.
    assert given["p_left"].mean() > alone["p_left"].mean() + 0.1
    assert (given["predicted"] == "left").mean() > 0.8
    page = (tmp_path / "given" / "report.html").read_text()
    assert "this person&#x27;s average over 24 windows of sub-77_task-left_raw.fif" in page


@pytest.mark.parametrize("kept_bytes", [many._KEPT_BYTES, 0])
def test_recordings_of_a_subject_given_together_are_one_person(recentered, blocks, tmp_path,
                                                               monkeypatch, kept_bytes):
    """Long ones are read again instead of being kept."""
    monkeypatch.setattr(many, "_KEPT_BYTES", kept_bytes)
    assert decode(blocks, recentered, tmp_path / "out") == 0
    together = shares(tmp_path / "out")
    assert together["left"] > 0.8
    assert together["right"] < 0.2
    assert decode(blocks, recentered, tmp_path / "out") == 0  # known to be finished
    # One more recording of the person changes the average, so what stands there is done again.
    save_raw(blocks / "sub-77_task-rest_raw.fif", labels=["left", "right"] * 3, seed=7)
    before = (tmp_path / "out" / "sub-77_task-left_raw" / "manifest.json").stat().st_mtime_ns
    assert decode(blocks, recentered, tmp_path / "out") == 0
    after = (tmp_path / "out" / "sub-77_task-left_raw" / "manifest.json").stat().st_mtime_ns
    assert after > before


def test_a_pattern_tells_whose_recordings_go_together(recentered, blocks, tmp_path, capsys):
    """Names that are not of BIDS: without the pattern each file is a person of its own."""
    for path in sorted(blocks.glob("*.fif")):
        path.rename(path.with_name(f"P77_{path.name.split('-')[-1]}"))
    assert decode(blocks, recentered, tmp_path / "apart") == 0
    assert capsys.readouterr().out.count("Answers are relative") == 2
    pattern = '--files=[{"pattern": "(?P<subject>P[0-9]+)_"}]'
    assert decode(blocks, recentered, tmp_path / "out", pattern) == 0
    assert "Answers are relative" not in capsys.readouterr().out
    together = pd.read_csv(tmp_path / "out" / "summary.tsv", sep="\t").set_index("folder")
    assert together["share_left"].max() > 0.8
    assert together["share_left"].min() < 0.2


@pytest.mark.parametrize("words", ["alone", "folder", "given"])
def test_a_recording_is_read_standardized_and_encoded_once(recentered, blocks, tmp_path,
                                                           monkeypatch, words):
    files = sorted(blocks.glob("*.fif"))
    done = Counter()

    def counted(owner, name, key):
        plain = getattr(owner, name)

        def count(*args, **more):
            done[name, key(*args)] += 1
            return plain(*args, **more)
        monkeypatch.setattr(owner, name, count)

    counted(one.readers, "read", lambda path: path.name)
    counted(one, "standardize", lambda recording, _: Path(recording.source).name)
    counted(Decoder, "pool", lambda model, batch: Path(batch.source[0]).name)
    one_batch = "--batch_windows=12"
    if words == "alone":
        assert decode(files[0], recentered, tmp_path / "out", one_batch) == 0
        out, files = tmp_path / "out", files[:1]
    elif words == "folder":
        assert decode(blocks, recentered, tmp_path / "out", one_batch) == 0
        out = tmp_path / "out" / "sub-77_task-left_raw"
    else:
        given = f"--center_on=[{files[0]},{files[1]}]"
        assert decode(files[0], recentered, tmp_path / "out", one_batch, given) == 0
        out = tmp_path / "out"
    names = ("read", "standardize", "pool")
    assert done == {(name, path.name): 1 for name in names for path in files}
    monkeypatch.undo()
    model = checkpoints.load(recentered)
    windows = [standardize(readers.read(path), model.contract) for path in files]
    seen = torch.cat([centering.seen(model, each, 12).pooled for each in windows])
    batch = next(of_recording(windows[0], 12))
    answers = model.predict(batch, features.center(seen)).double().numpy().round(6)
    assert (pd.read_csv(out / "predictions.tsv", sep="\t")[P].to_numpy() == answers).all()


def test_an_unreadable_recording_stops_neither_others_nor_the_average(recentered, blocks, tmp_path):
    (blocks / "sub-77_task-broken_raw.fif").write_bytes(b"not a fif")
    assert decode(blocks, recentered, tmp_path / "out") == 3
    assert shares(tmp_path / "out")["left"] > 0.8


def test_stream_learns_the_average_or_is_given_it(recentered, blocks, tmp_path):
    left, right = sorted(blocks.glob("*.fif"))
    both = save_raw(tmp_path / "sub-77_task-both_raw.fif", labels=["left", "right"] * 12, seed=7)
    found = {}
    for name, words in (("running", []), ("given", [f"--center_on=[{left},{right}]"])):
        out = tmp_path / name
        assert stream_module.main([f"--replay={both}", f"--model={recentered}", f"--out={out}",
                                   "--speed=20", *words]) == 0
        found[name] = read_table(out / "predictions.tsv")["predicted"].to_numpy()
    wanted = np.array(["left", "right"] * 12)
    assert (found["given"] == wanted).mean() > 0.8
    assert (found["running"] == wanted)[8:].mean() > 0.75
    assert "windows up to it" in (tmp_path / "running" / "report.html").read_text()


def test_running_average_is_the_mean_of_prior_and_windows(recentered):
    model = checkpoints.load(recentered)
    seen = torch.randn(7, len(model.head.centre), generator=torch.Generator().manual_seed(0))
    running = Running(model, 3)
    for window in seen:
        center = running.after(window[None])
    assert torch.allclose(center, (3 * model.head.centre + seen.sum(0)) / 10, atol=1e-5)


def test_training_along_and_then_re_centering(planted, tmp_path):
    assert finetune([
        f"--data={planted.corpus}", f"--model={planted.backbone}", f"--out={tmp_path / 'd'}",
        "--decoder=network", "--mode=lora", "--architecture.recentered=true",
        "--train.steps=30", "--train.lr=1e-3", "--train_full.steps=4"]) == 0
    table = pd.read_parquet(tmp_path / "d" / "test" / "predictions.parquet")
    assert (table["label"] == table["predicted"]).mean() > 0.7
    assert not (tmp_path / "d" / "again").exists()


def test_estimator_takes_what_is_predicted_together_for_one_person(planted):
    corpus = Corpus.open(planted.corpus)
    info = _info(corpus)
    windows = corpus.select("train")
    x = 1e-5 * np.stack([corpus.signal(w) for w in windows.tolist()])
    y = corpus.windows["label"].to_numpy()[windows].astype(str)
    groups = corpus.subjects(windows)
    made = NeuroFMClassifier(str(planted.backbone), info, recentered=True, n_steps=40,
                             random_state=0).fit(x, y, groups)
    own = groups == groups[0]
    assert (made.predict(x[own]) == y[own]).mean() > 0.8
    assert np.allclose(made.predict_proba(x[own][:1]), made.predict_proba(x[own][1:2]), atol=1e-5)


def _info(corpus):
    import mne

    layout = corpus.layout(0)
    info = mne.create_info(list(layout.names), CONTRACT.sfreq, "eeg")
    places = dict(zip(layout.names, layout.position.astype(float), strict=True))
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    return info


def test_bad_input_center_on_without_re_centering(decoder, blocks, tmp_path, capsys):
    left, _ = sorted(blocks.glob("*.fif"))
    assert decode(left, decoder, tmp_path / "out", f"--center_on=[{left}]") == 1
    assert "does not re-center" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
