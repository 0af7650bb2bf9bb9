"""Compute features of recordings with a pretrained model.

    neurofm embed one.edf folder/ --model runs/brainomni --out features/

    features/NAME/features.safetensors   "features": float32 [window, source, frame, dim]
    features/windows.parquet             a row a window: recording, epoch, start_s, stop_s
    features/dropped.tsv                 what was left out, and why
    features/recordings.tsv              a row a recording: its folder, or why it failed

Other formats: `neurofm.downstream.decoder.feature_files`. `neurofm.Features.load("features/")`
reads it back. At a notebook the same is `neurofm.embed(raw, model)`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from neurofm import checkpoints, progress, tsv
from neurofm.checkpoints.contracts import contract_of
from neurofm.limits import Count, Positive, limited
from neurofm.pages import words
from neurofm.preprocessing import archive, quality, readers
from neurofm.preprocessing.readers import ArrayTable, ImageTable
from neurofm.preprocessing.steps.refusal import some
from neurofm.run import FAILED, OK, Command, Job, Made

from .decoder import feature_files
from .decoder.embedding import features_of
from .decoder.feature_array import Features
from .decoder.feature_files import DROPPED
from .decoder.feature_windows import cut
from .decoder.lacking import Lacking


@dataclass
@limited
class EmbedConfig:
    """Compute features of recordings with a pretrained model.

    Parameters
    ----------
    paths
        Files of EEG, MEG or fMRI, or folders, searched recursively.
    model
        Checkpoint folder or repository of a model with features, or of a decoder.
    out
        Folder of the features.
    layer
        Layer that gives the features, such as blocks.3; empty = the one that the model is used by.
        Another name lists the layers there are.
    format
        Format of the features. parquet has a row a window, source and frame. zarr is for
        xarray.open_zarr, and needs the extra "features".
    lacking
        As in `neurofm decode`; a model without a robustness curve does not know the cost.
    montage, unknown_head, rename, unit, arrays, images, max_recording_gb
        As in `neurofm ingest`.
    batch_windows
        Windows per batch, at most.
    """

    paths: list[str] = field(metadata=archive.OF_RECORDINGS)
    model: str
    out: str
    layer: str = ""
    format: Literal["safetensors", "parquet", "zarr"] = "safetensors"
    lacking: Lacking = "known"
    montage: str = "standard_1005"
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    rename: dict[str, str] = field(default_factory=dict)
    unit: Literal["", "V", "mV", "uV", "nV"] = ""
    arrays: ArrayTable = field(default_factory=ArrayTable)
    images: ImageTable = field(default_factory=ImageTable)
    max_recording_gb: Positive = 16.0
    batch_windows: Count = 16

    def __post_init__(self):
        if not self.paths:
            raise ValueError("give files or folders: neurofm embed PATH… --model MODEL --out OUT")


def embed(run: EmbedConfig, job: Job) -> Made:
    """Write the features of each recording; one that fails is listed and stops no other."""
    feature_files.check(run.format)
    model = checkpoints.load(run.model)
    contract_of(model)
    model.check_layer(run.layer)
    found = archive.find(run.paths, arrays=run.arrays, images=run.images)
    if not found.jobs and not found.missing:
        raise ValueError(f"{', '.join(run.paths)}: no recording was found there")
    rows = [{"recording": path, "folder": "", "windows": 0, "remarks": "", "problem": reason}
            for path, reason in found.missing]
    files, windows, dropped = list[str](), list[pd.DataFrame](), list[pd.DataFrame]()
    for each in progress.each(found.jobs, len(found.jobs), "embed"):
        row = {"recording": each.source, "folder": each.id, "windows": 0, "remarks": "",
               "problem": ""}
        try:
            features, remarks = _one(run, model, each)
            (job.out / each.id).mkdir(parents=True, exist_ok=True)
            files += [f"{each.id}/{name}" for name in
                      feature_files.write(features, job.out / each.id, run.format)]
            windows.append(features.rows.assign(recording=each.source, folder=each.id))
            dropped.append(features.dropped.assign(recording=each.source))
            row |= {"windows": len(features), "remarks": "; ".join(remarks)}
            job.say(f"{each.source}: {len(features)} windows")
            for remark in [*remarks, *left_out(features.dropped)]:
                job.say(f"  {remark}")
        except (ValueError, OSError) as error:
            row |= {"folder": "", "problem": " ".join(str(error).split())}
            job.say(f"failed: {each.source}: {getattr(error, 'reason', row['problem'])}")
        rows.append(row)
    failed = [row for row in rows if row["problem"]]
    if len(failed) == len(rows):
        raise ValueError(f"no recording could be embedded: {failed[0]['problem']}")
    dropped.append(pd.DataFrame([(row["recording"], "recording", "", np.nan, np.nan,
                                  row["problem"]) for row in failed], columns=[*DROPPED]))
    tsv.write(pd.DataFrame(rows), job.out / "recordings.tsv")
    files += [*feature_files.write_tables(job.out, windows, dropped), "recordings.tsv"]
    return Made(files, status=FAILED if failed else OK, said=[
        f"{len(rows) - len(failed)} recordings embedded, {len(failed)} failed; table: "
        f"{job.out / 'recordings.tsv'}"])


def _one(run: EmbedConfig, model, job: archive.Job) -> tuple[Features, list[str]]:
    """Features of one recording, and remarks."""
    path = Path(job.path)
    # In one expression, so that the signal of the file is not held while features are computed.
    found = cut(readers.read(path, montage=run.montage, unknown_head=run.unknown_head,
                             rename=run.rename, arrays=run.arrays.of({}, path), images=run.images,
                             unit=run.unit, max_recording_gb=run.max_recording_gb),
                model, run.model, run.lacking)
    return (features_of(found, model, run.batch_windows, run.layer),
            [*quality.remarks(found.windows.quality, places=True), *found.said])


def left_out(dropped: pd.DataFrame) -> list[str]:
    """What was left out in a line, by kind: "left out: 2 channels (EOG, ECG), 1 epoch (3)"."""
    kinds = {"stretch": "stretches"}
    parts = []
    for what, table in dropped.groupby("what", sort=False):
        names = [name for name in table["name"] if name]
        parts.append(words.count(len(table), str(what), kinds.get(str(what), ""))
                     + (f" ({some(names, 8)})" if names else ""))
    return [f"left out, see dropped.tsv: {', '.join(parts)}"] if parts else []


COMMAND = Command(
    "embed", EmbedConfig, embed, makes="results", models=("model",), positional="paths",
    free=frozenset({"batch_windows"}), until_sealed=frozenset({"max_recording_gb"}), fresh=True,
)
main = COMMAND
