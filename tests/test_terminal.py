"""Library code logs, commands print: where `print` may stand, and who sees the log."""

import ast
import dataclasses
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neurofm import cli
from neurofm.run import OK, Command, Stopped
from neurofm.terminal import log_shown

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("neurofm", "preprocessing", "pretrain", "downstream")
MAY_PRINT = {
    "neurofm/run.py", "neurofm/job.py",  # Job.say
    "neurofm/progress.py",  # Progress.say, beside a bar
    "neurofm/terminal.py", "pretrain/sweep.py",
    "neurofm/cli.py", "downstream/evaluate.py", "downstream/demo.py",  # commands without a folder
    "downstream/federated/server_app.py",  # Flower starts it: no command of ours is around it
}  # fmt: skip


def test_library_code_has_no_print():
    printing = set()
    files = {path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    for path in files:
        calls = [node.func for node in ast.walk(ast.parse(path.read_text()))
                 if isinstance(node, ast.Call)]
        if any(isinstance(func, ast.Name) and func.id == "print" for func in calls):
            printing.add(path.relative_to(ROOT).as_posix())
    printing = {name for name in printing
                if not name.startswith(tuple(f"neurofm/{each}/" for each in PACKAGES[1:]))}
    assert len(files) > 100
    assert printing == MAY_PRINT  # one that prints no more leaves the list


USER = """
import logging
import os
import neurofm, neurofm.run
import neurofm.progress
assert not logging.getLogger().handlers
logger = logging.getLogger("neurofm")
assert not logger.handlers and logger.level == logging.NOTSET and logger.propagate
logging.getLogger("neurofm.preprocessing").info("a remark")
logging.getLogger("neurofm.preprocessing").warning("a warning")
"""


def test_who_imports_neurofm_sees_warnings_alone():
    done = subprocess.run([sys.executable, "-c", USER], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "a warning\n")


@dataclasses.dataclass
class Config:
    """Config."""


def speaks(run, job):
    logger = logging.getLogger("neurofm.somewhere")
    job.say("first")
    logger.debug("not shown")
    logger.info("100 % of it")
    with log_shown():  # a command in a command
        logger.warning("then %s", "this")
    job.say("last")
    return OK


def test_a_command_shows_the_log_once_in_order(capsys):
    """On sys.stdout as it is at that moment, and not by the root logger's handlers as well."""
    seen = []
    other = logging.Handler()
    other.emit = seen.append
    logging.getLogger().addHandler(other)
    try:
        assert Command("speak", Config, speaks).run(Config()) == OK
        assert not seen
    finally:
        logging.getLogger().removeHandler(other)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("first\n100 % of it\nthen this\nlast\n", "")


@pytest.mark.parametrize("problem", [ValueError("bad"), Stopped("asked to stop")])
def test_the_log_is_left_as_it_was(problem, capsys):
    def fails(run, job):
        raise problem

    logger = logging.getLogger("neurofm")
    before = logger.level, logger.propagate, list(logger.handlers)
    try:
        Command("fail", Config, fails).run(Config())
    except ValueError:
        assert str(problem) == "bad"
    assert (logger.level, logger.propagate, logger.handlers) == before


@pytest.mark.parametrize("words", [["--help"], ["list", "models"], ["show", "DECODER"]])
def test_nobody_reads_what_is_printed(words, decoder, monkeypatch, capsys):
    """`neurofm … | head -1`: no traceback and no error."""
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        status = cli.main([str(decoder) if word == "DECODER" else word for word in words])
    assert status in (0, cli.NOBODY_READS)
    assert not capsys.readouterr().err


def test_another_pipe_that_breaks_is_an_error(monkeypatch, capsys):
    def broken(argv):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(cli, "_loaded", lambda command: broken)
    assert cli.main(["show", "x"]) == 1
    assert "neurofm show: [Errno 32] Broken pipe" in capsys.readouterr().err
