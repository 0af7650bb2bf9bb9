"""The page of the judges: who is closest first, then what was compared, then judge by judge."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neurofm.pages import page as report
from neurofm.pages import table as tables
from neurofm.pages import words
from neurofm.pages.page import Page

from . import verdict
from .measured import OTHER, REAL, Measured, Settings
from .signals import Compared
from .table import LEAST_CHANNELS, LEAST_PEOPLE, Judged, Measure

_CAPTION_MATRIX = ("Rows: recordings of the source; columns: real second halves, people in the "
                   "same order. The dot is the nearest in each row; on the diagonal it is the "
                   "person themselves.")


def page(
    out: Path, compared: Compared, settings: Settings, judged: Judged,
    measured: dict[str, list[Measured]], ratio: float,
) -> Page:
    """The whole page; figures lie in `out`. ratio: power of the burst state to the next one's."""
    models, baselines = [*compared.folders], [*settings.baselines]
    beside = verdict.beside(judged, models, baselines)
    about = (f"{', '.join(models)} beside {baselines[0]} and {baselines[1]}, {judged.n_people} "
             f"people of {compared.corpus.folder}, {judged.n_channels} channels")
    return Page("Generated against real recordings", about, [
        ("", report.paragraph(verdict.closest(judged), "lead")
         + report.bullets(verdict.sentences(beside))),
        ("Inputs", _compared(compared, settings, judged, measured)),
        ("Table", _table(judged, [m for m in judged.measures if m.main])
         + report.paragraph("Mean over subjects with its 95 % bootstrap interval over "
                            "subjects. Lower is better for distances and errors, higher for r "
                            "and the share recognized.", "small")),
        ("Models beside linear models", "" if beside.empty else
         tables.html(beside.drop(columns="short"), scroll=len(beside) > 20, dense=True)
         + report.paragraph("Better by: mean over people of the difference, with the sign set "
                            "so that more is better, and its 95 % interval over subjects; "
                            "significant where it excludes 0. Intervals are not corrected for "
                            "multiple comparisons.",
                            "small")),
        ("Power spectra", _figure(out, "spectra", "Mean over subjects and channels; gray: "
                                                  "range of real subjects.")
         + _figure(out, "spectra_people", "Each subject, mean over channels.")),
        ("Distance of spectra", _among(out, judged, "psd_l2", "psd", "Root mean square over "
                                       "frequencies, mean over channels. ")),
        ("Bursts", _figure(out, "bursts", "One dot per subject (gray lines join them); bars: "
                                          "means.")
         + _table(judged, _of(judged, "burst")) + report.paragraph(
             f"A hidden Markov model of the people's first halves says where bursts are. Its burst "
             f"state has {ratio:.2f} times the power of the next one: "
             + ("a state of its own." if ratio > 1.5 else "nearly as much, so read it as one "
                                                          "of two states with high power "
                                                          "(black)."), "small")),
        ("Fingerprint", _among(out, judged, "fingerprint", "fingerprint", "1 − correlation of "
                               "lagged covariances. ")),
        ("Correlation of envelopes", _envelopes(out, judged)),
        ("Five seconds", _figure(out, "traces", f"Channels of {compared.people[0]}, z-scored.")),
        ("Signals", tables.pairs(words.contract_in_words(compared.corpus.contract))),
    ])


def _compared(
    compared: Compared, settings: Settings, judged: Judged, measured: dict[str, list[Measured]]
) -> str:
    def long(name):
        return f"{np.mean([x.seconds for x in measured[name]]):.0f} s a person"

    single, joint = settings.baselines
    rows = [("Compared with", f"the second half of each person's recordings, {long(REAL)}")]
    for name, folder in compared.folders.items():
        said = {key: compared.about[name].get(key) for key in
                ("model", "prompt", "temperature", "top_p", "seed")}
        told = ", ".join(f"{key} {value}" for key, value in said.items() if value is not None)
        rows.append((name, f"{folder}, {long(name)}" + (f" ({told})" if told else "")))
    rows += [
        (single, f"autoregression of each channel of the person's first half, {long(single)}"),
        (joint, f"autoregression of all channels together, likewise, {long(joint)}"),
        (OTHER, f"the person's first half, {long(OTHER)}: what more of the same person reaches"),
        ("Frequencies", f"1–{settings.high_hz:g} Hz"),
        ("Channels", f"{judged.n_channels}, each z-scored"),
    ]
    return tables.pairs(rows) + report.paragraph(
        "The autoregressions are fitted on the person's whole first half. A model sees of the "
        "person what its prompt holds, and whatever it was trained on.", "small")


def _among(out: Path, judged: Judged, judge: str, prefix: str, what: str) -> str:
    """Matrices, and a table with others and chance."""
    if judged.n_people < LEAST_PEOPLE:
        return report.paragraph(f"{judged.n_people} subjects: fingerprinting needs at least "
                                f"{LEAST_PEOPLE}.") \
            + _table(judged, [m for m in _of(judged, prefix) if m.name in judged.distances])
    parts = [name for name in judged.distances if name.startswith(prefix)]
    extra = [(f"p of exchange, {m.short}", f"{m.name}_p") for m in judged.measures
             if m.name in parts]
    return (_figure(out, judge, what + _CAPTION_MATRIX)
            + _table(judged, _of(judged, prefix), extra)
            + report.paragraph(f"Chance of the nearest being one's own: "
                               f"{words.number(1 / judged.n_people)}. p: share of exchanges of "
                               f"people that do as well.", "small"))


def _envelopes(out: Path, judged: Judged) -> str:
    if judged.n_channels < LEAST_CHANNELS:
        return report.paragraph(f"None: {judged.n_channels} channel(s), and pairs of channels to "
                                f"correlate need at least {LEAST_CHANNELS}.")
    groups = [(f"{m.short}, r of mean matrices", f"{m.name}_group")
              for m in _of(judged, "envelope") if m.main]
    return (_figure(out, "envelopes", "Mean over people.")
            + _table(judged, _of(judged, "envelope"), groups)
            + report.paragraph("r of matrices: correlation over pairs of channels between a "
                               "person's matrix and that of their real second half. It ignores "
                               "how strong correlations are, which their mean tells.", "small"))


def _of(judged: Judged, prefix: str) -> list[Measure]:
    return [m for m in judged.measures if m.name.startswith(prefix)]


def _table(judged: Judged, measures: list[Measure], extra: Sequence[tuple[str, str]] = ()) -> str:
    """A row a measure, a column a source; extra: (title, column) of numbers without intervals."""
    rows = judged.table.set_index("source")
    made = {"": [m.words for m in measures] + [title for title, _ in extra]}
    for name in judged.names:
        cells = [verdict.cell(*(rows.at[name, f"{m.name}{end}"] for end in ("", "_low", "_high")))
                 for m in measures]
        cells += [verdict.cell(rows.at[name, key]) for _, key in extra]
        if set(cells) != {words.DASH}:
            made[name] = cells
    return tables.html(pd.DataFrame(made), dense=True)


def _figure(out: Path, name: str, caption: str) -> str:
    return report.figure(out / f"{name}.png", name.replace("_", " "), caption)
