"""Text that comes from files: settings, tables, pages and lines on a terminal."""

import time

import numpy as np
import pandas as pd
import pytest

from neurofm import tsv, yaml_file
from neurofm.cli import main
from neurofm.pages import page, table
from neurofm.pages.page import Page
from neurofm.terminal import printable

LAUGHS = "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9 if k else ['x'] * 9)}]\n"
                 for k in range(9))
NASTY = '<script>alert(1)</script><img src=x onerror="a()">'


@pytest.mark.parametrize(("content", "words"), [
    (LAUGHS, "anchors"), ("a: &a [*a]\n", "inside itself"), ("[" * 10**4, "nested too deeply"),
    ("a: {b: &x {c: [*x]}}\n", "inside itself"), ("!!python/object/apply:os.system [ls]\n", "YAML"),
    ("? [a, b]\n: 1\n", ""), ("? {a: b}\n: 1\n", ""), ("--- a\n--- b\n", "YAML"),
    ("\x00", "YAML"), ("a: 1\n" * 2, "twice")])
def test_hostile_yaml_is_refused_at_once(tmp_path, capsys, content, words):
    path = tmp_path / "run.yaml"
    path.write_text(content)
    began = time.process_time()
    with pytest.raises(SystemExit) as end:
        main(["ingest", "--config", str(path)])
    assert end.value.code == 2
    assert time.process_time() - began < 5
    said = capsys.readouterr().err
    assert words in said
    assert str(path) in said
    assert "Traceback" not in said


@pytest.mark.parametrize("content", ["a: 1\n" * 250_000, "[" * 1_100_000, "a: " + "x" * 10**7])
def test_hostile_yaml_of_a_size_is_not_parsed(tmp_path, capsys, content):
    path = tmp_path / "run.yaml"
    path.write_text(content)
    began = time.process_time()
    with pytest.raises(SystemExit) as end:
        main(["ingest", "--config", str(path)])
    assert end.value.code == 2
    assert time.process_time() - began < 1
    assert "wanted a file of settings of at most 1 MB" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"run\.yaml: has .* MB, wanted"):
        yaml_file.read(path)


def test_anchors_of_a_size_are_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: &a [1, 2]\nb: *a\n")
    assert yaml_file.read(tmp_path / "a.yaml") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1",
                                  "=HYPERLINK(\"http://x\")"])
def test_a_cell_is_no_formula(tmp_path, cell):
    frame = pd.DataFrame({"name": [cell, "a"], cell: [1.0, -2.5]})
    tsv.write(frame, tmp_path / "a.tsv")
    back = pd.read_csv(tmp_path / "a.tsv", sep="\t")
    kept = cell.lstrip("\r")
    assert back["name"][0] == f"'{kept}"
    assert back.columns[1] == f"'{kept}"
    assert tsv.plain(back["name"][0]) == kept
    assert back.iloc[:, 1].tolist() == [1.0, -2.5]


@pytest.mark.parametrize("cell", ["-1.5", "+3e-4", "-inf", "-", "a=b", "", None, -3, np.nan, "'a"])
def test_numbers_and_words_stay(cell):
    assert tsv.guarded(cell) is cell


def test_categories_and_an_index_are_written(tmp_path):
    frame = pd.DataFrame({"a": pd.Categorical(["=1", "b"])}, index=pd.Index([3, 4], name="row"))
    tsv.write(frame, tmp_path / "a.tsv", index=True)
    assert (tmp_path / "a.tsv").read_text() == "row\ta\n3\t'=1\n4\tb\n"


def test_pages_hold_no_markup_of_files(tmp_path):
    from neurofm.pages.figure import save, subplots

    figure, axes = subplots()
    axes.set_title("$\\frac{" + NASTY)
    axes.bar(["$\\frac{", "$x$"], [1, 2], label="$\\frac{")
    axes.set_yscale("log")
    axes.legend()
    save(figure, tmp_path / "a.png")
    frame = pd.DataFrame({NASTY: [NASTY], "n": [1.0]})
    made = Page(NASTY, NASTY, [
        (NASTY, table.html(frame)), ("a", table.folded(frame, 1)), ("b", page.bullets([NASTY])),
        ("c", table.pairs([(NASTY, NASTY)])), ("d", page.paragraph(NASTY, "small")),
        ("e", page.figure(tmp_path / "a.png", NASTY, NASTY))], (NASTY,)).with_warnings(
            [f"LEAK: {NASTY}", NASTY]).html()
    assert "<script" not in made
    assert "<img src=x" not in made
    assert "onerror=\"" not in made
    assert "<script" not in (tmp_path / "a.svg").read_text()
    assert "<script" not in table.markdown(["a"], [[NASTY], ["x|y\nz"]])
    assert table.markdown(["a"], [["x|y\nz"]]).endswith("| x\\|y z |")


@pytest.mark.parametrize(("text", "shown"), [
    ("\x1b[2Ja", "\\x1b[2Ja"), ("a\rb", "a\\rb"), ("\x9b31m", "\\x9b31m"),
    ("\u202egnp", "\\u202egnp"),
    ("é µV\n\tok", "é µV\n\tok"), ("\x07", "\\x07")])
def test_a_terminal_gets_no_commands(text, shown):
    assert printable(text) == shown


def test_an_error_shows_no_commands(tmp_path, capsys):
    name = tmp_path / "\x1b[31mx"
    assert main(["decode", str(name), "--model", str(name), "--out", str(tmp_path / "o")]) == 1
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert r"\x1b[31mx" in said
