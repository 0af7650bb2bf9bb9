"""Scans: whole scans of EEG and fMRI, side by side, as models of sequences take them."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float32

from .bad_eeg import bad_samples, blind
from .batch import collate
from .bold import cleaned
from .pair_batch import PairBatch
from .pairs import Pairs

MEASURED_S = 0.5  # share of the repetition time after its trigger at which a volume is measured


@dataclass
class Scans:
    """Scans to train on (`neurofm.training.sampler.WindowSource`); a window is a scan.

    Parameters
    ----------
    pairs
        The pairs.
    parts
        Scan → (first, last + 1) volume that counts: targets are cleaned within it, and are NaN
        elsewhere; other scans count whole. Volumes whose EEG is bad never count.
    """

    pairs: Pairs
    parts: dict[int, tuple[int, int]] = field(default_factory=dict)
    _targets: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def contract(self):
        """That of the EEG."""
        return self.pairs.contract

    @property
    def fingerprint(self) -> str:
        return self.pairs.fingerprint

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        """As of pairs."""
        return self.pairs.datasets

    @property
    def recordings(self):
        """A row a scan."""
        return self.pairs.recordings

    @property
    def windows(self):
        """A row a scan, for ledgers."""
        return self.pairs.windows

    def select(self, split: str | None = None) -> np.ndarray:
        """Scans of a split.

        Parameters
        ----------
        split
            train, validation or test; None = all.

        Returns
        -------
        ndarray
            Indices, `[scan]`.
        """
        return self.pairs.select(split)

    def subjects(self, scans: np.ndarray) -> np.ndarray:
        """Subject of each scan.

        Parameters
        ----------
        scans
            Indices of scans, `[scan]`.

        Returns
        -------
        ndarray
            'dataset/subject', `[scan]`.
        """
        return self.pairs.subjects(scans)

    def widths(self, scans: np.ndarray) -> np.ndarray:
        """Number of channels of each scan.

        Parameters
        ----------
        scans
            Indices of scans, `[scan]`.

        Returns
        -------
        ndarray
            `[scan]`.
        """
        return self.pairs.recordings["n_channels"].to_numpy()[scans]

    def volume_s(self, scan: int) -> np.ndarray:
        """Middle of the acquisition of each volume.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        ndarray
            Seconds from the first EEG sample, `[volume]`.
        """
        return self.pairs.volume_s(scan) + MEASURED_S * self.pairs.t_r(scan)

    def bad(self, scan: int) -> Bool[np.ndarray, " time"]:
        """Samples at which the EEG is bad.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        ndarray
            True = bad, `[time]`.
        """
        n_times = self.pairs.eeg(scan).shape[1]
        return bad_samples(self.pairs.bad_s(scan), n_times, self.contract.sfreq)

    def eeg(
        self, scan: int, first: int = 0, last: int | None = None
    ) -> Float32[np.ndarray, "channel time"]:
        """Samples of the EEG.

        Parameters
        ----------
        scan
            Index of the scan.
        first
            First sample.
        last
            Sample after the last one; None = to the end.

        Returns
        -------
        ndarray
            float32 `[channel, time]`, 0 where it is bad.
        """
        signal, bad = self.pairs.eeg(scan)[:, first:last], self.bad(scan)[first:last]
        return np.where(bad, np.float32(0), signal) if bad.any() else signal

    def blind(self, scan: int) -> Bool[np.ndarray, " volume"]:
        """Volumes before which the EEG is mostly bad.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        ndarray
            True = blind, `[volume]`.
        """
        return blind(self.bad(scan), self.contract.sfreq, self.volume_s(scan))

    def target(self, scan: int) -> Float32[np.ndarray, "roi volume"]:
        """Cleaned regions of a scan.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        ndarray
            float32 `[roi, volume]`, NaN where a volume does not count.
        """
        if scan not in self._targets:
            bold = self.pairs.bold(scan)
            first, last = self.parts.get(scan, (0, bold.shape[1]))
            target = np.full(bold.shape, np.nan, dtype=np.float32)
            target[:, first:last] = cleaned(bold[:, first:last], self.pairs.t_r(scan),
                                            self.pairs.bold_contract)
            target[:, self.blind(scan)] = np.nan
            self._targets[scan] = target
        return self._targets[scan]

    def batch(
        self, scans: np.ndarray, seeds: np.ndarray | None = None, target=None
    ) -> PairBatch:
        """The scans side by side.

        Parameters
        ----------
        scans
            Indices of scans, `[scan]`.
        seeds
            Seed of each window, for what a model draws, `[window]`; None = none.
        target
            Target of each window, `[window, ...]`; None = none.

        Returns
        -------
        PairBatch
            Padded in channels, samples and volumes.
        """
        numbers = scans.tolist()
        eeg = [self.eeg(scan) for scan in numbers]
        longest = max(signal.shape[1] for signal in eeg)
        bad = torch.zeros(len(numbers), longest, dtype=torch.bool)
        for row, scan in enumerate(numbers):
            bad[row, : eeg[row].shape[1]] = torch.from_numpy(self.bad(scan))
        padded = [np.pad(signal, ((0, 0), (0, longest - signal.shape[1]))) for signal in eeg]
        plain = collate(padded, [self.pairs.layout(scan) for scan in numbers],
                        self.pairs.contract.geometry)
        values = [self.target(scan) for scan in numbers]
        most = max(value.shape[1] for value in values)
        volume_s = torch.full((len(numbers), most), torch.nan)
        targets = torch.full((len(numbers), most, len(self.pairs.rois)), torch.nan)
        for row, (scan, value) in enumerate(zip(numbers, values, strict=True)):
            volume_s[row, : value.shape[1]] = torch.from_numpy(
                self.volume_s(scan)[: value.shape[1]]).float()
            targets[row, : value.shape[1]] = torch.from_numpy(value.T)
        return PairBatch(
            plain.signal, plain.geometry, plain.kind, plain.valid,
            torch.tensor([signal.shape[1] for signal in eeg]), volume_s, targets, bad,
            seed=None if seeds is None else torch.as_tensor(seeds, dtype=torch.int64),
            source=[self.pairs.source(scan) for scan in numbers],
            subject=self.pairs.subjects(scans).tolist(),
        )
