"""One scan: EEG and its fMRI are read, put on one clock, the EEG standardized, both written."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from neurofm import contents
from neurofm.data import pairs
from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.recording import Recording

from .. import memory, quality, readers, segments
from ..archive import Job
from ..collect import attempt
from ..readers import ArrayTable, ReadError, ReadOptions
from ..standardize import ContractError, standardize
from ..steps.band import Lacking
from . import alignment, gradient_residue, partner, scan_tables
from .alignment import Alignment, AlignRule

NO_EEG = ("EOG1", "EOG2", "EMG1", "EMG2", "EMG3", "ECG")  # of the NeuroBOLT data, called EEG there
TRIGGER = "R149"
REGIONS = ArrayTable(kind="roi", unit="1")
EEG = InputContract(sfreq=200.0, highpass_hz=0.5, lowpass_hz=70.0, kinds=("eeg",),
                    scale="recording_std")
BOLD = FMRIContract(highpass_hz=None, lowpass_hz=0.15)  # as in arXiv 2410.05341


@dataclass(frozen=True)
class Pairing:
    """Everything that shapes scans; see `pair.PairConfig`, whose defaults these are."""

    contract: InputContract = EEG
    bold: FMRIContract = BOLD
    partner: dict[str, str] = field(
        default_factory=lambda: {"/eeg/": "/func/", "_eeg.fif": "_timeseries.tsv"})
    trigger: str = TRIGGER
    align: AlignRule = field(default_factory=AlignRule)
    delay_s: float | None = None
    t_r: str = ""
    drop: tuple[str, ...] = NO_EEG
    rois: str = field(default="", metadata=contents.OF_FILE)
    reading: ReadOptions = field(default_factory=lambda: ReadOptions(arrays=REGIONS))
    lacking: Lacking = "accept"  # which scans there are, not what becomes of one

    def to_dict(self) -> dict:
        """For comparison with what a folder was made with: of tables and atlases the contents."""
        fields = {**asdict(self), "contract": self.contract.to_dict(), "bold": self.bold.to_dict(),
                  "reading": self.reading.shaping()}
        fields.pop("lacking")
        return {**self.defaults(), **fields}

    def defaults(self) -> dict:
        """Of settings that older pairs do not state."""
        return {"align": asdict(AlignRule()), "hashes": contents.by_path(self)}


def pair_one(job: Job, out: str, how: Pairing) -> str | None:
    """Do one scan; returns None, or the reason why it cannot be in the pairs."""
    return attempt(lambda: _pair(job, Path(out), how))


def with_partner(job: Job, how: Pairing) -> Job:
    """The job with what tells that its fMRI has changed; as it is where there is none."""
    try:
        fmri = partner.find(job.path, job.source, how.partner)
    except ReadError:  # `pair_one` will say so
        return job
    files = [file for file in (fmri, partner.sidecar(fmri)) if file.is_file()]
    return replace(job, companions=tuple(
        (file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


def _pair(job: Job, out: Path, how: Pairing) -> None:
    fmri = partner.find(job.path, job.source, how.partner)
    bold = partner.read(fmri, how.reading, how.t_r, how.rois)
    recording = read(job, how)
    at = _aligned(recording, bold, how)
    _check_band(how.bold, at.t_r, job.source)
    volumes = bold.signal[:, at.kept]
    if not np.isfinite(volumes).any():
        raise ReadError(fmri, "wanted volumes that were measured, got none with a number")
    bad_s = segments.blanks(recording)
    duration_s, sfreq = recording.duration_s, recording.sfreq
    done = standardize(recording, how.contract, lacking=how.lacking)
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
    scan_tables.KIND.write(out, job, row=row, layout=done.sensors.to_dict(),
                           rois=bold.rois.to_dict())


def read(job: Job, how: Pairing) -> Recording:
    """The EEG as the archive knows it, without the channels to be dropped."""
    options = how.reading
    recording = readers.read(job.path, montage=options.montage, rename=options.rename,
                             max_recording_gb=options.max_recording_gb)
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
        return alignment.by_triggers(onset_s, n, bold.t_r, duration_s, source, how.align,
                                     bold.discarded)
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
