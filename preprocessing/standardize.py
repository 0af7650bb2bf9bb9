"""One recording → what the contract says: the same code for an archive, a new file and a stream.

The steps work on the whole recording (see `steps`), then it is cut into windows, and each window
is scaled by itself. Windows follow each other with the contract's stride in every continuous
stretch; the tail is kept as a last window that ends with the stretch and overlaps the one before
(BrainOmni's code drops it, and even the last full window where it ends with the recording).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, singledispatch
from math import floor
from typing import Any, overload

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from neurofm.data.contract import Contract, InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import Sensors
from neurofm.data.t1_contract import T1Contract
from neurofm.data.volume import Volume

from . import segments, steps
from .segments import LeftOut
from .standardize_fmri import StandardizedScan, standardize_fmri
from .standardize_t1 import StandardizedVolume, standardize_t1
from .steps import band
from .steps.band import Lacking
from .steps.refusal import ContractError

__all__ = ["ContractError", "Standardized", "by_kind", "standardize"]


@dataclass(frozen=True, eq=False)
class Standardized:
    """A recording that meets its contract."""

    # at contract.sfreq: filtered, referenced, not yet scaled
    signal: Float32[np.ndarray, "channel time"]
    sensors: Sensors
    contract: InputContract
    start: Int64[np.ndarray, " window"]  # first sample of each window
    # which of the given onsets each window belongs to (its own number where none were given)
    onset: Int64[np.ndarray, " window"]
    source: str = ""
    quality: dict = field(default_factory=dict)  # see `quality`
    # what steps need to know of the whole recording to do a window (`steps.statistics`)
    statistics: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Each window scaled, float32 [channel, time]: one in memory at a time."""
        for start in self.start:
            yield self._window(int(start))

    @property
    def sfreq(self) -> float:
        """Of the windows, Hz."""
        return self.contract.sfreq

    @property
    def stop_s(self) -> Float64[np.ndarray, " window"]:
        """End of each window in seconds."""
        return self.start_s + self.contract.window_s

    def stored(self) -> Iterator[np.ndarray]:
        """Each window as a corpus keeps it: scaled."""
        return iter(self)

    def _window(self, start: int) -> np.ndarray:
        part = self.signal[:, start:start + self.contract.window_samples]
        return steps.cut(part, self.sensors, self.contract, self.statistics)

    @property
    def whole(self) -> Float32[np.ndarray, "channel time"]:
        """The recording as one window, scaled."""
        return steps.cut(self.signal, self.sensors, self.contract, self.statistics)

    @cached_property
    def windows(self) -> Float32[np.ndarray, "window channel time"]:
        """All windows, scaled."""
        return np.stack(list(self))

    @property
    def start_s(self) -> Float64[np.ndarray, " window"]:
        """Start of each window in seconds from the recording's first sample."""
        return self.start / self.contract.sfreq


Onsets = Float[np.ndarray, " onset"]
Done = Standardized | StandardizedScan  # a StandardizedVolume has all that both have
_TOLERANCE_S = 1e-6  # of sums of times


@overload
def standardize(recording: Recording, contract: InputContract, *, onsets_s: Onsets | None = None,
                lacking: Lacking = "refuse") -> Standardized: ...
@overload
def standardize(recording: Recording, contract: FMRIContract, *, onsets_s: Onsets | None = None,
                lacking: Lacking = "refuse") -> StandardizedScan: ...
@overload
def standardize(recording: Recording, contract: T1Contract, *, onsets_s: Onsets | None = None,
                lacking: Lacking = "refuse") -> StandardizedVolume: ...
@overload
def standardize(recording: Recording, contract: Contract, *, onsets_s: Onsets | None = None,
                lacking: Lacking = "refuse") -> Any: ...


def standardize(recording: Recording, contract: Contract, *, onsets_s: Onsets | None = None,
                lacking: Lacking = "refuse") -> Any:
    """Apply `contract` to `recording`; for fMRI see `standardize_fmri`, for images
    of heads `standardize_t1`.

    Parameters
    ----------
    recording
        A Recording, or an `mne.io.Raw` or `mne.Epochs`.
    contract
        Contract of EEG and MEG, of fMRI, or of T1-weighted images.
    onsets_s
        Starts of windows, s, `[onset]`; None = contiguous windows. Those that do not fit into a
        continuous stretch are left out, and counted in quality["windows_left_out"].
    lacking
        A recording that does not hold the end of the contract's band, by its sampling rate or a
        low-pass: "refuse" it, or "accept" it upsampled, without that part. Its quality tells.

    Returns
    -------
    Standardized, StandardizedScan or StandardizedVolume
        Windows of the contract, and their quality.

    Raises
    ------
    ContractError
        A ValueError that names the file, what was wanted, what came, and what to do.
    """
    if not isinstance(recording, Recording):
        from .readers import from_raw

        recording = from_raw(recording)
    if isinstance(recording, Volume) and not isinstance(contract, T1Contract):
        raise ContractError(recording.source, f"a recording of {contract.name}",
                            "this is a T1-weighted image", "give --modality t1 to ingest it")
    if isinstance(contract, InputContract):  # before the work: header and rate tell
        band.check(recording.source, band.noted(recording, contract), contract, lacking)
    return by_kind(contract, recording, onsets_s)


@singledispatch
def by_kind(contract: Contract, recording: Recording, onsets_s) -> Any:
    """The way of each kind of contract; a new kind registers its own."""
    raise NotImplementedError(f"no way to meet a {type(contract).__name__}")


@by_kind.register
def _of_signals(contract: InputContract, recording: Recording, onsets_s) -> Standardized:
    quality: dict = {"windows_left_out": {}, "reading": list(recording.notes),
                     "not_used": dict(recording.left_out),
                     "template_places": recording.n_template_places}
    order = steps.order(contract)
    _check_length(recording, contract)
    for step in order:
        if step.apply:
            recording = step.apply(recording, contract, quality)
    lost: list[LeftOut] = []
    if onsets_s is None:
        lost += segments.without_windows(recording, contract.window_samples)
        start = _contiguous(recording, contract)
        onset = np.arange(len(start))
    else:
        start, onset = _at(recording, contract, np.asarray(onsets_s, dtype=float), lost)
    keep = _usable(recording, contract, start, onset, lost)
    start, onset = start[keep], onset[keep]
    segments.count(quality, lost)
    if len(start) == 0:
        _check_length(recording, contract)
        raise ContractError(
            recording.source, f"at least one good window of {contract.window_s:g} s",
            f"none is left: {quality['windows_left_out'] or 'no onset was given'}",
            "check the marked stretches and the onsets",
        )
    if onsets_s is None:
        onset = np.arange(len(start))
    return Standardized(
        recording.signal, recording.sensors, contract, start, onset, recording.source, quality,
        steps.statistics(lambda: _good(recording), contract), tuple(lost),
    )


@by_kind.register
def _of_scans(contract: FMRIContract, recording: Recording, onsets_s) -> StandardizedScan:
    return standardize_fmri(recording, contract, onsets_s=onsets_s)


@by_kind.register
def _of_volumes(contract: T1Contract, recording: Recording, onsets_s) -> StandardizedVolume:
    return standardize_t1(recording, contract)


def _good(recording: Recording) -> list[np.ndarray]:
    """What is recorded and not marked bad; all that is recorded, where nothing else is left."""
    bad = np.round(segments.bad_stretches(recording) * recording.sfreq).astype(int)
    good = []
    for begin, stop in segments.continuous(recording):
        for first, last in bad:
            if first < stop and last > begin:
                good.append((begin, max(begin, first)))
                begin = min(stop, max(begin, last))
        good.append((begin, stop))
    parts = [recording.signal[:, a:b] for a, b in good if b > a]
    return parts or [recording.signal[:, a:b] for a, b in segments.continuous(recording)]


def _check_length(recording: Recording, contract: InputContract) -> None:
    stretches = segments.continuous(recording)
    longest_s = max((stop - start for start, stop in stretches), default=0) / recording.sfreq
    if floor(longest_s * contract.sfreq + 1e-6) < contract.window_samples:
        pieces = "" if len(stretches) < 2 else f" (the longest of {len(stretches)} stretches)"
        raise ContractError(
            recording.source, f"{contract.window_s:g} s for one window",
            f"the recording lasts {longest_s:.6g} s{pieces}",
            "give a longer recording, or ingest with a shorter contract.window_s",
        )


def _contiguous(recording: Recording, contract: InputContract) -> np.ndarray:
    """First samples of windows that cover every stretch of the standardized recording."""
    starts: list[int] = []
    for begin, stop in segments.continuous(recording):
        last = stop - contract.window_samples
        if last >= begin:
            starts += range(begin, last + 1, contract.stride_samples)
            if starts[-1] != last:
                starts.append(last)
    return np.array(starts, dtype=np.int64)


def _at(
    recording: Recording, contract: InputContract, onsets_s: np.ndarray, lost: list[LeftOut]
) -> tuple[np.ndarray, np.ndarray]:
    start = np.round(onsets_s * contract.sfreq).astype(np.int64)
    fits, begins_s = np.zeros(len(start), dtype=bool), segments.begins_s(recording)
    for begin, stop in segments.continuous(recording):
        # An event at a joint between two samples is of the stretch that begins there.
        at_joint = (start == begin - 1) & (onsets_s >= begins_s.get(begin, np.inf) - _TOLERANCE_S)
        start[at_joint] = begin
        fits |= (start >= begin) & (start + contract.window_samples <= stop)
    beyond = (start < 0) | (start + contract.window_samples > recording.n_times)
    for reason, which in ((segments.BEYOND, beyond), (segments.JOINED, ~fits & ~beyond)):
        lost += _left_out(reason, which, start, np.arange(len(start)), contract)
    return start[fits], np.flatnonzero(fits)


def _usable(
    recording: Recording, contract: InputContract, start: np.ndarray, onset: np.ndarray,
    lost: list[LeftOut],
) -> np.ndarray:
    """bool [window]: not in a stretch marked bad, and every kind of sensor has a signal."""
    n = contract.window_samples
    marked = np.zeros(len(start), dtype=bool)
    for begin_s, end_s in segments.bad_stretches(recording):
        marked |= (start < end_s * contract.sfreq) & (start + n > begin_s * contract.sfreq)
    lost += _left_out("in a stretch marked bad", marked, start, onset, contract)
    kinds = [recording.sensors.kind == kind for kind in np.unique(recording.sensors.kind)]
    spread = np.empty((len(start), len(kinds)))
    for row, begin in enumerate(start.tolist()):
        part = recording.signal[:, begin:begin + n:7]  # every seventh sample tells a dead one
        spread[row] = [part[rows].std() for rows in kinds]
    # A link that holds its last value leaves the filter's ringing, far below any signal.
    dead = ~(spread > 1e-3 * np.median(spread, axis=0)).all(1) if len(start) else marked
    lost += _left_out("without signal", dead & ~marked, start, onset, contract)
    return ~(marked | dead)


def _left_out(reason: str, which: np.ndarray, start: np.ndarray, onset: np.ndarray,
              contract: InputContract) -> list[LeftOut]:
    first_s = start / contract.sfreq
    return [LeftOut("window", float(first_s[k]), float(first_s[k] + contract.window_s), reason,
                    int(onset[k])) for k in np.flatnonzero(which)]
