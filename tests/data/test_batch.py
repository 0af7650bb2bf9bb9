"""Batches of mixed layouts: padding is zero, marked, and moves with the rest."""

import numpy as np
import pytest
import torch

from neurofm.data.batch import Tokens, collate
from neurofm.data.recording import Events, Recording
from neurofm.data.sensors import Sensors


def _layout(n: int, kind: int = 0) -> Sensors:
    position = np.random.default_rng(n).normal(0, 0.05, (n, 3)) + 0.05
    return Sensors(tuple(f"S{i}" for i in range(n)), np.full(n, kind), position,
                   np.zeros((n, 3)))


def test_narrow_windows_are_padded_with_zeros_and_marked():
    random = np.random.default_rng(0)
    signals = [random.standard_normal((n, 16)).astype(np.float32) for n in (3, 5)]
    layouts = [_layout(3), _layout(5, kind=1)]
    batch = collate(signals, layouts, "head", seed=np.array([7, 8]), target=[0, 1],
                    source=["a", "b"])
    assert batch.signal.shape == (2, 5, 16)
    assert batch.valid.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert np.array_equal(batch.signal[0, :3], signals[0])
    assert not batch.signal[0, 3:].any()
    assert not batch.geometry[0, 3:].any()
    assert np.array_equal(batch.geometry[1], layouts[1].geometry("head"))
    assert batch.kind[1].tolist() == [1] * 5
    assert batch.seed.tolist() == [7, 8]
    assert len(batch) == 2
    moved = batch.to("cpu")
    assert torch.equal(moved.signal, batch.signal)
    assert moved.source == ["a", "b"]


def test_bad_input_of_unlike_lengths():
    signals = [np.zeros((2, n), dtype=np.float32) for n in (8, 9)]
    with pytest.raises(ValueError, match=r"one length, got \[8, 9\]"):
        collate(signals, [_layout(2)] * 2, "head")


def test_tokens_move_too():
    tokens = Tokens(torch.zeros(2, 3, 4, 5, dtype=torch.int64), target=torch.tensor([1, 0]))
    assert len(tokens) == 2
    assert tokens.to("cpu").target.tolist() == [1, 0]


def test_recording_checks_its_shape_and_picks_rows():
    signal = np.arange(20, dtype=np.float32).reshape(4, 5)
    recording = Recording(signal, 10.0, _layout(4), Events.none(), source="x")
    assert recording.duration_s == 0.5
    picked = recording.pick(np.array([2, 0]))
    assert picked.sensors.names == ("S2", "S0")
    assert np.array_equal(picked.signal, signal[[2, 0]])
    with pytest.raises(ValueError, match=r"x: signal must be \[channel, time\] with 3"):
        Recording(signal, 10.0, _layout(3), source="x")
    with pytest.raises(ValueError, match="sfreq must be > 0"):
        Recording(signal, 0.0, _layout(4))
