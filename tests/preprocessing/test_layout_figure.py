"""The quality page draws sensors where MNE has them."""

import re

import mne
import numpy as np

from neurofm.data.sensors import HEAD_CENTER_M, KINDS, Sensors
from neurofm.preprocessing import layout_figure, readers


def test_places_are_drawn_where_mne_has_them():
    info = mne.create_info(["Fp1", "F7", "Fz", "T7", "Cz", "P7", "Pz", "Oz"], 200.0, "eeg")
    info.set_montage("standard_1020")
    raw = mne.io.RawArray(np.zeros((len(info.ch_names), 400)), info, verbose="ERROR")
    drawn = layout_figure.draw(readers.from_raw(raw).sensors, "used in 1 recording")
    assert "used in 1 recording" in drawn
    plot = mne.viz.plot_sensors(info, kind="3d", show=False)
    theirs = np.stack(plot.axes[0].collections[0]._offsets3d, axis=1) - HEAD_CENTER_M
    pixels_a_meter = 110 / 0.14
    views = [np.array(re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="2"', view), dtype=float)
             for view in drawn.split("<svg x=")[1:]]
    x, y, z = pixels_a_meter * theirs.T
    for view, across, up in zip(views, (x, -y), (y, z), strict=True):
        assert np.allclose(view, 110 + np.stack([across, -up], axis=1), atol=0.1)


def test_a_helmet_is_drawn_whole():
    """Sensors of MEG lie further out than the head: none may fall out of the picture."""
    far = np.array([[0.0, 0.17, 0.05], [0.12, 0.0, 0.19], [-0.16, 0.02, 0.0]])
    helmet = Sensors(("A", "B", "C"), np.full(3, KINDS.index("mag")), far, far / np.linalg.norm(
        far, axis=1, keepdims=True), ("T",) * 3)
    drawn = layout_figure.draw(helmet, "helmet")
    places = re.findall(r'<circle cx="([\d.-]+)" cy="([\d.-]+)" r="2"', drawn)
    assert len(places) == 6 - 1  # B lies on the right: unseen from the left
    assert all(0 <= float(value) <= 220 for place in places for value in place)
