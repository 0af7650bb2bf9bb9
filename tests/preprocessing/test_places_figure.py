"""The quality page draws the places that were used, where MNE draws them."""

import re

import mne
import numpy as np
import pytest

from neurofm.data.sensors import HEAD_CENTER_M, HEAD_RADIUS_M, Sensors
from neurofm.preprocessing import places_figure, readers


def infos() -> dict[str, mne.Info]:
    names = ["Fp1", "Fp2", "F7", "Fz", "T7", "Cz", "T8", "P7", "Pz", "O1", "Oz", "O2"]
    caps = mne.create_info(names, 200.0, "eeg")
    caps.set_montage("standard_1020")
    helmet = mne.create_info([f"MEG{k}" for k in range(40)], 200.0, "mag")
    rng = np.random.default_rng(0)
    for ch in helmet["chs"]:
        way = rng.standard_normal(3)
        way[2] = abs(way[2])
        ch["loc"][:3] = rng.uniform(0.1, 0.12) * way / np.linalg.norm(way)
    with helmet._unlock():
        helmet["dev_head_t"] = mne.transforms.Transform(
            "meg", "head", mne.transforms.translation(0, 0, 0.04))
    return {"eeg": caps, "mag": helmet}


def drawn(figure: str, view: int) -> dict[str, tuple[float, float]]:
    """Name → place in a view."""
    svg = re.findall(r"<svg.*?</svg>", figure)[view]
    return {name: (float(x), float(y)) for x, y, name in re.findall(
        r'<circle cx="([\d.]+)" cy="([\d.]+)" r="2.5" fill="#\w+"><title>(.*?)</title>', svg)}


@pytest.mark.parametrize("kind", ["eeg", "mag"])
def test_places_are_drawn_where_mne_draws_them(kind):
    info = infos()[kind]
    raw = mne.io.RawArray(np.zeros((len(info.ch_names), 400)), info, verbose="ERROR")
    sensors = readers.from_raw(raw).sensors
    figure = places_figure.figure(sensors, 3)
    assert "3 recordings: from above" in figure
    assert f"{len(sensors)} {kind}" in figure
    sphere = (*HEAD_CENTER_M.tolist(), HEAD_RADIUS_M)
    plot = mne.viz.plot_sensors(info, show=False, sphere=sphere)
    theirs = np.asarray(plot.axes[0].collections[0].get_offsets())
    found = drawn(figure, 0)
    assert list(found) == list(info.ch_names)
    ours = np.array(list(found.values())) - 130
    ours[:, 1] *= -1
    scale = 130 / 1.6 / HEAD_RADIUS_M  # pixels a meter
    assert np.allclose(ours, scale * theirs, atol=0.2)
    side = np.array(list(drawn(figure, 1).values()))
    wanted = (sensors.position - HEAD_CENTER_M) / HEAD_RADIUS_M * (130 / 1.6)
    assert np.allclose(side, 130 - wanted[:, 1:], atol=0.2)  # nose to the left, top up


def test_what_has_no_place_is_counted_and_regions_are_not_drawn():
    info = mne.create_info(["Cz", "X1"], 200.0, "eeg")
    info.set_montage("standard_1020", on_missing="ignore")
    sensors = Sensors.from_info(info, [0, 1])
    assert "1 eeg; 1 sensor without a place, 1 recording" in places_figure.figure(sensors, 1)
    assert places_figure.figure(sensors[1:], 1) == ""
    region = Sensors(("A",), np.array([4]), np.array([[0.0, 0.02, 0.05]]), np.zeros((1, 3)))
    assert places_figure.figure(region, 1) == ""
