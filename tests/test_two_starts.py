"""Commands that write a folder and are not on the frame: a second start while one is at work is
told and harms nothing, one after a finish says so, one after an interruption goes on.

Those on the frame: test_every_command.py. Calls of `evaluate decoding` share a folder: test_jobs.py
of the question. `show`, `verify` and `list` write none.
"""

import contextlib
import io
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurofm import artifacts, cli
from neurofm.downstream import demo
from neurofm.downstream.federated import node, server_app
from neurofm.hub import people, staging
from neurofm.hub.people import Pseudonyms
from neurofm.lock import only_one
from neurofm.run import INTERRUPTED
from tests.support import planted, small_checkpoints
from tests.support.flower_processes import write_node_keys
from tests.test_every_command import ELSEWHERE

WRITE_NOTHING = {"show", "verify", "list", "evaluate", "plan"}


@dataclass
class Case:
    """words: of the command. middle: what it calls in the middle of its work, (module, name).
    again: what a start after a finish says, and its exit status."""

    words: list[str]
    middle: tuple
    again: str
    again_status: int = 0
    option: str = "--out"


def _publish(folder: Path) -> Case:
    small_checkpoints.make("brainomni", folder / "small")
    return Case(["publish", str(folder / "small"), "tester/mine", "--license=mit", "--dry-run",
                 f"--staged={folder / 'out'}"], (staging, "check_in_fresh_process"),
                "is finished: it holds this source", 1, "--staged")


def _demo(folder: Path) -> Case:
    return Case(["demo", f"--out={folder / 'out'}"], (demo, "between"), "nothing to do")


def _join(folder: Path) -> Case:
    planted.make_corpus(folder / "corpus", split=["train"] * 2, n_windows=4)
    (folder / "ca.crt").write_text("none")
    write_node_keys(folder, "clinic")
    return Case(["federate", "join", "--name=clinic", f"--data={folder / 'corpus'}",
                 f"--out={folder / 'out'}", "--server=127.0.0.1:9",
                 f"--certificate={folder / 'ca.crt'}", f"--key={folder / 'clinic.key'}"],
                (node, "serve"), "no --settings")


CASES = {"publish": _publish, "demo": _demo, "federate join": _join}


@pytest.fixture
def case(request, tmp_path, monkeypatch):
    """A case; what stands in the middle of its work does nothing yet. Of the demo two steps."""
    def steps(run):
        for number in (1, 2):
            demo.step("simulate", f"--out={run.out}/{number}", "--subjects=1", "--minutes=0.4",
                      "--always=[eeg19]", "--devices=[]", "--devices_per_subject=0")
            demo.between()
        return 0

    monkeypatch.setattr(demo, "between", lambda: None, raising=False)
    monkeypatch.setattr(demo, "on_simulation", steps)
    monkeypatch.setattr(demo, "ending", lambda run, seconds: "Done")
    made = CASES[request.param](tmp_path)
    monkeypatch.setattr(*made.middle, lambda *args: None)
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_command_that_writes_a_folder_has_a_case():
    assert CASES.keys() == ELSEWHERE - WRITE_NOTHING - {"consolidate"}  # it: test_sharded.py


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_two_starts_at_once_and_one_after_a_finish(case, tmp_path, monkeypatch, capsys):
    second = []

    def start(*args):
        if not second:
            before = contents(tmp_path / "out")
            with contextlib.redirect_stderr(io.StringIO()) as said:
                second.append((cli.main(case.words), said.getvalue()))
            assert contents(tmp_path / "out") == before

    with monkeypatch.context() as patch:
        patch.setattr(*case.middle, start)
        assert cli.main(case.words) == 0
    ((status, said),) = second
    assert status == 1
    assert f"{case.option} {tmp_path / 'out'}: another neurofm is working in this folder" in said
    assert said.count("\n") == 1
    made = contents(tmp_path / "out")
    capsys.readouterr()
    assert cli.main(case.words) == case.again_status
    assert case.again in "".join(capsys.readouterr())
    assert contents(tmp_path / "out") == made


@pytest.mark.parametrize("how", ["interrupted", "killed"])
@pytest.mark.parametrize("case", CASES, indirect=True)
def test_a_start_after_an_interruption_goes_on(case, how, tmp_path, monkeypatch, capsys):
    def end(*args):
        if how == "killed":
            os._exit(9)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*case.middle, end)
        if how == "killed":
            other = multiprocessing.get_context("fork").Process(target=cli.main, args=[case.words])
            other.start()
            other.join(60)
            assert other.exitcode == 9
        else:
            assert cli.main(case.words) == INTERRUPTED
    capsys.readouterr()
    assert cli.main(case.words) == 0
    if "demo" in case.words:
        assert "1 is finished" in capsys.readouterr().out
        artifacts.open_sealed(tmp_path / "out" / "2", hashes=True)
    elif "publish" in case.words:
        assert not {".lock", ".publishing"} & contents(tmp_path / "out").keys()
        artifacts.open_sealed(tmp_path / "out", "checkpoint", hashes=True)


@pytest.mark.parametrize("case", ["publish"], indirect=True)
def test_what_others_hold_or_another_source_left_is_not_staged_over(case, tmp_path, capsys):
    out = tmp_path / "out"
    with only_one(out, "publish"):
        assert cli.main(case.words) == 1
    assert f"--staged {out}: another neurofm is working" in capsys.readouterr().err
    out.mkdir()
    (out / ".publishing").write_text("fingerprint of another")
    (out / "notes.md").write_text("mine")
    assert cli.main(case.words) == 1
    assert "name a new folder" in capsys.readouterr().err
    assert (out / "notes.md").read_text() == "mine"


def test_a_second_run_of_a_server_is_refused(tmp_path):
    """Submitted to one SuperLink with the same `out`."""
    from types import SimpleNamespace

    (tmp_path / "settings.yaml").write_text("learning: {rounds: 1}\n")
    context = SimpleNamespace(run_config={"settings": str(tmp_path / "settings.yaml"), "sites": 2,
                                          "out": str(tmp_path / "out")})
    with only_one(tmp_path / "out", "federate"), pytest.raises(ValueError, match="another neurofm"):
        server_app.main(None, context)


def _kept(table: Path, dataset: str) -> None:
    for number in range(10):
        with people.alone(table):
            names = Pseudonyms.read(table)
            names.add([f"{dataset}/maria_{'abcdefghij'[number] * 3}"])
            names.write(table)


def test_two_that_publish_with_one_table_of_pseudonyms_lose_nobody(tmp_path):
    table, fork = tmp_path / "people.tsv", multiprocessing.get_context("fork")
    both = [fork.Process(target=_kept, args=(table, name)) for name in ("one", "two")]
    for each in both:
        each.start()
    for each in both:
        each.join(60)
    assert len(Pseudonyms.read(table).of) == 20
    assert [path.name for path in tmp_path.iterdir()] == ["people.tsv"]
