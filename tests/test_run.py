"""The frame of commands: finished or not, the lock, claims, parents, what results must say."""

import json
import multiprocessing
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pytest

from neurofm import artifacts, contents, run
from neurofm.pages.page import Page
from neurofm.preprocessing import archive
from neurofm.results import Results, comparison, score
from neurofm.run import Command, Made, Stopped
from tests.support.resealed import resealed


@dataclass
class Options:
    """Count to a number.

    Parameters
    ----------
    out
        Folder of the result.
    data
        What is read.
    n
        How far.
    speed
        How fast.
    inside
        Further settings.
    """

    out: str
    data: str = ""
    models: dict[str, str] = field(default_factory=dict)
    n: int = 3
    speed: int = 1
    inside: dict[str, int] = field(default_factory=dict)


def count(options: Options, job) -> Made:
    """Leaves a file a number, and goes on where it stopped."""
    if options.n < 0:
        raise ValueError("n must be 0 or more")
    for k in range(options.n):
        if not (job.out / f"{k}.txt").exists():
            artifacts.write_json(job.out / f"{k}.txt", {"k": k})
        if options.speed == 99 and k == 1:
            raise KeyboardInterrupt
    return Made([f"{k}.txt" for k in range(options.n)], said=["counted"])


COUNT = Command("count", Options, count, makes="results", reads=("data",), models=("models",),
                free=frozenset({"speed"}))


def sealed(folder: Path, kind: str, content: str = "a", ledger: dict | None = None) -> str:
    folder.mkdir(parents=True)
    (folder / "file").write_text(content)
    files = ["file"]
    if ledger is not None:
        artifacts.write_json(folder / "training_data.json", ledger)
        files.append("training_data.json")
    artifacts.seal(folder, kind, config={}, files=files)
    return str(folder)


def test_a_second_run_does_nothing(tmp_path, capsys):
    assert COUNT([f"--out={tmp_path / 'out'}"]) == 0
    before = artifacts.open_sealed(tmp_path / "out").fingerprint
    assert COUNT([f"--out={tmp_path / 'out'}", "--speed=2"]) == 0
    said = capsys.readouterr().out
    assert f"is finished ({before}): nothing to do" in said
    assert said.count("counted") == 1


@pytest.mark.parametrize(("word", "named"), [
    ("--n=4", "n: 3, wanted 4"),
    ("--inside={a: 1}", "inside"),
    ("--data=DATA", "data"),
])
def test_another_setting_is_refused_by_name(tmp_path, word, named):
    COUNT([f"--out={tmp_path / 'out'}"])
    data = sealed(tmp_path / "data", "corpus")
    with pytest.raises(artifacts.ArtifactError, match=f"made with other settings.*{named}"):
        COUNT([f"--out={tmp_path / 'out'}", word.replace("DATA", data)])


def test_a_setting_taken_away_is_refused_too(tmp_path):
    COUNT([f"--out={tmp_path / 'out'}", "--inside={a: 1}"])
    with pytest.raises(artifacts.ArtifactError, match=r"inside.a: 1, wanted None"):
        COUNT([f"--out={tmp_path / 'out'}"])


def test_an_interrupted_run_continues_to_the_same_bytes(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        COUNT([f"--out={tmp_path / 'out'}", "--speed=99"])
    assert not artifacts.is_sealed(tmp_path / "out")
    with pytest.raises(artifacts.ArtifactError, match=r"begun with other settings \(n\)"):
        COUNT([f"--out={tmp_path / 'out'}", "--n=5"])
    stamp = (tmp_path / "out" / "0.txt").stat().st_mtime_ns
    assert COUNT([f"--out={tmp_path / 'out'}"]) == 0
    assert (tmp_path / "out" / "0.txt").stat().st_mtime_ns == stamp
    COUNT([f"--out={tmp_path / 'other'}"])
    assert (artifacts.open_sealed(tmp_path / "out").fingerprint
            == artifacts.open_sealed(tmp_path / "other").fingerprint)


def test_a_newer_version_continues_what_an_older_one_began(tmp_path):
    """An option that did not exist then counts as its default; another value is another run."""
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        COUNT([f"--out={out}", "--speed=99"])
    begun = artifacts.read_json(out / artifacts.CLAIM)
    assert begun.pop("n") == 3
    artifacts.write_json(out / artifacts.CLAIM, begun)
    with pytest.raises(artifacts.ArtifactError, match=r"begun with other settings \(n\)"):
        COUNT([f"--out={out}", "--n=4"])
    assert COUNT([f"--out={out}"]) == 0


def test_a_refused_call_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="n must be 0 or more"):
        COUNT([f"--out={tmp_path / 'new' / 'out'}", "--n=-1"])
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_or_other_parent_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    words = [f"--out={tmp_path / 'out'}", f"--data={tmp_path / 'data'}"]
    with pytest.raises(artifacts.ArtifactError, match=r"unfinished or something else.*ingest"):
        COUNT(words)
    artifacts.claim(tmp_path / "data", {})
    with pytest.raises(artifacts.ArtifactError, match="unfinished: run the command that makes it"):
        COUNT(words)
    assert not (tmp_path / "out").exists()


def test_what_a_command_removes_is_its_own(tmp_path):
    """`--out .` beside a folder of the name that unfinished work has: it must not be removed."""
    tidying = replace(COUNT, leaves=("runs",))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").write_text("years of work")
    with pytest.raises(ValueError, match=r"it holds other things \(runs\); choose another --out"):
        tidying([f"--out={tmp_path}"])
    assert (tmp_path / "runs" / "mine").exists()
    assert tidying([f"--out={tmp_path / 'new'}"]) == 0


def test_a_finished_folder_stays_finished_where_its_parent_is_gone(tmp_path, capsys):
    data = sealed(tmp_path / "data", "corpus")
    words = [f"--out={tmp_path / 'out'}", f"--data={data}"]
    COUNT(words)
    (tmp_path / "data").rename(tmp_path / "moved")
    assert COUNT(words) == 0
    assert COUNT([words[0], f"--data={tmp_path / 'moved'}"]) == 0
    assert capsys.readouterr().out.count("nothing to do") == 2


def _hold(out: str, started, end) -> None:
    def wait(options, job):
        started.set()
        end.wait(30)
        return Made([])

    Command("wait", Options, wait, makes="results")([f"--out={out}"])


def test_two_at_once_one_is_told(tmp_path):
    context = multiprocessing.get_context("fork")
    started, end = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path / "out"), started, end))
    other.start()
    try:
        assert started.wait(30)
        with pytest.raises(ValueError, match="another neurofm is working in this folder"):
            COUNT([f"--out={tmp_path / 'out'}"])
    finally:
        end.set()
        other.join()
    assert other.exitcode == 0


def test_asked_to_stop(tmp_path, capsys):
    def stopped(options, job):
        raise Stopped("stopped at step 3")

    assert Command("x", Options, stopped, makes="results")([f"--out={tmp_path / 'o'}"]) == 85
    assert "stopped at step 3" in capsys.readouterr().out


PEOPLE = pd.DataFrame({"recording": ["r1", "r2"], "dataset": ["eegmat", "eegmat"],
                       "subject": ["01", "02"]})


def judge(options: Options, job) -> Made:
    (job.out / "table.tsv").write_text("a\n")
    results = Results("count", methods=["ours"], subjects=2,
                      scores=[score("ours", "r", float("nan"))],
                      comparisons=[comparison("ours", "ridge", "r", 0.1, p=0.5)], notes=["a note"])
    return Made(["table.tsv"], results=results, judged=PEOPLE, page=Page("T", "about", []))


@pytest.mark.parametrize(("ledger", "kind"), [
    ({"recordings": [{"recording": "x", "subject": "eegmat/01", "role": "train"}]}, "LEAK"),
    ({"recordings": [], "published": [{"datasets": ["EEGMAT-1.0.0"]}]}, "DOUBT"),
])
def test_no_result_forgets_a_leak_or_a_doubt(tmp_path, capsys, ledger, kind):
    model = sealed(tmp_path / "model", "checkpoint", ledger=ledger)
    command = Command("judge", Options, judge, makes="results", models=("models",))
    assert command([f"--out={tmp_path / 'out'}", f"--models={{a: {model}}}"]) == 0
    said = capsys.readouterr().out
    page = (tmp_path / "out" / run.PAGE).read_text()
    found = Results.load(tmp_path / "out")
    assert [flag.kind for flag in found.flags] == [kind]
    sentence = str(found.flags[0])
    assert sentence.startswith(f"{kind}: models a: ")
    assert sentence in said
    assert sentence in page.replace("&#x27;", "'")
    assert "a note" in said
    assert "a note" in page
    assert (kind == "LEAK") == ('class="leak"' in page)


def test_results_are_plain_json_that_says_how_they_were_made(tmp_path):
    command = Command("judge", Options, judge, makes="results")
    command([f"--out={tmp_path / 'out'}", "--n=4"])
    text = (tmp_path / "out" / "results.json").read_text()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert list(found) == ["version", "question", "data", "model", "methods", "protocol", "seeds",
                           "subjects", "scores", "comparisons", "summary", "flags", "notes",
                           "command", "versions"]
    assert found["scores"][0]["value"] is None
    assert found["command"] == "neurofm judge --out=OUT --n=4"
    assert {"neurofm", "python", "torch"} <= found["versions"].keys()
    (tmp_path / "results.json").write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(ValueError, match="version 2, this neurofm reads version 1"):
        Results.load(tmp_path)


def test_results_print_what_a_reader_must_know(tmp_path):
    Command("judge", Options, judge, makes="results")([f"--out={tmp_path / 'out'}"])
    found = Results.load(tmp_path / "out")
    assert repr(found) == "<Results | count: 1 score, 1 comparison, 1 note>"
    assert str(replace(found, summary="The answer.")).splitlines() == ["The answer.", "a note"]


def test_scores_of_numpy_are_numbers(tmp_path):
    import numpy as np

    Results("count", scores=[score("a", "r", np.float64(0.5))],
            comparisons=[comparison("a", "b", "r", np.float32(0.25))]).save(tmp_path)
    found = Results.load(tmp_path)
    assert found.scores[0]["value"] == 0.5
    assert found.comparisons[0]["difference"] == 0.25


@dataclass
class Inner:
    """Inner."""

    atlas: str = field(default="", metadata=contents.OF_FILE)


@dataclass
class Reading:
    """Read files.

    Parameters
    ----------
    out
        Folder of the result.
    table
        A table.
    paths
        Recordings.
    inner
        Further settings.
    """

    out: str
    table: str = field(default="", metadata=contents.OF_FILE)
    paths: list[str] = field(default_factory=list, metadata=archive.OF_RECORDINGS)
    inner: Inner = field(default_factory=Inner)


READ = Command("read", Reading, lambda options, job: Made([]), makes="results")


@pytest.mark.parametrize(("option", "changed", "said"), [
    ("table={}/t.tsv", "t.tsv", "contents.table: "),
    ("inner.atlas={}/t.tsv", "t.tsv", "contents.inner.atlas: "),
    ("paths=[{}/r.vhdr]", "r.vhdr", "contents.paths: "),
    ("paths=[{}/r.vhdr]", "r.eeg", "contents.paths: "),
    ("paths=[{}/t.tsv,{}/r.ds]", "r.ds/raw", "contents.paths 2: "),
    ("paths=[{0}/bids/sub-1/sub-1_task-x_eeg.fif]", "bids/sub-1/sub-1_task-x_events.tsv",
     "contents.paths: "),
])
def test_a_file_that_changes_at_its_path_is_noticed(tmp_path, capsys, option, changed, said):
    for name in ("t.tsv", "r.vhdr", "r.eeg", "r.ds/raw", "bids/sub-1/sub-1_task-x_eeg.fif",
                 "bids/sub-1/sub-1_task-x_events.tsv", "bids/dataset_description.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    words = [f"--out={tmp_path / 'out'}", "--" + option.format(tmp_path, tmp_path)]
    assert READ(words) == 0
    os.utime(tmp_path / changed, (1, 1))  # the same bytes at another time
    assert READ(words) == 0
    assert "nothing to do" in capsys.readouterr().out
    (tmp_path / changed).write_text("[]")
    with pytest.raises(artifacts.ArtifactError, match="made with other settings") as refused:
        READ(words)
    assert said in str(refused.value)
    (tmp_path / changed).write_text("{}")
    for name in ("t.tsv", "r.vhdr", "r.eeg", "r.ds", "bids"):
        (tmp_path / name).rename(tmp_path / f"moved_{name}")
    assert READ(words) == 0  # gone: what the manifest says counts


def test_a_folder_made_before_contents_were_kept_stays_finished(tmp_path):
    (tmp_path / "t.tsv").write_text("a")
    words = [f"--out={tmp_path / 'out'}", f"--table={tmp_path / 't.tsv'}"]
    assert READ(words) == 0
    config = artifacts.read_manifest(tmp_path / "out").config
    assert config.pop("contents").keys() == {"table"}
    resealed(tmp_path / "out", config=config)
    assert READ(words) == 0
