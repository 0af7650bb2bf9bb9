"""Curves for a page, as SVG in the page itself: no library is loaded, and they stay sharp."""

import html
import math
from collections.abc import Mapping, Sequence

from . import words
from .figure import COLORS

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 440, 190, 52, 8, 34
_LETTER = 5.6  # width of a digit of the axes
_MOST = 400  # points of a curve; more are thinned evenly
Points = Sequence[tuple[float, float]]


def curves(named: Mapping[str, Points], x_name: str, y_name: str,
           marks: Sequence[tuple[float, str]] = ()) -> str:
    """A plot of one or more curves.

    Parameters
    ----------
    named
        Name → points; one with a single point is drawn as a dot. Values that are not finite are
        left out.
    x_name, y_name
        What the axes show.
    marks
        (x, text) of vertical lines; the text is told when the pointer rests on it.

    Returns
    -------
    str
        HTML of a figure; "" where there is nothing to draw.
    """
    finite = {name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
              for name, points in named.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return ""
    xs = [x for points in finite.values() for x, _ in points]
    ys = [y for points in finite.values() for _, y in points]
    (left, right), (low, high) = _span(min(xs), max(xs)), _span(min(ys), max(ys))
    width, height = _WIDTH - _LEFT - 8, _HEIGHT - _TOP - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return (_LEFT + width * (x - left) / (right - left),
                _TOP + height * (high - y) / (high - low))

    parts = []
    for tick in _ticks(low, high):
        y = place(left, tick)[1]
        parts.append(f'<line x1="{_LEFT}" x2="{_LEFT + width}" y1="{y:.1f}" y2="{y:.1f}" '
                     f'stroke="#e3e3e3"/><text x="{_LEFT - 5}" y="{y + 3.5:.1f}" '
                     f'text-anchor="end">{words.digits(tick, 3)}</text>')
    for tick in _ticks(left, right):
        text = words.digits(tick, 3)
        x = min(place(tick, low)[0], _WIDTH - len(text) * _LETTER / 2)  # all of it is seen
        parts.append(f'<text x="{x:.1f}" y="{_TOP + height + 13}" text-anchor="middle">'
                     f'{text}</text>')
    for at, text in marks:
        if left <= at <= right:
            x = place(at, low)[0]
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + height}" '
                         f'stroke="#999" stroke-dasharray="3 3"><title>{html.escape(text)}</title>'
                         f'</line>')
    legend = []
    for (name, points), color in zip(finite.items(), COLORS * 9, strict=False):
        thin = points[:: max(1, len(points) // _MOST)]
        placed = [place(*point) for point in thin]
        if len(placed) == 1:
            (x, y), = placed
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>')
        else:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" '
                         f'stroke-width="1.4"/>')
        legend.append(f'<span style="color:{color}">■</span> {html.escape(name)}')
    said = (f'<text x="{_LEFT + width / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">'
            f"{html.escape(x_name)}</text>")
    return (f"<figure><figcaption>{html.escape(y_name)}: {', '.join(legend)}</figcaption>"
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" font-size="10" fill="#444" '
            f'role="img" aria-label="{html.escape(y_name)} over {html.escape(x_name)}">'
            f"{''.join(parts)}{said}</svg></figure>")


def traces(pairs: Sequence[tuple[str, Sequence[float], Sequence[float]]], names: tuple[str, str],
           caption: str) -> str:
    """Signals over each other, two a row: what was measured, gray, and what stands for it.

    Parameters
    ----------
    pairs
        (name of the row, first signal, second signal), scaled alike.
    names
        What the two signals are.
    caption
        What is shown.

    Returns
    -------
    str
        HTML of a figure.
    """
    row, parts = 44, []
    most = max((abs(v) for _, a, b in pairs for v in (*a, *b) if math.isfinite(v)), default=1.0)
    for number, (name, first, second) in enumerate(pairs):
        middle = row * (number + 0.5)
        parts.append(f'<text x="0" y="{middle + 3:.1f}">{html.escape(name)}</text>')
        for values, color in ((first, "#777"), (second, COLORS[0])):
            step = (_WIDTH - _LEFT) / max(1, len(values) - 1)
            line = " ".join(f"{_LEFT + k * step:.1f},{middle - row / 2 * v / (most or 1):.1f}"
                            for k, v in enumerate(values) if math.isfinite(v))
            parts.append(f'<polyline points="{line}" fill="none" stroke="{color}"/>')
    legend = (f'<span style="color:#777">■</span> {html.escape(names[0])}, '
              f'<span style="color:{COLORS[0]}">■</span> {html.escape(names[1])}')
    return (f"<figure><figcaption>{html.escape(caption)}: {legend}</figcaption>"
            f'<svg viewBox="0 0 {_WIDTH} {row * len(pairs)}" width="{_WIDTH}" font-size="10" '
            f'fill="#444">{"".join(parts)}</svg></figure>')


def _span(low: float, high: float) -> tuple[float, float]:
    """A range that is not empty."""
    if low == high:
        far = abs(low) / 2 or 1.0
        return low - far, high + far
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers within a range."""
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    while (high - low) / step > 6:
        step *= 2.5 if f"{step:e}"[0] == "2" else 2
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def grid(figures: Sequence[str]) -> str:
    """Figures side by side where the page is wide enough."""
    shown = "".join(f'<div style="flex:1 1 22rem;min-width:0;max-width:30rem">{each}</div>'
                    for each in figures if each)
    return f'<div style="display:flex;flex-wrap:wrap;gap:0 1.5rem">{shown}</div>' if shown else ""


