"""Channels that all scans have, by name: what methods read that know no places.

Linear weights and convolutions are of channels in an order; ours reads where channels lie instead
and takes all that a scan has.
"""

import re
from dataclasses import dataclass, replace

import numpy as np
import torch

from neurofm.data.pair_batch import PairBatch
from neurofm.data.pairs import Pairs
from neurofm.data.scans import Scans
from neurofm.data.sensors import common_names

LEAST_CHANNELS = 4
_POSTERIOR = re.compile(r"^(O|PO)\d*[zh]?\d*$", re.IGNORECASE)  # names of the 10-05 system
_BEHIND_M = -0.06  # along the axis to the nose, from between the ears


def common(pairs: Pairs, scans: np.ndarray) -> list[str]:
    """Names of the channels that all of these scans have, in the order of the first.

    Raises ValueError where there are fewer than `LEAST_CHANNELS`.
    """
    layouts = [pairs.layout(scan) for scan in scans.tolist()]
    found = common_names(layouts)
    if len(found) < LEAST_CHANNELS:
        few = min(range(len(layouts)), key=lambda k: len(layouts[k]))
        odd = pairs.recordings["recording"].iat[int(scans[few])]
        raise ValueError(
            f"{pairs.folder}: methods that know channels by name wanted at least {LEAST_CHANNELS} "
            f"that all {len(scans)} scans have, got {len(found)} ({', '.join(found) or 'none'}; "
            f"{odd} has {', '.join(layouts[few].names[:6])}{', …' * (len(layouts[few]) > 6)}): "
            f"give scans of one montage, rename channels as you pair (--rename), or judge ours "
            f"alone (--methods '[ours]'), which reads where channels lie"
        )
    return found


def posterior(pairs: Pairs, scan: int, names: list[str]) -> list[str]:
    """Those over the back of the head: by name (O…, PO…), else by place, else all."""
    by_name = [name for name in names if _POSTERIOR.match(name)]
    layout = pairs.layout(scan)
    by_place = [name for name in names
                if layout.position[layout.names.index(name)][1] < _BEHIND_M]
    return by_name or by_place or list(names)


@dataclass
class CommonScans(Scans):
    """Scans whose batches hold the channels of these names alone, in this order."""

    names: tuple[str, ...] = ()

    def widths(self, scans: np.ndarray) -> np.ndarray:
        """All alike."""
        return np.full(len(scans), len(self.names))

    def batch(
        self, scans: np.ndarray, seeds: np.ndarray | None = None, target=None
    ) -> PairBatch:
        whole = super().batch(scans, seeds, target)
        at = torch.from_numpy(np.stack([self.pairs.layout(scan).rows(self.names)
                                        for scan in scans.tolist()]))
        which = torch.arange(len(at))[:, None]
        return replace(whole, signal=whole.signal[which, at], geometry=whole.geometry[which, at],
                       kind=whole.kind[which, at], valid=whole.valid[which, at])
