"""What a worker does with one recording: read, standardize, cut, write its shard and its record."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from neurofm import contents
from neurofm.data import corpus, storage
from neurofm.data.contract import Contract, InputContract
from neurofm.data.storage import Storage

from . import corpus_tables, labels, quality, readers, steps
from .archive import Job
from .collect import attempt
from .labels import LabelRule
from .readers import ReadOptions
from .standardize import standardize
from .steps.band import Lacking


@dataclass(frozen=True)
class Shaping:
    """Everything in an ingest's configuration that shapes windows: one corpus has one of them."""

    contract: Contract = field(default_factory=InputContract)
    reading: ReadOptions = field(default_factory=ReadOptions)
    label: LabelRule = field(default_factory=LabelRule)
    # Decides which recordings there are, not what becomes of one: the same corpus takes, in a
    # later call, what it has refused.
    lacking: Lacking = "accept"
    storage: Storage = "float32"

    def __post_init__(self):
        steps.order(self.contract)  # raises where a step is not installed: before any work
        storage.check(self.storage, self.contract.scale)

    def to_dict(self) -> dict:
        """For comparison with what an existing corpus was made with."""
        contract = self.contract.with_(corpus="").to_dict()
        return {"contract": contract, "label": asdict(self.label), "storage": self.storage,
                **self.reading.shaping(),
                "hashes": contents.by_path(self.reading)}

    def defaults(self) -> dict:
        """Of settings that an older corpus does not state."""
        return {**Shaping(type(self.contract)()).to_dict(),
                "hashes": contents.by_path(self.reading)}


def ingest_one(job: Job, out: str, shaping: Shaping) -> str | None:
    """Do one job; returns None, or the reason why the recording cannot be in the corpus."""
    return attempt(lambda: _ingest(job, Path(out), shaping))


def _ingest(job: Job, out: Path, shaping: Shaping) -> None:
    recording = _read(job, shaping)
    contract = shaping.contract
    cuts = labels.cuts(recording, shaping.label, contract.window_s, contract.stride_s)
    done = standardize(recording, contract, onsets_s=cuts.onsets_s, lacking=shaping.lacking)
    done.quality["signal"] = recording.digest
    if cuts.n_long:
        done.quality["long_events"] = cuts.n_long
    if cuts.n_mixed:
        done.quality["windows_left_out"]["with another label inside"] = cuts.n_mixed
    if cuts.labels:
        window_labels = [cuts.labels[i] for i in done.onset]
    else:
        window_labels = [labels.of_recording(recording, shaping.label, job.label)] * len(done)
    stored: Iterable[np.ndarray] = done.stored()
    if shaping.storage != "float32":
        stored = [*stored]
        done.quality["storage_error"] = storage.error(stored, shaping.storage)
    digest = corpus.write_shard(out, job.id, stored, shaping.storage)
    row = {
        "recording": job.id, **job.identity(), "layout": done.sensors.fingerprint,
        "n_channels": len(done.sensors), "n_windows": len(done),
        "duration_s": round(recording.duration_s, 6), "sfreq_original": recording.sfreq,
        "bads": ",".join(done.quality["bads"]), "quality": quality.to_text(done.quality),
        "attributes": recording.attributes, "source": job.source, "sha256": digest,
    }
    start_s = np.round(done.start_s, 6).tolist()
    corpus_tables.write(out, job, row, done.sensors, start_s, window_labels)


def _read(job: Job, shaping: Shaping):
    """The recording as the archive knows it: what the job says goes before what the file says."""
    options = shaping.reading
    recording = readers.read(job.path, montage=options.montage, unknown_head=options.unknown_head,
                             rename=options.rename, metadata=options.metadata,
                             arrays=options.arrays.of(job.attributes, job.path),
                             images=options.images, unit=options.unit,
                             encoding=options.encoding,
                             max_recording_gb=options.max_recording_gb, volumes=options.volumes)
    attributes = {**recording.attributes, **job.attributes}
    recording = recording.with_(**job.identity(), source=job.source, attributes=attributes)
    return labels.with_sidecar(recording, shaping.label, job.path, options.encoding)
