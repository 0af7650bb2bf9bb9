"""Electrodes of LaBraM by name and by place (which NeuroBOLT reads too)."""

import numpy as np
import pytest
import torch

from neurofm.data.batch import collate
from neurofm.data.sensors import HEAD_CENTER_M, HEAD_RADIUS_M, Sensors
from neurofm.models.labram import electrodes
from neurofm.nn.labram_channels import NAMES, PLACES_MM, rows_at, rows_of
from neurofm.preprocessing import montage


def geometry(*places_m) -> torch.Tensor:
    place = (torch.tensor(places_m) - torch.from_numpy(HEAD_CENTER_M)) / HEAD_RADIUS_M
    return torch.cat([place, torch.zeros_like(place)], dim=1)[None]


def meters(name: str) -> tuple[float, ...]:
    return tuple(1e-3 * value for value in PLACES_MM[name])


def everywhere(n: int) -> torch.Tensor:
    return torch.ones(1, n, dtype=torch.bool)


def test_neurobolt_places_are_those_that_readers_give():
    _, place = montage.look_up([*PLACES_MM], "standard_1005")
    found = 1e-3 * torch.tensor([*PLACES_MM.values()])
    assert (found - torch.from_numpy(place)).abs().max() <= 0.0006
    _, place = montage.look_up([*NAMES], "standard_1005")
    known = {name for name, at in zip(NAMES, place, strict=True)
             if at[0] == at[0] and "-" not in name}  # pairs lie midway, and have no place here
    assert known - PLACES_MM.keys() == {"T3", "T4", "T5", "T6"}  # the same as T7, T8, P7, P8


def test_neurobolt_electrodes_by_name():
    assert rows_of(["FP1", "cz", "TPP9h"]) == (1, 42, 1 + NAMES.index("TPP9h"))
    with pytest.raises(ValueError, match=r"'Fz1' is none of the 128 .*like it in spelling: .*FZ"):
        rows_of(["Cz", "Fz1"])
    with pytest.raises(ValueError, match="'CZ' comes twice"):
        rows_of(["Cz", "Pz", "CZ"])


def test_neurobolt_electrodes_by_place():
    """Every place gives its own row, also 7 mm from it, in any order."""
    towards = torch.nn.functional.normalize(torch.randn(len(PLACES_MM), 3), dim=1)
    for shift in (0.0, 0.007):
        at = torch.tensor([meters(name) for name in PLACES_MM]) + shift * towards
        order = torch.randperm(len(at))
        rows = rows_at(geometry(*at[order].tolist()), everywhere(len(at)))
        assert rows[0].tolist() == torch.tensor(rows_of([*PLACES_MM]))[order].tolist()


def test_neurobolt_a_difference_of_two_electrodes_is_no_electrode():
    """Readers place F7-T7 midway, which is FT7's place, and C3-Cz at C1's; a pair that LaBraM knows
    has a row of its own, another one has none."""
    names = ("Cz", "F7-T7", "C3-Cz")
    _, place = montage.look_up([*names], "standard_1005")
    layout = Sensors(names, np.zeros(3), place, np.zeros((3, 3)))
    batch = collate([np.zeros((3, 400), np.float32)], [layout], "head")
    assert electrodes((), batch).tolist() == [[*rows_of(["Cz", "F7-T7"]), -1]]


def test_neurobolt_electrodes_that_are_not_taken():
    c3, off = meters("C3"), (0.0, 0.0, 0.0)
    near = (c3[0], c3[1], c3[2] + 0.005)
    rows = rows_at(geometry(near, c3, off, meters("PZ")), everywhere(4))[0].tolist()
    assert rows == [-1, *rows_of(["C3"]), -1, *rows_of(["Pz"])]  # the nearer one is C3
    electrode = torch.tensor([[True, False, True, True]])
    rows = rows_at(geometry(near, c3, off, meters("PZ")), electrode)[0].tolist()
    assert rows == [*rows_of(["C3"]), -1, -1, *rows_of(["Pz"])]
    assert (rows_at(torch.full((1, 4, 6), torch.nan), everywhere(4)) == -1).all()
