"""Pages for people: one self-contained HTML file, plain, with figures inside.

No script and nothing fetched: a page can be mailed, archived and read in ten years.
"""

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..terminal import printable

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
       max-width: 62rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem; }
p { max-width: 48rem; margin: .5rem 0; }
.about { color: #555; margin-top: 0; }
.lead { font-size: 1.05rem; }
.warning { border-left: 3px solid #c0392b; padding: .25rem .75rem; background: #fdf3f2; }
.leak { background: #b3261e; color: #fff; font-weight: 600; padding: .75rem 1rem; }
.small, figcaption { font-size: .87rem; color: #444; }
figure { margin: .5rem 0 1.25rem; }
figcaption { max-width: 48rem; }
img, svg { max-width: 100%; height: auto; }
figure svg svg { max-width: none; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem 1.25rem .3rem 0; border-bottom: 1px solid #e3e3e3;
         vertical-align: top; }
th { font-weight: 600; color: #444; }
td.number, th.number { text-align: right; }
tbody td { white-space: nowrap; }
table.pairs td { white-space: normal; }
table.dense { font-size: .78rem; line-height: 1.35; }
table.dense th, table.dense td { padding: .25rem .6rem .25rem 0; }
table.dense td { white-space: pre; }
table.dense td.long { white-space: pre-line; min-width: 18rem; }
.wide { overflow-x: auto; }
.scroll { max-height: 24rem; overflow: auto; }
.scroll thead th { position: sticky; top: 0; background: #fff; }
li { margin: .2rem 0; max-width: 48rem; }
@media (max-width: 34rem) {
  body { margin: 1rem auto; padding: 0 .75rem; }
  th, td { padding-right: .6rem; }
  table { font-size: .8rem; }
  tbody td { white-space: normal; overflow-wrap: break-word; }
  td.number { white-space: nowrap; }
  table.dense td.long { min-width: 12rem; }
}
@media print {
  body { font-size: 10pt; max-width: none; margin: 0; padding: 0; }
  .scroll, .wide { max-height: none; overflow: visible; }
  .leak { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  table, table.dense { font-size: 7pt; }
  th, td { padding-right: .4rem; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str  # title, about: the heading, and the line under it
    about: str
    # (heading, HTML); "" = no heading. A section without HTML is left out.
    sections: Sequence[tuple[str, str]]
    # sentences that stand first. One that begins with LEAK is a red bar.
    warnings: tuple[str, ...] = ()

    def with_warnings(self, texts: Iterable[str]) -> "Page":
        """The page with every LEAK and DOUBT at its top, and the other sentences listed under its
        first section, each once: what a section says already is not said again."""
        texts = list(dict.fromkeys(texts))
        first = [text for text in texts if text.startswith(("LEAK", "DOUBT"))]
        said = "".join(body for _, body in self.sections)
        others = [text for text in texts if text not in first and html.escape(text) not in said]
        notes = [("Notes", bullets(others))] if others else []
        return replace(
            self, warnings=tuple(dict.fromkeys([*first, *self.warnings])),
            sections=[*self.sections[:1], *notes, *self.sections[1:]])

    def html(self) -> str:
        parts = [warning(text) for text in self.warnings]
        parts += [f"<h2>{html.escape(heading)}</h2>\n{body}" if heading else body
                  for heading, body in self.sections if body]
        return printable(
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
            f'<h1>{html.escape(self.title)}</h1>\n<p class="about">{html.escape(self.about)}</p>\n'
            + "\n".join(parts) + "\n</body></html>\n"
        )




def warning(text: str) -> str:
    """A sentence that a reader must not miss; a leak is a red bar."""
    return paragraph(text, "leak" if text.startswith("LEAK") else "warning")


def paragraph(text: str, style: str = "") -> str:
    return f'<p class="{style}">{html.escape(text)}</p>' if style else f"<p>{html.escape(text)}</p>"


def bullets(texts: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>"


def figure(path: str | Path, alt: str, caption: str = "") -> str:
    """A PNG inside the page. caption: how to read it."""
    data = base64.b64encode(Path(path).read_bytes()).decode()
    image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
    if not caption:
        return image
    return f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>"

