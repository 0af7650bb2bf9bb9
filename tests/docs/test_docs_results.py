"""Pages of results and the README: what the committed files give, and nothing typed by hand."""

import copy
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from neurofm.results import Results

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "docs" / "results" / "data"
README = (ROOT / "README.md").read_text()
each = pytest.mark.parametrize("folder", sorted(DATA.iterdir()), ids=lambda path: path.name)


@each
def test_every_file_is_valid(folder):
    """By the schema; it says how it was made, and its intervals hold their values."""
    found = Results.load(folder)
    assert found.question
    assert found.summary
    assert found.command
    assert found.scores
    assert re.fullmatch(r"[0-9a-f]{7,40}", found.versions["commit"])
    for row in found.scores:
        assert row["method"] in found.methods
        if row["low"] is not None:
            assert row["low"] <= row["value"] <= row["high"], row
    for row in found.comparisons:
        assert {row["a"], row["b"]} <= {*found.methods}
        if row["low"] is not None:
            assert row["low"] <= row["difference"] <= row["high"], row


def test_pages_are_what_the_files_give(generate):
    """`make results` has been run."""
    for name, text in generate.results.pages().items():
        assert (ROOT / "docs" / name).read_text() == text, f"{name}: run make results"


def test_every_file_stands_on_a_page(generate):
    shown = [section["data"] for page in generate.results.layout()["pages"].values()
             for section in page["sections"]]
    assert sorted(shown) == sorted(path.name for path in DATA.iterdir())


@each
def test_every_score_warning_and_note_is_shown(folder, generate):
    """No score, flag or caveat of a file is left out of its page, nor its command and commit."""
    found = Results.load(folder)
    section = next(part for page in generate.results.pages().values()
                   for part in page.split("\n## ") if f"data/{folder.name}/" in part)
    words = " ".join(section.replace("\\", "").replace("\n  ", " ").split())
    for text in (found.summary, *found.notes, *map(str, found.flags)):
        assert " ".join(text.split()) in words
    for row in found.scores:
        texts = {generate.results_table.cell(row, decimals)
                 for decimals in (None, 0, 1, 2, 3, "as measured")}
        assert any(text in section for text in texts), row
    assert found.versions["commit"] in section
    assert found.command in section


def test_chosen_in_sight_and_leaks_are_warnings(generate):
    """Notes on choices with scores in sight head their section; a leak does."""
    warned = generate.results.warned
    assert any("thirty poolings" in text for text in warned(generate.results.found(
        "eegmat_rest_arithmetic")))
    assert any(text.startswith("LEAK") for text in warned(generate.results.found("abide")))
    page = generate.results.pages()["results/fmri.md"]
    assert page.index(":::{warning}\nLEAK") < page.index("| functional connectivity, tangent")


def test_a_new_number_changes_the_page(generate, monkeypatch):
    """A file that a command made replaces one that was copied: number and origin follow."""
    old = generate.results.found("adhd")
    new = copy.deepcopy(old)
    new.scores[0] |= {"value": 0.4321, "low": 0.4, "high": 0.5}
    new.versions = {"neurofm": "0.1.0", "commit": "0123456789ab"}
    assert "not repeated since" in generate.results.pages()["results/decoding.md"]
    found = generate.results.found
    monkeypatch.setattr(generate.results, "found",
                        lambda name: new if name == "adhd" else found(name))
    page = generate.results.pages()["results/decoding.md"]
    section = next(part for part in page.split("\n## ") if "data/adhd/" in part)
    assert "0.432 [0.400,\N{NO-BREAK SPACE}0.500]" in section
    assert "`0123456789ab`" in section
    assert "not repeated since" not in section


def test_figures_name_every_method(generate):
    for page in generate.results.layout()["pages"].values():
        for section in page["sections"]:
            if "figure" in section:
                drawn = ElementTree.parse(DATA.parent / "figures" / f"{section['data']}.svg")
                texts = {"".join(one.itertext()) for one in drawn.iter()
                         if one.tag.endswith("text")}
                wanted = {row["method"] for row in generate.results.found(section["data"]).scores
                          if row["metric"] == section["figure"]["metric"]
                          and section["figure"].get("where", {}).items() <= row.items()}
                assert wanted <= texts, section["data"]


def test_readme_table_is_what_the_files_give(generate):
    assert generate.results.with_headline(README) == README, "run make results"
    assert README.count("docs/results/") > 7


def test_picture_is_what_the_script_draws(generate, tmp_path):
    generate.picture.draw(tmp_path / "pipeline.svg")
    drawn = (ROOT / "docs" / "_static" / "pipeline.svg").read_text()
    assert (tmp_path / "pipeline.svg").read_text() == drawn


def test_readme_is_short_and_its_links_lead_somewhere():
    lines = README.splitlines()
    assert len(lines) <= 150
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", README)
    missing = [target for target in targets if not re.match(r"https?:", target)
               and not (ROOT / target).exists()]
    assert not missing
    recipes = README.partition("## Five recipes")[2].partition("\n## ")[0]
    blocks = re.findall(r"```\w+\n(.*?)```", recipes, re.DOTALL)
    assert len(blocks) == 5
    assert all(len(block.splitlines()) <= 6 for block in blocks)
