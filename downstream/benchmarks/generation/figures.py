"""Figures of the judges, as the paper of MEG-GPT has them; one color a source in all of them."""

from pathlib import Path

import numpy as np

from neurofm.pages.figure import COLORS, save, subplots

from .measured import OTHER, REAL, TRACE_S, Measured
from .table import Judged

_MODELS = (COLORS[0], COLORS[2], COLORS[3], COLORS[5])
_PEOPLE = 12  # of whom small multiples are drawn
_TRACES = 4  # channels


def colors(names: list[str], baselines: tuple[str, str]) -> dict[str, str]:
    """Source → color: real black, its other half gray, baselines warm, models the others."""
    fixed = {REAL: COLORS[7], OTHER: COLORS[6], baselines[0]: COLORS[4],
             baselines[1]: COLORS[1]}
    models = [name for name in names if name not in fixed]
    return {**{name: _MODELS[k % len(_MODELS)] for k, name in enumerate(models)}, **fixed}


def spectra(path: Path, measured: dict[str, list[Measured]], color: dict[str, str]) -> None:
    """Mean over people and channels; a source a panel beside the real one, whose range over people
    is shaded."""
    shown = [name for name in measured if name != REAL]
    figure, axes = subplots(1, len(shown), figsize=(2.5 * len(shown), 2.9), sharex=True,
                            sharey=True, squeeze=False)
    real = _over_channels(measured[REAL])
    frequency = measured[REAL][0].frequency
    for axis, name in zip(axes[0], shown, strict=True):
        axis.fill_between(frequency, real.min(axis=0), real.max(axis=0), color="0.9", lw=0)
        axis.plot(frequency, real.mean(axis=0), color=color[REAL], lw=1.2, label="real")
        own = _over_channels(measured[name])
        axis.plot(frequency, own.mean(axis=0), color=color[name], lw=1.6)
        axis.set_title(name, fontsize=9, color=color[name], loc="left")
        axis.set_xlabel("frequency (Hz)")
    axes[0][0].set_ylabel("power (dB re SD²/Hz)")
    axes[0][0].legend(fontsize=8)
    save(figure, path)


def spectra_of_people(
    path: Path, measured: dict[str, list[Measured]], people: list[str], color: dict[str, str]
) -> None:
    """A panel a person, mean over channels, all sources."""
    shown = people[:_PEOPLE]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = subplots(rows, columns, figsize=(2.9 * columns, 2.2 * rows + 0.7), sharex=True,
                            sharey=True, squeeze=False)
    for number, axis in enumerate(axes.flat):
        if number >= len(shown):
            axis.set_visible(False)
            continue
        for name, own in measured.items():
            axis.plot(own[number].frequency, own[number].spectrum.mean(axis=0), color=color[name],
                      lw=1.6 if name == REAL else 1.0, label=name, zorder=3 if name == REAL else 2)
        axis.set_title(shown[number], fontsize=9, loc="left")
    for axis in axes[:, 0]:
        axis.set_ylabel("power (dB re SD²/Hz)", fontsize=8)
    for column in range(columns):
        below = max(row for row in range(rows) if row * columns + column < len(shown))
        axes[below][column].set_xlabel("frequency (Hz)")
        axes[below][column].tick_params(labelbottom=True)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels),
                  fontsize=8)
    save(figure, path)


def distances(
    path: Path, judged: Judged, judge: str, words: str, color: dict[str, str]
) -> None:
    """A matrix a source, generated person × real person, one scale; a dot at the nearest of each
    row."""
    found = judged.distances[judge]
    figure, axes = subplots(1, len(found), figsize=(2.5 * len(found) + 0.8, 2.9), squeeze=False)
    low, high = min(m.min() for m in found.values()), max(m.max() for m in found.values())
    few = judged.n_people <= 30
    for axis, (name, matrix) in zip(axes[0], found.items(), strict=True):
        image = axis.imshow(matrix, cmap="viridis_r", vmin=low, vmax=high)
        nearest = matrix.argmin(axis=1)
        if few:
            axis.plot(nearest, np.arange(len(matrix)), "o", mfc="w", mec="k", ms=5)
        right = int((nearest == np.arange(len(matrix))).sum())
        axis.set_title(f"{name}\n{right} of {len(matrix)} nearest their own", fontsize=9,
                       color=color[name], loc="left")
        ticks = np.unique(np.linspace(0, len(matrix) - 1, min(5, len(matrix))).astype(int))
        axis.set_xticks(ticks, ticks + 1)
        axis.set_yticks(ticks, ticks + 1)
        axis.set_xlabel("real person")
    axes[0][0].set_ylabel("person of the source")
    figure.colorbar(image, ax=axes, label=words, shrink=0.8)
    save(figure, path)


def bursts(
    path: Path, judged: Judged, spectra: tuple[np.ndarray, np.ndarray], burst: int,
    color: dict[str, str],
) -> None:
    """Rate, interval, lifetime, a dot a person; and what the states of the model look like."""
    figure, axes = subplots(1, 4, figsize=(13, 3.1))
    for axis, (judge, words) in zip(axes, (
        ("burst_rate", "rate (1/s)"), ("burst_interval", "mean interval (s)"),
        ("burst_lifetime", "mean lifetime (ms)"),
    ), strict=False):
        columns = [judged.of(name, judge) for name in judged.names]
        for person in range(judged.n_people):
            axis.plot([column[person] for column in columns], color="0.85", lw=0.6, zorder=0)
        for place, (name, column) in enumerate(zip(judged.names, columns, strict=True)):
            axis.plot(np.full(len(column), place), column, "o", ms=4, color=color[name],
                      alpha=0.8)
            if np.isfinite(column).any():
                axis.plot([place - 0.3, place + 0.3], [np.nanmean(column)] * 2, lw=2,
                          color=color[name])
        axis.set_xticks(range(len(judged.names)), judged.names, rotation=35, ha="right",
                        fontsize=8)
        axis.set(ylabel=words, ylim=(0, None))
    frequency, power = spectra
    for state, own in enumerate(power):
        axes[3].plot(frequency, own, color="k" if state == burst else "0.65",
                     lw=2 if state == burst else 1, label="bursts" if state == burst else None)
    axes[3].set(xlabel="frequency (Hz)", ylabel="power in the state (dB)",
                ylim=(max(power.min(), power.max() - 40) - 2, power.max() + 2))
    axes[3].set_title("states of the model", fontsize=9, loc="left")
    axes[3].legend(fontsize=8)
    save(figure, path)


def envelopes(
    path: Path, measured: dict[str, list[Measured]], bands: dict[str, list[float]],
    color: dict[str, str],
) -> None:
    """Mean matrices over people: bands below each other, sources side by side, a scale a band."""
    figure, axes = subplots(len(bands), len(measured), squeeze=False,
                            figsize=(1.9 * len(measured) + 1, 1.95 * len(bands) + 0.5))
    for row, (band, edges) in enumerate(bands.items()):
        means = [np.mean([x.envelopes[band] for x in own], axis=0) for own in measured.values()]
        off = ~np.eye(len(means[0]), dtype=bool)
        high = max(np.nanmax(np.abs(mean[off]), initial=0.05) for mean in means)
        for axis, name, mean in zip(axes[row], measured, means, strict=True):
            image = axis.imshow(np.where(off, mean, np.nan), cmap="RdBu_r", vmin=-high, vmax=high)
            axis.set(xticks=[], yticks=[])
            if row == 0:
                axis.set_title(name, fontsize=9, color=color[name])
        axes[row][0].set_ylabel(f"{band}\n{edges[0]:g}–{edges[1]:g} Hz", fontsize=9)
        figure.colorbar(image, ax=axes[row], label="r of envelopes", shrink=0.9)
    save(figure, path)


def traces(
    path: Path, measured: dict[str, list[Measured]], names: list[str], sfreq: float,
    color: dict[str, str],
) -> None:
    """5 s of a few channels of the first person, the same scale for all sources."""
    rows = np.unique(np.linspace(0, len(names) - 1, min(_TRACES, len(names))).astype(int))
    columns = 2
    n_rows = -(-len(measured) // columns)
    figure, axes = subplots(n_rows, columns, figsize=(12, 2.1 * n_rows + 0.3), sharex=True,
                            sharey=True, squeeze=False)
    for axis in axes.flat[len(measured):]:
        axis.set_visible(False)
    for axis, (name, own) in zip(axes.flat, measured.items(), strict=False):
        trace = own[0].trace
        for place, row in enumerate(rows):
            axis.plot(np.arange(trace.shape[1]) / sfreq, trace[row] - 6 * place,
                      color=color[name], lw=0.6)
        axis.set_yticks(-6 * np.arange(len(rows)), [names[row] for row in rows], fontsize=8)
        axis.set_ylim(-6 * (len(rows) - 1) - 5, 5)
        axis.set_title(name, fontsize=9, loc="left", color=color[name])
        axis.set_xlim(0, TRACE_S)
    for axis in axes[-1]:
        axis.set_xlabel("time (s)")
    axes[0][0].annotate("", (TRACE_S * 0.99, -3), (TRACE_S * 0.99, 3),
                        arrowprops={"arrowstyle": "|-|,widthA=0.2,widthB=0.2", "lw": 0.8})
    axes[0][0].text(TRACE_S * 0.98, 3.2, "6 SD", fontsize=7, ha="right")
    save(figure, path)


def _over_channels(own: list[Measured]) -> np.ndarray:
    return np.stack([x.spectrum.mean(axis=0) for x in own])
