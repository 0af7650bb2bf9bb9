"""`neurofm.Features`: an array to NumPy, a table to pandas, an array with names to xarray."""

import numpy as np
import pandas as pd
import pytest
import torch

import neurofm
from neurofm.downstream.decoder.feature_array import DROPPED, joined


def make(n=4, sources=("Fp1", "Cz"), n_frames=3, recording="a.edf", epoch=None, seed=0):
    values = np.random.default_rng(seed).standard_normal((n, len(sources), n_frames, 5))
    start_s = 2.0 * np.arange(n)
    return neurofm.Features(
        values.astype(np.float32), np.stack([start_s, start_s + 2], axis=1),
        np.full(n, -1) if epoch is None else np.array(epoch),
        np.full(n, recording, dtype=object), tuple(sources), (np.arange(n_frames) + 0.5) / 10)


def test_it_is_an_array():
    features = make()
    assert len(features) == 4
    assert features.shape == np.asarray(features).shape == (4, 2, 3, 5)
    assert np.asarray(features) is not None
    assert np.asarray(features, dtype=np.float64).dtype == np.float64
    assert np.allclose(np.square(features).sum(), np.square(features.values).sum())
    assert np.array_equal(features[1], features.values[1])
    assert np.array_equal(features[:, 0], features.values[:, 0])
    assert [row.shape for row in features] == [(2, 3, 5)] * 4
    assert torch.equal(features.tensor(), torch.from_numpy(features.values))


def test_rows_are_features():
    features = make(epoch=[0, 0, 1, 2])
    for rows in (slice(1, 3), [1, 2], np.array([False, True, True, False]), np.array([1, 2])):
        part = features[rows]
        assert np.array_equal(part, features.values[1:3])
        assert part.epoch.tolist() == [0, 1]
        assert part.times.tolist() == [[2, 4], [4, 6]]
        assert part.sources == features.sources
    assert len(features[[]]) == 0


def test_mean_over_axes():
    features = make()
    assert features.mean().shape == (4, 2, 5)
    assert np.allclose(features.mean("frame"), features.values.mean(axis=2))
    assert np.allclose(features.mean(["source", "frame"]), features.values.mean(axis=(1, 2)))
    assert features.mean(("window", "dim")).dtype == np.float32
    with pytest.raises(ValueError, match="some of window, source, frame, dim, got 'time'"):
        features.mean("time")


def test_what_is_not_there_does_not_count():
    features = joined([make(), make(2, n_frames=1, recording="b.edf")])
    assert np.allclose(features.mean("frame")[4:], features.values[4:, :, 0])
    assert not features.there[4:, :, 1:].any()


def test_one_row_an_epoch_or_a_recording():
    features = joined([make(epoch=[0, 0, 1, 2]), make(2, recording="b.edf", epoch=[0, 0])])
    each = features.per("epoch")
    assert each.rows.values.tolist() == [["a.edf", 0, 0, 4], ["a.edf", 1, 4, 6],
                                         ["a.edf", 2, 6, 8], ["b.edf", 0, 0, 4]]
    assert np.allclose(each[0], features.values[:2].mean(axis=0))
    whole = features.per("recording")
    assert whole.recording.tolist() == ["a.edf", "b.edf"]
    assert whole.epoch.tolist() == [-1, -1]
    assert np.allclose(whole[1], features.values[4:].mean(axis=0))
    with pytest.raises(ValueError, match="continuous recordings, which have no epochs"):
        make().per("epoch")


def test_table():
    features = make(epoch=[0, 1, 2, 3])
    table = features.to_frame()
    assert table.shape == (4, 30)
    assert table.columns.names == ["source", "frame_s", "dim"]
    assert table.index.names == ["recording", "epoch", "start_s", "stop_s"]
    assert table.loc[("a.edf", 2), ("Cz", 0.15, 4)].item() == features.values[2, 1, 1, 4]
    small = features.to_frame(over="frame")
    assert np.allclose(small["Fp1"], features.values[:, 0].mean(axis=1))
    with pytest.raises(ValueError, match="a row a window"):
        features.to_frame(over="window")


def test_xarray():
    pytest.importorskip("xarray")
    features = make(epoch=[0, 1, 2, 3])
    array = features.to_xarray()
    assert array.dims == ("window", "source", "frame", "dim")
    assert np.array_equal(array.sel(source="Cz", frame=0.15), features.values[:, 1, 1])
    assert array["start_s"].values.tolist() == [0, 2, 4, 6]
    assert np.array_equal(array[array["epoch"] == 2].values, features.values[2:3])


def test_sources_meet_by_their_names():
    one, two = make(), make(2, sources=("Cz", "Pz"), n_frames=4, recording="b.edf", seed=1)
    both = joined([one, two])
    assert both.sources == ("Fp1", "Cz", "Pz")
    assert both.shape == (6, 3, 4, 5)
    assert np.array_equal(both.values[:4, :2, :3], one)
    assert np.array_equal(both.values[4:, 1:], two)
    assert both.values[4:, 0].max() == 0
    assert both.frames.tolist() == two.frames.tolist()
    assert joined([one]).values is one.values  # nothing is copied


def test_repr_is_short():
    features = make()
    assert repr(features) == "<Features | 4 windows of a.edf, 2 sources × 3 frames × 5 dims>"
    lost = pd.DataFrame([("c.edf", "recording", "", np.nan, np.nan, "torn")], columns=[*DROPPED])
    both = joined([features, make(1, recording="b.edf", epoch=[0])], lost)
    assert repr(both) == ("<Features | 5 windows of 2 recordings, 2 sources × 3 frames × 5 dims, "
                          "1 epoch, 1 recording left out>")


def test_bad_input_axes_that_do_not_fit():
    features = make()
    with pytest.raises(ValueError, match=r"4 times, .* 1 sources and 3 frames, got \(4, 2, 3, 5\)"):
        neurofm.Features(features.values, features.times, features.epoch, features.recording,
                         ("Fp1",), features.frames)
