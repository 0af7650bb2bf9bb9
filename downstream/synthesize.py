"""Predict fMRI time series of brain regions from EEG recordings.

    neurofm synthesize sub-01_eeg.set --model runs/neurobolt --out results/ [--t_r 2.1]

Writes, under names of BIDS derivatives, the series as a table with its sidecar, a figure, and with
`--atlas` an image over time in which each voxel of a region has its value. Where the fMRI that was
really measured is given (`--partner`), the page says how near each region comes, beside what the
same series shifted in time would.
"""

import logging
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from neurofm import contents, progress, tsv
from neurofm.checkpoints.scan_model import open_scan_model
from neurofm.data.bad_eeg import bad_samples, blind
from neurofm.data.batch import collate
from neurofm.data.contract import of_signals
from neurofm.data.pair_batch import PairBatch
from neurofm.data.recording import Recording
from neurofm.data.scans import MEASURED_S
from neurofm.limits import Limit, Positive, SignedNumber, Text, limited
from neurofm.models.protocol import ScanModel
from neurofm.preprocessing import archive, segments
from neurofm.preprocessing.pairing import alignment, one_scan, partner
from neurofm.preprocessing.readers import ReadError, ReadOptions
from neurofm.preprocessing.standardize import ContractError, standardize
from neurofm.preprocessing.steps import band
from neurofm.preprocessing.steps.band import Lacking
from neurofm.results import Results, score
from neurofm.run import FAILED, OK, Command, Job, Made

from .use import series_files, synthesized_page

_log = logging.getLogger("neurofm.downstream")


@dataclass
@limited
class SynthesizeConfig:
    """Predict fMRI time series from EEG.

    Parameters
    ----------
    paths
        EEG files or folders, searched recursively.
    model
        Checkpoint of a model that predicts scans, such as a neurobolt_sequence.
    out
        Folder of the results.
    t_r
        Repetition time, s; 0 = from the triggers.
    delay_s
        Time of the first volume, s, if t_r is given.
    trigger
        Annotation in the EEG at each volume: its name, or a word of it.
    align
        Which triggers and volumes belong together, as in `neurofm pair`.
    atlas
        Label image of the regions, to write NIfTI images: label k is the k-th region of the
        model, unless `labels` says otherwise.
    partner
        Measured fMRI to compare with, as in `neurofm pair`.
    lacking
        Recordings that lack the upper part of the model's band: "refuse" or "accept" them.
    drop, montage, rename, exclude, max_recording_gb
        As in `neurofm pair`.
    permutations
        Number of circular shifts for the p value of a region.
    labels
        Table (.tsv, .csv) of the labels of the atlas, with the columns index and name.
    """

    paths: list[str] = field(metadata=archive.OF_RECORDINGS)
    model: str
    out: str
    t_r: float = 0.0
    delay_s: SignedNumber = 0.0
    trigger: Text = one_scan.TRIGGER
    align: alignment.AlignRule = field(default_factory=alignment.AlignRule)
    atlas: str = field(default="", metadata=contents.OF_FILE)
    labels: str = field(default="", metadata=contents.OF_FILE)
    partner: dict[str, str] = field(default_factory=dict)
    drop: list[str] = field(default_factory=lambda: list(one_scan.NO_EEG))
    lacking: Lacking = "refuse"
    montage: str = "standard_1005"
    rename: dict[str, str] = field(default_factory=dict)
    exclude: list[str] = field(default_factory=list)
    max_recording_gb: Positive = 16.0
    permutations: Annotated[int, Limit(100)] = 1000

    def __post_init__(self):
        if not self.paths:
            raise ValueError("give files or folders of EEG: neurofm synthesize PATH… --model MODEL "
                             "--out results/")
        if self.labels and not self.atlas:
            raise ValueError("labels are of an atlas: give --atlas too")


@dataclass(frozen=True, eq=False)
class Series:
    """The synthesized series of one recording."""

    name: str
    source: str
    # [volume, roi], z-scored over the recording; NaN where the EEG before is mostly bad
    values: Float[np.ndarray, "volume roi"]
    # onset of each volume, seconds from the EEG's first sample
    volume_s: Float[np.ndarray, " volume"]
    t_r: float
    # the real ones, cleaned as in training; None = not given
    measured: Float[np.ndarray, "volume roi"] | None = None


def synthesize(run: SynthesizeConfig, job: Job) -> Made | int:
    """Synthesize each recording, write its series, compare with what was measured."""
    model = open_scan_model(run.model)
    atlas = series_files.open_atlas(run.atlas, run.labels, model.rois) if run.atlas else None
    found = archive.find(run.paths, exclude=run.exclude)
    failures = list(found.missing)
    if not found.jobs and not failures:
        raise ValueError(f"{', '.join(run.paths)}: no EEG was found there")
    made, files, people = [], [], []
    for each in progress.each(found.jobs, len(found.jobs), "synthesize"):
        try:
            series = one(run, model, each)
        except (ReadError, ContractError) as error:
            failures.append((each.source, error.reason))
            job.say(f"failed: {each.source}: {error.reason}")
            continue
        files += series_files.write(job.out, series, model.rois, run.model,
                                    job.parents["model"], atlas)
        made.append(series)
        people.append({"recording": each.id, "dataset": each.dataset,
                       "subject": each.subject or "unknown"})
        job.say(f"{each.source}: {len(series.values)} volumes of {series.values.shape[1]} regions")
    if not made:
        return FAILED
    tsv.write(pd.DataFrame(failures, columns=["source", "reason"]), job.out / "failures.tsv")
    table = synthesized_page.compared(job.out, made, model.rois, run.permutations)
    summary = synthesized_page.finding(table)
    results = Results(
        "synthesize", data=run.paths, model=run.model, methods=["synthesized"], seeds=[0],
        subjects=len({(row["dataset"], row["subject"]) for row in people}), summary=summary,
        scores=[] if table is None else [
            score("synthesized", "r", row["r"], recording=row["recording"], region=row["region"],
                  p=row["p"], p_holm=row["p (Holm)"]) for row in table.to_dict("records")],
        notes=[synthesized_page.NOT_COMPARED] if table is None else [])
    return Made(
        [*files, "failures.tsv", *(["nearness.tsv"] if table is not None else [])],
        results=results, judged=pd.DataFrame(people),
        page=synthesized_page.page(job.out, run, model, made, failures, table),
        status=FAILED if failures else OK)


COMMAND = Command(
    "synthesize", SynthesizeConfig, synthesize, makes="results", models=("model",),
    positional="paths", until_sealed=frozenset({"max_recording_gb"}), fresh=True)
main = COMMAND


def one(run: SynthesizeConfig, model: ScanModel, job) -> Series:
    """The series of one recording."""
    reading = ReadOptions(run.montage, rename=run.rename, arrays=one_scan.REGIONS,
                          max_recording_gb=run.max_recording_gb)
    how = one_scan.Pairing(partner=run.partner, drop=tuple(run.drop), reading=reading)
    recording = one_scan.read(job, how)
    bold = None
    if run.partner:
        bold = partner.read(partner.find(job.path, job.source, run.partner), how.reading)
        if lost := [name for name in model.rois if name not in bold.rois.names]:
            raise ReadError(job.path, f"its fMRI lacks regions of the model: {', '.join(lost[:5])}")
    at = times(run, recording, bold)
    values = predict(model, recording, at.first_volume_s, at.t_r, at.kept.stop - at.kept.start,
                     run.lacking)
    measured = None
    if bold is not None:
        from neurofm.data.bold import cleaned

        rows = bold.rois.rows(model.rois)
        measured = cleaned(bold.signal[rows][:, at.kept], at.t_r, how.bold).T
    name = job.source.rsplit("/", 1)[-1].split(".")[0].removesuffix("_eeg")
    volume_s = at.first_volume_s + np.arange(len(values)) * at.t_r
    return Series(name, job.source, values, volume_s, at.t_r, measured)


def times(run: SynthesizeConfig, recording: Recording, bold) -> alignment.Alignment:
    """When volumes are: by t_r, or the triggers."""
    duration_s, source = recording.duration_s, recording.source
    if run.t_r:
        n = bold.signal.shape[1] if bold else int((duration_s - run.delay_s) / run.t_r)
        return alignment.by_delay(run.delay_s, n, run.t_r, duration_s, source)
    onset_s = alignment.triggers(recording.events, run.trigger, source)
    if bold is None:
        return alignment.by_triggers(onset_s, None, None, duration_s, source)
    return alignment.by_triggers(onset_s, bold.signal.shape[1], bold.t_r, duration_s, source,
                                 run.align, bold.discarded)


@torch.no_grad()
def predict(
    model: ScanModel, recording: Recording, first_volume_s: float, t_r: float, n: int,
    lacking: Lacking = "refuse",
) -> Float[np.ndarray, "volume roi"]:
    """Values of the model's regions at n volumes."""
    contract, bad_s = of_signals(model.contract), segments.blanks(recording)
    done = standardize(recording, contract, lacking=lacking)
    for remark in band.remarks(done.quality):
        _log.warning("%s: %s", recording.source, remark)
    signal = done.whole
    bad = bad_samples(bad_s, signal.shape[1], contract.sfreq)
    signal = np.where(bad, np.float32(0), signal)
    plain = collate([signal], [done.sensors], contract.geometry)
    middle_s = first_volume_s + (np.arange(n) + MEASURED_S) * t_r
    batch = PairBatch(
        plain.signal, plain.geometry, plain.kind, plain.valid, torch.tensor([signal.shape[1]]),
        torch.from_numpy(middle_s).float()[None],
        torch.full((1, n, len(model.rois)), torch.nan), torch.from_numpy(bad)[None])
    values = model.predict(batch.to(model.device))[0].double().cpu().numpy()
    known = ~blind(bad, contract.sfreq, middle_s)
    if not known.any():
        raise ContractError(recording.source, "EEG to synthesize from",
                            "before every volume it is mostly marked bad", "give a cleaner one")
    spread = values[known].std(axis=0)
    scored = (values - values[known].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.where(known[:, None], scored, np.nan)
