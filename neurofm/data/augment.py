"""Augmentation: windows made worse at random, so that a model learns recordings of any quality.

What is drawn for a window is a pure function of the seeds that come with it (`training.sampler`):
the same for any number of processes, and after a run was resumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from . import worse
from .batch import Batch
from .contract import Contract, InputContract
from .corpus import Corpus
from .sensors import GeometryRule, Sensors

By = Literal["lowpass", "channels", "reference", "noise"]
ALL: tuple[By, ...] = get_args(By)
LOWEST_HZ = 20.0  # of the low-passes that are drawn
_EACH = 0.5  # probability of each change in a window that is changed
_NOISE = (0.05, 0.5)  # standard deviations, over those of channels


def changed(
    signal: np.ndarray, sensors: Sensors, contract: InputContract, by: Sequence[By],
    rng: np.random.Generator,
) -> tuple[np.ndarray, Sensors]:
    """A window made worse.

    Parameters
    ----------
    signal
        A window of a corpus, float32 `[channel, time]`.
    sensors
        Of its channels.
    contract
        Contract of the corpus.
    by
        "lowpass" ends the band at a frequency of 20 Hz or more; "channels" leaves out channels,
        down to 4; "reference" takes the mean of some sensors of each kind for reference;
        "noise" adds white noise. Each is drawn with probability 1/2.
    rng
        Draws.

    Returns
    -------
    tuple[ndarray, Sensors]
        The window, scaled as the contract says, and the sensors that are left.
    """
    draws = {name: rng.random() < _EACH and name in by for name in ALL}
    if not any(draws.values()):
        return signal, sensors
    edge_hz = contract.lowpass_hz or contract.sfreq / 2
    if draws["channels"] and len(sensors) > worse.LEAST_CHANNELS:
        n = np.exp(rng.uniform(np.log(worse.LEAST_CHANNELS), np.log(len(sensors))))
        rows = worse.fewer(sensors.kind, round(n), rng)
        signal, sensors = signal[rows], sensors[rows]
    before = signal
    if draws["lowpass"] and edge_hz > LOWEST_HZ:
        low_hz = float(np.exp(rng.uniform(np.log(LOWEST_HZ), np.log(edge_hz))))
        signal = worse.lowpassed(signal, contract.sfreq, low_hz)
    if draws["noise"]:
        signal = worse.noisy(signal, float(rng.uniform(*_NOISE)), rng)
    if not draws["reference"]:
        return worse.restored(signal, sensors, contract, before), sensors
    signal = worse.restored(signal, sensors, contract, before)
    some = rng.permutation(len(sensors))[: int(rng.integers(2, len(sensors) + 1))]
    signal = worse.rereferenced(signal, sensors, some)
    as_recorded = contract.with_(reference="none")
    return worse.restored(signal, sensors, as_recorded, before), sensors


def check(contract: Contract, by: Sequence[str], n_channels: int = 0) -> InputContract:
    """The contract, where its windows can be augmented so.

    Parameters
    ----------
    contract
        Contract of the corpus.
    by
        See `changed`.
    n_channels
        Number of channels that the model is bound to; 0 = any.

    Returns
    -------
    InputContract
        `contract`.

    Raises
    ------
    ValueError
        They cannot.
    """
    if not isinstance(contract, InputContract):
        raise ValueError(f"augmentation is of EEG and MEG, the data hold {contract.modality}: "
                         f"leave it out")
    unknown = sorted(set(by) - set(ALL))
    if unknown or not by:
        raise ValueError(f"augment_by must be some of {', '.join(ALL)}, got {list(by)}")
    if contract.space == "parcels" and (lost := {"channels", "reference"} & set(by)):
        others = [name for name in by if name not in lost]
        raise ValueError(f"augment_by has {' and '.join(sorted(lost))}, but the data hold parcels, "
                         f"of which none is left out and which have no reference: say "
                         f"--augment_by={others}".replace("'", ""))
    if "channels" in by and n_channels:
        others = [name for name in by if name != "channels"]
        raise ValueError(f"augment_by has channels, but this model is bound to its channels: say "
                         f"--augment_by={others}".replace("'", ""))
    return contract


@dataclass(frozen=True)
class Augmented:
    """A corpus of which a share of the windows is made worse at every step.

    Parameters
    ----------
    corpus
        The corpus.
    share
        Share of windows that are changed, 0 to 1.
    by
        See `changed`.
    """

    corpus: Corpus
    share: float
    by: tuple[By, ...] = ALL

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """Number of channels of each window in the corpus.

        Parameters
        ----------
        windows
            Indices of windows, `[window]`.

        Returns
        -------
        ndarray
            `[window]`.
        """
        return self.corpus.widths(windows)

    def batch(
        self, windows: np.ndarray, seeds: np.ndarray | None = None, target=None,
        geometry: GeometryRule | None = None,
    ) -> Batch:
        """The windows side by side, some of them changed.

        Parameters
        ----------
        windows, target, geometry
            As in `Corpus.batch`.
        seeds
            Seed of each window, by which it is changed; None = no window is.

        Returns
        -------
        Batch
            Channels are padded to the widest window.
        """
        contract = self.corpus.contract
        assert isinstance(contract, InputContract), "see check"
        of = {} if seeds is None else dict(enumerate(seeds.tolist()))

        def change(place: int, signal: np.ndarray, sensors: Sensors):
            rng = np.random.default_rng([of[place], 2])
            return (changed(signal, sensors, contract, self.by, rng)
                    if rng.random() < self.share else (signal, sensors))

        return self.corpus.batch(windows, seeds, target, geometry, change if of else None)
