"""Corpora and token sets on disk: what is written is read, what is unfinished is not."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurofm import artifacts
from neurofm.data import corpus as corpora
from neurofm.data import tokens as token_sets
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.data.sensors import Sensors
from neurofm.data.tokens import TokenSet
from neurofm.data.windows import SplitLeakError
from tests.support.resealed import resealed

CONTRACT = InputContract(sfreq=16.0, lowpass_hz=7.0, window_s=1.0)


def _layout(n: int) -> Sensors:
    position = np.random.default_rng(n).normal(0, 0.05, (n, 3)) + 0.05
    return Sensors(tuple(f"S{i}" for i in range(n)), np.zeros(n), position, np.zeros((n, 3)))


def _signals(recording: int, n_channels: int, n_windows: int) -> np.ndarray:
    random = np.random.default_rng(recording)
    return random.standard_normal((n_windows, n_channels, 16)).astype(np.float32)


def _write(folder, splits=("train", "train", "test"), subjects=("1", "2", "3")):
    """Three recordings of 70, 3 and 5 windows (a shard of more than one record batch)."""
    layouts = {layout.fingerprint: layout for layout in (_layout(4), _layout(6))}
    recordings, windows = [], []
    for number, (n_windows, split, subject) in enumerate(
        zip((70, 3, 5), splits, subjects, strict=True)
    ):
        layout = list(layouts.values())[number % 2]
        name = f"r{number}"
        digest = corpora.write_shard(folder, name, _signals(number, len(layout), n_windows))
        recordings.append({
            **dict.fromkeys(corpora.RECORDING_COLUMNS), "recording": name, "dataset": "d",
            "subject": subject, "split": split, "layout": layout.fingerprint,
            "n_channels": len(layout), "n_windows": n_windows, "source": f"{name}.edf",
            "sha256": digest, "quality": "{}", "attributes": "{}"})
        windows += [{"recording": number, "row": row, "start_s": float(row),
                     "label": None if number == 1 else "odd" if row % 2 else "even"}
                    for row in range(n_windows)]
    return corpora.seal(folder, CONTRACT, pd.DataFrame(recordings), pd.DataFrame(windows), layouts,
                        pd.DataFrame(columns=["source", "reason"]), {})


def test_every_window_comes_back_from_every_shard(tmp_path):
    manifest = _write(tmp_path)
    corpus = Corpus.open(tmp_path)
    assert len(corpus) == 78
    assert corpus.fingerprint == corpus.contract.corpus == manifest.fingerprint
    wanted = [w for number, (channels, n) in enumerate(((4, 70), (6, 3), (4, 5)))
              for w in _signals(number, channels, n)]
    for index in np.random.default_rng(0).permutation(78).tolist():
        assert np.array_equal(corpus.signal(index), wanted[index])
    assert not corpus.signal(0).flags.writeable


def test_reading_costs_no_copy_and_readers_travel_to_processes(tmp_path):
    _write(tmp_path)
    corpus = Corpus.open(tmp_path)
    assert np.shares_memory(corpus.signal(3), corpus.signal(3))
    again = pickle.loads(pickle.dumps(corpus))
    assert np.array_equal(again.signal(77), corpus.signal(77))


def test_selection_labels_and_subjects(tmp_path):
    _write(tmp_path)
    corpus = Corpus.open(tmp_path)
    assert corpus.select("test").tolist() == list(range(73, 78))
    assert corpus.select(subject="2").tolist() == [70, 71, 72]
    assert set(corpus.subjects(corpus.select("train"))) == {"d/1", "d/2"}
    assert corpus.labels(np.array([0, 1, 70])).tolist() == ["even", "odd", None]
    assert corpus.source(71) == "r1.edf at 1.0 s"
    with pytest.raises(ValueError, match="no window with split='validation'"):
        corpus.select("validation")


def test_missing_texts_are_none_even_beside_others(tmp_path):
    """pandas 3 reads a missing text as NaN, which `is not None`."""
    _write(tmp_path)
    corpus = Corpus.open(tmp_path)
    assert corpus.recordings["session"].tolist() == [None] * 3
    assert [label is None for label in corpus.labels(np.arange(70, 73))] == [True] * 3


def test_batch_of_mixed_layouts(tmp_path):
    _write(tmp_path)
    corpus = Corpus.open(tmp_path)
    chosen = np.array([0, 70, 77])
    batch = corpus.batch(chosen, seeds=np.array([1, 2, 3]))
    assert batch.signal.shape == (3, 6, 16)
    assert batch.valid.sum(1).tolist() == corpus.widths(chosen).tolist() == [4, 6, 4]
    assert np.array_equal(batch.signal[2, :4], corpus.signal(77))
    assert batch.source[1] == "r1.edf at 0.0 s"


def test_a_subject_in_two_splits_is_refused_at_both_ends(tmp_path):
    with pytest.raises(SplitLeakError, match="d/1 in"):
        _write(tmp_path / "a", subjects=("1", "2", "1"))
    _write(tmp_path / "b")
    table = pd.read_feather(tmp_path / "b" / "recordings.arrow")
    table["subject"] = "1"
    table.to_feather(tmp_path / "b" / "recordings.arrow", compression="uncompressed")
    resealed(tmp_path / "b")
    with pytest.raises(SplitLeakError, match="ingest again"):
        Corpus.open(tmp_path / "b")


def test_bad_input_of_artifacts(tmp_path):
    _write(tmp_path)
    with pytest.raises(artifacts.ArtifactError, match="no such folder"):
        Corpus.open(tmp_path / "none")
    with pytest.raises(artifacts.ArtifactError, match="this is a corpus"):
        TokenSet.open(tmp_path)
    shard = tmp_path / "windows" / "r1.arrow"
    content = shard.read_bytes()
    shard.write_bytes(content[:-8])
    with pytest.raises(artifacts.ArtifactError, match="the manifest says"):
        Corpus.open(tmp_path)
    shard.write_bytes(content[:-9] + b"x" + content[-8:])
    with pytest.raises(artifacts.ArtifactError, match="the file was changed"):
        artifacts.open_sealed(tmp_path, "corpus", hashes=True)
    shard.unlink()
    with pytest.raises(artifacts.ArtifactError, match="is missing"):
        Corpus.open(tmp_path)
    artifacts.unseal(tmp_path)
    with pytest.raises(artifacts.ArtifactError, match="unfinished"):
        Corpus.open(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b'{"kind": "cor', b"\0" * 300, b"\xff\xfe", b"[]", b'"text"', b"{}"]
)
def test_bad_input_manifest_spoilt_by_a_crash(tmp_path, content):
    _write(tmp_path)
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(artifacts.ArtifactError, match=r"manifest.json: not a valid .*again"):
        Corpus.open(tmp_path)


def test_bad_input_a_file_where_a_folder_was_wanted(tmp_path):
    (tmp_path / "corpus").write_text("")
    with pytest.raises(artifacts.ArtifactError, match="a finished corpus, but this is a file"):
        Corpus.open(tmp_path / "corpus")


def test_the_disk_has_every_file_before_its_name_or_the_manifest_appears(tmp_path, monkeypatch):
    """What a power cut leaves: a name never points to what the disk does not have yet."""
    events, fsync, replace = [], os.fsync, os.replace

    def synced(number):
        events.append(Path(f"/proc/self/fd/{number}").resolve().name)
        fsync(number)

    def renamed(source, target):
        events.append(f"-> {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(Path, "replace", renamed)
    _write(tmp_path)
    assert events.index(".r0.arrow.part") < events.index("-> r0.arrow")
    before = events[: events.index("-> manifest.json")]
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()} - {"manifest.json"}
    assert files <= set(before)


def test_sealing_needs_no_git(tmp_path, monkeypatch):
    """A checkout in a container that has no git."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "neurofm").mkdir()
    monkeypatch.setattr(artifacts, "__file__", str(tmp_path / "neurofm/artifacts.py"))
    monkeypatch.setenv("PATH", str(tmp_path))
    artifacts._code_version.cache_clear()
    assert shutil.which("git") is None
    assert artifacts.code_version().keys() == {"neurofm"}
    artifacts._code_version.cache_clear()


def test_what_an_unfinished_folder_is_made_from(tmp_path):
    artifacts.claim(tmp_path / "a", {"corpus": "x", "steps": 3})
    artifacts.claim(tmp_path / "a", {"corpus": "x", "steps": 3})
    with pytest.raises(artifacts.ArtifactError, match=r"other settings \(steps\)"):
        artifacts.check_claim(tmp_path / "a", {"corpus": "x", "steps": 4})
    artifacts.check_claim(tmp_path / "none", {})
    assert not (tmp_path / "none").exists()
    artifacts.seal(tmp_path / "a", "results", config={}, files=[])
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["manifest.json"]


def test_a_shard_appears_only_when_it_is_whole(tmp_path):
    def windows():
        yield np.zeros((2, 4), dtype=np.float32)
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        corpora.write_shard(tmp_path, "r", windows())
    assert not (tmp_path / "windows" / "r.arrow").exists()


def test_tokens_beside_their_corpus(tmp_path):
    _write(tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    random = np.random.default_rng(0)
    ids = [random.integers(0, 512, (n, 3, 8, 4)) for n in corpus.recordings["n_windows"]]
    hashes = {name: token_sets.write_shard(tmp_path / "tokens", name, each)
              for name, each in zip(corpus.recordings["recording"], ids, strict=True)}
    files = token_sets.write_tables(tmp_path / "tokens", corpus, hashes)
    artifacts.seal(tmp_path / "tokens", "tokens", config={"shape": [3, 8, 4]}, files=files,
                   parents={"corpus": corpus.fingerprint, "tokenizer": "t" * 16})
    tokens = TokenSet.open(tmp_path / "tokens")
    assert len(tokens) == len(corpus)
    assert np.array_equal(tokens.ids(71), ids[1][1])
    assert tokens.corpus == corpus.fingerprint
    assert np.array_equal(tokens.select("test"), corpus.select("test"))
    batch = tokens.batch(np.array([0, 77]), seeds=np.array([1, 2]))
    assert batch.ids.shape == (2, 3, 8, 4)
    assert np.array_equal(batch.ids[1], ids[2][4])
