"""Figures of a decoded recording and of a decoded stream; matplotlib without a display."""

from pathlib import Path

import numpy as np
import pandas as pd

from neurofm.data.recording import Events
from neurofm.pages.figure import COLORS, save, subplots
from neurofm.preprocessing.standardize import Standardized, StandardizedScan

_COLUMNS = 2000  # points along the time axis; longer signals are drawn as their extremes


def decoded(
    path: str | Path, windows: Standardized | StandardizedScan, table: pd.DataFrame,
    classes: tuple[str, ...],
    events: Events, *, n_channels: int = 8, n_event_names: int = 8,
) -> None:
    """Signal of a few channels above, probability (or number) of each window below, events through
    both; gray where no window was decoded."""
    figure, (above, below) = subplots(2, 1, figsize=(11, 6.2), sharex=True, height_ratios=[1.5, 1])
    _signal(above, windows, n_channels)
    _answers(below, table, classes)
    end_s = windows.signal.shape[1] / windows.sfreq
    for start_s, stop_s in _uncovered(table, end_s):
        for axis in (above, below):
            axis.axvspan(start_s, stop_s, color="0.93", lw=0, zorder=-1)
    marked = _events(above, below, events, n_event_names, _class_colors(classes))
    if marked or len(classes) > 2:
        handles = marked + ([] if len(classes) <= 2 else below.get_legend_handles_labels()[0])
        figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)),
                      fontsize=9)
    above.set_xlim(0, end_s)
    save(figure, path)


def streamed(path: str | Path, table: pd.DataFrame, classes: tuple[str, ...]) -> None:
    """What a stream's windows were called above, how long each answer took below."""
    figure, (above, below) = subplots(2, 1, figsize=(11, 5.2), sharex=True, height_ratios=[1.5, 1])
    answered = table.dropna(subset=f"p_{classes[0]}" if classes else "predicted")
    _answers(above, answered, classes)
    below.plot(table["stop_s"], table["latency_ms"], ".", color="0.25", ms=4)
    above.set_xlabel("")
    below.set(ylim=(0, None), xlabel="time (s)", ylabel="latency (ms)", title="Latency per window")
    if len(classes) > 2:
        figure.legend(handles=above.get_legend_handles_labels()[0], loc="outside lower center",
                      ncols=min(8, len(classes)), fontsize=9)
    save(figure, path)


def _answers(axis, table: pd.DataFrame, classes: tuple[str, ...]) -> None:
    """Probabilities of windows as bars over time, colored by class, pale where none was named; or
    the numbers of a decoder without classes."""
    middle = (table["start_s"] + table["stop_s"]) / 2
    if not classes:
        axis.hlines(table["predicted"], table["start_s"], table["stop_s"], COLORS[0], lw=2.5)
        axis.plot(middle, table["predicted"], color="0.6", lw=0.6)
        axis.set(xlabel="time (s)", ylabel="predicted value", title="Prediction per window")
        return
    color = _class_colors(classes)
    two = len(classes) == 2
    for name in classes[1:] if two else classes:
        lines = table["predicted"].map(color).fillna("0.75") if two else color[name]
        axis.hlines(table[f"p_{name}"], table["start_s"], table["stop_s"], lines, lw=2.5,
                    label=name)
        axis.plot(middle, table[f"p_{name}"], color="0.6" if two else color[name], lw=0.6)
    unsure = table[table["abstained"].astype(bool)]
    for start_s, stop_s in zip(unsure["start_s"], unsure["stop_s"], strict=True):
        axis.axvspan(start_s, stop_s, facecolor="none", edgecolor="0.85", hatch="///", lw=0,
                     zorder=-1)
    axis.axhline(1 / len(classes), color="0.6", lw=0.8, ls=(0, (4, 3)))
    axis.set(ylim=(-0.02, 1.02), xlabel="time (s)",
             ylabel=f"probability of {classes[1]}" if two else "probability")
    axis.set_title("Probability per window" + ("; hatched: no class was probable enough"
                                               if len(unsure) else ""))
    if two:
        right = axis.secondary_yaxis("right")
        right.set_yticks([0.03, 0.97], classes)
        right.tick_params(length=0)
        for text, name in zip(right.get_yticklabels(), classes, strict=True):
            text.set_color(color[name])
        right.spines["right"].set_visible(False)


def _signal(axis, windows: Standardized | StandardizedScan, n_channels: int) -> None:
    signal, sfreq = windows.signal, windows.sfreq
    rows = np.unique(np.linspace(0, len(signal) - 1, min(n_channels, len(signal))).round())
    kinds = np.array(windows.sensors.kinds)
    for place, row in enumerate(rows.astype(int)):
        time, trace = _extremes(signal[row], sfreq)
        # Kinds differ by orders of magnitude, so each has its own unit of height: the middle
        # channel's interquartile range, which a few artifacts do not move.
        alike = signal[kinds == kinds[row], :: max(1, signal.shape[1] // 10_000)]
        low, high = np.nanpercentile(alike, [25, 75], axis=1)
        axis.plot(time, trace / (5 * np.median(high - low) or 1.0) - place, color="0.25", lw=0.5)
    axis.set_yticks(-np.arange(len(rows)), [windows.sensors.names[int(row)] for row in rows])
    axis.set_ylim(-len(rows) + 0.2, 0.8)
    axis.set_title(f"{len(rows)} of {len(signal)} channels, standardized; gray: not decoded")


def _extremes(trace: np.ndarray, sfreq: float) -> tuple[np.ndarray, np.ndarray]:
    """A trace as it is, or, when there are more samples than the figure can show, the lowest and
    highest of each stretch."""
    stretch = -(-len(trace) // _COLUMNS)
    if stretch <= 2:
        return np.arange(len(trace)) / sfreq, trace
    n = len(trace) // stretch
    cut = trace[: n * stretch].reshape(n, stretch)
    pairs = np.stack([cut.min(axis=1), cut.max(axis=1)], axis=1).ravel()
    return np.repeat(np.arange(n) * stretch / sfreq, 2), pairs


def _uncovered(table: pd.DataFrame, end_s: float) -> list[tuple[float, float]]:
    """Stretches of the recording in no window, longer than a sample or so."""
    found, reached = [], 0.0
    for start_s, stop_s in sorted(zip(table["start_s"], table["stop_s"], strict=True)):
        if start_s > reached + 0.05:
            found.append((reached, start_s))
        reached = max(reached, stop_s)
    return [*found, (reached, end_s)] if end_s > reached + 0.05 else found


def _class_colors(classes: tuple[str, ...]) -> dict[str, str]:
    return {name: COLORS[k % len(COLORS)] for k, name in enumerate(classes)}


def _events(above, below, events: Events, at_most: int, of_class: dict[str, str]) -> list:
    """Lines at events; returns the legend's handles. An event that is called like a class has the
    color of the class; others have colors that no class has, the frequent first. The rest is gray.
    """
    from matplotlib.lines import Line2D

    names = sorted(set(events.label), key=lambda name: (-events.label.count(name), name))
    taken = set(of_class.values()) or {COLORS[0]}
    free = [color for color in COLORS if color not in taken]
    others = [name for name in names if name not in of_class]
    limit = min(at_most, len(free))
    chosen = others if len(others) <= limit else others[:max(0, limit - 1)]
    color = {name: of_class[name] for name in names if name in of_class}
    color |= dict(zip(chosen, free, strict=False))
    for onset_s, name in zip(events.onset_s, events.label, strict=True):
        for axis in (above, below):
            axis.axvline(onset_s, color=color.get(name, "0.8"), lw=0.8, alpha=0.7, zorder=0)
    handles = [Line2D([], [], color=color[name], lw=1.2, label=f"event {name}")
               for name in names if name in color]
    if len(color) < len(names):
        handles.append(Line2D([], [], color="0.8", lw=1.2, label="other events"))
    return handles
