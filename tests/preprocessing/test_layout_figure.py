"""The quality page draws sensors where MNE has them."""

import re

import mne
import numpy as np

from neurofm.data.sensors import HEAD_CENTER_M
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
