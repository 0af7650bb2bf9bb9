"""A page about synthesized series: what they are, how they look, how near the real ones come."""

from pathlib import Path

import numpy as np
import pandas as pd

from neurofm import tsv
from neurofm.pages import page as report
from neurofm.pages import table as tables
from neurofm.pages import words

from ..protocol.scans import LEAST_VOLUMES
from ..scoring.statistics import holm
from ..scoring.surrogates import SHIFT_S, allowed_shifts, r_of_shifts

NOT_COMPARED = ("No measured fMRI was given (--partner), so it is not known how close these series "
                "are to this person's fMRI.")


def compared(out: Path, made: list, rois: tuple[str, ...], n: int) -> pd.DataFrame | None:
    """Write nearness.tsv of the series whose fMRI was measured; None where there are none."""
    known = [series for series in made if series.measured is not None]
    if not known:
        return None
    table = pd.concat([nearness(series, rois, n) for series in known])
    tsv.write(table, out / "nearness.tsv", float_format="%.4f")
    return table


def page(
    out: Path, run, model, made: list, failures: list[tuple[str, str]], table: pd.DataFrame | None
) -> report.Page:
    """All recordings. made: Series of each. table: from `compared`."""
    rois = model.rois
    sections = [("What this is", report.paragraph(
        f"Time series of {len(rois)} regions, synthesized from EEG by {Path(run.model).name}. "
        "Nothing here was measured by a scanner. Values are z-scored over a recording: "
        "amplitudes cannot be compared between recordings or subjects.", "lead") + tables.pairs([
            ("Recordings", ", ".join(series.source for series in made)),
            ("Repetition time", ", ".join(f"{series.t_r:g} s" for series in made)),
            ("Regions", ", ".join(rois)),
            ("Model's input", f"EEG at {model.contract.sfreq:g} Hz, {model.contract.highpass_hz:g}–"
                              f"{model.contract.lowpass_hz:g} Hz, any montage")]))]
    if table is not None:
        sections.append(("Beside what was measured",
                         report.paragraph(finding(table)) + tables.html(_shown(table))))
    for series in made:
        sections.append((series.name, report.figure(
            out / f"{series.name}_desc-synthesized.png",
            f"{series.source}: {len(series.values)} volumes, all {len(rois)} regions, in standard "
            f"deviations over the recording.")))
    if failures:
        sections.append((f"{len(failures)} failed", report.bullets(
            f"{source}: {reason}" for source, reason in failures)))
    n = len(made)
    return report.Page("fMRI synthesized from EEG", words.count(n, "recording"), sections)


def nearness(series, rois: tuple[str, ...], n: int, seed: int = 0) -> pd.DataFrame:
    """A row a region: Pearson r of synthesized with measured, and p of circular shifts in time of
    at least `SHIFT_S` (n of them, if there are more) reaching it; `p (Holm)` is corrected for the
    regions. NaN where fewer than ten volumes are known, or a series does not vary."""
    measured = np.where(np.isfinite(series.values), series.measured, np.nan)
    every = r_of_shifts(np.nan_to_num(series.values), measured)  # [shift, roi]
    enough = (np.isfinite(measured).sum(axis=0) >= LEAST_VOLUMES) & (every != 0).any(axis=0)
    every = np.where(enough, every, np.nan)
    shifts = allowed_shifts(len(measured), series.t_r)
    if len(shifts) > n:
        shifts = np.random.default_rng(seed).choice(shifts, n, replace=False)
    known = enough & (len(shifts) > 0)
    p = np.where(known, (1 + (every[shifts] >= every[0]).sum(axis=0)) / (1 + len(shifts)), np.nan)
    top = np.quantile(every[shifts], 0.95, axis=0) if len(shifts) else np.full(len(rois), np.nan)
    return pd.DataFrame({"recording": series.name, "region": list(rois), "r": every[0],
                         "shifted, 95 %": top, "shifts": len(shifts), "p": p,
                         "p (Holm)": holm(p)})


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{name: table[name].map(words.p_value) for name in ("p", "p (Holm)")})


def finding(table: pd.DataFrame | None) -> str:
    """How close the series are to what was measured, in words."""
    if table is None:
        return ""
    good = int((table["p (Holm)"] < 0.05).sum())
    n_regions, shifts = table["region"].nunique(), int(table["shifts"].min())
    least = n_regions / (1 + shifts)
    too_short = (f" The shortest recording allows {shifts} shifts: after correction for "
                 f"{n_regions} regions no p can be below {words.p_value(least)}."
                 if least >= 0.05 else "")
    return (
        f"Mean r {words.number(table['r'].mean())} over {len(table)} regions of "
        f"{words.count(table['recording'].nunique(), 'recording')}: {good} of {len(table)} "
        f"exceed the same series shifted by {SHIFT_S:g} s or more (p < 0.05, Holm within a "
        "recording). One recording says little about others." + too_short)
