"""One new recording: read, brought to the decoder's contract, named window by window, written.

The contract is applied first; a recording that cannot meet it is refused with what to do, and
nothing is written.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from neurofm import artifacts, checkpoints, config
from neurofm.checkpoints.contracts import contract_of
from neurofm.data.recording import Recording
from neurofm.models.protocol import WindowDecoder
from neurofm.preprocessing import archive, quality, readers
from neurofm.preprocessing.labels import LabelRule, onsets
from neurofm.preprocessing.readers import ArrayTable, ImageTable
from neurofm.preprocessing.standardize import Standardized, standardize

from ..decoder.embedding import of_recording
from . import centring, decoded_page, figures
from .centring import Centre, Seen


@dataclass
class DecodeConfig:
    """Decode config.

    Parameters
    ----------
    recording
        Files of EEG or MEG (or folders, where that is the format), and folders that are
        searched for them.
    model
        Checkpoint folder or repository of a decoder.
    out
        Folder of the results; with several recordings, or a folder of them, each has one in it.
    abstain_below
        Windows whose highest probability is lower are left without a name.
    events
        Names of events at which windows are cut, from tmin_s after their onset, for a decoder
        trained on events; empty = windows one after another.
    centre_on
        Recordings of the same person by which a decoder that re-centres knows that person's
        average, no labels needed; empty = the recording itself or, of several given at once,
        all of the same subject. Together they should hold all that is to be told apart.
    montage, unknown_head, rename, arrays, images
        As in `neurofm ingest`.
    batch_windows
        Decoded at a time.
    watch
        Go on looking for new recordings in the given folders, until Ctrl-C.
    poll_s
        Seconds from one look to the next; a file is read once it has not changed in between.
    stop_after
        End after so many recordings; 0 = never.
    """

    recording: list[str]
    model: str
    out: str
    events: list[str] = field(default_factory=list)
    tmin_s: float = 0.0
    centre_on: list[str] = field(default_factory=list)
    montage: str = "standard_1005"
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    rename: dict[str, str] = field(default_factory=dict)
    arrays: ArrayTable = field(default_factory=ArrayTable)
    images: ImageTable = field(default_factory=ImageTable)
    batch_windows: int = 16
    abstain_below: float = 0.0
    watch: bool = False
    poll_s: float = 2.0
    stop_after: int = 0

    def __post_init__(self):
        if not self.recording:
            raise ValueError("give files or folders: neurofm decode PATH… --model DECODER --out "
                             "results/")
        check_abstain(self.abstain_below)
        if not self.poll_s > 0:
            raise ValueError(f"poll_s must be > 0 seconds, got {self.poll_s}")
        if self.stop_after < 0 or (self.stop_after and not self.watch):
            raise ValueError(f"stop_after must be ≥ 0 recordings, and is for --watch true; got "
                             f"{self.stop_after}")


def decode_single(run: DecodeConfig) -> int:
    """Decode the one recording of `run` into its folder, and tell; returns the exit status."""
    out = Path(run.out)
    decoder = open_decoder(run.model, run.abstain_below)
    check_centre_on(run.centre_on, decoder, run.model)
    parents = {"model": checkpoints.fingerprint(run.model)}
    if artifacts.finished(out, "results", config=config.resolved(run), parents=parents):
        print(f"{out} is finished: nothing to do")
        return 0
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ValueError(f"--out {out}: wanted a new folder, but it holds other things; choose "
                         f"another or delete it")
    table, windows = decode_one(run, decoder, parents)
    print(decoded_page.finding(table, decoder.classes, run.abstain_below))
    for remark in quality.remarks(windows.quality):
        print(f"note: {remark}")
    print(f"page: {out / 'report.html'}")
    return 0


def decode_one(
    run: DecodeConfig, decoder: WindowDecoder, parents: dict[str, str],
    known: dict[str, Seen] | None = None,
) -> tuple[pd.DataFrame, Standardized]:
    """Write predictions, figure and page of the one recording of `run`, and seal the folder.

    known: recordings of the person, where the decoder re-centres; None = as `run` says.
    """
    out = Path(run.out)
    recording = read(run)
    windows, centre = cut(recording, decoder, run), None
    if decoder.recentred:
        if known is None:
            known = {path: seen_of(path, run, decoder) for path in run.centre_on or run.recording}
        centre = centring.of(known, windows.sensors)
    table = predict(decoder, windows, run.batch_windows, run.abstain_below, centre)
    # Under another name until complete: a crash leaves no folder that looks like a result.
    unfinished = out.with_name(f".{out.name}.part-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        _write(unfinished, run, decoder, recording, windows, table, parents, centre)
        if out.exists():
            out.rmdir()  # empty: see above
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return table, windows


def check_abstain(abstain_below: float) -> None:
    if not 0 <= abstain_below < 1:
        raise ValueError(f"abstain_below must be a probability in [0, 1), got {abstain_below}; 0 "
                         f"names every window")


def open_decoder(path: str, abstain_below: float = 0.0) -> WindowDecoder:
    """A decoder with its contract, which can abstain if that is asked for."""
    model = checkpoints.load(path)
    if not isinstance(model, WindowDecoder):
        raise ValueError(
            f"{path}: wanted a decoder, this is a {type(model).__name__}, which knows no classes; "
            f"first train one on labeled recordings: neurofm finetune --corpus labeled "
            f"--model {path} --out DECODER"
        )
    contract_of(model)
    if abstain_below and not model.classes:
        raise ValueError(f"abstain_below {abstain_below:g}: {path} predicts a number, which has no "
                         f"probability to be below that; leave it out")
    return model


def check_centre_on(centre_on: list[str], decoder: WindowDecoder, model: str) -> None:
    """Raise ValueError for recordings that a decoder would not be centered on."""
    if centre_on and not decoder.recentred:
        raise ValueError(f"centre_on: {model} does not re-centre, it names each window by itself; "
                         f"leave it out, or train a decoder that does: neurofm finetune "
                         f"--architecture.recentred=true")


def read(run: DecodeConfig, path: str = "") -> Recording:
    """The recording (or another, read alike), and whose it is as far as file name or BIDS folder
    tell."""
    path = Path(path or run.recording[0]).expanduser()
    if not path.exists():
        raise ValueError(f"{path}: there is no such file")
    if path.is_dir() and not readers.claims(path):
        raise ValueError(f"{path}: wanted one recording, this is a folder; name a file in it")
    recording = readers.read(path, montage=run.montage, unknown_head=run.unknown_head,
                             rename=run.rename, arrays=run.arrays.of({}, path),
                             images=run.images)
    # Who it is, by the rules that made the training corpus: BIDS entities, or the file's name.
    jobs = archive.find([str(path)], images=run.images.given).jobs
    identity = jobs[0].identity() if jobs else {}
    return recording.with_(**identity, source=str(path))


def seen_of(path: str, run: DecodeConfig, decoder: WindowDecoder) -> Seen:
    """A recording as a re-centring decoder sees it."""
    return centring.seen(decoder, cut(read(run, path), decoder, run), run.batch_windows)


def cut(recording: Recording, decoder: WindowDecoder, run: DecodeConfig) -> Standardized:
    """The recording as the decoder's contract wants it, in windows."""
    if not run.events:
        return standardize(recording, decoder.contract)
    rule = LabelRule("event", mapping={name: name for name in run.events}, tmin_s=run.tmin_s)
    onsets_s, _ = onsets(recording, rule)
    return standardize(recording, decoder.contract, onsets_s=onsets_s)


@torch.no_grad()
def predict(
    decoder: WindowDecoder, windows: Standardized, batch_windows: int = 16,
    abstain_below: float = 0.0, centre: Centre | None = None,
) -> pd.DataFrame:
    """A row a window: start_s, stop_s, and the columns of `named`."""
    device = next(decoder.parameters()).device
    mean = None if centre is None else centre.value.to(device)
    outputs = torch.cat([
        decoder.predict(batch.to(device), mean).double().cpu()
        for batch in of_recording(windows, batch_windows)
    ]).numpy()
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


def _write(out: Path, run, decoder, recording, windows, table, parents, centre) -> None:
    table.to_csv(out / "predictions.tsv", sep="\t", index=False)
    table.to_parquet(out / "predictions.parquet", index=False)
    figures.decoded(out / "decoded.png", windows, table, decoder.classes, recording.events)
    html = decoded_page.page(recording, windows, table, decoder, run.model, out / "decoded.png",
                             run.abstain_below, centre.in_words() if centre else "")
    (out / "report.html").write_text(html)
    artifacts.write_json(out / "quality.json", windows.quality)
    artifacts.seal(
        out, "results", config=config.resolved(run), parents=parents,
        files=["predictions.tsv", "predictions.parquet", "decoded.png", "report.html",
               "quality.json"],
    )
