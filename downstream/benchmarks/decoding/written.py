"""A comparison on disk and in a terminal: tables, figures, results."""

from pathlib import Path

from neurofm import tsv
from neurofm.pages import table as tables
from neurofm.results import Results, comparison, score

from ...scoring.statistics import Estimate
from . import comparison_figures, comparison_page, printed
from .comparison import Comparison
from .comparison_page import About
from .settings import EvaluateConfig


def to_text(result: Comparison) -> str:
    """The table and the finding, for a terminal."""
    return f"{tables.text(printed.shown(result))}\n{comparison_page.finding(result)}"


def write(out: Path, result: Comparison, about: About) -> list[str]:
    """Tables and figures in the folder `out`; names of the files written."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    tables = {"table.tsv": result.table, f"{result.unit.column}s.tsv": result.each,
              "differences.tsv": result.differences}
    if result.by_window is not None:
        tables["table_windows.tsv"] = result.by_window.table
    for name, table in tables.items():
        tsv.write(table, out / name, float_format="%.4f")
    return [*tables, *comparison_figures.draw(out, result, about.curves)]


def results(
    run: EvaluateConfig, result: Comparison, protocol: str, notes: list[str]
) -> Results:
    """Every method's scores, the compared one first, and every paired difference. protocol: in
    words."""
    ranks = result.ranks
    return Results(
        "decoding", run.data, run.model, result.table["method"].tolist(),
        {"kind": run.protocol.kind, "text": protocol, "task": run.task, "per": result.per,
         "classes": list(result.classes), "intervals_over": result.unit.many,
         "settings_tried": run.tuning,
         "friedman_p": None if ranks is None else ranks.p, "alike": result.alike},
        list(range(run.seeds)), int(result.table["subjects"].max()),
        scores=[row for name in (result.score, *result.secondary)
                for row in _scores(result, name)],
        comparisons=[_difference(result, row) for row in result.differences.to_dict("records")],
        summary=comparison_page.finding(result), notes=notes,
    )


def _scores(result: Comparison, metric: str) -> list[dict]:
    """A row a method. That of the compared score has chance and p beside it."""
    known, found = result.secondary.get(metric), []
    for row in result.table.to_dict("records"):
        prefix = f"{metric}_" if known else ""
        part = {"kind": row["kind"], "seeds": row["seeds"]} if known else {
            name: row[name] for name in ("kind", "seeds", "subjects", "windows", "chance",
                                         "chance_low", "chance_high", "p_chance")}
        interval = Estimate(row[metric], row[f"{prefix}low"], row[f"{prefix}high"])
        found.append(score(row["method"], metric, interval, unit=known.unit if known else "",
                           n=row[f"{metric}_subjects"] if known else row["units"], **part))
    return found


def _difference(result: Comparison, row: dict) -> dict:
    interval = Estimate(row["difference"], row["difference_low"], row["difference_high"])
    return comparison(
        row["method"], row["other"], result.score, interval, row["p_permutation"],
        p_holm=row["p_permutation_holm"], p_wilcoxon=row["p_wilcoxon"],
        p_wilcoxon_holm=row["p_wilcoxon_holm"], n=row["units"])
