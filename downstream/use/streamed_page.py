"""The page of a decoded stream: as of a recording, with how fast the answers came."""

from pathlib import Path

import pandas as pd

from neurofm.data.recording import Recording
from neurofm.models.protocol import WindowDecoder
from neurofm.pages import page as report
from neurofm.pages import words

from .decoded_page import about, folded, opening, readable

_MOST_BADS = 12


def page(
    template: Recording, table: pd.DataFrame, summary: dict, decoder: WindowDecoder, model: str,
    figure: Path, abstain_below: float, centred: str = "",
) -> str:
    """The page as HTML. summary: what `stream` writes into summary.json. figure: PNG, if any.
    centred: what every window was compared with, in words, where the decoder re-centres."""
    sections = opening(table, decoder, model, template, abstain_below, centred)
    sections.append(("Quality of the signal", report.bullets(_in_plain_words(table))))
    if figure.exists():
        sections.append(("What the decoder said, and how fast",
                         report.figure(figure, "answers and latency over time")))
    sections += [
        ("Speed", report.paragraph(timing(summary))),
        ("A stream is not a file", report.bullets(summary["differences"])),
        ("", folded("Every window", report.table(readable(table), scroll=True)
                    + report.paragraph("All of them: predictions.tsv in this folder."))),
        ("", folded("What was done to the signal",
                    report.pairs(words.contract_in_words(decoder.contract)))),
    ]
    return report.page(Path(template.source or "stream").name, about(model), sections)


def _in_plain_words(table: pd.DataFrame) -> list[str]:
    """Which sensors could not be used, and when nothing could."""
    n, said = len(table), []
    unusable = int((table["note"] != "").sum())
    if unusable:
        said.append(f"{unusable} of {n} windows could not be decoded: "
                    f"{table.loc[table['note'] != '', 'note'].iloc[0]}.")
    bads = table["bads"].str.split(",").explode().replace("", None).value_counts()
    for name, times in bads.head(_MOST_BADS).items():
        said.append(f"{name} could not be used in {times} of {n} windows.")
    if len(bads) > _MOST_BADS:
        said.append(f"{len(bads) - _MOST_BADS} other sensors could not be used now and then.")
    return said or ["No fault was found: all sensors had a signal of the usual size, and were like "
                    "each other, in every window."]


def timing(summary: dict) -> str:
    """Latency and speed in a few sentences; the filters' own delay apart."""
    if not summary["windows"]:
        return "No window closed, so nothing can be said of latency."
    delays = ", ".join(f"{ms:g} ms at {hz}" for hz, ms in summary["group_delay_ms"].items())
    kept = ("It kept up: every answer came before the next window closed." if summary["kept_up"]
            else f"It did not keep up: {summary['late']} of {summary['windows']} answers came "
                 f"after the next window had closed.")
    return (f"Latency from the last sample of a window to its answer: median "
            f"{summary['latency_median_ms']:.0f} ms, 99th percentile "
            f"{summary['latency_p99_ms']:.0f} ms over {summary['windows']} windows, with "
            f"{summary['threads']} thread{'s' * (summary['threads'] != 1)}; computing is "
            f"{summary['real_time_factor']:.0f} times as fast as the signal. {kept} Not in this: "
            f"the filters delay what is in the signal by {delays}.")
