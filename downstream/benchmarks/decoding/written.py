"""A comparison on disk and in a terminal: tables, figures, one page."""

import json
from pathlib import Path

import pandas as pd

from neurofm import artifacts

from . import comparison_figures, comparison_page, printed
from .comparison import Comparison
from .comparison_page import About


def to_text(result: Comparison) -> str:
    """The finding and the table, for a terminal."""
    table = printed.shown(result).to_string(index=False)
    return f"{table}\n{comparison_page.finding(result)}"


def write(out: Path, result: Comparison, about: About) -> list[str]:
    """Tables, figures and report.html in the folder `out`; names of the files written."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    files = []

    def keep(table: pd.DataFrame, name: str) -> None:
        table.to_csv(out / name, sep="\t", index=False, float_format="%.4f")
        files.append(name)

    keep(result.table, "table.tsv")
    units = f"{result.unit.column}s"
    keep(result.each, f"{units}.tsv")
    keep(result.differences, "differences.tsv")
    if result.by_window is not None:
        keep(result.by_window.table, "table_windows.tsv")
    artifacts.write_json(out / "table.json", {
        "classes": list(result.classes), "per": result.per, "score": result.score,
        "best": result.best, "best_network": result.best_network,
        "best_baseline": result.best_baseline, "finding": comparison_page.finding(result),
        "methods": json.loads(result.table.to_json(orient="records")),
        "intervals_over": result.unit.many,
        units: {name: part[result.score].tolist()
                for name, part in result.each.groupby("method", sort=False)},
        "friedman_p": None if result.ranks is None or result.ranks.p != result.ranks.p
        else result.ranks.p,
        "alike": result.alike, "leaked": result.leaked,
        "notes": [*about.remarks, *result.notes],
    })
    figures = comparison_figures.draw(out, result, about.curves)
    page = comparison_page.page(result, about, {name: out / name for name in figures})
    (out / "report.html").write_text(page, encoding="utf-8")
    return [*files, "table.json", *figures, "report.html"]
