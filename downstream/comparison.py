"""Predictions of several methods → one table with intervals and differences, a figure, a page."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neurofm import artifacts

from . import figures, report, statistics
from .labelled import Labelled
from .methods import NETWORKS


@dataclass(frozen=True)
class Comparison:
    """table: a row a method, in the order asked for. subjects: method → score of each test subject.
    best_baseline: the one that differences are taken to, None without baselines. chance: of
    exchanged labels, mean over the methods."""

    table: pd.DataFrame
    subjects: dict[str, np.ndarray]
    best_baseline: str | None
    chance: float


def compare(
    predictions: pd.DataFrame, classes: tuple[str, ...], methods: list[str]
) -> Comparison:
    """predictions: rows of `predictions.table_of`, with `method` and `seed`."""
    by_method = {name: predictions[predictions["method"] == name] for name in methods}
    simple = [name for name in methods if name not in NETWORKS]
    rows, subjects, chances = [], {}, []
    recall = {name: _recall(part, classes) for name, part in by_method.items()}
    best = max(simple, default=None,
               key=lambda name: statistics.balanced_accuracy(recall[name]))
    for name, part in by_method.items():
        estimate = statistics.interval(recall[name])
        by_chance, p = _chance(part, classes)
        chances.append(by_chance.mean)
        subjects[name] = statistics.of_subjects(recall[name])
        row = {
            "method": name, "seeds": int(part["seed"].nunique()),
            "subjects": int(part["subject"].nunique()),
            "windows": int(part["window"].nunique()),
            "balanced_accuracy": estimate.mean, "low": estimate.low, "high": estimate.high,
            "chance": by_chance.mean, "chance_high": by_chance.high, "p_chance": p,
        }
        if best is not None and name != best:
            row |= _difference(part, by_method[best], classes)
        rows.append(row)
    table = pd.DataFrame(rows)
    if "p_difference" in table:
        compared = table["p_difference"].notna()
        corrected = statistics.holm(table.loc[compared, "p_difference"].to_numpy())
        table.loc[compared, "p_holm"] = corrected
    return Comparison(table, subjects, best, float(np.mean(chances)))


def _difference(part: pd.DataFrame, other: pd.DataFrame, classes: tuple[str, ...]) -> dict:
    """Difference to another method on the test windows that both have named."""
    common = set(part["window"]) & set(other["window"])
    here, there = (_recall(table[table["window"].isin(common)], classes)
                   for table in (part, other))
    estimate, p = statistics.difference(here, there)
    return {"difference": estimate.mean, "difference_low": estimate.low,
            "difference_high": estimate.high, "p_difference": p}


def _recall(part: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    """[seed, subject, class]."""
    index = {name: k for k, name in enumerate(classes)}
    return np.stack([
        statistics.recalls(
            one["label"].map(index).to_numpy(), one["predicted"].map(index).to_numpy(),
            one["subject"].to_numpy(), len(classes),
        )[0]
        for _, one in part.groupby("seed")
    ])


def _chance(part: pd.DataFrame, classes: tuple[str, ...]):
    index = {name: k for k, name in enumerate(classes)}
    runs = [one.sort_values("window") for _, one in part.groupby("seed")]
    first = runs[0]
    return statistics.chance(
        first["label"].map(index).to_numpy(),
        np.stack([one["predicted"].map(index).to_numpy() for one in runs]),
        first["subject"].to_numpy(), first["recording"].to_numpy(), len(classes),
    )


def notes(data: Labelled, narrow: Labelled, result: Comparison, seeds: int) -> list[str]:
    """What a reader must know about this comparison."""
    n = int(result.table["subjects"].max())
    found = []
    if narrow is not data:
        networks, baselines = (len(part.windows["train"]) for part in (data, narrow))
        found.append(
            f"baselines were trained on {baselines} of the {networks} training windows and named "
            f"{len(narrow.windows['test'])} of the {len(data.windows['test'])} test windows, those "
            f"of one layout; differences are on the test windows that both named"
        )
    if n < 6 and result.best_baseline is not None:
        found.append(f"with {n} test subjects no difference between methods can have a p below "
                     f"{2 / 2**n:.3g}: look at the intervals")
    if seeds < 5 and any(name in NETWORKS for name in result.table["method"]):
        found.append(f"{seeds} seed(s): intervals say little of what another training would give")
    if any("recentred" in name for name in result.table["method"]):
        found.append("recentred methods use all of a test subject's windows, without labels; the "
                     "others name each window by itself")
    return found


def to_text(table: pd.DataFrame) -> str:
    """The table for a terminal."""
    return shown(table).to_string(index=False)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: an estimate and its interval in one cell."""
    out = pd.DataFrame({
        "method": table["method"], "seeds": table["seeds"], "subjects": table["subjects"],
        "balanced accuracy [95 %]": _cells(table, "balanced_accuracy", "low", "high"),
        "chance up to": table["chance_high"].map("{:.3f}".format),
        "p of chance": table["p_chance"].map("{:.3g}".format),
    })
    if "difference" in table:
        out["to best baseline [95 %]"] = _cells(
            table, "difference", "difference_low", "difference_high", "{:+.3f}"
        )
        out["p (Holm)"] = ["best baseline" if p != p else f"{p:.3g}" for p in table["p_holm"]]
    return out


def _cells(table: pd.DataFrame, mean: str, low: str, high: str, form: str = "{:.3f}") -> list[str]:
    return [
        "" if m != m else f"{form.format(m)} [{form.format(a)}, {form.format(b)}]"
        for m, a, b in zip(table[mean], table[low], table[high], strict=True)
    ]


def write(
    out: Path, result: Comparison, data: Labelled, remarks: list[str], model: str,
    parents: dict[str, str],
) -> None:
    """table.tsv, table.json, comparison.png and report.html."""
    table = result.table
    table.to_csv(out / "table.tsv", sep="\t", index=False, float_format="%.4f")
    artifacts.write_json(out / "table.json", {
        "classes": list(data.classes), "best_baseline": result.best_baseline,
        "methods": json.loads(table.to_json(orient="records")),
        "subjects": {name: scores.tolist() for name, scores in result.subjects.items()},
        "notes": remarks,
    })
    classes = " / ".join(data.classes)
    figures.compared(
        out / "comparison.png",
        [{"method": row.method, "subjects": result.subjects[row.method],
          "mean": row.balanced_accuracy, "low": row.low, "high": row.high,
          "baseline": row.method not in NETWORKS} for row in table.itertuples()],
        result.chance, f"{classes}: {int(table['subjects'].max())} test subjects",
    )
    (out / "report.html").write_text(_page(out, result, data, remarks, model, parents))


def _page(out: Path, result: Comparison, data: Labelled, remarks, model: str, parents) -> str:
    sensors = {kind for layout in data.corpus.layouts.values() for kind in layout.kinds}
    contract = data.corpus.contract
    contract = contract.with_(kinds=tuple(kind for kind in contract.kinds if kind in sensors))
    about = (f"Model {model} ({parents['model']}) on corpus {data.corpus.folder} "
             f"({parents['data']}), {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, "
             f"neurofm {artifacts.code_version()['neurofm']}")
    return report.page(f"Telling apart {' and '.join(data.classes)}", about, [
        ("", report.figure(out / "comparison.png", "balanced accuracy of each method")),
        ("Methods", report.table(shown(result.table))),
        ("To be kept in mind", report.bullets(remarks) if remarks else ""),
        ("How it was done", report.bullets([
            *data.describe().splitlines(),
            "All methods were trained on the train split and made their choices (step, settings) "
            "on the validation split; the test split was used once.",
            "Balanced accuracy: mean over classes of the mean over test subjects of their recall. "
            "Intervals: subjects and training seeds drawn with replacement, 2,000 times.",
            "Chance: the same predictions scored with labels exchanged within recordings, between "
            "recordings of a subject, or between subjects, whichever the labels allow.",
            "Differences are paired over subjects to the best baseline, which was picked by its "
            "test score, in its favour; p by exchanging methods within subjects, Holm-corrected.",
        ])),
        ("What was done to the signals", report.pairs(report.contract_in_words(contract))),
    ])
