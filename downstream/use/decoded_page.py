"""The page of a decoded recording, for a reader who knows patients and not networks: the finding,
what it does not mean, the recording's quality, the signal; the rest is folded away."""

import html
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from neurofm import artifacts, checkpoints
from neurofm.data.recording import Recording
from neurofm.models.protocol import WindowDecoder
from neurofm.pages import page as report
from neurofm.pages import table as tables
from neurofm.pages import words
from neurofm.preprocessing import quality
from neurofm.preprocessing.standardize import Standardized, StandardizedScan
from neurofm.preprocessing.steps import band

from ..decoder.labeled import sensors_of
from . import findings

_MANY_WINDOWS = 2000  # beyond, the page shows the first ones and the files hold all


def page(
    recording: Recording, length: str, known: list[str], windows: Standardized | StandardizedScan,
    table: pd.DataFrame, decoder: WindowDecoder, model: str, figure: Path, summary: str,
    centered: str = "", worth: Sequence[str] = (),
) -> report.Page:
    """The page. length: of the recording, in words. known: see `opening`. model: path or repository
    of the decoder. figure: the PNG to put in. summary: the finding. centered: what every window was
    compared with, in words, where the decoder re-centers. worth: what the recording lacks, and what
    that costs.
    """
    what = windows.contract.CHANNELS
    fine = [f"No fault was found: all {len(windows.sensors)} {what} have a signal of the usual "
            f"size and are like each other."]
    sections = opening(summary, decoder, model, known, centered, worth)
    sections += [
        ("Quality of the recording", report.bullets(
            [*(quality.remarks(windows.quality) or fine), *quality.of_places(windows.quality)])),
        ("Signal and decoded windows",
         report.figure(figure, "signal and answers over time")),
        ("", folded("Every window", tables.html(readable(table), scroll=True)
                    + report.paragraph("Full table: predictions.tsv and predictions.parquet in "
                                       "this folder."))),
        ("", folded("Details of the recording",
                    tables.pairs(_about_recording(recording, length, windows)))),
        ("", folded("What was done to the signal",
                    tables.pairs(words.contract_in_words(windows.contract)))),
    ]
    return report.Page(Path(recording.source).name, about(model), sections)


def about(model: str) -> str:
    version = artifacts.code_version()
    return (f"Decoded with {model} (decoder {checkpoints.fingerprint(model)}), neurofm "
            f"{version['neurofm']}")


def opening(
    summary: str, decoder: WindowDecoder, model: str, known: list[str],
    centered: str = "", worth: Sequence[str] = (),
) -> list[tuple[str, str]]:
    """The sections that every reader needs: finding, how good the decoder is, what that does not
    mean, training subjects. known: whether this is one (`findings.trained_on`)."""
    told, good = findings.score(model)
    return [
        ("", report.paragraph(summary, "lead") + (report.paragraph(centered) if centered else "")),
        ("How good this decoder is", (report.paragraph(told) if good else report.warning(told))
         + "".join(map(report.paragraph, worth))),
        ("What this does not mean", report.bullets(findings.limits(decoder))),
        ("Training subjects", "".join(map(report.paragraph, known))),
    ]


def folded(title: str, body: str) -> str:
    """Shown when the reader clicks on the title."""
    return f"<details><summary>{html.escape(title)}</summary>{body}</details>"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Times with two decimals, probabilities with three, names with their units."""
    shown = table.head(_MANY_WINDOWS).round(3)
    shown = shown.drop(columns=[name for name in shown if name.startswith("expected_")])
    if "abstained" in shown:
        shown["predicted"] = shown["predicted"].where(~shown["abstained"].astype(bool), "not sure")
        shown = shown.drop(columns="abstained")
    shown = shown.rename(columns={"start_s": "start (s)", "stop_s": "stop (s)",
                                  "latency_ms": "latency (ms)"})
    for name in ("start (s)", "stop (s)"):
        shown[name] = shown[name].map("{:.2f}".format)
    return shown.rename(columns=lambda name: f"p({name[2:]})" if name.startswith("p_") else name)


def _about_recording(
    recording: Recording, length: str, windows: Standardized | StandardizedScan
) -> list[tuple[str, str]]:
    found = windows.quality
    bads = [f"{name} ({reason})" for name, reason in found["bads"].items()]
    listed = [
        ("File", recording.source),
        ("Length", length),
        ("Sensors used", sensors_of(windows.sensors)),
        ("Bad", ", ".join(bads) or "none"),
        ("Interpolated", ", ".join(found["interpolated"]) or "none"),
        ("Channels left out", quality.in_words(
            found.get("not_used") or {}) or ", ".join([*found["left_out"],
                                                 *found["without_position"]]) or "none"),
        ("Amplitude", ", ".join(f"{kind}: {value} (interquartile range)"
                                for kind, value in found["amplitude"].items()) or "–"),
        ("Windows left out", ", ".join(f"{number} {reason}" for reason, number
                                       in found["windows_left_out"].items()) or "none"),
        ("Events in the file", _events(recording)),
    ]
    if missing := band.remarks(found):
        listed.insert(3, ("Not recorded", "; ".join(missing)))
    return listed


def _events(recording: Recording) -> str:
    counts = pd.Series(list(recording.events.label), dtype=object).value_counts()
    shown = ", ".join(f"{name} ({n})" for name, n in counts.head(8).items())
    return (shown + (", …" if len(counts) > 8 else "")) or "none"
