"""One new recording: read, brought to the decoder's contract, named window by window, written.

The contract is applied first; a recording that cannot meet it is refused with what to do, and
nothing is written.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from neurofm import artifacts, checkpoints, contents, tsv
from neurofm.checkpoints.contracts import contract_of
from neurofm.data.recording import Recording
from neurofm.limits import Count, Positive, ShareBelowOne, SignedNumber, limited
from neurofm.models.protocol import WindowDecoder
from neurofm.pages.figure import with_svg
from neurofm.preprocessing import archive, quality, readers
from neurofm.preprocessing.labels import LabelRule, cuts
from neurofm.preprocessing.readers import ArrayTable, ImageTable
from neurofm.preprocessing.standardize import Done, standardize
from neurofm.run import Command, Job, Made

from ..decoder import lacking
from ..decoder.embedding import of_recording
from ..decoder.lacking import Lacking
from . import centering, decoded_page, figures, findings, sidecar
from .centering import Center, Seen


@dataclass
@limited
class DecodeConfig:
    """Decode recordings window by window.

    Parameters
    ----------
    paths
        Files of EEG or MEG, or folders, searched recursively.
    model
        Checkpoint folder or repository of a decoder.
    out
        Folder of the results; several recordings each get a folder in it.
    abstain_below
        Windows whose highest probability is lower are "not sure".
    events
        Names of the events at which windows are cut, for a decoder trained on events; empty
        = contiguous windows.
    center_on
        Recordings of the same subject that give the mean for a decoder that recenters; no
        labels needed. Empty = the recording itself, or all given recordings of the same
        subject. Together they should contain all classes.
    files, table
        Whose recordings these are, where their names are not those of BIDS, as in `neurofm
        ingest`: a decoder that recenters takes the recordings of a subject together.
    lacking
        Recordings that lack part of the decoder's band, such as those of a slow or low-passed
        device: "known" takes them where the decoder knows what that costs and stays better than
        chance, "accept" takes all, "refuse" none.
    montage, unknown_head, rename, unit, arrays, images, max_recording_gb
        As in `neurofm ingest`.
    batch_windows
        Windows per batch.
    watch
        Keep looking for new recordings in the given folders until Ctrl-C.
    poll_s
        Time between two looks, s; a file is read once it has stopped changing.
    stop_after
        Stop after this number of recordings; 0 = never.
    tmin_s
        Start of a window relative to its event, s.
    """

    paths: list[str] = field(metadata=archive.OF_RECORDINGS)
    model: str
    out: str
    events: list[str] = field(default_factory=list)
    tmin_s: SignedNumber = 0.0
    center_on: list[str] = field(default_factory=list, metadata=archive.OF_RECORDINGS)
    files: list[dict[str, str]] = field(default_factory=list)
    table: str = field(default="", metadata=contents.OF_FILE)
    lacking: Lacking = "known"
    montage: str = "standard_1005"
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    rename: dict[str, str] = field(default_factory=dict)
    unit: Literal["", "V", "mV", "uV", "nV"] = ""
    arrays: ArrayTable = field(default_factory=ArrayTable)
    images: ImageTable = field(default_factory=ImageTable)
    max_recording_gb: Positive = 16.0
    batch_windows: Count = 16
    abstain_below: ShareBelowOne = 0.0
    watch: bool = False
    poll_s: Positive = 2.0
    stop_after: int = 0

    def __post_init__(self):
        if not self.paths:
            raise ValueError("give files or folders: neurofm decode PATH… --model DECODER --out "
                             "results/")
        if self.stop_after and not self.watch:
            raise ValueError(f"stop_after is for --watch true; got {self.stop_after}")


@dataclass(frozen=True, eq=False)
class Opened:
    """A recording: read, standardized and, where the decoder re-centers, encoded."""

    recording: Recording  # without its signal, which these have been told of:
    length: str  # how much of it there is, in words
    trained_on: list[str]  # whether the decoder knows it (`findings.trained_on`)
    judged: pd.DataFrame  # whose it is
    windows: Done
    seen: Seen | None  # None where the decoder does not re-center


def decode_one(
    run: DecodeConfig, job: Job, decoder: WindowDecoder | None = None, own: Opened | None = None,
    known: dict[str, Seen] | None = None,
) -> Made:
    """Write predictions, figure and page of the one recording of `run`.

    decoder, own: those of `run`, where they are open already. known: recordings of the person,
    where the decoder re-centers; None = as `run` says.
    """
    decoder = decoder or open_decoder(run.model, run.abstain_below)
    check_center_on(run.center_on, decoder, run.model)
    path = run.paths[0]
    own, center = own or opened(path, run, decoder), None
    worth = lacking.worth(own.windows, decoder, run.model, run.lacking)
    if own.seen is not None:
        known = known or {each: own.seen if each == path else seen_of(each, run, decoder)
                          for each in run.center_on or [path]}
        center = centering.of(known, own.windows.sensors)
    table = worth.beside(predict(decoder, own, run.batch_windows, run.abstain_below, center))
    figures.decoded(job.out / "decoded.png", own.windows, table, decoder.classes,
                    own.recording.events)
    artifacts.write_json(job.out / "quality.json", own.windows.quality)
    results = findings.results("decode", run.paths, run.model, table, decoder, run.abstain_below,
                               [*quality.remarks(own.windows.quality, places=True), *worth.said,
                                *(center.doubt() if center else ())])
    results.flags = job.flags(own.judged)
    table.attrs = sidecar.known(results, job.parents["model"])
    tsv.write(table, job.out / "predictions.tsv")
    table.to_parquet(job.out / "predictions.parquet", index=False)
    sidecar.write(job.out, table, decoder.classes, results, job.parents["model"])
    return Made(
        with_svg(job.out, ["predictions.tsv", sidecar.FILE_NAME, "predictions.parquet",
                           "decoded.png", "quality.json"]),
        facts={"windows": len(table)}, results=results, judged=own.judged,
        page=decoded_page.page(own.recording, own.length, own.trained_on, own.windows, table,
                               decoder, run.model, job.out / "decoded.png", results.summary,
                               center.in_words() if center else "", worth.said))


ONE = Command(
    "decode", DecodeConfig, decode_one, makes="results", models=("model",), positional="paths",
    free=frozenset({"batch_windows", "watch", "poll_s", "stop_after", "max_recording_gb"}),
    fresh=True,
)


def judged(run: DecodeConfig, recording: Recording) -> pd.DataFrame:
    """The recording as a row that training data are held against."""
    found = archive.find([recording.source], images=run.images, files=run.files,
                         table=run.table).jobs
    return pd.DataFrame([{"recording": found[0].id if found else recording.source,
                          "dataset": recording.dataset,
                          "subject": recording.subject or "unknown",
                          "signal": recording.digest}])


def open_decoder(path: str, abstain_below: float = 0.0) -> WindowDecoder:
    """A decoder with its contract, which can abstain if that is asked for."""
    model = checkpoints.load_kind(
        path, WindowDecoder, "a decoder",
        f", which has no classes; first train one on labeled recordings: neurofm finetune --data "
        f"labeled/ --model {path} --out DECODER")
    contract_of(model)
    if abstain_below and not model.classes:
        raise ValueError(f"abstain_below {abstain_below:g}: {path} predicts a number, which has no "
                         f"probability to be below that; leave it out")
    return model


def check_center_on(center_on: list[str], decoder: WindowDecoder, model: str) -> None:
    """Raise ValueError for recordings that a decoder would not be centered on."""
    if center_on and not decoder.recentered:
        raise ValueError(f"center_on: {model} does not re-center, it names each window by itself; "
                         f"leave it out, or train a decoder that does: neurofm finetune "
                         f"--architecture.recentered=true")


def read(run: DecodeConfig, path: str = "") -> Recording:
    """The recording (or another, read alike), and whose it is as far as file name or BIDS folder
    tell."""
    file = Path(path or run.paths[0]).expanduser()
    if file.is_dir() and not readers.claims(file):
        raise ValueError(f"{file}: wanted one recording, this is a folder; name a file in it")
    recording = readers.read(file, montage=run.montage, unknown_head=run.unknown_head,
                             rename=run.rename, arrays=run.arrays.of({}, file),
                             images=run.images, unit=run.unit,
                             max_recording_gb=run.max_recording_gb)
    # Who it is, by the rules that made the training corpus: BIDS entities, or the file's name.
    jobs = archive.find([str(file)], images=run.images, files=run.files, table=run.table).jobs
    identity = jobs[0].identity() if jobs else {}
    return recording.with_(**identity, source=str(file))


def opened(path: str, run: DecodeConfig, decoder: WindowDecoder) -> Opened:
    """Read a recording, once for all that is done with it."""
    recording = read(run, path)
    windows = cut(recording, decoder, run)
    seen = (centering.seen(decoder, windows, run.batch_windows) if decoder.recentered else None)
    length = windows.contract.length(recording.n_times, recording.sfreq)
    told = findings.trained_on(run.model, recording)
    return Opened(recording.with_(signal=recording.signal[:, :0].copy()), length, told,
                  judged(run, recording), windows, seen)


def seen_of(path: str, run: DecodeConfig, decoder: WindowDecoder) -> Seen:
    """A recording as a re-centering decoder sees it."""
    return centering.seen(decoder, cut(read(run, path), decoder, run), run.batch_windows)


def cut(recording: Recording, decoder: WindowDecoder, run: DecodeConfig
        ) -> Done:
    """The recording as the decoder's contract wants it, in windows."""
    taken = lacking.standardized(run.lacking)
    if not run.events:
        return standardize(recording, contract_of(decoder), lacking=taken)
    rule = LabelRule("event", mapping={name: name for name in run.events}, tmin_s=run.tmin_s)
    onsets_s = cuts(recording, rule).onsets_s
    return standardize(recording, contract_of(decoder), onsets_s=onsets_s, lacking=taken)


@torch.no_grad()
def predict(
    decoder: WindowDecoder, own: Opened, batch_windows: int = 16, abstain_below: float = 0.0,
    center: Center | None = None,
) -> pd.DataFrame:
    """A row a window: start_s, stop_s, and the columns of `named`."""
    device = next(decoder.parameters()).device
    mean, windows = None if center is None else center.value.to(device), own.windows
    pooled = (own.seen.pooled.split(batch_windows) if own.seen else
              (decoder.pool(batch.to(device)) for batch in of_recording(windows, batch_windows)))
    outputs = torch.cat([decoder.name(part.to(device), mean).double().cpu()
                         for part in pooled]).numpy()
    times = pd.DataFrame({
        "start_s": windows.start_s.round(6),
        "stop_s": windows.stop_s.round(6),
    })
    return times.join(named(outputs, decoder.classes, abstain_below))


def named(
    outputs: Float[np.ndarray, "window output"], classes: tuple[str, ...], abstain_below: float
) -> pd.DataFrame:
    """What a decoder says of each window.

    Classes: predicted ("" where it abstains), p_CLASS, confidence (the highest probability),
    entropy (of the probabilities over its largest value, log2 of the number of classes: 0 = sure,
    1 = knows nothing), abstained. A number: predicted alone.
    """
    if not classes:
        return pd.DataFrame({"predicted": outputs[:, 0].round(6)})
    confidence = outputs.max(axis=1)
    abstained = confidence < abstain_below
    best = outputs.argmax(axis=1)
    table = pd.DataFrame({"predicted": ["" if none else classes[k] for k, none
                                        in zip(best, abstained, strict=True)]}, dtype=object)
    for k, name in enumerate(classes):
        table[f"p_{name}"] = outputs[:, k].round(6)
    bits = -(outputs * np.log2(np.maximum(outputs, 1e-300))).sum(axis=1)
    table["confidence"] = confidence.round(6)
    table["entropy"] = (bits / np.log2(len(classes))).clip(0, 1).round(6)
    table["abstained"] = abstained
    return table
