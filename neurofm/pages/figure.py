"""Figures: one style, colors that color-blind readers can tell apart, PNG and SVG.

Matplotlib is loaded when the first figure is drawn, and needs no display.
"""

import io
import sys
from pathlib import Path
from typing import Any

from ..terminal import printable

# Okabe & Ito 2008. Yellow is left out: it is unreadable on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#000000")
DPI = 130  # of PNG
MEASURED = "0.25"  # signals as recorded, in every figure

_STYLE = {
    "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white",
    "font.size": 10, "axes.titlesize": 10, "axes.titlelocation": "left", "axes.labelsize": 9.5,
    "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "0.4",
    "axes.linewidth": 0.8, "grid.color": "0.9", "figure.titlesize": 11,
    # The same figure gives the same bytes; its words stay words.
    "svg.hashsalt": "neurofm", "svg.fonttype": "none",
}


def style() -> None:
    """Give the figures that follow the style of all figures of neurofm."""
    from cycler import cycler
    from matplotlib import rcParams

    rcParams.update(_STYLE | {"axes.prop_cycle": cycler(color=COLORS)})


def pyplot():
    """matplotlib.pyplot in the style of all figures. It draws to files, unless the user has loaded
    it before, as notebooks do."""
    import matplotlib

    if "matplotlib.pyplot" not in sys.modules:
        matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    style()
    return plt


def subplots(rows: int = 1, columns: int = 1, **how: Any):
    """(figure, axes) of `matplotlib.pyplot.subplots` in the style of all figures."""
    return pyplot().subplots(rows, columns, **{"layout": "constrained", **how})


def save(figure, path: str | Path) -> None:
    """Write `path` (PNG) and the SVG beside it, and close the figure."""
    from matplotlib import pyplot as plt

    _without_formulas(figure)
    figure.set_dpi(DPI)
    if engine := figure.get_layout_engine():
        engine.execute(figure)  # once: savefig would lay out, and draw, twice for each file
        figure.set_layout_engine(None)
    figure.savefig(path, dpi=DPI)
    drawn, vector = io.StringIO(), Path(path).with_suffix(".svg")
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    vector.write_text(printable(drawn.getvalue()), encoding="utf-8")  # XML has no controls
    plt.close(figure)


def _without_formulas(figure) -> None:
    """Show names as they are written: "$" begins a formula, and a wrong one is an error. Only the
    powers of ten at ticks are formulas."""
    from matplotlib.text import Text

    for axes in figure.axes:
        axes.get_xticklabels(), axes.get_yticklabels()  # names get into them when they are asked
    for text in figure.findobj(Text):
        text.set_parse_math("\\mathdefault" in text.get_text())


def with_svg(folder: Path, files: list[str]) -> list[str]:
    """These files of a folder, and the SVG beside each PNG."""
    found = [str(Path(name).with_suffix(".svg")) for name in files if name.endswith(".png")]
    return [*files, *(name for name in found if (folder / name).is_file())]
