"""Images of a corpus on its quality page: slices with the outline of the brain, and numbers."""

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32

from neurofm.data import shards
from neurofm.data.contract import Contract
from neurofm.data.t1_contract import T1Contract
from neurofm.pages import page as pages
from neurofm.pages import table, words

from . import quality

_DRAWN = 12  # images, evenly spaced
_PLANES_MM = {0: (-24.0, 0.0, 24.0), 1: (-60.0, -18.0, 24.0), 2: (-30.0, 10.0, 50.0)}
_BINS = 64
_HEADS = {"match": "match", "head_size": "head size", "brain_ml": "brain (mL)", "snr": "SNR",
          "bias": "bias"}
_ABOUT = ("Match: correlation with MNI152 in the brain and its rim after registration. Head size: "
          "volume of the head over that of the template. SNR: median of the brain over the noise, "
          "by what a voxel differs from its neighbors in; an image that was smoothed has a high "
          "one. Bias: standard deviation of the log of the bias field.")


def sections(out: Path, tables, contract: Contract) -> list[tuple[str, str]]:
    """(heading, HTML) of a corpus of images; none for one of signals."""
    if not isinstance(contract, T1Contract):
        return []
    return [("Images", _numbers(tables)), ("Slices", _slices(out, tables, contract))]


def _numbers(tables) -> str:
    """Ranges of what was measured of all images."""
    found = pd.DataFrame([quality.from_text(text) for text in tables.recordings["quality"]])
    rows = []
    for name, head in _HEADS.items():
        value = pd.to_numeric(found[name], errors="coerce").dropna()
        if len(value):
            low, middle, high = value.min(), value.median(), value.max()
            at = tables.recordings["recording"].iloc[[value.idxmin(), value.idxmax()]].tolist()
            rows.append((head, *(f"{x:.4g}" for x in (low, middle, high)), *at))
    ranges = table.html(pd.DataFrame(rows, columns=[
        "", "lowest", "median", "highest", "image with the lowest", "with the highest"]))
    how = found["brain"].value_counts()
    brains = table.html(pd.DataFrame({"brain extracted": how.index, "images": how.to_numpy()}))
    return pages.paragraph(_ABOUT, "small") + ranges + brains


def _slices(out: Path, tables, contract: T1Contract) -> str:
    """Some images in three planes, and the histogram of their brains."""
    n = len(tables.recordings)
    chosen = np.unique(np.linspace(0, n - 1, _DRAWN).astype(int))
    reader = shards.ShardReader(out / "windows", "float32")
    first = tables.windows.groupby("recording")["row"].min()
    drawn = []
    for row in tables.recordings.iloc[chosen].itertuples():
        shard = getattr(row, "shard", row.recording)
        image = reader.read(f"{shard}.arrow", int(first[row.Index])).reshape(contract.grid)
        said = quality.from_text(row.quality)
        snr = said.get("snr")
        caption = (f"{row.recording}: match {said['match']:.2f}, head size "
                   f"{said['head_size']:.2f}, brain {said['brain_ml']:.0f} mL ({said['brain']})"
                   + (f", SNR {snr:.0f}" if snr is not None else ""))
        drawn.append(_figure(draw(image, contract), caption))
    about = pages.paragraph(
        f"{words.count(len(chosen), 'image')} of {n} on the grid of the contract, as models see "
        f"them: from the left, from the front, from above (left is left); red: the brain of the "
        f"template, which a registered brain must fill; right: intensities inside the brain.",
        "small")
    return about + "".join(drawn)


def draw(image: Float32[np.ndarray, "x y z"], contract: T1Contract) -> bytes:
    """PNG of slices in three planes with the template's outline, and a histogram."""
    from matplotlib.figure import Figure

    from .anatomy import template as templates

    found = templates.load()
    outline = _on_grid(found, contract)
    inside = image[outline > 0.5]
    held = inside[inside != 0] if (inside != 0).any() else inside
    low, high = np.quantile(held, (0.01, 0.995)) if len(held) else (0.0, 1.0)
    shown = np.where(image == 0, low - (high - low) / 4, image) if contract.scale == "brain" else (
        image)
    figure = Figure(figsize=(11, 2.0), dpi=90)
    axes = figure.subplots(1, 10, width_ratios=[1] * 9 + [1.6])
    affine, places = contract.affine, iter(axes)
    for axis, planes in _PLANES_MM.items():
        for mm in planes:
            at = round((mm - affine[axis, 3]) / affine[axis, axis])
            panel = next(places)
            panel.set_axis_off()
            if not 0 <= at < image.shape[axis]:
                continue
            panel.imshow(shown.take(at, axis).T, cmap="gray", origin="lower",
                         vmin=low - (high - low) / 4, vmax=high)
            edge = outline.take(at, axis).T
            if edge.min() < 0.5 < edge.max():
                panel.contour(edge, [0.5], colors="#c0392b", linewidths=0.6)
            panel.set_title(f"{'xyz'[axis]} {mm:g}", fontsize=7, pad=2)
    last = axes[-1]
    if len(held):
        last.hist(held, bins=_BINS, color="#555555")
    last.set_yticks([])
    last.tick_params(labelsize=7)
    for side in ("left", "right", "top"):
        last.spines[side].set_visible(False)
    figure.subplots_adjust(left=0.005, right=0.99, top=0.88, bottom=0.14, wspace=0.05)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _on_grid(found, contract: T1Contract) -> np.ndarray:
    """The template's brain on the grid of a contract, in [0, 1]."""
    import scipy.ndimage

    onto = np.linalg.inv(found.affine) @ contract.affine
    return scipy.ndimage.affine_transform(
        found.mask.astype(np.float32), onto[:3, :3], onto[:3, 3], contract.grid, order=1)


def _figure(png: bytes, caption: str) -> str:
    from html import escape

    data = base64.b64encode(png).decode()
    return (f'<figure><figcaption>{escape(caption)}</figcaption><img alt="{escape(caption)}" '
            f'src="data:image/png;base64,{data}"></figure>')
