"""`neurofm`: what it lists without importing it, and what it says when something is in the way."""

import dataclasses
import importlib
import os
import re
import resource
import statistics
import subprocess
import sys
import typing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from neurofm import cli, config

ROOT = Path(__file__).resolve().parent.parent
NEUROFM = Path(sys.executable).with_name("neurofm")


def run(*words, cwd=None) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=60)


def seconds(*words) -> float:
    """Of processor time, the median of several starts: the machine is busy with other tests, for
    which a start has to wait."""
    taken = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run(*words).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(taken)


def test_help_lists_all_commands():
    said = run(NEUROFM, "--help")
    assert said.returncode == 0
    for command in entry_points(group="neurofm.commands"):
        lines = [x for x in said.stdout.splitlines()
                 if x.strip().partition("  ")[0] == command.name]
        assert len(lines) == 1 or command.name == "evaluate"  # a line a question
        for line in lines:
            assert len(line.split()) > 3, f"{command.value}: its module's docstring is empty"
    assert run(NEUROFM).stdout == said.stdout


def test_help_as_a_word(capsys):
    assert cli.main(["help"]) == 0
    assert "Pretrain" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        cli.main(["help", "verify"])
    assert ended.value.code == 0
    assert "usage: neurofm verify" in capsys.readouterr().out


def test_help_is_grouped_and_has_each_command_once():
    """Commands of other packages are under "Other"."""
    from neurofm.cli import GROUPS

    said = run(NEUROFM, "--help").stdout
    places = [said.index(f"\n{title}\n") for title in GROUPS]
    assert places == sorted(places)
    named = [line[2:].partition("  ")[0] for line in said.splitlines() if line.startswith("  ")]
    assert len(named) == len(set(named))
    questions = {f"evaluate {name}" for name in entry_points(group="neurofm.benchmarks").names}
    ours = {name for names in GROUPS.values() for name in names} - {"evaluate"}
    assert {*ours, *questions} <= set(named)


def test_help_imports_nothing_heavy():
    code = """
import sys
import typing
from neurofm import cli
cli.main(["--help"])
heavy = {"torch", "numpy", "transformers", "mne", "pandas", "pretrain", "preprocessing"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_start_is_quick():
    """Rules: `import neurofm` < 0.3 s, `neurofm --help` < 0.5 s, on a machine with nothing else to
    do; here in processor time over a bare start of Python, and with room for a noisy one."""
    bare = seconds(sys.executable, "-c", "pass")
    of_import = seconds(sys.executable, "-c", "import neurofm") - bare
    of_help = seconds(NEUROFM, "--help") - bare
    print(f"bare {bare:.3f} s, + import {of_import:.3f} s, + help {of_help:.3f} s")
    assert of_import < 0.3 + bare
    assert of_help < 0.5 + bare


def test_bad_input_unknown_command(capsys):
    assert cli.main(["pretran"]) == 2
    assert "unknown command 'pretran'; did you mean 'pretrain'?" in capsys.readouterr().err
    assert cli.main(["xyz"]) == 2
    assert "there are " in capsys.readouterr().err


def test_errors_of_the_user_are_told_without_a_traceback(monkeypatch, capsys):
    def fails(_argv):
        raise ValueError("wanted this, got that, do so")

    command = entry_points(group="neurofm.commands")["pretrain"]
    monkeypatch.setattr(cli, "entry_points", lambda group: [command])
    monkeypatch.setattr(type(command), "load", lambda _self: fails)
    assert cli.main(["pretrain"]) == 1
    assert capsys.readouterr().err == "neurofm pretrain: wanted this, got that, do so\n"


def test_a_command_whose_packages_are_not_installed_says_which(monkeypatch, capsys):
    for name in ["flwr", *(name for name in sys.modules if name.startswith("flwr."))]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("neurofm.downstream.federate")]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["federate", "--help"]) == 1
    assert "needs flwr, which is not installed: pip install 'neurofm[federated]'" in (
        capsys.readouterr().err)


@pytest.mark.parametrize(
    ("problem", "status", "told"),
    [
        (OSError(28, "No space left on device", "runs/x"), 1,
         "neurofm pretrain: [Errno 28] No space left on device: 'runs/x'; make room, then the same "
         "command continues\n"),
        (KeyboardInterrupt(), 130, "\nneurofm pretrain: interrupted; the same command continues\n"),
    ],
)
def test_a_full_disk_and_ctrl_c_are_told_without_a_traceback(
    monkeypatch, capsys, problem, status, told
):
    def fails(_argv):
        raise problem

    command = entry_points(group="neurofm.commands")["pretrain"]
    monkeypatch.setattr(cli, "entry_points", lambda group: [command])
    monkeypatch.setattr(type(command), "load", lambda _self: fails)
    assert cli.main(["pretrain"]) == status
    assert capsys.readouterr().err == told


@dataclasses.dataclass
class Inner:
    """Numbers.

    Parameters
    ----------
    n
        How many; 50 % by default. Not the last word.
    m
        How much.
    """

    n: int = 1
    m: int = 2


@dataclasses.dataclass
class Outer:
    """What it is for: nothing.

    Parameters
    ----------
    first, second
        Two of them.
    inner
        What
        is inside.
    free
        Anything. quiet has no meaning of its own.
    """

    first: str
    second: int = 2
    inner: Inner = dataclasses.field(default_factory=Inner)
    free: dict[str, Any] = dataclasses.field(default_factory=dict)
    quiet: int = 0
    maybe: str | None = "something"


def test_help_tells_what_each_key_means(capsys):
    whole, meanings = config.meanings_of(Outer)
    assert whole == "What it is for: nothing."
    assert meanings == {
        "first": "Two of them", "second": "Two of them", "inner": "What is inside",
        "free": "Anything. quiet has no meaning of its own",
        "inner.n": "How many; 50 % by default. Not the last word", "inner.m": "How much",
    }  # fmt: skip
    with pytest.raises(SystemExit):
        config.parse(Outer, ["--help"], command="outer")
    said = " ".join(capsys.readouterr().out.split())
    assert "--second SECOND Two of them (integer, default: 2)" in said
    assert "--inner.n N How many; 50 % by default. Not the last word (integer" in said


@pytest.mark.parametrize("name", sorted(point.name for group in (
    "neurofm.commands", "neurofm.benchmarks") for point in entry_points(group=group)))
def test_every_option_of_every_command_has_a_meaning(name, capsys):
    points = [*entry_points(group="neurofm.commands"), *entry_points(group="neurofm.benchmarks")]
    module = importlib.import_module(next(p.module for p in points if p.name == name))
    command = getattr(module, "COMMAND", getattr(module, "MANY", None))
    if command is None:  # evaluate and demo start other commands
        assert name in ("evaluate", "demo", "list")
        return
    whole, meanings = config.meanings_of(command.config)
    assert len(whole.split()) > 3
    for key in leaves(command.config):
        assert len(meanings.get(key, "").split()) > 1, f"{name} --{key}: {meanings.get(key)!r}"
    with pytest.raises(SystemExit):
        config.parse(command.config, ["--help"], command=name)
    said = " ".join(capsys.readouterr().out.split())
    for python in ("Literal[", "tuple[", "dict[", "type: ", "neurofm.", " None", "judged", "whom"):
        assert python not in said, f"{name}: {python}"


def leaves(kind: type, above: str = "") -> list[str]:
    """Options of a config, those of configs inside too."""
    found = []
    for key, inside in typing.get_type_hints(kind).items():
        if key in {field.name for field in dataclasses.fields(kind)}:
            found += leaves(inside, f"{above}{key}.") if dataclasses.is_dataclass(inside) else [
                above + key]
    return found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("foo:", "unknown key 'foo'"),
        ("firts:", "unknown key 'firts'; did you mean 'first'?"),
        ("inner: {nn: }", "unknown key 'inner.nn'; did you mean 'inner.n'?"),
        ("inner: {k: {}}", "unknown key 'inner.k'"),
        ("iner: {}", "unknown key 'iner'; did you mean 'inner'?"),
        ("second: 1\nsecond: 2", "'second' is written twice"),
        ("inner: {n: 1, n: 2}", "'n' is written twice"),
        ("inner:\nn: 1", "unknown key 'n'"),
        ("", "wanted keys and values such as 'out: runs/one', found nothing"),
        ("- first", "wanted keys and values such as 'out: runs/one', found list"),
        ("first: [a", "not valid YAML"),
    ],
)
@pytest.mark.parametrize("joined", [True, False])
def test_bad_input_yaml(tmp_path, capsys, text, told, joined):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    words = [f"--config={path}"] if joined else ["--config", str(path)]
    with pytest.raises(SystemExit) as exit_:
        config.parse(Outer, [*words, "--first=x"], command="outer")
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert told in said
    assert str(path) in said


def test_yaml_that_is_fine(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("first: x\nmaybe:\ninner: {}\nfree: {any: , thing: {at: all}}\n")
    found = config.parse(Outer, [f"--config={path}"], command="outer")
    assert found == Outer("x", maybe=None, free={"any": None, "thing": {"at": "all"}})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("inner:", "key 'inner' has no value: indent its keys below it, or leave it out"),
        ("inner: {n: }", "key 'inner.n' has no value: give it one, or leave it out"),
        ("second:", "key 'second' has no value"),
        ("free:", "key 'free' has no value"),
    ],
)
def test_bad_input_a_key_without_a_value(tmp_path, capsys, text, told):
    path = tmp_path / "run.yaml"
    path.write_text(f"first: x\n{text}\n")
    with pytest.raises(SystemExit):
        config.parse(Outer, [f"--config={path}"], command="outer")
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["preprocessing", "pretrain", "downstream"])
def test_files_of_ones_own_are_in_nobodys_way(tmp_path, name):
    """A user's own preprocessing.py, pretrain.py or downstream.py beside the script."""
    (tmp_path / f"{name}.py").write_text("print('mine')\n")
    (tmp_path / "other" / name).mkdir(parents=True)
    said = run(NEUROFM, "--help").stdout
    for folder in (tmp_path, tmp_path / "other"):
        done = run(sys.executable, "-m", "neurofm.cli", "--help", cwd=folder)
        assert done.stdout == said
        done = run(sys.executable, "-c", "import neurofm; neurofm.standardize", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "mine" not in done.stdout


def test_a_stage_is_not_imported_by_its_bare_name():
    """From the repository's root the folders are on the path."""
    done = run(sys.executable, "-c", "import preprocessing", cwd=ROOT)
    assert "this is neurofm.preprocessing: import it by that name" in done.stderr


def test_evaluate_lists_its_questions_and_names_the_nearest(capsys):
    from neurofm.downstream.evaluate import main

    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for question in ("decoding", "reconstruction", "hidden-regions", "next-token", "generation",
                     "bold"):
        assert re.search(rf"^  {question} +\w.*", said, re.MULTILINE), question
    assert main(["decodng"]) == 2
    assert "unknown question 'decodng'; did you mean 'decoding'?" in capsys.readouterr().err


def test_a_command_in_this_process_as_it_is_typed(tmp_path, capsys):
    import neurofm

    words = "simulate --out archive --subjects 1 --minutes 0.5 --always [] --devices [eeg19]"
    assert neurofm.command(words, cwd=tmp_path) == 0
    assert (tmp_path / "archive" / "participants.tsv").is_file()
    assert "1 recordings of 1 subjects" in capsys.readouterr().out
    with pytest.raises(ValueError, match="unknown command 'simulat'; did you mean 'simulate'"):
        neurofm.command("simulat --out archive")
    with pytest.raises(ValueError, match="neurofm simulate: wrong options"):
        neurofm.command(["simulate", "--outt", tmp_path])
    assert "did you mean" in capsys.readouterr().err
    with pytest.raises(ValueError, match="other things"):  # main prints it; here it is raised
        neurofm.command(f"simulate --out {ROOT}/configs")


def test_bad_input_an_option_that_is_missing_is_told_with_its_meaning(capsys):
    with pytest.raises(SystemExit):
        cli.main(["tokenize", "--data=corpus", "--out=tokens"])
    told = capsys.readouterr().err
    assert told.startswith("neurofm tokenize: --model is missing: Checkpoint ")
    assert "--data" not in told


def test_waiting_threads_give_their_core_away_unless_told(monkeypatch):
    """Two programs on the same cores took fifteen times as long each."""
    for given, wanted in ((None, "5000"), ("7", "7")):
        environ = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
        environ |= {"GOMP_SPINCOUNT": given} if given else {}
        monkeypatch.setattr(os, "environ", environ)
        assert cli.main(["verify", "nowhere"]) == 1
        assert environ["GOMP_SPINCOUNT"] == wanted


def test_workers_load_beside_the_command(monkeypatch):
    """Not after it; and not for help, which needs none."""
    from neurofm import processes
    from neurofm.preprocessing.collect import PRELOAD

    done: list[object] = []
    monkeypatch.setattr(processes, "warm_up", done.append)
    monkeypatch.setattr(cli, "_loaded", lambda command: lambda words: done.append(command.name))
    for words in (["ingest", "x", "--out", "y"], ["pair", "x", "--out", "y"]):
        assert cli.main(words) == 0
    assert done == [[*PRELOAD], "ingest", [*PRELOAD], "pair"]
    done.clear()
    assert cli.main(["ingest", "--help"]) == cli.main(["verify", "x"]) == 0
    assert done == ["ingest", "verify"]


def test_ingest_loads_no_scipy_signal():
    """Its workers need that, the command itself does not: it is half of the time to its first
    line."""
    said = run(sys.executable, "-c", "import sys, neurofm.preprocessing.ingest; "
               "print({'scipy.signal', 'scipy.stats', 'scipy.optimize', 'mne'} & {*sys.modules})")
    assert said.stdout.strip() == "set()", said.stderr
