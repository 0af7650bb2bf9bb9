"""Windows of EEG that end with a volume of fMRI, one a volume: as NeuroBOLT was published."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from .batch import Batch, collate
from .scans import Scans


@dataclass
class VolumeWindows(Scans):
    """Windows of EEG with the volume at their end, to train on (`WindowSource`).

    Parameters
    ----------
    pairs, parts
        As of `Scans`; targets are its cleaned regions.
    n_times
        Samples of a window, the last one just before the trigger of the volume. Volumes before
        which there is less EEG, or mostly bad EEG, and those in which nothing was measured, have
        no window.
    """

    n_times: int = 0

    @cached_property
    def index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(scan, volume, first sample) of each window."""
        rows = []
        pairs, sfreq = self.pairs, self.contract.sfreq
        for scan in range(len(pairs)):
            stop = np.round(pairs.volume_s(scan) * sfreq).astype(int)
            first = stop - self.n_times
            measured = np.isfinite(self.target(scan)).any(axis=0)
            good = (first >= 0) & (stop <= pairs.eeg(scan).shape[1]) & measured
            rows += [(scan, volume, first[volume]) for volume in np.flatnonzero(good)]
        if not rows:
            raise ValueError(f"{pairs.folder}: no volume has {self.n_times / sfreq:g} s of EEG "
                             f"before it (n_times, at {sfreq:g} Hz); give shorter windows")
        first, second, third = (np.array(column) for column in zip(*rows, strict=True))
        return first, second, third

    @property
    def windows(self) -> pd.DataFrame:
        """A row a window: its recording."""
        return pd.DataFrame({"recording": self.index[0]})

    def select(self, split: str | None = None) -> np.ndarray:
        """Windows of a split."""
        return np.flatnonzero(np.isin(self.index[0], super().select(split)))

    def subjects(self, windows: np.ndarray) -> np.ndarray:
        """Subject of each window."""
        return super().subjects(self.index[0][windows])

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """Number of channels of each window."""
        return super().widths(self.index[0][windows])

    def batch(  # type: ignore[override] # of windows, not of whole scans
        self, windows: np.ndarray, seeds: np.ndarray | None = None, target=None
    ) -> Batch:
        """The windows side by side."""
        rows = [tuple(int(column[w]) for column in self.index) for w in windows.tolist()]
        pairs = self.pairs
        return collate(
            [self.eeg(scan, first, first + self.n_times) for scan, _, first in rows],
            [pairs.layout(scan) for scan, _, _ in rows], self.contract.geometry,
            target=torch.from_numpy(np.stack([self.target(scan)[:, volume]
                                              for scan, volume, _ in rows])),
            seed=seeds, source=[f"{pairs.source(scan)}, volume {volume + 1}"
                                for scan, volume, _ in rows],
            subject=self.subjects(windows).tolist(),
        )
