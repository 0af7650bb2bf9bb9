"""What a worker does with one recording: read, standardize, cut, write its shard and its record."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from neurofm.data import corpus
from neurofm.data.contract import Contract, InputContract

from . import labels, quality, readers, records
from .archive import Job
from .labels import LabelRule
from .readers import ReadError, ReadOptions
from .standardize import ContractError, standardize

# What a worker needs, imported once and then shared by all (Linux and macOS; elsewhere each imports
# for itself). MNE and SciPy load these only when first used, which would cost each two seconds.
PRELOAD = (
    "neurofm.preprocessing.one_recording", "neurofm.preprocessing.readers.mne_raw", "mne",
    "mne.io.base",
    "mne.io.fiff.raw", "mne.io.edf.edf", "mne.io.brainvision", "mne.io.eeglab", "mne.io.kit",
    "mne.io.ctf", "mne.io.bti", "mne.io.egi", "mne.io.cnt", "mne.io.nihon", "mne.io.curry",
    "mne.io.snirf", "mne.io.persyst", "mne.io.nirx", "mne.io.mef", "mne.filter", "mne.evoked",
    "mne.epochs", "mne.channels.montage", "mne.time_frequency", "scipy.signal", "filelock",
    "mne_bids.read", "pyarrow.pandas_compat",
)


@dataclass(frozen=True)
class Shaping:
    """Everything in an ingest's configuration that shapes windows: one corpus has one of them."""

    contract: Contract = field(default_factory=InputContract)
    reading: ReadOptions = field(default_factory=ReadOptions)
    label: LabelRule = field(default_factory=LabelRule)

    def to_dict(self) -> dict:
        """For comparison with what an existing corpus was made with."""
        contract = self.contract.with_(corpus="").to_dict()
        return {"contract": contract, "label": asdict(self.label), **asdict(self.reading)}


def ingest_one(job: Job, out: str, shaping: Shaping) -> str | None:
    """Do one job; returns None, or the reason why the recording cannot be in the corpus."""
    try:
        _ingest(job, Path(out), shaping)
    except (ReadError, ContractError) as error:
        return error.reason
    except ValueError as error:
        return f"{error} (at {_place(error)})"
    except MemoryError:
        return "memory ran out: run again with fewer workers"
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # ours to mend, but it must not stop the other recordings
        return f"unexpected {type(error).__name__}: {error} (at {_place(error)})"
    return None


def _ingest(job: Job, out: Path, shaping: Shaping) -> None:
    recording = _read(job, shaping)
    onsets_s, names = labels.onsets(recording, shaping.label)
    done = standardize(recording, shaping.contract, onsets_s=onsets_s)
    if names:
        window_labels = [names[i] for i in done.onset]
    else:
        window_labels = [labels.of_recording(recording, shaping.label, job.label)] * len(done)
    digest = corpus.write_shard(out, job.id, done.stored())
    row = {
        "recording": job.id, **job.identity(), "layout": done.sensors.fingerprint,
        "n_channels": len(done.sensors), "n_windows": len(done),
        "duration_s": round(recording.duration_s, 6), "sfreq_original": recording.sfreq,
        "bads": ",".join(done.quality["bads"]), "quality": quality.to_text(done.quality),
        "attributes": recording.attributes, "source": job.source, "sha256": digest,
    }
    records.write(out, job, row, done.sensors, np.round(done.start_s, 6).tolist(), window_labels)


def _read(job: Job, shaping: Shaping):
    """The recording as the archive knows it: what the job says goes before what the file says."""
    options = shaping.reading
    recording = readers.read(job.path, montage=options.montage, unknown_head=options.unknown_head,
                             rename=options.rename, metadata=options.metadata,
                             arrays=options.arrays.of(job.attributes, job.path),
                             images=options.images)
    attributes = {**recording.attributes, **job.attributes}
    return recording.with_(**job.identity(), source=job.source, attributes=attributes)


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
