"""The automatic decoder beside every method, set by set and over the sets together.

    python tests/benchmarks/bench_auto_decoder.py FOLDER --out docs/results/data/auto_decoder

FOLDER holds results of `neurofm evaluate decoding` (with --refit true), one folder a data set, of
the name of its set; SET+MORE holds further methods on the same folds. Each set gets all scores, and
the difference of the automatic decoder to its best baseline, which is chosen by test scores: over
people, or over blocks of time where there is one person, or over trials where there is one test.
Over the sets: the mean of the differences, for which sets and, within them, people (blocks, trials)
are drawn; a sign test over sets; and the same for each baseline that several sets have.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from neurofm.downstream.benchmarks.decoding import comparison, methods
from neurofm.downstream.scoring import statistics
from neurofm.downstream.scoring.statistics import Estimate
from neurofm.results import Results, score
from neurofm.results import comparison as paired

MARGIN, LOW = 0.01, -0.04  # not worse than the best baseline by more; lower end of the interval
DRAWS = 2_000


def opened(folder: Path) -> dict[str, tuple[pd.DataFrame, dict]]:
    """Set → (predictions of all methods, results.json of the first folder)."""
    found: dict[str, tuple[pd.DataFrame, dict]] = {}
    for path in sorted(folder.glob("*/results.json")):
        name = path.parent.name.partition("+")[0]
        table = pd.read_parquet(path.parent / "predictions.parquet")
        if name in found:
            known = set(found[name][0]["method"])
            table = pd.concat([found[name][0], table[~table["method"].isin(known)]])
        found[name] = table, found.get(name, ("", json.loads(path.read_text())))[1]
    return found


def compared(table: pd.DataFrame, told: dict) -> comparison.Comparison:
    """As `neurofm evaluate decoding` does."""
    names = list(dict.fromkeys(table["method"]))
    kind = told["protocol"]["kind"]
    fold = {"within": ("block of time", "blocks of time")}.get(kind, ("fold", "folds"))
    return comparison.compare(table, tuple(told["protocol"]["classes"]), names,
                              set(filter(methods.is_baseline, names)), told["protocol"]["per"],
                              fold)


def differences(result: comparison.Comparison, one: str, other: str) -> tuple[np.ndarray, str]:
    """Differences (of each seed) [seed, unit, class], and what units are; trials of a class are
    units where one test of one person is all there is."""
    first, second = result.named[one], result.named[other]
    if len(first.units) > 1:
        return first.score.mean(axis=0, keepdims=True) - second.score.mean(
            axis=0, keepdims=True), result.unit.many
    right = [(method.named == method.target).mean(axis=0) for method in (first, second)]
    out = np.full((1, len(first.windows), len(result.classes)), np.nan)
    out[0, np.arange(len(first.windows)), first.target] = right[0] - right[1]
    return out, "trials"


def drawn(each: np.ndarray, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Differences of balanced accuracy, units drawn with replacement; each: [1, unit, class]."""
    values, out = each[0], np.empty(draws)
    for k in range(draws):
        again = values[rng.integers(len(values), size=len(values))]
        with np.errstate(invalid="ignore"):
            out[k] = np.nanmean([column[np.isfinite(column)].mean() for column in again.T
                                 if np.isfinite(column).any()])
    return out


def together(of_sets: list[np.ndarray]) -> Estimate:
    """Mean over sets; draws of sets and of units within them. of_sets: [draw] of each set, whose
    first entry is the set's own difference."""
    rng, n = np.random.default_rng(0), len(of_sets)
    means = np.array([each[0] for each in of_sets])
    sets = rng.integers(n, size=(DRAWS, n))
    within = rng.integers(1, len(of_sets[0]), size=(DRAWS, n))
    values = np.stack(of_sets)[sets, within].mean(axis=1)
    low, high = statistics.quantiles(values, n)
    return Estimate(float(means.mean()), min(low, means.mean()), max(high, means.mean()))


def main() -> None:
    """Read, compare, write results.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--auto", default="auto_classical")
    parser.add_argument("--note", action="append", default=[])
    args = parser.parse_args()
    scores, rows, draws, notes, versions, names = [], [], {}, list(args.note), {}, []
    auto, rng, missed = args.auto, np.random.default_rng(0), []
    for name, (table, told) in opened(args.folder).items():
        result, versions = compared(table, told), told["versions"]
        names += [method for method in result.by_score if method not in names]
        for method in result.by_score:
            row = result.row(method)
            scores.append(score(method, "balanced accuracy", Estimate(
                row["balanced_accuracy"], row["low"], row["high"]), n=int(row["units"]),
                set=name, chance=row["chance"], seeds=int(row["seeds"])))
        for baseline in [one for one in result.by_score if methods.is_baseline(one)]:
            each, over = differences(result, auto, baseline)
            own = drawn(each, rng)
            difference = float(result.row(auto)["balanced_accuracy"]
                               - result.row(baseline)["balanced_accuracy"])
            low, high = statistics.quantiles(own, each.shape[1])
            low, high = min(low, difference), max(high, difference)
            draws.setdefault(baseline, []).append(np.append(difference, own))
            if baseline == result.best_baseline:
                draws.setdefault("the best of each set", []).append(np.append(difference, own))
                rows.append(paired(auto, baseline, "balanced accuracy",
                                   Estimate(difference, low, high), set=name,
                                   n=each.shape[1], over=over))
                if difference < -MARGIN or low < LOW:
                    missed.append(f"{name} ({difference:+.3f} [{low:+.3f}, {high:+.3f}])")
    for baseline, of_sets in draws.items():
        if len(of_sets) < 3:
            continue
        found, means = together(of_sets), np.array([each[0] for each in of_sets])
        wins, losses = int((means > 0).sum()), int((means < 0).sum())
        p = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
        other = baseline if baseline in names else "the best of each set"
        rows.append(paired(auto, other, "balanced accuracy", found, float(p), set="all of them",
                           n=len(of_sets), over=f"{len(of_sets)} sets: {wins} better, {losses} "
                                                f"worse"))
    best = next(row for row in rows if row["b"] == "the best of each set")
    n = best["n"]
    summary = (f"The automatic decoder minus the best baseline of each set, mean over {n} sets: "
               f"{best['difference']:+.3f} [{best['low']:+.3f}, {best['high']:+.3f}] "
               f"({best['over'].partition(': ')[2]}; sign test p = {best['p']:.3f}).")
    notes.append(
        f"Wanted of each set: not worse than its best baseline by more than {MARGIN}, the "
         f"interval's lower end above {LOW}. Missed on {len(missed)} of {n}: {', '.join(missed)}."
         if missed else f"On each set it is not worse than the best baseline by more than "
                        f"{MARGIN}, and the interval's lower end is above {LOW}.")
    names.append("the best of each set")
    args.out.mkdir(parents=True, exist_ok=True)
    Results("decoding", methods=names, scores=scores, comparisons=rows, summary=summary,
            notes=notes, seeds=list(range(5)),
            command="python tests/benchmarks/bench_auto_decoder.py FOLDER "
                    "--out docs/results/data/auto_decoder", versions=versions).save(args.out)
    print(summary, *notes, sep="\n")


if __name__ == "__main__":
    main()
