"""Corpora of very many recordings: `-k scale`. Larger ones by tests/benchmarks/bench_open.py."""

import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from neurofm import artifacts
from neurofm.data import tables
from neurofm.data.corpus import Corpus
from neurofm.data.shards import ShardReader, write
from neurofm.data.windows import SplitLeakError, check_splits
from tests.support import faked

RECORDINGS, WINDOWS = 20_000, 10


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A fifth of what the benchmark opens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        return faked.make(tmp_path_factory.mktemp("many") / "corpus", RECORDINGS, WINDOWS)


def _measured(how: str, where) -> dict:
    done = subprocess.run([sys.executable, "-c", faked.MEASURED, how, str(where)], text=True,
                          capture_output=True, check=True)
    return json.loads(done.stdout)


def test_scale_of_a_corpus_opened_and_sent_to_a_worker(many, tmp_path):
    sent = tmp_path / "sent"
    sent.write_bytes(pickle.dumps(Corpus.open(many)))
    assert sent.stat().st_size < 2_000_000
    for how, where in (("open", many), ("worker", sent)):
        found = _measured(how, where)
        assert found["windows"] == RECORDINGS * WINDOWS
        assert found["MB"] < 50
        assert found["seconds"] < 2  # 0.2 on quiet cores


def test_scale_columns_are_views_of_the_file(many):
    corpus = Corpus.open(many)
    for column in corpus._index:
        assert not column.flags.owndata
        assert not column.flags.writeable
    windows = np.array([0, 7, RECORDINGS * WINDOWS - 1])
    frame = corpus.windows.iloc[windows]
    assert frame["label"].tolist() == corpus.labels(windows).tolist()
    assert corpus.subjects(windows).tolist() == ["d/000000", "d/000000", "d/009999"]
    with pytest.raises(SplitLeakError, match="1 subject"):
        check_splits(corpus.recordings.iloc[:4].assign(split=["test", *["train"] * 3]), many)


def test_scale_a_table_that_has_changed_is_not_read_by_a_worker(many, tmp_path):
    copy = shutil.copytree(many, tmp_path / "copy", ignore=shutil.ignore_patterns("shard-*"))
    for shard in (many / "windows").iterdir():
        os.link(shard, copy / "windows" / shard.name)
    sent = pickle.dumps(Corpus.open(copy))
    os.utime(copy / "windows.arrow", ns=(1, 1))
    with pytest.raises(ValueError, match=r"windows\.arrow: was changed"):
        pickle.loads(sent)


def test_scale_a_table_that_is_written_anew_is_read_to_its_end(tmp_path):
    """By whoever has opened it before: a file cut under a memory map would end the process."""
    path = tmp_path / "windows.arrow"
    tables.write(pd.DataFrame({"row": np.arange(10**5)}), path)
    row = tables.Table(path).numbers("row")
    tables.write(pd.DataFrame({"row": [7]}), path)
    assert np.array_equal(row, np.arange(10**5))
    assert tables.read(path)["row"].tolist() == [7]
    assert [each.name for each in tmp_path.iterdir()] == ["windows.arrow"]


def test_scale_first_process_of_a_machine_looks_at_shards(many, monkeypatch):
    """Of many processes one asks the disk for each shard; the others when they read it."""
    asked = []
    for name in ("lstat", "stat"):
        ask = getattr(os, name)
        monkeypatch.setattr(os, name, lambda path, *words, ask=ask, **more: (
            asked.append(str(path)), ask(path, *words, **more))[1])
    n_shards = len(artifacts.read_manifest(many).listed) - 5
    for rank, wanted in (("0", n_shards), ("1", 0)):
        asked.clear()
        monkeypatch.setenv("LOCAL_RANK", rank)
        Corpus.open(many)
        assert len({path for path in asked if "/shard-" in path}) == wanted


def test_scale_files_stay_mapped(tmp_path):
    """Over 256 files each read once opened its file anew."""
    for number in range(300):
        write(tmp_path / "w" / f"{number}.arrow", "signal", [np.full((2, 3), number, np.float32)])
    reader = ShardReader(tmp_path / "w", "float32")
    for number in range(300):
        reader.read(f"{number}.arrow", 0)
    files = len(os.listdir("/proc/self/fd"))
    for path in (tmp_path / "w").iterdir():
        path.unlink()
    assert all(reader.read(f"{number}.arrow", 0)[0] == number for number in range(300))
    assert files < 200  # a map holds no open file
