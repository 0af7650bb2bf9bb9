"""`neurofm`: what it lists without importing it, and what it says when something is in the way."""

import statistics
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from neurofm import cli

NEUROFM = Path(sys.executable).with_name("neurofm")


def run(*words, cwd=None) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=60)


def seconds(*words) -> float:
    """Median of several starts: the machine may be busy with other tests."""
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        assert run(*words).returncode == 0
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def test_help_lists_all_commands():
    said = run(NEUROFM, "--help")
    assert said.returncode == 0
    for command in entry_points(group="neurofm.commands"):
        (line,) = [x for x in said.stdout.splitlines() if x.split()[:1] == [command.name]]
        assert len(line.split()) > 3, f"{command.value}: no first line in its module's docstring"
    assert run(NEUROFM).stdout == said.stdout


def test_help_imports_nothing_heavy():
    code = """
import sys
from neurofm import cli
cli.main(["--help"])
heavy = {"torch", "numpy", "transformers", "mne", "pandas", "pretrain", "preprocessing"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_start_is_quick():
    """Rules: `import neurofm` < 0.3 s, `neurofm --help` < 0.5 s, on a machine with nothing else to
    do; here over a bare start of Python, and with room for a noisy one."""
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


@pytest.mark.parametrize("kind", ["file", "package"])
def test_bad_input_a_name_of_ours_is_taken(tmp_path, kind):
    """A user's own preprocessing.py beside the script."""
    own = tmp_path / ("preprocessing.py" if kind == "file" else "preprocessing/__init__.py")
    own.parent.mkdir(exist_ok=True)
    own.write_text("print('mine')\n")
    done = run(sys.executable, "-m", "neurofm.cli", "ingest", "--help", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"Python finds {own}" in done.stderr
    assert "rename yours" in done.stderr
    done = run(sys.executable, "-c", "import neurofm; neurofm.standardize", cwd=tmp_path)
    assert "a file or folder named 'preprocessing' beside your script hides it" in done.stderr
    assert "mine" not in done.stdout


def test_a_folder_of_that_name_is_in_nobodys_way(tmp_path):
    """`downstream/` with somebody's results, in the folder they work in."""
    (tmp_path / "downstream").mkdir()
    code = "from neurofm import cli; cli.check_not_shadowed('downstream.finetune')"
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = run(sys.executable, "-m", "neurofm.cli", "--help", cwd=tmp_path).stdout
    assert said == run(NEUROFM, "--help").stdout
