"""Figures of an evaluation of predicted fMRI; one color a method in all of them."""

from pathlib import Path

import numpy as np

from neurofm.pages.figure import COLORS, save, subplots

from ...scoring import series as metrics
from ...scoring.statistics import mean
from .judged import Judged
from .scores import SIGNIFICANT

_COURSES = 4  # regions whose time courses are drawn


def colors(methods: list[str]) -> dict[str, str]:
    return {name: COLORS[k % 6] for k, name in enumerate(methods)}


def draw(out: Path, judged: Judged) -> list[str]:
    """All figures; returns their file names."""
    color = colors(judged.methods)
    regions(out / "regions.png", judged, color)
    courses(out / "courses.png", judged, color)
    surrogates(out / "surrogates.png", judged, color)
    lags(out / "lags.png", judged, color)
    made = ["regions.png", "courses.png", "surrogates.png", "lags.png"]
    if len(judged.regions) >= 3:
        matrices(out / "connectivity.png", judged, color)
        made.append("connectivity.png")
    return made


def regions(path: Path, judged: Judged, color: dict[str, str]) -> None:
    """r of each region by each method, with intervals over subjects; a tick is the ceiling."""
    n, methods = len(judged.regions), judged.methods
    figure, axis = subplots(figsize=(8.5, 1.2 + n * max(0.28, 0.09 * len(methods))))
    for k, method in enumerate(methods):
        rows = judged.by_region[judged.by_region["method"] == method]
        height = np.arange(n) + (k - (len(methods) - 1) / 2) * 0.7 / len(methods)
        axis.hlines(height, rows["low"], rows["high"], color=color[method], lw=1.2, alpha=0.6)
        axis.plot(rows["r"], height, "o", ms=4.5, color=color[method], label=method)
    for name, style, words in (("ceiling", "-", "ceiling"), ("ceiling_eeg", ":", "EEG ceiling")):
        if name in judged.by_region:
            top = judged.by_region[judged.by_region["method"] == methods[0]][name]
            axis.vlines(top, np.arange(n) - 0.4, np.arange(n) + 0.4, color="0.4", lw=1.2,
                        ls=style, label=words)
    axis.axvline(0, color="0.7", lw=0.8, zorder=0)
    for edge in np.arange(n - 1) + 0.5:
        axis.axhline(edge, color="0.93", lw=0.8, zorder=0)
    axis.set_yticks(np.arange(n), judged.regions, fontsize=8)
    axis.set(xlabel="Pearson r", ylim=(n - 0.5, -0.5))
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    save(figure, path)


def courses(path: Path, judged: Judged, color: dict[str, str]) -> None:
    """The median scan: regions from the best to the worst predicted, measured and predicted."""
    one = judged.scans[judged.median_scan]
    shown = [judged.first, *([judged.baseline] if judged.baseline else [])]
    r = metrics.pearson(one.predicted[judged.first][0], one.measured)
    order = np.argsort(-np.nan_to_num(r, nan=-2), kind="stable")[: np.isfinite(r).sum() or 1]
    rows = order[np.unique(np.linspace(0, len(order) - 1, min(_COURSES, len(order))).astype(int))]
    figure, axes = subplots(len(rows), 1, figsize=(10, 1.75 * len(rows) + 0.6), sharex=True,
                            squeeze=False)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        axis.plot(one.time_s, one.measured[:, row], color="0.35", lw=1, label="measured")
        said = []
        for method in shown:
            course = one.predicted[method][0][:, row]
            own = metrics.pearson(course[:, None], one.measured[:, [row]])[0]
            axis.plot(one.time_s, _scored(course), color=color[method], lw=1.4, label=method)
            said.append(f"{method} r = {own:.2f}")
        axis.set_title(f"{judged.regions[row]}: {', '.join(said)}", fontsize=9, loc="left")
        axis.set_ylabel("SD", fontsize=8)
        axis.margins(x=0)
    axes[-1, 0].set_xlabel(f"time (s) of {one.name}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    save(figure, path)


def surrogates(path: Path, judged: Judged, color: dict[str, str]) -> None:
    """The first method against both surrogates, region by region; a full dot is significant."""
    found, n = judged.scores[judged.first], len(judged.regions)
    figure, axes = subplots(1, 2, figsize=(10.5, 1.7 + 0.27 * n), sharey=True, sharex=True)
    for axis, null, words in zip(axes, (found.moved, found.others), (
        "moved in time by 20 s or more", "against other people's scans"), strict=True):
        axis.set_title(words if len(null.drawn) else f"{words}: no test", fontsize=9, loc="left")
        if len(null.drawn):
            low, middle, high = np.nanquantile(null.drawn, [0.025, 0.5, 0.975], axis=0)
            axis.hlines(np.arange(n), low, high, color="0.8", lw=7, label="95 % of surrogates")
            axis.plot(middle, np.arange(n), "|", color="0.5", ms=7)
        full = null.holm < SIGNIFICANT
        for which, face in ((full, color[judged.first]), (~full, "white")):
            axis.plot(null.r[which], np.flatnonzero(which), "o", ms=5, mfc=face,
                      mec=color[judged.first], ls="none",
                      label=f"{judged.first}, p {'<' if face != 'white' else '≥'} "
                            f"{SIGNIFICANT:g} after Holm")
        axis.axvline(0, color="0.7", lw=0.8, zorder=0)
        axis.set_xlabel("mean r over scans")
    axes[0].set_yticks(np.arange(n), judged.regions, fontsize=8)
    axes[0].set_ylim(n - 0.5, -0.5)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    save(figure, path)


def lags(path: Path, judged: Judged, color: dict[str, str]) -> None:
    """Mean r over regions and scans, one series moved against the other; a mark at the best."""
    figure, axis = subplots(figsize=(6.5, 3.2))
    for method, found in judged.scores.items():
        course = found.over_lags
        axis.plot(metrics.LAGS_S, course, color=color[method], lw=1.4, label=method)
        if np.isfinite(course).any():
            best = int(np.nanargmax(course))
            axis.plot(metrics.LAGS_S[best], course[best], "o", ms=5, color=color[method])
    axis.axvline(0, color="0.7", lw=0.8, zorder=0)
    axis.set(xlabel="measured comes later than predicted by (s)", ylabel="mean r")
    figure.legend(loc="outside right upper", fontsize=8)
    save(figure, path)


def matrices(path: Path, judged: Judged, color: dict[str, str]) -> None:
    """Mean correlations of regions over the judged scans: measured, and by each method."""
    shown = {"measured": np.stack([metrics.connectivity(one.measured) for one in judged.scans])}
    for method in judged.methods:
        shown[method] = np.stack([metrics.connectivity(seed) for one in judged.scans
                                  for seed in one.predicted[method]])
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = subplots(rows, columns, figsize=(3.0 * columns + 0.8, 3.0 * rows), squeeze=False)
    off = ~np.eye(len(judged.regions), dtype=bool)
    for axis in axes.flat[len(shown):]:
        axis.set_visible(False)
    for axis, (name, own) in zip(axes.flat, shown.items(), strict=False):
        image = axis.imshow(np.where(off, mean(own), np.nan), cmap="RdBu_r", vmin=-1, vmax=1)
        axis.set_title(name, fontsize=9, loc="left", color=color.get(name, "black"))
        few = len(judged.regions) <= 20
        axis.set_xticks([])
        axis.set_yticks(np.arange(len(judged.regions)) if few and axis in axes[:, 0] else [],
                        judged.regions if few and axis in axes[:, 0] else [], fontsize=6)
    figure.colorbar(image, ax=axes, label="r between regions", shrink=0.7)
    save(figure, path)


def _scored(course: np.ndarray) -> np.ndarray:
    spread = course.std()
    return (course - course.mean()) / (spread if spread > metrics.FLAT else 1.0)
