"""Bars on a terminal, plain lines elsewhere, columns of a training."""

import logging
import os
import pty
import subprocess
import sys

import pytest

from neurofm import progress
from neurofm.training.columns import WIDTH, Columns

MANY = {"loss": 3.2861234, "l1": 1.05, "pearson": -0.00012, "grad_norm": 5.7,
        **{f"perplexity_{k}": 266.9 for k in range(4)}, **{f"dead_codes_{k}": 5 for k in range(4)},
        "lr": 1e-3, "windows_per_s": 10.1, "data_wait": 0.01}


def test_plain_lines_every_ten_seconds_tell_what_is_left(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    with caplog.at_level(logging.INFO, "neurofm.progress"):
        for _ in progress.each(range(100), 100, "tokenize"):
            now[0] += 0.5
    assert caplog.messages == [
        "tokenize: 21 of 100, 10 s, 0:40 left", "tokenize: 42 of 100, 21 s, 0:29 left",
        "tokenize: 63 of 100, 32 s, 0:18 left", "tokenize: 84 of 100, 42 s, 0:08 left"]


def test_what_is_quick_says_nothing(caplog):
    with caplog.at_level(logging.INFO, "neurofm.progress"):
        assert list(progress.each("abc", 3, "decode")) == ["a", "b", "c"]
    assert not caplog.messages


DRAWS = """
from neurofm.progress import Progress, each
for k in each(range(3), 3, "outer"):
    print("line", k)
    with Progress(2, "inner") as inner:
        assert inner.bar is None
with Progress(2, "after") as after:
    assert after.bar is not None
"""


def test_a_terminal_shows_one_bar_with_lines_above_it():
    main, end = pty.openpty()
    done = subprocess.Popen([sys.executable, "-c", DRAWS], stdout=end, stderr=end,
                            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    os.close(end)
    said = b""
    while True:
        try:
            part = os.read(main, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
    os.close(main)
    text = said.decode()
    assert done.wait(60) == 0, text
    assert all(f"line {k}" in text for k in range(3))
    assert "outer" in text
    assert "left" in text
    assert "inner" not in text


@pytest.mark.parametrize("values", [MANY, {"loss": 1.0}, {"x" * 40: 1.0, "y" * 60: 2.0}])
def test_lines_of_a_training_stand_in_columns_of_at_most_100_characters(values):
    columns = Columns()
    lines = columns.lines(20, values, 75.0)
    lines += columns.lines(40, {f"val/{name}": value for name, value in values.items()})
    lines += columns.lines(123456, {name: -value / 3e7 for name, value in values.items()}, 36000.0)
    assert len(lines) == 4  # names once
    assert max(map(len, lines)) <= WIDTH
    for name in lines[0].split()[2:-1]:
        ends = lines[0].index(name) + len(name)
        for line in lines:
            assert line[ends - 1] != " "
            assert line[ends : ends + 1] in ("", " ")
    assert lines[1].split()[-1] == "1:15"
    assert lines[3].split()[-1] == "10:00:00"


def test_names_are_shown_again_where_others_are_measured():
    columns = Columns()
    columns.lines(1, {"loss": 1.0, "l1": 1.0})
    assert len(columns.lines(2, {"val/loss": 1.0})) == 1
    assert len(columns.lines(2, {"accuracy": 1.0})) == 2
