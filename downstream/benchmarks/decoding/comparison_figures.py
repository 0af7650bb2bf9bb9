"""Figures of a comparison of methods: scores and subjects, ranks, calibration, confusions, numbers.

Networks are blue circles, baselines dark gray squares, so that they are told apart without color.
Ranks are drawn as in Demšar 2006 (critical-difference diagram), calibration as in Guo et al. 2017.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from neurofm.pages.figure import COLORS, pyplot, save, subplots

from ...scoring import metrics, statistics
from ...scoring.scores import Named
from .comparison import Comparison

_NETWORK, _BASELINE = (COLORS[0], "o"), ("0.35", "s")
TITLES = {"balanced_accuracy": "balanced accuracy", "mae": "mean absolute error"}


def draw(out: Path, result: Comparison, curves: pd.DataFrame | None = None) -> list[str]:
    """All figures that this comparison allows, in `out`; names of the files."""
    made = ["comparison.png"]
    compared(out / made[0], result)
    if result.ranks is not None:
        made.append("ranks.png")
        ranks(out / "ranks.png", result)
    if result.classes:
        made += ["calibration.png", "confusion.png"]
        calibration(out / "calibration.png", result, calibrated(result))
        confusion(out / "confusion.png", result, chosen(result))
    else:
        made.append("numbers.png")
        numbers(out / "numbers.png", result, chosen(result))
    if curves is not None and len(curves):
        made.append("curves.png")
        few_shots(out / "curves.png", curves, result)
    return made


def chosen(result: Comparison) -> list[str]:
    """The best network and the best baseline."""
    return [name for name in (result.best_network, result.best_baseline) if name is not None]


def calibrated(result: Comparison) -> list[str]:
    """Up to four methods: the two best networks and the two best baselines."""
    networks = [name for name in result.by_score if name in result.networks]
    baselines = [name for name in result.by_score if name not in result.networks]
    spare = max(0, 2 - len(baselines)), max(0, 2 - len(networks))
    return networks[: 2 + spare[0]] + baselines[: 2 + spare[1]]


def compared(path: Path, result: Comparison) -> None:
    """Methods from best to worst: the mean and its interval, a dot a unit (subject, or fold of one
    subject), a thin line joining a unit's dots."""
    methods = result.by_score
    figure, axis = subplots(figsize=(9, 1.3 + 0.46 * len(methods)))
    each = result.each.pivot(index=result.unit.column, columns="method",
                             values=result.score)[methods]
    low = np.nanmin([each.min(axis=None), result.table["low"].min()])
    high = np.nanmax([each.max(axis=None), result.table["high"].max()])
    places = np.arange(len(methods))
    faint = float(np.clip(6 / len(each), 0.12, 0.6))
    beside = 0.18 + 0.045 * (np.arange(len(each)) % 5 - 2)  # equal scores must not hide
    for scores, aside in zip(each.to_numpy(), beside, strict=True):
        known = np.isfinite(scores)
        axis.plot(scores[known], places[known] + aside, color="0.6", lw=0.7, alpha=faint, zorder=1)
    for place, name in enumerate(methods):
        color, marker = _look(name, result)
        row = result.row(name)
        axis.scatter(each[name], place + beside, s=16, color=color, alpha=0.5, lw=0,
                     marker=marker, zorder=2)
        axis.plot([row["low"], row["high"]], [place - 0.18] * 2, color=color, lw=2.5,
                  solid_capstyle="butt", zorder=3)
        axis.scatter(row[result.score], place - 0.18, s=52, color=color, zorder=4,
                     edgecolor="white", marker=marker)
    chance = float(result.table["chance"].mean())
    axis.axvline(chance, color="0.5", lw=0.9, ls=(0, (4, 3)), zorder=0)
    axis.annotate("chance", (chance, 1), xycoords=("data", "axes fraction"), ha="center",
                  va="bottom", fontsize=8, color="0.35")
    axis.set_yticks(places, methods)
    for label, name in zip(axis.get_yticklabels(), methods, strict=True):
        label.set_color(_look(name, result)[0])
    axis.set_ylim(len(methods) - 0.5, -0.5)
    if result.classes:  # an accuracy cannot leave 0 … 1
        axis.set_xlim(max(-0.02, min(low, chance) - 0.05), min(1.02, high + 0.05))
    n = len(each)
    axis.set_xlabel(f"{TITLES[result.score]} (n = {result.unit.counted(n)})")
    _legend(axis, result)
    save(figure, path)


def ranks(path: Path, result: Comparison) -> None:
    """Average rank of each method; a bar joins methods that are not told apart."""
    plt = pyplot()
    assert result.ranks is not None
    names, mean = result.table["method"].tolist(), result.ranks.mean
    order = np.argsort(mean, kind="stable")
    n, half = len(names), -(-len(names) // 2)
    bars = len(result.alike)
    step, top = 0.30, 0.35 + 0.16 * bars  # inches
    height = top + step * half + 0.75
    figure, axis = plt.subplots(figsize=(9, height))
    beside = min(0.4, (0.08 * max(map(len, names)) + 0.6) / 9)  # room for the longest name
    figure.subplots_adjust(left=beside, right=1 - beside, top=1 - 0.55 / height,
                           bottom=0.08 / height)
    axis.set(xlim=(1, max(n, 2)), ylim=(top + step * half, 0))
    axis.set_yticks([])
    axis.xaxis.tick_top()
    axis.xaxis.set_label_position("top")
    axis.set_xticks(np.arange(1, max(n, 2) + 1, max(1, -(-n // 12))))
    over = result.unit.counted(result.ranks.n)
    axis.set_xlabel(f"average rank over {over} (1 = best)", fontsize=9)
    axis.spines[["left", "right", "bottom"]].set_visible(False)
    for place, k in enumerate(order):
        left = place < half
        depth = top + step * ((place if left else n - 1 - place) + 0.5)
        edge = 1 if left else max(n, 2)
        color, marker = _look(names[k], result)
        axis.plot([mean[k], mean[k], edge], [0, depth, depth], color=color, lw=0.9, clip_on=False)
        axis.plot(mean[k], 0, marker, color=color, ms=5, clip_on=False)
        axis.annotate(f"{names[k]}  {mean[k]:.2f}" if left else f"{mean[k]:.2f}  {names[k]}",
                      (edge, depth), xytext=(-5 if left else 5, 0), textcoords="offset points",
                      ha="right" if left else "left", va="center", color=color, fontsize=9,
                      annotation_clip=False)
    for row, group in enumerate(result.alike):
        inside = [mean[names.index(name)] for name in group]
        depth = 0.2 + 0.16 * row
        axis.plot([min(inside) - 0.04, max(inside) + 0.04], [depth, depth], color="k", lw=3.5,
                  solid_capstyle="round", clip_on=False)
    save(figure, path)


def calibration(path: Path, result: Comparison, methods: list[str]) -> None:
    """Share right against the probability given to the class named, and how many windows."""
    figure, axes = subplots(2, len(methods), figsize=(max(4.0, 2.5 * len(methods)), 3.7),
                            sharex=True, sharey="row", height_ratios=[3, 1], squeeze=False)
    least = 1 / len(result.classes)
    edges = np.linspace(least, 1, metrics.BINS + 1)
    for (above, below), name in zip(axes.T, methods, strict=True):
        color, marker = _look(name, result)
        windows, sure, right, low, high = _reliability(result.named[name])
        there = windows > 0
        above.plot([least, 1], [least, 1], color="0.6", lw=0.9, ls=(0, (4, 3)))
        above.vlines(sure[there], low[there], high[there], color=color, lw=1.2, alpha=0.6)
        above.plot(sure[there], right[there], color=color, marker=marker, ms=4.5, lw=1.2)
        above.set_title(name, fontsize=9, color=color)
        error = result.row(name)["calibration_error"]
        above.text(0.97, 0.04, f"error {error:.3f}", transform=above.transAxes, ha="right",
                   fontsize=8, color="0.3")
        below.bar(edges[:-1], windows, width=np.diff(edges), align="edge", color=color,
                  alpha=0.55, edgecolor="white", lw=0.5)
        above.set_ylim(-0.03, 1.03)
    axes[0, 0].set_ylabel("share right")
    axes[1, 0].set_ylabel(f"{result.per}s")
    figure.supxlabel("probability of the class named", fontsize=10)
    save(figure, path)


def confusion(path: Path, result: Comparison, methods: list[str]) -> None:
    """Share of each true class that got each name; number of windows, mean over seeds, below."""
    n = len(result.classes)
    side, below = max(2.9, 0.58 * n + 1.2), n > 5  # large ones below each other, to be readable
    rows, columns = (len(methods), 1) if below else (1, len(methods))
    figure, axes = subplots(rows, columns,
                            figsize=((side + 0.9) * columns + 0.8 * below, (side + 0.5) * rows),
                            squeeze=False)
    for axis, name in zip(axes.flat, methods, strict=True):
        one = result.named[name]
        cells = one.target * n + one.named
        counts = np.bincount(cells.ravel(), minlength=n * n).reshape(n, n) / len(one.named)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
        drawn = axis.imshow(share, cmap="cividis", vmin=0, vmax=1)
        for true in range(n):
            for said in range(n):
                text = f"{share[true, said]:.2f}"
                if n <= 8:
                    text += f"\n({counts[true, said]:.0f})"
                axis.text(said, true, text, ha="center", va="center",
                          fontsize=9 if n <= 8 else 7,
                          color="black" if share[true, said] > 0.55 else "white")
        axis.set_xticks(range(n), result.classes, rotation=0 if n <= 3 else 45,
                        ha="center" if n <= 3 else "right")
        axis.set_yticks(range(n), result.classes)
        axis.set(xlabel="named", ylabel="true")
        axis.set_title(name, fontsize=9, color=_look(name, result)[0])
        axis.tick_params(length=0)
        axis.label_outer()
    figure.colorbar(drawn, ax=axes.ravel().tolist(), label="share of the true class", shrink=0.8)
    save(figure, path)


def numbers(path: Path, result: Comparison, methods: list[str]) -> None:
    """What was predicted against what is true; on the line they are equal."""
    figure, axes = subplots(1, len(methods), figsize=(4.4 * len(methods), 4.3), sharex=True,
                            sharey=True, squeeze=False)
    every = [v for name in methods for v in (result.named[name].target, result.named[name].said)]
    low, high = min(v.min() for v in every), max(v.max() for v in every)
    edge = 0.04 * (high - low or 1.0)
    for axis, name in zip(axes[0], methods, strict=True):
        one, row = result.named[name], result.row(name)
        color, marker = _look(name, result)
        axis.plot([low, high], [low, high], color="0.6", lw=0.9, ls=(0, (4, 3)))
        axis.scatter(one.target, one.said.mean(axis=0), s=22, color=color, marker=marker, lw=0,
                     alpha=float(np.clip(80 / len(one.target), 0.1, 0.75)))
        axis.set(xlim=(low - edge, high + edge), ylim=(low - edge, high + edge), aspect="equal",
                 xlabel="true")
        axis.set_title(f"{name}\nr = {row['pearson']:.2f}, R² = {row['r2']:.2f}, "
                       f"mean error {row['mae']:.3g} (n = {len(one.target)} {result.per}s)",
                       fontsize=9, color=color)
    axes[0, 0].set_ylabel("predicted (mean over seeds)")
    save(figure, path)


def few_shots(path: Path, curves: pd.DataFrame, result: Comparison) -> None:
    """Scores against the number of labeled examples of a new person; columns method, shots, mean,
    low, high."""
    figure, axis = subplots(figsize=(7.5, 4.2))
    looks = [(c, m) for m, c in zip("osD^vP*X", COLORS, strict=True)]
    shown = curves[~curves["method"].str.contains(": ")]  # views are in the table
    for k, (name, part) in enumerate(shown.groupby("method", sort=False)):
        part = part.sort_values("shots")
        color, marker = looks[k % len(looks)]
        dashes = ("-", "--", ":")[k // len(looks) % 3]  # colors have been used up
        # A little beside each other, so that bars do not hide bars.
        place = part["shots"] * (1 + 0.012 * k) + 0.03 * k
        axis.vlines(place, part["low"], part["high"], color=color, lw=1.4, alpha=0.6)
        axis.plot(place, part["mean"], color=color, marker=marker, ms=5, lw=1.3, ls=dashes,
                  label=name)
    axis.set_xscale("symlog", linthresh=1)
    shots = sorted(set(curves["shots"]))
    axis.set_xticks(shots, [f"{value:g}" for value in shots])
    axis.minorticks_off()
    axis.set(xlabel="labeled examples a class", ylabel=TITLES[result.score])
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    save(figure, path)


def _reliability(one: Named) -> tuple[np.ndarray, ...]:
    """(windows, mean confidence, share right, its interval over units) of each bin; windows are the
    mean over seeds."""
    n = len(one.units)
    table = np.mean(one.counted(metrics.CLASSIFICATION["calibration_error"]), axis=0)
    units = statistics.resampled(n, 1000, 0)
    again = np.einsum("ds,sbk->dbk", units, table)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = again[..., 2] / again[..., 0]
        total = table.sum(axis=0)
        sure, right = total[:, 1] / total[:, 0], total[:, 2] / total[:, 0]
    ends = np.array([statistics.quantiles(share, n) for share in shares.T])
    return total[:, 0], sure, right, ends[:, 0], ends[:, 1]


def _look(name: str, result: Comparison) -> tuple[str, str]:
    return _NETWORK if name in result.networks else _BASELINE


def _legend(axis, result: Comparison) -> None:
    from matplotlib.lines import Line2D

    kinds = [kind for kind in ("network", "automatic") if kind in set(result.table["kind"])]
    ours = " or ".join(kinds).replace("automatic", "automatic decoder")
    there = {name in result.networks for name in result.table["method"]}
    handles = [Line2D([], [], color=color, marker=marker, lw=2.5, ms=6, label=word)
               for is_network, (color, marker), word in
               ((True, _NETWORK, f"{ours}: mean, 95 % interval"),
                (False, _BASELINE, "baseline: mean, 95 % interval")) if is_network in there]
    handles.append(Line2D([], [], color="0.6", marker="o", lw=0.7, ms=4, alpha=0.8,
                          label=result.unit.counted(1)))
    axis.figure.legend(handles=handles, loc="outside lower center", ncols=3,
                       fontsize=8.5)
