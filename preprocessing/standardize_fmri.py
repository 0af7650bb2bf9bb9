"""One scan → what an FMRIContract says: the same code for an archive and for a new scan.

The repetition time is never changed. Volumes that were scrubbed or are missing stay in their places
as NaN: filters do not see them (nilearn's `signal.clean` bridges them), models mask them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import Sensors
from neurofm.pages import words

from . import segments
from .segments import LeftOut
from .steps.refusal import ContractError, some

_FEWEST = 10  # volumes of a scan that can be filtered and scaled


@dataclass(frozen=True, eq=False)
class StandardizedScan:
    """A scan that meets its contract."""

    # NaN where nothing was measured; where the contract scales by training people, not scaled yet
    signal: Float32[np.ndarray, "region volume"]
    sensors: Sensors
    contract: FMRIContract
    sfreq: float  # 1 / repetition time
    start: Int64[np.ndarray, " window"]  # first volume of each window; length: volumes of a window
    length: int
    onset: Int64[np.ndarray, " window"]  # which of the given onsets each belongs to
    source: str = ""
    quality: dict = field(default_factory=dict)  # see `neurofm.preprocessing.quality`
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Each window, float32 [region, volume]."""
        for window in self.stored():
            yield self.contract.read(window, self.sensors.names)

    def stored(self) -> Iterator[np.ndarray]:
        """Each window as a corpus keeps it."""
        for start in self.start.tolist():
            yield self.signal[:, start : start + self.length]

    @property
    def start_s(self) -> Float64[np.ndarray, " window"]:
        """Start of each window in seconds from the scan's first volume."""
        return self.start / self.sfreq

    @property
    def stop_s(self) -> Float64[np.ndarray, " window"]:
        """End of each window in seconds."""
        return (self.start + self.length) / self.sfreq


def standardize_fmri(
    recording: Recording, contract: FMRIContract, *,
    onsets_s: Float[np.ndarray, " onset"] | None = None,
) -> StandardizedScan:
    """Apply `contract` to a scan of regions.

    onsets_s: cut windows that begin at these seconds instead of contiguous ones.
    Raises ContractError (a ValueError) naming the file, what was wanted, what came, what to do.
    """
    _check(recording, contract)
    confounds, kept = _confounds(recording, contract)
    recording, unmeasured = _without_unmeasured(recording)
    measured = _measured(recording, kept)
    quality = _nothing_found(recording, measured)
    recording = _with_signal(recording, measured, quality)
    quality["bads"] |= unmeasured
    if contract.statistics:
        try:
            contract.read(recording.signal[:, :1], recording.sensors.names)
        except ValueError as problem:
            raise ContractError(recording.source, "the regions of the training people",
                                str(problem), "give the atlas that they had") from problem
    signal = np.full(recording.signal.shape, np.nan, dtype=np.float32)
    signal[:, measured] = _clean(recording, contract, measured, confounds)
    signal, divided = contract.stored(signal, measured)
    quality |= divided
    length = (recording.n_times if contract.window_s is None
              else round(contract.window_s * recording.sfreq))
    lost: list[LeftOut] = []
    if onsets_s is None:
        start = _contiguous(recording, contract, length)
        onset = np.arange(len(start))
    else:
        start = np.round(np.asarray(onsets_s, dtype=float) * recording.sfreq).astype(np.int64)
        fits = (start >= 0) & (start + length <= recording.n_times)
        lost += _left_out("reach beyond the scan", start[~fits], np.flatnonzero(~fits), length,
                          recording.sfreq)
        start, onset = start[fits], np.flatnonzero(fits)
    share = np.array([measured[at : at + length].mean() for at in start.tolist()])
    keep = share >= contract.min_measured
    lost += _left_out(f"with less than {contract.min_measured:.0%} of the volumes measured",
                      start[~keep], onset[~keep], length, recording.sfreq)
    segments.count(quality, lost)
    if not keep.any():
        raise ContractError(
            recording.source, "at least one window with enough volumes measured",
            f"none is left: {quality['windows_left_out'] or 'no onset was given'}",
            "lower fmri.min_measured, or leave the scan out",
        )
    onset = onset[keep] if onsets_s is not None else np.arange(int(keep.sum()))
    return StandardizedScan(signal, recording.sensors, contract, recording.sfreq, start[keep],
                            length, onset, recording.source, quality, tuple(lost))


def remarks(quality: dict) -> list[str]:
    """What a person should look at in a scan."""
    if "scrubbed" not in quality:
        return []
    found, small = [], quality.get("too_small", [])
    if outside := [name for name in quality["left_out"] if name not in small]:
        found.append(f"{words.count(len(outside), 'region')} of the atlas outside the image: "
                     f"{some(outside)}; check that both are in the same space")
    if small:
        found.append(f"{words.count(len(small), 'region')} of the atlas between the voxels of the "
                     f"image, left out: {some(small)}")
    by_reason: dict[str, list[str]] = {}
    for name, reason in quality["bads"].items():
        by_reason.setdefault(reason, []).append(name)
    found += [f"{words.count(len(names), 'region')} {reason}, left out: {some(names)}"
              for reason, names in by_reason.items()]
    if lost := quality.get("events_without_onset", []):
        found.append(f"{words.count(len(lost), 'event')} without an onset (n/a), left out: "
                     f"{some(sorted(set(lost)))}")
    if quality["scrubbed"]:
        found.append(f"{words.count(quality['scrubbed'], 'volume')} scrubbed or missing")
    return found


def _check(recording: Recording, contract: FMRIContract) -> None:
    kinds = sorted(set(recording.sensors.kinds))
    t_r = 1 / recording.sfreq
    if kinds != ["roi"]:
        raise ContractError(recording.source, "time series of brain regions (kind roi)",
                            f"this is {', '.join(kinds)}",
                            "ingest EEG and MEG with contract instead of fmri, or say what the "
                            "arrays are: arrays.kind: roi")
    if not recording.sensors.has_position.all():
        lost = some(np.array(recording.sensors.names)[~recording.sensors.has_position])
        raise ContractError(recording.source, "the center of every region", f"none is known of "
                            f"{lost}", "give arrays.channels, a table with columns name, x, y, z")
    if not 0.1 <= t_r <= 20:
        raise ContractError(recording.source, "a repetition time of 0.1 to 20 s",
                            f"it is {t_r:g} s", "correct it: it may be in milliseconds")
    nyquist = recording.sfreq / 2
    if contract.lowpass_hz is not None and contract.lowpass_hz >= nyquist:
        raise ContractError(recording.source, f"the band up to {contract.lowpass_hz:g} Hz",
                            f"a repetition time of {t_r:g} s holds nothing above {nyquist:g} Hz",
                            "lower fmri.lowpass_hz, or leave the scan out")
    length = (recording.n_times if contract.window_s is None
              else round(contract.window_s * recording.sfreq))
    if recording.n_times < _FEWEST or not 2 <= length <= recording.n_times:
        wanted = (f"{_FEWEST} volumes at least" if contract.window_s is None
                  else f"{contract.window_s:g} s for one window ({length} volumes, of two at "
                       f"least)")
        raise ContractError(recording.source, wanted, f"the scan has {recording.n_times} of "
                            f"{t_r:g} s", "give a longer scan, or another fmri.window_s")


def _confounds(
    recording: Recording, contract: FMRIContract
) -> tuple[Float[np.ndarray, "volume confound"] | None, Bool[np.ndarray, " volume"]]:
    """What fMRIPrep found that is no brain activity, and volumes that are not scrubbed by it."""
    kept = np.ones(recording.n_times, dtype=bool)
    if not contract.confounds:
        return None, kept
    from nilearn.interfaces.fmriprep import load_confounds

    wanted = f"what fMRIPrep writes of it ({', '.join(contract.confounds)})"
    if not recording.image:
        raise ContractError(recording.source, wanted, "it is a table of regions, beside which "
                            "nothing is looked for", "leave fmri.confounds empty, or give images")
    scrub = {"fd_threshold": contract.fd_mm} if "scrub" in contract.confounds else {}
    try:
        found, sample_mask = load_confounds(recording.image, strategy=contract.confounds, **scrub)
    except Exception as problem:  # of many kinds: no file, no column, another version
        raise ContractError(recording.source, wanted, f"nilearn says: {problem}",
                            "give fMRIPrep's …desc-preproc_bold with its "
                            "…desc-confounds_timeseries.tsv and .json beside it") from problem
    if len(found) != recording.n_times:
        raise ContractError(recording.source, wanted, f"they are of {len(found)} volumes, the scan "
                            f"has {recording.n_times}", "check which scan they are of")
    if sample_mask is not None:
        kept = np.isin(np.arange(recording.n_times), sample_mask)
    return found.to_numpy(dtype=np.float64), kept


def _without_unmeasured(recording: Recording) -> tuple[Recording, dict[str, str]]:
    """Without regions that have a number in fewer than `_FEWEST` volumes (parcels that XCP-D writes
    as n/a); those, with the reason. Where no region has more, all are kept: the scan is refused."""
    never = np.isfinite(recording.signal).sum(axis=1) < _FEWEST
    if never.all() or not never.any():
        return recording, {}
    names = np.array(recording.sensors.names)[never].tolist()
    return recording.pick(~never), dict.fromkeys(names, "not measured (n/a)")


def _measured(recording: Recording, kept: Bool[np.ndarray, " volume"]
              ) -> Bool[np.ndarray, " volume"]:
    """Volumes of those kept that hold numbers and do not lie in a stretch marked bad."""
    measured = np.isfinite(recording.signal).all(axis=0) & kept
    middle_s = (np.arange(recording.n_times) + 0.5) / recording.sfreq
    for begin_s, end_s in segments.bad_stretches(recording):
        measured &= ~((middle_s > begin_s) & (middle_s < end_s))
    if measured.sum() < _FEWEST:
        raise ContractError(recording.source, f"{_FEWEST} volumes that were measured",
                            f"{measured.sum()} of {recording.n_times} are neither missing nor "
                            f"scrubbed", "leave the scan out")
    return measured


def _with_signal(recording: Recording, measured, quality: dict) -> Recording:
    """Without regions that are the same all through: outside the field of view, mostly."""
    part = recording.signal[:, measured].astype(np.float64)
    flat = part.std(axis=1) <= 1e-9 * np.abs(part).max(axis=1, initial=0.0)
    if flat.all():
        raise ContractError(recording.source, "regions with a signal", "all of them are flat",
                            "check what is in the file")
    quality["bads"] = {name: "flat" for name, bad in zip(recording.sensors.names, flat, strict=True)
                       if bad}
    return recording.pick(~flat)


def _clean(recording: Recording, contract: FMRIContract, measured, confounds
           ) -> Float[np.ndarray, "region measured"]:
    """Detrended, band-passed and without confounds (in one step: Lindquist et al. 2019, Human Brain
    Mapping 40:2358), of the volumes that were measured."""
    if not (contract.detrend or contract.highpass_hz or contract.lowpass_hz
            or confounds is not None):
        return recording.signal[:, measured]
    from nilearn.signal import clean

    signal = np.where(measured, recording.signal, 0.0).astype(np.float64).T
    filtered = bool(contract.highpass_hz or contract.lowpass_hz)
    try:
        return clean(
            signal, detrend=contract.detrend, standardize=None, t_r=1 / recording.sfreq,
            filter="butterworth" if filtered else False, high_pass=contract.highpass_hz,
            low_pass=contract.lowpass_hz, confounds=confounds,
            sample_mask=None if measured.all() else np.flatnonzero(measured),
        ).T
    except ValueError as problem:
        if "padlen" not in str(problem):  # SciPy's word for what a filter needs at both ends
            raise
        raise ContractError(recording.source, "enough volumes to filter", f"the scan has "
                            f"{recording.n_times}", "leave it out, or filter nothing "
                            "(fmri.highpass_hz: null, fmri.lowpass_hz: null)") from problem


def _contiguous(recording: Recording, contract: FMRIContract, length: int) -> np.ndarray:
    if contract.window_s is None:
        return np.zeros(1, dtype=np.int64)
    step = max(1, round((contract.stride_s or contract.window_s) * recording.sfreq))
    last = recording.n_times - length
    start = list(range(0, last + 1, step))
    return np.array(start if start[-1] == last else [*start, last], dtype=np.int64)


def _nothing_found(recording: Recording, measured) -> dict:
    return {"sfreq_original": recording.sfreq, "band_missing_hz": [], "bads": {},
            "without_position": [], "interpolated": [], "nan_share": 0.0,
            "left_out": [*_listed(recording, "regions_outside"),
                         *_listed(recording, "regions_too_small")],
            "too_small": _listed(recording, "regions_too_small"),
            "events_without_onset": _listed(recording, "events_without_onset"),
            "lost_s": 0.0, "amplitude": {}, "line_noise": {}, "line_left_hz": None,
            "highpass_hz": None, "windows_left_out": {},
            "scrubbed": int((~measured).sum())}


def _listed(recording: Recording, attribute: str) -> list[str]:
    """Names that a reader left in an attribute."""
    said = recording.attributes.get(attribute)
    return said.split("\t") if said is not None else []


def _left_out(reason: str, start: np.ndarray, onset: np.ndarray, length: int, sfreq: float
              ) -> list[LeftOut]:
    return [LeftOut("window", at / sfreq, (at + length) / sfreq, reason, number)
            for at, number in zip(start.tolist(), onset.tolist(), strict=True)]
