"""One scan: EEG and its fMRI are read, put on one clock, the EEG standardized, both written."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from neurofm import artifacts
from neurofm.data import pairs
from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import Sensors

from .. import memory, quality, readers, segments
from ..archive import Job
from ..readers import ReadError, ReadOptions
from ..standardize import ContractError, standardize
from . import alignment, gradient_residue, partner
from .alignment import Alignment
from .records import Done


@dataclass(frozen=True)
class Pairing:
    """Everything in a run's configuration that shapes scans; see `pair.PairConfig`."""

    contract: InputContract
    bold: FMRIContract
    partner: dict[str, str]
    trigger: str
    delay_s: float | None
    t_r: str
    drop: tuple[str, ...]
    rois: str
    reading: ReadOptions = field(default_factory=ReadOptions)

    def to_dict(self) -> dict:
        """For comparison with what a folder was made with: of tables and atlases the contents."""
        fields = {**asdict(self), "contract": self.contract.to_dict(), "bold": self.bold.to_dict()}
        images = self.reading.images
        hashes = {name: artifacts.sha256(name) for name in (self.rois, images.atlas, images.mask)
                  if name and Path(name).is_file()}
        return {**fields, "hashes": hashes}


def pair_one(job: Job, fmri: Path, out: Path, how: Pairing, known: tuple[Sensors, str] | None
             ) -> Done:
    """Do one scan. fmri: its other half. known: the regions of the other scans, and which has them.

    Raises ReadError, ContractError (ValueErrors with a `reason`).
    """
    bold = partner.read(fmri, how.reading, how.t_r, how.rois)
    if known:
        partner.check_same(bold.rois, known[0], str(fmri), known[1])
    recording = read(job, how)
    at = _aligned(recording, bold, how)
    _check_band(how.bold, at.t_r, job.source)
    volumes = bold.signal[:, at.kept]
    if not np.isfinite(volumes).any():
        raise ReadError(fmri, "wanted volumes that were measured, got none with a number")
    bad_s = segments.blanks(recording)
    duration_s, sfreq = recording.duration_s, recording.sfreq
    done = standardize(recording, how.contract)
    signal = done.whole
    residue = gradient_residue.measure(
        done.signal, how.contract.sfreq, at.t_r, at.first_volume_s,
        at.first_volume_s + volumes.shape[1] * at.t_r, how.contract.lowpass_hz,
    )
    found = {**done.quality, "bad_s": bad_s.tolist(), "notes": [*bold.notes, *at.notes],
             "gradient": asdict(residue) if residue else None}
    digests = pairs.write_scan(out, job.id, signal, volumes)
    row = {
        "recording": job.id, **job.identity(), "layout": done.sensors.fingerprint,
        "n_channels": len(done.sensors), "n_times": signal.shape[1],
        "duration_s": round(duration_s, 6), "sfreq_original": sfreq, "t_r": at.t_r,
        "n_volumes": volumes.shape[1], "first_volume_s": at.first_volume_s,
        "gradient_residue": residue.median_db if residue else float("nan"),
        "quality": quality.to_text(found), "attributes": recording.attributes,
        "source": job.source, "bold_source": _shown(fmri, job),
        "sha256_eeg": digests[0], "sha256_bold": digests[1],
    }
    return Done(row, done.sensors.to_dict(), bold.rois.to_dict())


def read(job: Job, how: Pairing) -> Recording:
    """The EEG as the archive knows it, without the channels to be dropped."""
    options = how.reading
    recording = readers.read(job.path, montage=options.montage, rename=options.rename)
    unwanted = {name.casefold() for name in how.drop}
    kept = np.flatnonzero([name.casefold() not in unwanted for name in recording.sensors.names])
    if len(kept) == 0:
        raise ReadError(job.path, "drop leaves no channel: name fewer")
    if len(kept) < recording.n_channels:
        recording = memory.pick(recording, kept)
    attributes = {**recording.attributes, **job.attributes}
    return recording.with_(**job.identity(), source=job.source, attributes=attributes)


def _aligned(recording: Recording, bold: partner.Bold, how: Pairing) -> Alignment:
    n, duration_s, source = bold.signal.shape[1], recording.duration_s, recording.source
    if how.delay_s is None:
        onset_s = alignment.triggers(recording.events, how.trigger, source)
        return alignment.by_triggers(onset_s, n, bold.t_r, duration_s, source)
    if bold.t_r is None:
        raise ContractError(source, "the repetition time, which delay_s needs",
                            "no .json beside its fMRI says RepetitionTime",
                            "give t_r in seconds, or write that file")
    return alignment.by_delay(how.delay_s, n, bold.t_r, duration_s, source)


def _check_band(bold: FMRIContract, t_r: float, source: str) -> None:
    if bold.lowpass_hz is not None and bold.lowpass_hz >= 0.5 / t_r:
        raise ContractError(source, f"regions in the band up to {bold.lowpass_hz:g} Hz",
                            f"a repetition time of {t_r:g} s holds nothing above "
                            f"{0.5 / t_r:.3g} Hz", "lower bold.lowpass_hz")


def _shown(fmri: Path, job: Job) -> str:
    """The path as tables call it: from the given folder on."""
    return str(fmri).removeprefix(job.path.removesuffix(job.source))
