"""Sensors: a layout is data, its order and its geometry are exact."""

import json

import mne
import numpy as np
import pytest

from neurofm.data.sensors import HEAD_CENTER_M, KINDS, Sensors


def _cap(n: int = 6) -> Sensors:
    random = np.random.default_rng(0)
    direction = random.standard_normal((n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return Sensors(tuple(f"E{i}" for i in range(n)), np.zeros(n), HEAD_CENTER_M + 0.09 * direction,
                   np.zeros((n, 3)))


def test_units_follow_kinds():
    sensors = Sensors(("a", "b", "c", "d"), np.array([0, 1, 2, 4]), np.ones((4, 3)),
                      np.zeros((4, 3)))
    assert sensors.kinds == ("eeg", "mag", "planar_grad", "roi")
    assert sensors.unit == ("V", "T", "T/m", "1")


def test_indexing_permutes_every_field_and_the_fingerprint():
    cap = _cap()
    order = np.array([3, 0, 5])
    chosen = cap[order]
    assert chosen.names == ("E3", "E0", "E5")
    assert np.array_equal(chosen.position, cap.position[order])
    assert chosen.fingerprint != cap[np.sort(order)].fingerprint
    assert cap[:].fingerprint == cap.fingerprint
    assert cap[np.array([True] * 5 + [False])].names == cap.names[:5]


def test_round_trip_through_json_is_exact():
    cap = _cap()
    again = Sensors.from_dict(json.loads(json.dumps(cap.to_dict())))
    assert again.fingerprint == cap.fingerprint
    unknown = Sensors(("a",), np.zeros(1), np.full((1, 3), np.nan), np.zeros((1, 3)))
    again = Sensors.from_dict(json.loads(json.dumps(unknown.to_dict())))
    assert np.isnan(again.position).all()


def test_head_geometry_does_not_depend_on_the_other_sensors():
    cap = _cap()
    whole = cap.geometry("head")
    assert np.allclose(np.linalg.norm(whole[:, :3], axis=1), 0.9, atol=1e-5)
    assert np.array_equal(cap[np.array([2, 4])].geometry("head"), whole[[2, 4]])


def test_centered_geometry_is_the_published_rule():
    random = np.random.default_rng(1)
    position = random.standard_normal((10, 3)).astype(np.float32) * 0.1
    kind = np.array([0] * 4 + [1] * 6)
    direction = np.where(kind[:, None] == 1, np.array([0.0, 0.0, 1.0]), 0.0)
    sensors = Sensors(tuple(map(str, range(10))), kind, position, direction)
    geometry = sensors.geometry("centred")
    for group in (kind == 0, kind == 1):
        part = geometry[group, :3]
        assert np.allclose(part.mean(0), 0, atol=1e-6)
        assert np.square(part).sum(1).mean() == pytest.approx(1 / 3, rel=1e-5)
    assert np.array_equal(geometry[:, 3:], direction)


def test_bad_input_of_geometry():
    cap = _cap()
    position = cap.position.copy()
    position[1], position[2] = np.nan, 0
    lost = Sensors(cap.names, cap.kind, position, cap.orientation)
    assert lost.has_position.tolist() == [True, False, False, True, True, True]
    with pytest.raises(ValueError, match=r"2 of 6 sensors have no position \(E1, E2\)"):
        lost.geometry("head")
    with pytest.raises(ValueError, match=r"unique.*\['a'\]"):
        Sensors(("a", "a"), np.zeros(2), np.ones((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        Sensors(("a", "b"), np.zeros(2), np.ones((2, 2)), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("file", "kinds"),
    [("sample_audvis_trunc_raw_sss.fif", {"mag", "planar_grad", "eeg"}),
     ("testdata_ctf_short_discontinuous.ds_raw.fif", {"axial_grad", "eeg"}),
     ("exported4D_solaris_raw.fif", {"mag", "eeg"}),
     ("neuromag122_test_file-raw.fif", {"planar_grad"})],
)
def test_kinds_and_directions_of_real_devices(data, file, kinds):
    info = mne.io.read_raw(data / "meg_readers" / file, verbose="ERROR").info
    picks = [i for i, ch in enumerate(info["chs"]) if int(ch["kind"]) in (1, 2)]
    sensors = Sensors.from_info(info, picks)
    assert set(sensors.kinds) == kinds
    length = np.linalg.norm(sensors.orientation, axis=1)
    is_eeg = sensors.kind == KINDS.index("eeg")
    assert np.allclose(length[~is_eeg], 1, atol=1e-4)
    assert (length[is_eeg] == 0).all()
    # A magnetometer's normal points away from the head; the direction in which a planar
    # gradiometer measures lies in the coil's plane.
    outward = sensors.position - HEAD_CENTER_M
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    radial = np.abs((outward * sensors.orientation).sum(1))
    for kind in {"mag", "axial_grad"} & kinds:
        assert np.median(radial[sensors.kind == KINDS.index(kind)]) > 0.8
    if "planar_grad" in kinds:
        assert np.median(radial[sensors.kind == KINDS.index("planar_grad")]) < 0.4


def test_meg_positions_are_in_the_head_frame(data):
    info = mne.io.read_raw(data / "meg_readers/sample_audvis_trunc_raw_sss.fif",
                           verbose="ERROR").info
    pick = [i for i, ch in enumerate(info["chs"]) if int(ch["kind"]) == 1][:1]
    device = info["chs"][pick[0]]["loc"][:3]
    wanted = mne.transforms.apply_trans(info["dev_head_t"], device)
    assert np.allclose(Sensors.from_info(info, pick).position[0], wanted, atol=1e-6)
