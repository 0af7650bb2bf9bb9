"""Electrodes that LaBraM knows: the rows of its table of channel embeddings, by name and by place.

Source: "LaBraM" (arXiv 2405.18765) for which there are; row 0 is the class token's. Some are pairs
(a difference of two electrodes), which lie nowhere. Places: standard_1005 of MNE in the head frame,
as readers give it to electrodes without measured ones (`tests/nn/test_labram_channels.py` compares
them); T3 to T6 lie where T7, P7, T8 and P8 do, whose rows are taken.
"""

import difflib
from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..data.sensors import HEAD_CENTER_M, HEAD_RADIUS_M

N_ROWS = 129
NEAR_M = 0.015  # from a place, for an electrode to be the one there: neighbors are 22 mm apart

_TABLE = """
    FP1 FPZ FP2 AF9 AF7 AF5 AF3 AF1 AFZ AF2 AF4 AF6 AF8 AF10 F9 F7 F5 F3 F1 FZ F2 F4 F6 F8 F10 FT9
    FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 FT10 T9 T7 C5 C3 C1 CZ C2 C4 C6 T8 T10 TP9 TP7 CP5 CP3 CP1
    CPZ CP2 CP4 CP6 TP8 TP10 P9 P7 P5 P3 P1 PZ P2 P4 P6 P8 P10 PO9 PO7 PO5 PO3 PO1 POZ PO2 PO4 PO6
    PO8 PO10 O1 OZ O2 O9 CB1 CB2 IZ O10 T3 T5 T4 T6 M1 M2 A1 A2 CFC1 CFC2 CFC3 CFC4 CFC5 CFC6 CFC7
    CFC8 CCP1 CCP2 CCP3 CCP4 CCP5 CCP6 CCP7 CCP8 T1 T2 FTT9h TTP7h TPP9h FTT10h TPP8h TPP10h
    FP1-F7 F7-T7 T7-P7 P7-O1 FP2-F8 F8-T8 T8-P8 P8-O2
"""
NAMES = tuple(_TABLE.split())  # row of a name: 1 + its position here

PLACES_MM = {
    "FP1": (-31, 115, 28), "FPZ": (-1, 119, 33), "FP2": (28, 115, 28), "AF9": (-51, 93, -12),
    "AF7": (-56, 99, 25), "AF5": (-47, 104, 41), "AF3": (-35, 109, 56), "AF1": (-20, 113, 68),
    "AFZ": (-1, 114, 70), "AF2": (18, 113, 68), "AF4": (34, 110, 57), "AF6": (45, 105, 41),
    "AF8": (54, 100, 25), "AF10": (49, 92, -12), "F9": (-72, 70, -13), "F7": (-72, 73, 26),
    "F5": (-66, 80, 54), "F3": (-52, 87, 79), "F1": (-29, 91, 97), "FZ": (-1, 93, 103),
    "F2": (28, 92, 96), "F4": (50, 87, 77), "F6": (66, 82, 53), "F8": (71, 75, 25),
    "F10": (70, 70, -13), "FT9": (-86, 43, -12), "FT7": (-82, 45, 28), "FC5": (-79, 51, 63),
    "FC3": (-62, 57, 94), "FC1": (-36, 62, 118), "FCZ": (-1, 63, 127), "FC2": (33, 62, 117),
    "FC4": (61, 58, 94), "FC6": (78, 52, 63), "FT8": (80, 46, 27), "FT10": (82, 42, -12),
    "T9": (-88, 13, -8), "T7": (-86, 15, 31), "C5": (-82, 19, 69), "C3": (-67, 23, 105),
    "C1": (-38, 26, 130), "CZ": (-1, 28, 140), "C2": (36, 26, 128), "C4": (65, 24, 104),
    "C6": (82, 20, 69), "T8": (83, 15, 31), "T10": (84, 12, -8), "TP9": (-88, -18, -3),
    "TP7": (-87, -15, 35), "CP5": (-82, -13, 73), "CP3": (-65, -12, 108), "CP1": (-37, -11, 133),
    "CPZ": (-2, -11, 142), "CP2": (36, -11, 133), "CP4": (65, -12, 108), "CP6": (81, -13, 73),
    "TP8": (84, -15, 35), "TP10": (84, -19, -4), "P9": (-75, -45, 3), "P7": (-74, -42, 41),
    "P5": (-69, -43, 72), "P3": (-55, -44, 100), "P1": (-31, -45, 119), "PZ": (-2, -45, 127),
    "P2": (30, -45, 121), "P4": (54, -44, 101), "P6": (66, -43, 72), "P8": (71, -42, 41),
    "P10": (72, -46, 3), "PO9": (-57, -69, 10), "PO7": (-57, -66, 48), "PO5": (-51, -67, 67),
    "PO3": (-39, -67, 82), "PO1": (-21, -68, 92), "POZ": (-2, -68, 96), "PO2": (18, -68, 92),
    "PO4": (35, -68, 82), "PO6": (48, -67, 67), "PO8": (54, -66, 48), "PO10": (53, -69, 10),
    "O1": (-32, -81, 55), "OZ": (-2, -83, 61), "O2": (28, -80, 55), "IZ": (-2, -89, 23),
    "M1": (-88, -17, -26), "M2": (84, -18, -26), "A1": (-88, 3, -27), "A2": (84, 2, -27),
    "CCP1": (-39, 8, 133), "CCP2": (37, 8, 132), "CCP3": (-68, 6, 107), "CCP4": (67, 6, 108),
    "CCP5": (-83, 3, 72), "CCP6": (83, 3, 72), "FTT9h": (-86, 28, 10), "TTP7h": (-87, 1, 52),
    "TPP9h": (-80, -31, 19), "FTT10h": (82, 27, 10), "TPP8h": (77, -29, 56),
    "TPP10h": (77, -31, 19),
}  # fmt: skip


def rows_of(names: Sequence[str]) -> tuple[int, ...]:
    """Row of each electrode by its name, however it is cased.

    Raises:
        ValueError: a name that is not known, or comes twice.
    """
    known = {name.casefold(): row for row, name in enumerate(NAMES, start=1)}
    for k, name in enumerate(names):
        if name.casefold() not in known:
            near = difflib.get_close_matches(name.upper(), NAMES, n=3, cutoff=0.5)
            hint = f" (like it in spelling: {', '.join(near)})" if near else ""
            raise ValueError(
                f"electrode {name!r} is none of the {len(NAMES)} that LaBraM has an embedding "
                f"for{hint}: call it by the electrode that lies nearest, leave it out of the "
                f"recordings, or give no channels, and electrodes are found by where they lie"
            )
        if name.casefold() in map(str.casefold, names[:k]):
            raise ValueError(f"electrode {name!r} comes twice among the channels: name each once")
    return tuple(known[name.casefold()] for name in names)


def row_of_pair(name: str) -> int | None:
    """Row of a difference of two electrodes by its name ("F7-T7"), −1 where there is none; None of
    an electrode. Midway between the two, where readers place it, another electrode lies."""
    if "-" not in name:
        return None
    return next((row for row, known in enumerate(NAMES, start=1)
                 if known.casefold() == name.casefold()), -1)


def rows_at(
    geometry: Float[Tensor, "batch channel 6"], electrode: Bool[Tensor, "batch channel"]
) -> Int[Tensor, "batch channel"]:
    """Row of each electrode by where it lies (geometry rule "head"); −1 where no known place is
    within `NEAR_M`, where another electrode is nearer to it, or where there is no electrode."""
    rows, places = _places()
    rows, places = rows.to(geometry.device), places.to(geometry.device)
    far = torch.linalg.vector_norm(geometry[..., None, :3].float() - places, dim=-1)
    far = far.nan_to_num(torch.inf).masked_fill(~electrode[..., None], torch.inf)
    distance, place = far.min(dim=-1)
    own = torch.nn.functional.one_hot(place, len(rows)).bool()
    nearest = far.masked_fill(~own, torch.inf).argmin(dim=1)  # electrode that has each place
    number = torch.arange(place.shape[1], device=place.device)
    taken = (distance <= NEAR_M / HEAD_RADIUS_M) & (nearest.gather(1, place) == number)
    return torch.where(taken, rows[place], -1)


@cache
def _places() -> tuple[Int[Tensor, " place"], Float[Tensor, "place 3"]]:
    """Rows that have a place, and these as geometry has them."""
    meters = torch.tensor([*PLACES_MM.values()]) / 1000
    centered = (meters - torch.from_numpy(HEAD_CENTER_M)) / HEAD_RADIUS_M
    return torch.tensor(rows_of([*PLACES_MM])), centered
