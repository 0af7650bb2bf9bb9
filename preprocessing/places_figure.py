"""Where the sensors of a layout are, as SVG for the quality page: from above, and from the left.

From above is the projection of MNE's topographic maps (`mne.viz.plot_sensors`): distance from the
middle is the angle from the top of the head, times the distance from its center. From the left
shows heights as they are: places in another frame than the head's stand beside the head there.
"""

import html

import numpy as np
from jaxtyping import Float

from neurofm.data.sensors import HEAD_CENTER_M, HEAD_RADIUS_M, Sensors
from neurofm.pages import words
from neurofm.pages.figure import COLORS

_PIXELS, _REACH = 260, 1.6  # width of a view, and what of the head it shows, in radii
_FEW_NAMES = 40  # up to so many are written beside their places
_NOSE = {"above": ((-0.15, 0.99), (0, 1.15), (0.15, 0.99)),
         "left": ((-0.99, 0.12), (-1.15, 0), (-0.99, -0.12))}


def from_above(position: Float[np.ndarray, "sensor 3"]) -> Float[np.ndarray, "sensor 2"]:
    """Places on the map of the head, nose up; 1 = the height of the head's center, on the head."""
    x, y, z = ((position - HEAD_CENTER_M) / HEAD_RADIUS_M).T
    out = np.arctan2(np.hypot(x, y), z) / (np.pi / 2) * np.sqrt(x ** 2 + y ** 2 + z ** 2)
    around = np.arctan2(y, x)
    return np.stack([out * np.cos(around), out * np.sin(around)], axis=1)


def from_left(position: Float[np.ndarray, "sensor 3"]) -> Float[np.ndarray, "sensor 2"]:
    """Places in the plane of nose and top of the head, nose to the left, in radii of the head."""
    return ((position - HEAD_CENTER_M) / HEAD_RADIUS_M)[:, 1:] * [-1, 1]


def figure(sensors: Sensors, n_recordings: int) -> str:
    """Both views of a layout of EEG or MEG; "" where no place is known."""
    known = sensors.has_position & (np.array(sensors.kinds) != "roi")
    if not known.any():
        return ""
    shown = sensors[known]
    kinds = list(dict.fromkeys(shown.kinds))
    color = [COLORS[kinds.index(kind)] for kind in shown.kinds]
    views = "".join(_view(name, at, shown.names, color) for name, at in (
        ("above", from_above(shown.position)), ("left", from_left(shown.position))))
    counted = ", ".join(f"{shown.kinds.count(kind)} {kind}" for kind in kinds)
    lacking = len(sensors) - len(shown)
    without = f"; {words.count(lacking, 'sensor')} without a place" if lacking else ""
    return (f"<figure><figcaption>{counted}{without}, {words.count(n_recordings, 'recording')}: "
            f"from above (as MNE's maps) and from the left</figcaption>{views}</figure>")


def _view(name: str, at: np.ndarray, names: tuple[str, ...], color: list[str]) -> str:
    scale = _PIXELS / 2 / _REACH

    def place(x: float, y: float) -> tuple[float, float]:
        return _PIXELS / 2 + scale * x, _PIXELS / 2 - scale * y

    nose = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in _NOSE[name]))
    drawn = [f'<circle cx="{_PIXELS / 2}" cy="{_PIXELS / 2}" r="{scale:.1f}" fill="none" '
             f'stroke="#bbb"/><polyline points="{nose}" fill="none" stroke="#bbb"/>']
    for sensor, point, fill in zip(names, at, color, strict=True):
        x, y = place(*np.clip(point, -_REACH, _REACH))
        label = html.escape(sensor)
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{fill}"><title>{label}'
                     f"</title></circle>")
        if name == "above" and len(names) <= _FEW_NAMES:
            drawn.append(f'<text x="{x + 4:.1f}" y="{y + 3:.1f}">{label}</text>')
    return (f'<svg viewBox="0 0 {_PIXELS} {_PIXELS}" width="{_PIXELS}" font-size="8">'
            f'{"".join(drawn)}</svg>')
