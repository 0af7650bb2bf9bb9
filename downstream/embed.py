"""Compute features of recordings with a pretrained model.

    neurofm embed one.edf folder/ --model runs/brainomni --out features/

    features/NAME/features.safetensors   "features": float32 [window, source, frame, dim]
    features/NAME/windows.parquet        when each window starts and stops
    features/recordings.tsv              a row a recording: its folder, or why it failed

At a notebook the same is `neurofm.embed(raw, model)`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from safetensors.torch import save_file

from neurofm import checkpoints, progress
from neurofm.checkpoints.contracts import contract_of
from neurofm.preprocessing import archive, quality, readers
from neurofm.preprocessing.readers import ArrayTable, ImageTable
from neurofm.preprocessing.standardize import standardize
from neurofm.run import FAILED, OK, Command, Job, Made

from .decoder.embedding import embed_windows


@dataclass
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
    montage, unknown_head, rename, unit, arrays, images
        As in `neurofm ingest`.
    batch_windows
        Windows per batch.
    """

    paths: list[str] = field(metadata=archive.OF_RECORDINGS)
    model: str
    out: str
    montage: str = "standard_1005"
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    rename: dict[str, str] = field(default_factory=dict)
    unit: Literal["", "V", "mV", "uV", "nV"] = ""
    arrays: ArrayTable = field(default_factory=ArrayTable)
    images: ImageTable = field(default_factory=ImageTable)
    batch_windows: int = 16

    def __post_init__(self):
        if not self.paths:
            raise ValueError("give files or folders: neurofm embed PATH… --model MODEL --out OUT")
        if self.batch_windows < 1:
            raise ValueError(f"batch_windows must be at least 1, got {self.batch_windows}")


def embed(run: EmbedConfig, job: Job) -> Made:
    """Write the features of each recording; one that fails is listed and stops no other."""
    model = checkpoints.load(run.model)
    contract_of(model)
    found = archive.find(run.paths, arrays=run.arrays, images=run.images)
    if not found.jobs and not found.missing:
        raise ValueError(f"{', '.join(run.paths)}: no recording was found there")
    rows = [{"recording": path, "folder": "", "windows": 0, "remarks": "", "problem": reason}
            for path, reason in found.missing]
    files = []
    for each in progress.each(found.jobs, len(found.jobs), "embed"):
        row = {"recording": each.source, "folder": each.id, "windows": 0, "remarks": "",
               "problem": ""}
        try:
            row["windows"], remarks = _one(run, model, each, job.out / each.id)
            row["remarks"] = "; ".join(remarks)
            files += [f"{each.id}/features.safetensors", f"{each.id}/windows.parquet"]
            job.say(f"{each.source}: {row['windows']} windows")
            for remark in remarks:
                job.say(f"  {remark}")
        except (ValueError, OSError) as error:
            row |= {"folder": "", "problem": " ".join(str(error).split())}
            job.say(f"failed: {each.source}: {row['problem']}")
        rows.append(row)
    failed = [row for row in rows if row["problem"]]
    if len(failed) == len(rows):
        raise ValueError(f"no recording could be embedded: {failed[0]['problem']}")
    pd.DataFrame(rows).to_csv(job.out / "recordings.tsv", sep="\t", index=False)
    return Made([*files, "recordings.tsv"], status=FAILED if failed else OK, said=[
        f"{len(rows) - len(failed)} recordings embedded, {len(failed)} failed; table: "
        f"{job.out / 'recordings.tsv'}"])


def _one(run: EmbedConfig, model, job: archive.Job, out: Path) -> tuple[int, list[str]]:
    """Write the features of one recording; returns the number of its windows, and remarks."""
    path = Path(job.path)
    recording = readers.read(path, montage=run.montage, unknown_head=run.unknown_head,
                             rename=run.rename, arrays=run.arrays.of({}, path), images=run.images,
                             unit=run.unit)
    windows = standardize(recording, contract_of(model))
    features = embed_windows(windows, model, run.batch_windows)
    out.mkdir(parents=True, exist_ok=True)
    times = pd.DataFrame({"start_s": windows.start_s, "stop_s": windows.stop_s})
    times.round(6).to_parquet(out / "windows.parquet", index=False)
    save_file({"features": features.to(torch.float32).contiguous()}, out / "features.safetensors")
    return len(features), quality.remarks(windows.quality, places=True)


COMMAND = Command(
    "embed", EmbedConfig, embed, makes="results", models=("model",), positional="paths",
    free=frozenset({"batch_windows"}), fresh=True,
)
main = COMMAND
