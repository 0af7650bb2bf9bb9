"""Where sensors are taken to be: a layout from above and from the left, head frame, as SVG."""

from html import escape

import numpy as np

from neurofm.data.sensors import HEAD_CENTER_M, Sensors
from neurofm.pages.figure import COLORS

# Pixels of a view; meters from its middle to its edge, more for a helmet that reaches further.
_SIZE, _REACH_M = 220, 0.14
_HEAD_M = 0.095
_MOST_NAMES = 40
_VIEWS = {"from above, nose up": (0, 1, 1), "from the left, nose left": (1, 2, -1)}
_LEFT_M = 0.01  # what lies further to the right is not seen from the left


def draw(sensors: Sensors, caption: str) -> str:
    """Both views; a line for a difference of two electrodes; "" where no place is known."""
    known = np.flatnonzero(sensors.has_position & (np.array(sensors.kinds) != "roi"))
    if len(known) == 0:
        return ""
    furthest_m = float(np.abs(sensors.position[known] - HEAD_CENTER_M).max())
    reach_m = max(_REACH_M, 1.05 * furthest_m)
    views = "".join(
        f'<svg x="{number * (_SIZE + 10)}" width="{_SIZE}" height="{_SIZE + 14}">'
        f'{_view(sensors, known, reach_m, *axes)}<text x="{_SIZE / 2}" y="{_SIZE + 10}" '
        f'text-anchor="middle">{title}</text></svg>'
        for number, (title, axes) in enumerate(_VIEWS.items()))
    width, height = 2 * _SIZE + 10, _SIZE + 14
    return (f'<figure><figcaption>{escape(caption)}</figcaption><svg viewBox="0 0 {width} {height}"'
            f' width="{width}" font-size="8">{views}</svg></figure>')


def _view(sensors: Sensors, known: np.ndarray, reach_m: float, across: int, up: int, sign: int
          ) -> str:
    def at(place):
        off = (np.asarray(place) - HEAD_CENTER_M) / reach_m * _SIZE / 2
        return _SIZE / 2 + sign * off[across], _SIZE / 2 - off[up]

    radius = _HEAD_M / reach_m * _SIZE / 2
    nose_x, nose_y = at(HEAD_CENTER_M + np.array([0, 1.12 * _HEAD_M, 0]))
    drawn = [f'<circle cx="{_SIZE / 2}" cy="{_SIZE / 2}" r="{radius:.1f}" fill="none" '
             f'stroke="#bbb"/><circle cx="{nose_x:.1f}" cy="{nose_y:.1f}" r="4" fill="none" '
             f'stroke="#bbb"/>']
    differs = sensors.is_difference
    seen = known if up == 1 else known[sensors.position[known, 0] <= _LEFT_M]
    for row in seen:
        x, y = at(sensors.position[row])
        if differs[row]:
            (a, b), (c, d) = (at(sensors.position[row] + half * sensors.orientation[row])
                              for half in (-0.02, 0.02))
            drawn.append(f'<line x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}" '
                         f'stroke="{COLORS[0]}"/>')
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{COLORS[0]}"/>')
        if len(seen) <= _MOST_NAMES:
            drawn.append(f'<text x="{x + 3:.1f}" y="{y - 2:.1f}">{escape(sensors.names[row])}'
                         f'</text>')
    return "".join(drawn)
