"""Sensors: kinds that are known, and one that is not."""

import pytest
import torch

from neurofm.data.sensors import KINDS
from neurofm.nn.sensor_encoder import SensorEncoder


def test_gradiometers_share_a_row_and_other_kinds_differ():
    encoder = SensorEncoder(16, (0, 1, 2, 2, -1)).eval()
    kind = torch.tensor([[KINDS.index(k) for k in ("eeg", "mag", "planar_grad", "axial_grad")]])
    eeg, mag, planar, axial = encoder(torch.ones(1, 4, 6), kind)[0]
    assert torch.allclose(planar, axial, atol=1e-6)  # kernels round rows of a batch unlike
    assert not torch.allclose(eeg, mag)
    assert not torch.allclose(mag, planar)


def test_unknown_kind_is_an_error_that_names_it():
    encoder = SensorEncoder(16, (0, 1, 2, 2, -1))
    with pytest.raises(ValueError, match="got 'roi'"):
        encoder(torch.ones(1, 1, 6), torch.tensor([[KINDS.index("roi")]]))
