"""Patterns of a decoder drawn on the head, a map a band, and their spectrum beside them.

Colors are one scale for all maps of a figure, symmetric around 0 (red up, blue down: told apart by
color-blind readers too). Places are an azimuthal projection of directions from the middle of the
head: the rim of the drawn head is what lies level with it.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from neurofm.data.sensors import HEAD_CENTER_M, Sensors
from neurofm.pages.figure import COLORS, pyplot, save

from .attribution import LEVEL, Attribution

RIM_M = 0.095  # radius of the drawn head
FEWEST = 4  # channels at different places, for a map


def draw(path: str | Path, found: list[Attribution], classes: tuple[str, ...], who: str) -> None:
    """A row an output and kind of sensor. who: whose windows these are, for the title."""
    plt = pyplot()
    rows = [(each, k) for each in found for k in range(len(each.outputs))]
    columns = max(len(each.bands) for each in found)
    figure = plt.figure(figsize=(1.75 * columns + 4.2, 0.7 + 2.3 * len(rows)), layout="constrained")
    grid = figure.add_gridspec(len(rows), columns + 2, width_ratios=[1] * columns + [0.06, 1.7])
    top = max(float(np.abs(each.pattern).max()) for each in found) or 1.0
    image = None
    for row, (each, k) in enumerate(rows):
        for column, (band, (low, high)) in enumerate(each.bands.items()):
            axis = figure.add_subplot(grid[row, column])
            image = _head(axis, each, k, column, top) or image
            axis.set_title(f"{band}\n{low:g}–{high:g} Hz", fontsize=8)
            if column == 0:
                axis.text(-0.12, 0.5, f"{each.kind}\n{_label(each, k, classes)}", rotation=90,
                          transform=axis.transAxes, va="center", ha="center", fontsize=8,
                          multialignment="center")
        _spectrum(figure.add_subplot(grid[row, columns + 1]), each, k, last=row == len(rows) - 1)
    if image is not None:
        bar = figure.colorbar(image, cax=figure.add_subplot(grid[:, columns]))
        bar.ax.tick_params(labelsize=7)
        bar.set_label("power, dB per SD of output", fontsize=8)
    least = np.concatenate([each.least_p for each in found])
    limit = "" if not (least >= LEVEL).any() else \
        f";\nwith so few permutations p cannot be below {np.nanmin(least):.2g}"
    if np.isnan(least).any():
        limit = ";\nno p value where exchangeable units are in both training and test"
    figure.suptitle(
        f"Where power goes with the decoder's output: {who}. Ringed: more than 19 of 20 draws of "
        f"shifted outputs anywhere\nin the row, in these people. p: labels told apart as well when "
        f"exchanged ({found[0].exchanged}); from {LEVEL:g} on nothing is ringed{limit}",
        fontsize=9, x=0.01, ha="left",
    )
    save(figure, path)


def flattened(sensors: Sensors) -> Float[np.ndarray, "channel 2"]:
    """Places on a sheet, meters, nose up; NaN where a place is unknown."""
    from_center = np.where(sensors.has_position[:, None], sensors.position - HEAD_CENTER_M, np.nan)
    x, y, z = from_center.T.astype(float)
    around = np.hypot(x, y)
    angle = np.arctan2(around, z) / (np.pi / 2)
    return RIM_M * (angle / np.maximum(around, 1e-9))[:, None] * np.stack([x, y], axis=1)


def _label(each: Attribution, k: int, classes: tuple[str, ...]) -> str:
    name = each.outputs[k]
    return f"{name} rather than {classes[0]}" if len(classes) == 2 else name


def _head(axis, each: Attribution, k: int, band: int, top: float):
    """One map; the image, or None where there are too few places."""
    import mne

    values, marked = each.pattern[k, :, band], each.above[k, :, band]
    place = flattened(each.sensors)
    known = np.isfinite(place).all(axis=1)
    # Planar gradiometers stand two at a place: one value there, their mean.
    place, at = np.unique(place[known].round(4), axis=0, return_inverse=True)
    if len(place) < FEWEST:
        axis.text(0.5, 0.5, f"{len(place)} places:\nno map", ha="center", va="center", fontsize=8)
        axis.axis("off")
        return None
    at = at.ravel()
    mean = np.bincount(at, weights=values[known]) / np.bincount(at)
    ringed = np.bincount(at, weights=marked[known]) > 0
    image, _ = mne.viz.plot_topomap(
        mean, place, axes=axis, show=False, cmap="RdBu_r", vlim=(-top, top), contours=0,
        sensors=False, sphere=(0.0, 0.0, 0.0, RIM_M), extrapolate="local",
    )
    axis.scatter(*place.T, s=2, color="0.2", lw=0, zorder=5)
    axis.scatter(*place[ringed].T, s=26, facecolor="none", edgecolor="black", lw=0.9, zorder=6)
    return image


def _spectrum(axis, each: Attribution, k: int, last: bool) -> None:
    axis.stairs(each.spectrum[k], each.edges_hz, color=COLORS[0], lw=1.6, baseline=None)
    axis.stairs(each.spectrum_threshold[k], each.edges_hz, color="0.5", lw=0.8, ls=(0, (4, 3)),
                baseline=None)
    axis.annotate("chance", (1, each.spectrum_threshold[k][-1]),
                  xycoords=("axes fraction", "data"), xytext=(0, 5), textcoords="offset points",
                  ha="right", va="bottom", fontsize=7, color="0.4")
    people = f"{each.subjects} {'person' if each.subjects == 1 else 'people'}"
    p = each.p_labels[k]
    axis.set_title(f"{people}, {each.windows} windows, {'no p' if p != p else f'p = {p:.2g}'}",
                   fontsize=8)
    for low, _ in each.bands.values():
        axis.axvline(low, color="0.9", lw=0.8, zorder=-1)
    axis.set(xlim=(each.edges_hz[0], each.edges_hz[-1]), ylim=(0, None))
    axis.set_ylabel("all channels (rms, dB)", fontsize=8)
    axis.tick_params(labelsize=7)
    if last:
        axis.set_xlabel("frequency (Hz)", fontsize=8)
