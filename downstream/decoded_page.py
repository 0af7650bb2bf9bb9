"""The page of a decoded recording: what was predicted, how far to trust it, what was done."""

import json
import time
from pathlib import Path

import pandas as pd

from neurofm import artifacts, hub
from neurofm.data.recording import Recording
from neurofm.models.decoder import Decoder
from preprocessing.standardize import Standardized

from . import report
from .labelled import sensors_of


def page(
    recording: Recording, windows: Standardized, table: pd.DataFrame, decoder: Decoder, model: str,
    figure: Path,
) -> str:
    """The page as HTML. model: path or repository of the decoder. figure: the PNG to put in."""
    version = artifacts.code_version()
    about = (f"Decoded {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} with "
             f"{model} (decoder {hub.fingerprint(model)}), neurofm {version['neurofm']}")
    known, seen = _in_training(model, recording)
    lead = report.paragraph(summary(table, windows, decoder.classes), "lead")
    if seen:
        lead += report.paragraph(known, "warning")
    return report.page(Path(recording.source).name, about, [
        ("", lead),
        ("", report.figure(figure, "signal and probability over time")),
        ("How good this decoder is", _score(model, decoder)),
        ("Predictions", report.table(_readable(table), scroll=True)
         + report.paragraph("All of them, for reading by programs: predictions.tsv and "
                            "predictions.parquet in this folder.")),
        ("The recording", report.pairs(_about_recording(recording, windows, known))),
        ("What was done to it", report.pairs(report.contract_in_words(windows.contract))),
        ("Limits", report.bullets(_limits(decoder, windows))),
    ])


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """Times with two decimals, probabilities with three, names with their units."""
    shown = table.round(3).rename(columns={"start_s": "start (s)", "stop_s": "stop (s)"})
    for name in ("start (s)", "stop (s)"):
        shown[name] = shown[name].map("{:.2f}".format)
    return shown.rename(columns=lambda name: f"p({name[2:]})" if name.startswith("p_") else name)


def summary(table: pd.DataFrame, windows: Standardized, classes: tuple[str, ...]) -> str:
    """What was predicted, in one sentence."""
    counts = table["predicted"].value_counts()
    named = ", ".join(f"{counts.get(name, 0)} {name}" for name in classes)
    means = ", ".join(f"{name} {table[f'p_{name}'].mean():.2f}" for name in classes)
    n = len(table)
    return (f"{n} window{'s' * (n != 1)} of {windows.contract.window_s:g} s: {named}. "
            f"Mean probability: {means}.")


def _score(model: str, decoder: Decoder) -> str:
    path = Path(model) / "test" / "metrics.json"
    if not path.exists():
        return report.paragraph(
            "Nothing is stored with this decoder about how it does on people it was not trained "
            "on. Without that, its predictions should not be relied upon."
        )
    score = json.loads(path.read_text())
    verdict = ("" if score["balanced_accuracy"] > score["chance_high"] else
               " This is not above what exchanged labels give: the predictions mean nothing.")
    return report.paragraph(
        f"On {score['subjects']} people it was not trained on: balanced accuracy "
        f"{score['balanced_accuracy']:.3f} (95 % interval over subjects {score['low']:.3f} to "
        f"{score['high']:.3f}), {score['windows']} windows; chance {score['chance']:.3f}, p = "
        f"{score['p_chance']:.2g}.{verdict}", "" if not verdict else "warning",
    )


def _in_training(model: str, recording: Recording) -> tuple[str, bool]:
    """(what the decoder's training ledger says of this person, whether they are in it)."""
    ledger = hub.read_ledger(model)
    if ledger is None:
        return "this decoder carries no list of whom it was trained on", False
    subject = f"{recording.dataset or ''}/{recording.subject or ''}"
    roles = sorted({entry["role"] for entry in ledger["recordings"]
                    if entry["subject"] == subject})
    if roles:
        return (f"{subject} is in this decoder's training data ({', '.join(roles)}): how well it "
                f"does here says nothing of other people", True)
    return f"{subject} is not on the list of whom it was trained on", False


def _about_recording(recording: Recording, windows: Standardized, known: str):
    found = windows.quality
    bads = [f"{name} ({reason})" for name, reason in found["bads"].items()]
    listed = [
        ("File", recording.source),
        ("Length", f"{recording.duration_s:.1f} s at {recording.sfreq:g} Hz"),
        ("Sensors used", sensors_of(windows.sensors)),
        ("Bad", ", ".join(bads) or "none"),
        ("Interpolated", ", ".join(found["interpolated"]) or "none"),
        ("Left out", ", ".join([*found["left_out"], *found["without_position"]]) or "none"),
        ("Amplitude", ", ".join(f"{kind}: {value} (interquartile range)"
                                for kind, value in found["amplitude"].items()) or "–"),
        ("Windows left out", ", ".join(f"{number} {reason}" for reason, number
                                       in found["windows_left_out"].items()) or "none"),
        ("Events in the file", _events(recording)),
        ("In the training data", known),
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


def _limits(decoder: Decoder, windows: Standardized) -> list[str]:
    limits = [
        f"Every window is called one of {', '.join(decoder.classes)}, also where none of them is "
        f"true.",
        "Probabilities are the network's own and have not been calibrated: 0.9 does not mean "
        "right nine times in ten.",
        "Windows of one recording resemble each other; many equal predictions are not many "
        "independent ones.",
        "For research. This is not a medical device and decides nothing about a person.",
    ]
    if windows.quality["band_missing_hz"]:
        limits.insert(0, "Part of the band that the decoder was trained on is missing here, see "
                         "“Not recorded”; expect worse than the score above.")
    return limits
