"""MNE Epochs, or an array with its `mne.Info`, → batches as models take them, a window an epoch.

Every epoch is standardized by itself, so what becomes of it depends on no other one: predictions of
a part are the part of the predictions. That is also why no channel is judged by its spectrum here,
for which an epoch is too short: channels in `info["bads"]`, flat and absurd ones are interpolated.

An epoch is cut already, so it can be filtered only as far as its length allows: its ends are
continued by reflection, and a high-pass below 1 / length removes its end-to-end line alone (see
`preprocessing/steps/resample.py`). Filtering the continuous recording before cutting is better.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurofm.data.batch import Batch, collate
from neurofm.data.contract import Contract, InputContract
from neurofm.data.recording import Events, Recording
from neurofm.data.sensors import GeometryRule, Sensors
from neurofm.preprocessing import readers
from neurofm.preprocessing.standardize import ContractError, standardize
from neurofm.preprocessing.steps import band

from ..decoder.lacking import TrainedBand, trained_band

_log = logging.getLogger("neurofm.downstream")


def is_mne(x: Any) -> bool:
    """Epochs, or a list of them: that is what scikit-learn makes of Epochs when it takes some."""
    import mne

    if isinstance(x, list | tuple):
        return len(x) > 0 and all(is_mne(part) for part in x)
    return isinstance(x, mne.BaseEpochs)


def are_recordings(x: Any) -> bool:
    """A list of Recordings, such as scans."""
    return (isinstance(x, list | tuple) and len(x) > 0
            and all(isinstance(part, Recording) for part in x))


def of_mne(epochs: Any) -> list[Recording]:
    """A Recording an epoch, in order; neighbors of one layout are converted together."""
    import mne

    parts = [part if part.preload else part.copy().load_data()
             for part in (epochs if isinstance(epochs, list | tuple) else [epochs])]
    if sum(map(len, parts)) == 0:
        raise ValueError("wanted epochs, got none (0 epochs); see epochs.drop_log for why")
    found: list[Recording] = []
    first = 0
    while first < len(parts):
        info, last = parts[first].info, first + 1
        while last < len(parts) and _alike(parts[last].info, info):
            last += 1
        together = [part.get_data(copy=False, verbose="ERROR") for part in parts[first:last]]
        if last > first + 1 and len({part.shape[2] for part in together}) == 1:
            array = np.concatenate(together)
            joint = mne.EpochsArray(array, info, baseline=None, proj=False, verbose="ERROR")
            found += _apart(readers.from_raw(joint, source="epochs"), len(joint))
        else:
            for part in parts[first:last]:
                found += _apart(readers.from_raw(part, source="epochs"), len(part))
        first = last
    return found


def of_array(x: np.ndarray, info: Any) -> list[Recording]:
    """A Recording an epoch of x [epoch, channel, time], in SI units (volts, tesla)."""
    import mne

    epochs = mne.EpochsArray(x, info, baseline=None, proj=False, verbose="ERROR")
    return _apart(readers.from_raw(epochs, source="epochs"), len(epochs))


def check_array(x: Any, info: Any) -> None:
    """Raise ValueError unless x is [epoch, channel, time] with the channels of `info`."""
    import mne

    no_array = isinstance(x, mne.io.BaseRaw | mne.Evoked)
    shape: tuple[int, ...] = () if no_array else np.shape(x)
    if len(shape) != 3:
        came = f"one of shape {shape}" if shape else f"a {type(x).__name__}"
        raise ValueError(f"wanted mne.Epochs or an array [epoch, channel, time] in volts (tesla), "
                         f"got {came}; cut epochs first (mne.Epochs), and give a single one as "
                         f"x[None]")
    if info is None:
        raise ValueError("an array does not say where its channels lie: give info=epochs.info when "
                         "you make the estimator, or mne.Epochs instead of the array")
    if not isinstance(info, mne.Info):
        raise ValueError(f"wanted an mne.Info as info, got a {type(info).__name__}; take "
                         f"epochs.info, or make one: mne.create_info(names, sfreq, 'eeg')")
    if shape[1] != len(info.ch_names):
        raise ValueError(f"wanted arrays with the {len(info.ch_names)} channels of info, got "
                         f"{shape[1]} (shape {shape}, [epoch, channel, time]); pick the same "
                         f"channels in both: epochs.pick(…), then epochs.get_data(), epochs.info")


def contract_for(recordings: Sequence[Recording], contract: Contract) -> Contract:
    """The contract with the epochs' length as its window, and the kinds of sensor they have; of
    scans, which may have unlike lengths, with whole scans as windows."""
    return contract.of_cut([each.duration_s for each in recordings],
                           {kind for each in recordings for kind in each.sensors.kinds})


def band_of(
    recordings: Sequence[Recording], contract: Contract, lacking: band.Lacking
) -> TrainedBand:
    """Where the bands of these epochs end. Raises ContractError where that is asked, else warns."""
    if not isinstance(contract, InputContract):
        return trained_band([])
    keys = [(each.sfreq, each.band_hz) for each in recordings]
    ends_hz = {}
    for key, recording in dict(zip(keys, recordings, strict=True)).items():
        quality = band.noted(recording, contract)
        band.check("epochs", quality, contract, lacking)
        ends_hz[key] = band.end_hz(quality, contract)
        if ends_hz[key] is not None:
            _log.warning("epochs: %s", band.remarks(quality)[-1])
    return trained_band([ends_hz[key] for key in keys])


@dataclass(frozen=True, eq=False)
class Windows:
    """Standardized epochs (or scans), a window each."""

    signals: list[np.ndarray]  # each [channel, time]
    sensors: list[Sensors]  # of each window
    geometry: GeometryRule  # rule by which the model reads the sensors' places
    t_r: np.ndarray | None = None  # repetition time of each scan, seconds; None = EEG or MEG

    def __len__(self) -> int:
        return len(self.signals)

    def batch(self, rows: Iterable[int]) -> Batch:
        """Windows side by side."""
        rows = list(rows)
        return collate([self.signals[k] for k in rows], [self.sensors[k] for k in rows],
                       self.geometry, t_r=None if self.t_r is None else self.t_r[rows])


def standardized(recordings: Sequence[Recording], contract: Contract, first: int = 0) -> Windows:
    """Epochs as the contract wants them. first: number of the first one, for messages."""
    made = [_window(first + k, recording, contract.of_pieces)
            for k, recording in enumerate(recordings)]
    t_r = contract.t_r([each.sfreq for each in recordings])
    return Windows([signal for signal, _ in made], [layout for _, layout in made],
                   contract.geometry, t_r)


def batches(
    recordings: Sequence[Recording], contract: Contract, batch_windows: int
) -> Iterator[Batch]:
    """Standardized epochs in their order, `batch_windows` at a time."""
    for start in range(0, len(recordings), batch_windows):
        part = standardized(recordings[start : start + batch_windows], contract, start)
        yield part.batch(range(len(part)))


def _window(number: int, recording: Recording, contract: Contract
            ) -> tuple[np.ndarray, Sensors]:
    """(signal [channel, time], sensors) of an epoch; contract.window_s is the epoch's length."""
    try:
        # What they lack was judged before, by `band_of`.
        made = standardize(recording.with_(source=f"epoch {number}"), contract, lacking="accept")
    except ContractError as problem:
        raise ValueError(
            f"{problem} (MNE: info.set_montage('standard_1005') gives positions, "
            f"info['bads'] names bad channels, epochs.drop([{number}]) leaves this epoch out)"
        ) from problem
    if len(made) != 1:
        raise ValueError(f"scan {number}: too little of it was measured for a window (see the "
                         f"model's contract, min_measured): leave it out")
    return next(iter(made)), made.sensors


def _apart(recording: Recording, n_epochs: int) -> list[Recording]:
    """A recording of epochs end to end, as one Recording each."""
    parts = np.split(recording.signal, n_epochs, axis=1)
    return [recording.with_(signal=part, events=Events.none()) for part in parts]


def _alike(a: Any, b: Any) -> bool:
    """Whether two infos describe the same channels at the same places, and one band."""
    same = ("ch_names", "sfreq", "bads", "dev_head_t", "highpass", "lowpass")
    return (all(a[name] == b[name] for name in same)
            and all(np.array_equal(x["loc"], y["loc"], equal_nan=True) and x["kind"] == y["kind"]
                    for x, y in zip(a["chs"], b["chs"], strict=True)))
