"""Tables for people: the same cells on a page (HTML), on the terminal and on a card (Markdown)."""

import html as escaping
import re
from collections.abc import Iterable

import pandas as pd

from . import words

# Characters of Markdown, with tables, strikethrough and formulas of the Hub. An underscore within a
# word is none; a mark of a heading, list or quotation counts where it stands first.
_MARKUP = re.compile(r"[\\`*|~$]|\](?=[(\[:])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|"
                     r"^(?:#|[-+=](?=[\s-]|$))|(?<=^\d)[.)](?=\s)|(?<=^\d\d)[.)](?=\s)")


class Markup(str):
    """A cell that is Markdown already."""


def estimates(
    frame: pd.DataFrame, mean: str, low: str, high: str, *, signed: bool = False
) -> list[str]:
    """A column of means with their intervals. mean, low, high: names of columns."""
    return [words.estimate(*values, signed=signed)
            for values in zip(frame[mean], frame[low], frame[high], strict=True)]


def text(frame: pd.DataFrame) -> str:
    """The table for the terminal."""
    return pd.DataFrame({name: frame[name].map(_cell) for name in frame}).to_string(index=False)


def markdown(heads: list[str], rows: Iterable[list]) -> str:
    """A table for a card."""
    body = [[value if isinstance(value, Markup) else plain(_cell(value)) for value in row]
            for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (
        map(plain, heads), ["---"] * len(heads), *body))


def plain(text: object) -> str:
    """A text as it stands, for Markdown: no markup, no HTML, no end of a line or cell. Every text
    of a card that comes from data, settings or files goes through this.

    Parameters
    ----------
    text
        Such as the name of a class.

    Returns
    -------
    str
        "&lt;b&gt;" of "<b>", r"\\*x\\*" of "*x*".
    """
    escaped = escaping.escape(" ".join(str(text).split()), quote=False)
    return _MARKUP.sub(r"\\\g<0>", escaped)


def html(frame: pd.DataFrame, scroll: bool = False, dense: bool = False) -> str:
    """The table for a page; numbers to the right. Wider than the page, it scrolls by itself.

    Parameters
    ----------
    frame
        Floats are shown with three decimals.
    scroll
        At most 24 rem high.
    dense
        Small; line breaks within cells are kept.
    """
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    head = "".join(f"<th{' class=number' * right}>{escaping.escape(str(name))}</th>"
                   for name, right in zip(frame, numeric, strict=True))
    body = "".join(
        "<tr>" + "".join(
            _td(_cell(value), right) for value, right in zip(row, numeric, strict=True)
        ) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    style = ' class="dense"' if dense else ""
    made = f"<table{style}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="{"scroll" if scroll else "wide"}">{made}</div>'


def folded(frame: pd.DataFrame, at_most: int) -> str:
    """A dense table with intervals under their means; one with more rows scrolls."""
    two = frame.map(lambda cell: cell.replace(" [", "\n[") if isinstance(cell, str) else cell)
    return html(two, scroll=len(two) > at_most, dense=True)


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Names and their values, side by side, for a page."""
    cells = "".join(
        f"<tr><th>{escaping.escape(name)}</th><td>{escaping.escape(str(value))}</td></tr>"
        for name, value in rows
    )
    return f'<table class="pairs">{cells}</table>'


def _td(content: str, right: bool) -> str:
    long = max(map(len, content.splitlines() or [""])) > 48
    return f"<td{' class=number' * right}{' class=long' * long}>{escaping.escape(content)}</td>"


def _cell(value) -> str:
    if value is None or value != value:
        return words.DASH
    return words.number(value) if isinstance(value, float) else str(value)
