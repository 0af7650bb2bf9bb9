"""The page of a decoded stream: as of a recording, with how fast the answers came."""

from pathlib import Path

import pandas as pd

from neurofm.data.recording import Recording
from neurofm.models.protocol import WindowDecoder
from neurofm.pages import page as report
from neurofm.pages import table as tables
from neurofm.pages import words

from . import findings
from .decoded_page import about, folded, opening, readable

FINE = ("No fault was found: all sensors had a signal of the usual size, and were like each other, "
        "in every window.")


def page(
    template: Recording, table: pd.DataFrame, summary: dict, decoder: WindowDecoder, model: str,
    figure: Path, finding: str, centered: str = "",
) -> report.Page:
    """The page. summary: what `stream` writes into summary.json. figure: PNG, if any.
    centered: what every window was compared with, in words, where the decoder re-centers."""
    sections = opening(finding, decoder, model, findings.trained_on(model, template), centered)
    quality = report.bullets(findings.live_quality(table, summary["quality"]) or [FINE])
    sections.append(("Quality of the signal", quality))
    if figure.exists():
        sections.append(("Decoded windows and latency",
                         report.figure(figure, "answers and latency over time")))
    sections += [
        ("Speed", report.paragraph(findings.timing(summary))),
        ("A stream is not a file", report.bullets(summary["differences"])),
        ("", folded("Every window", tables.html(readable(table), scroll=True)
                    + report.paragraph("Full table: predictions.tsv in this folder."))),
        ("", folded("What was done to the signal",
                    tables.pairs(words.contract_in_words(decoder.contract)))),
    ]
    return report.Page(Path(template.source or "stream").name, about(model), sections)
