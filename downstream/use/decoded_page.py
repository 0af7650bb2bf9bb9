"""The page of a decoded recording, for a reader who knows patients and not networks: the finding,
what it does not mean, the recording's quality, the signal; the rest is folded away."""

import html
import time
from pathlib import Path

import pandas as pd

from neurofm import artifacts, checkpoints
from neurofm.data.recording import Recording
from neurofm.models.protocol import WindowDecoder
from neurofm.pages import page as report
from neurofm.pages import words
from neurofm.preprocessing.standardize import Standardized

from ..decoder.labelled import sensors_of
from . import findings
from .findings import finding

__all__ = ["finding", "folded", "opening", "page", "readable"]

_MANY_WINDOWS = 2000  # beyond, the page shows the first ones and the files hold all


def page(
    recording: Recording, windows: Standardized, table: pd.DataFrame, decoder: WindowDecoder,
    model: str, figure: Path, abstain_below: float = 0.0, centred: str = "",
) -> str:
    """The page as HTML. model: path or repository of the decoder. figure: the PNG to put in.
    centred: what every window was compared with, in words, where the decoder re-centres."""
    sections = opening(table, decoder, model, recording, abstain_below, centred)
    sections += [
        ("Quality of the recording", report.bullets(_in_plain_words(windows))),
        ("The signal and what the decoder made of it",
         report.figure(figure, "signal and answers over time")),
        ("", folded("Every window", report.table(readable(table), scroll=True)
                    + report.paragraph("All of them, for reading by programs: predictions.tsv and "
                                       "predictions.parquet in this folder."))),
        ("", folded("Details of the recording",
                    report.pairs(_about_recording(recording, windows)))),
        ("", folded("What was done to the signal",
                    report.pairs(words.contract_in_words(windows.contract)))),
    ]
    return report.page(Path(recording.source).name, about(model), sections)


def about(model: str) -> str:
    version = artifacts.code_version()
    return (f"Decoded {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} with "
            f"{model} (decoder {checkpoints.fingerprint(model)}), neurofm {version['neurofm']}")


def opening(
    table: pd.DataFrame, decoder: WindowDecoder, model: str, recording: Recording | None,
    abstain_below: float, centred: str = "",
) -> list[tuple[str, str]]:
    """The sections that every reader needs: finding, what it does not mean, whom it knows."""
    told, good = findings.score(model)
    known = findings.trained_on(model, recording)
    lead = report.paragraph(finding(table, decoder.classes, abstain_below), "lead")
    for text, warns in [(told, not good), *known]:
        lead += report.paragraph(text, "warning") if warns else ""
    lead += report.paragraph(centred) if centred else ""
    return [
        ("", lead),
        ("What this does not mean", report.bullets(findings.limits(decoder))),
        ("How good this decoder is", report.paragraph(told)),
        ("Whom it was trained on", "".join(report.paragraph(text) for text, _ in known)),
    ]


def folded(title: str, body: str) -> str:
    """Shown when the reader clicks on the title."""
    return f"<details><summary>{html.escape(title)}</summary>{body}</details>"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Times with two decimals, probabilities with three, names with their units."""
    shown = table.head(_MANY_WINDOWS).round(3)
    if "abstained" in shown:
        shown["predicted"] = shown["predicted"].where(~shown["abstained"].astype(bool), "not sure")
        shown = shown.drop(columns="abstained")
    shown = shown.rename(columns={"start_s": "start (s)", "stop_s": "stop (s)",
                                  "latency_ms": "latency (ms)"})
    for name in ("start (s)", "stop (s)"):
        shown[name] = shown[name].map("{:.2f}".format)
    return shown.rename(columns=lambda name: f"p({name[2:]})" if name.startswith("p_") else name)


def _in_plain_words(windows: Standardized) -> list[str]:
    """What the steps found, for somebody who looks at recordings and not at code."""
    found, said = windows.quality, []
    what = "regions" if windows.contract.modality == "fmri" else "sensors"
    bads, filled = list(found["bads"]), found["interpolated"]
    n_sensors = len(windows.sensors) + len(found["left_out"]) + len(found["without_position"])
    if bads:
        done = "filled in from their neighbours" if filled else "left out"
        said.append(f"{len(bads)} of {n_sensors} {what} could not be used ({', '.join(bads)}) and "
                    f"were {done}.")
    if found["without_position"]:
        said.append(f"The places of {', '.join(found['without_position'])} are not known; they "
                    f"were left out.")
    for low, high in found["band_missing_hz"]:
        said.append(f"The device had filtered away {low:g} to {high:g} Hz, which the decoder was "
                    f"trained on. Expect it to do worse than said above.")
    strong = [line for line, ratio in found["line_noise"].items() if ratio > 100]
    if strong:
        said.append(f"Strong interference from the mains ({', '.join(strong)} Hz) was filtered "
                    f"out; electrodes may have had poor contact.")
    if found["line_left_hz"]:
        said.append(f"The mains of {found['line_left_hz']:g} Hz were not filtered out, for the "
                    f"decoder was trained without that.")
    if found["lost_s"]:
        said.append(f"For {found['lost_s']:g} s there was no signal; nothing was decoded there.")
    if found.get("scrubbed"):
        said.append(f"{found['scrubbed']} volumes were not measured or left out for movement.")
    for reason, number in found["windows_left_out"].items():
        said.append(f"{number} window{'s' * (number != 1)} not decoded: {reason}.")
    return said or [f"No fault was found: all {n_sensors} {what} have a signal of the usual size "
                    f"and are like each other."]


def _about_recording(recording: Recording, windows: Standardized) -> list[tuple[str, str]]:
    found = windows.quality
    bads = [f"{name} ({reason})" for name, reason in found["bads"].items()]
    listed = [
        ("File", recording.source),
        ("Length", f"{recording.duration_s:.1f} s, {recording.n_times} volumes of "
                   f"{1 / recording.sfreq:g} s" if windows.contract.modality == "fmri" else
         f"{recording.duration_s:.1f} s at {recording.sfreq:g} Hz"),
        ("Sensors used", sensors_of(windows.sensors)),
        ("Bad", ", ".join(bads) or "none"),
        ("Interpolated", ", ".join(found["interpolated"]) or "none"),
        ("Left out", ", ".join([*found["left_out"], *found["without_position"]]) or "none"),
        ("Amplitude", ", ".join(f"{kind}: {value} (interquartile range)"
                                for kind, value in found["amplitude"].items()) or "–"),
        ("Windows left out", ", ".join(f"{number} {reason}" for reason, number
                                       in found["windows_left_out"].items()) or "none"),
        ("Events in the file", _events(recording)),
    ]
    missing = [f"{low:g}–{high:g} Hz" for low, high in found["band_missing_hz"]]
    if missing:
        listed.insert(3, ("Not recorded", f"{', '.join(missing)}: filtered away before the file "
                                          f"was written"))
    return listed


def _events(recording: Recording) -> str:
    counts = pd.Series(list(recording.events.label), dtype=object).value_counts()
    shown = ", ".join(f"{name} ({n})" for name, n in counts.head(8).items())
    return (shown + (", …" if len(counts) > 8 else "")) or "none"
