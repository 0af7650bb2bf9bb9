"""A page fits a phone: what is wider than it scrolls by itself."""

import re

import pandas as pd

from neurofm.pages import table
from neurofm.pages.page import Page, bullets


def test_every_table_scrolls_by_itself():
    frame = pd.DataFrame({"method": ["frozen"], "score": [0.5]})
    for made in (table.html(frame), table.html(frame, dense=True),
                 table.html(frame, scroll=True)):
        style = re.match(r'<div class="(wide|scroll)"><table', made)
        assert style, made
        assert re.search(rf"\.{style[1]} {{[^}}]*overflow(-x)?: auto", Page("", "", []).html())


def test_figures_are_never_wider_than_the_page():
    style = Page("", "", []).html()
    assert re.search(r"img, svg {[^}]*max-width: 100%", style)


def test_a_note_that_a_section_says_is_not_said_again():
    page = Page("", "", [("", "<p>Answer</p>"), ("Quality", bullets(["2 < 3 windows lost"]))])
    notes = ["2 < 3 windows lost", "No other one", "No other one", "LEAK: model: one"]
    found = page.with_warnings(notes).html()
    for said in ("2 &lt; 3 windows lost", "<li>No other one", "LEAK: model: one"):
        assert found.count(said) == 1, said
    assert "Notes" not in page.with_warnings(notes[:1]).html()
