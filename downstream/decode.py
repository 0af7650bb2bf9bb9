"""Name the class of every window of a new recording: table, figure and one page.

    neurofm decode recording.edf --model runs/decoder --out results/

The decoder's contract is applied to the file first; a recording that cannot meet it is refused with
what to do, and nothing is written.
"""

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from neurofm import artifacts, config, hub
from neurofm.data.recording import Recording
from neurofm.models.decoder import Decoder
from preprocessing import archive, quality, readers
from preprocessing.labels import LabelRule, onsets
from preprocessing.readers import ArrayTable
from preprocessing.standardize import ContractError, Standardized, standardize

from . import decoded_page, figures
from .embed import contract_of, of_recording


@dataclass
class DecodeConfig:
    """recording: one file (or folder, where that is the format) of EEG or MEG. model: checkpoint
    folder or repository of a decoder. out: folder of the results.

    events: names of events at which windows are cut, from tmin_s after their onset, for a decoder
    trained on events; empty = windows one after another.
    montage, unknown_head, rename, arrays: as in `neurofm ingest`. batch_windows: decoded at a time.
    """

    recording: list[str]
    model: str
    out: str
    events: list[str] = field(default_factory=list)
    tmin_s: float = 0.0
    montage: str = "standard_1005"
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    rename: dict[str, str] = field(default_factory=dict)
    arrays: ArrayTable = field(default_factory=ArrayTable)
    batch_windows: int = 16


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return decode(config.parse(DecodeConfig, argv, command="decode", positional="recording"))


def decode(run: DecodeConfig) -> int:
    """Write predictions, figure and page, and seal the folder; returns the exit status."""
    out = Path(run.out)
    if len(run.recording) != 1:
        raise ValueError(f"wanted one recording, got {run.recording}; call decode once for each")
    decoder = open_decoder(run.model)
    parents = {"model": hub.fingerprint(run.model)}
    if artifacts.finished(out, "results", config=config.resolved(run), parents=parents):
        print(f"{out} is finished: nothing to do")
        return 0
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ValueError(f"--out {out}: wanted a new folder, but it holds other things; choose "
                         f"another or delete it")
    recording = read(run)
    windows = cut(recording, decoder, run)
    table = predict(decoder, windows, run.batch_windows)
    # Under another name until complete: a crash leaves no folder that looks like a result.
    unfinished = out.with_name(f".{out.name}.part-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        _write(unfinished, run, decoder, recording, windows, table, parents)
        if out.exists():
            out.rmdir()  # empty: see above
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    print(decoded_page.summary(table, windows, decoder.classes))
    for remark in quality.remarks(windows.quality):
        print(f"note: {remark}")
    print(f"page: {out / 'report.html'}")
    return 0


def open_decoder(path: str) -> Decoder:
    """A decoder with its contract."""
    model = hub.load(path)
    if not isinstance(model, Decoder):
        raise ValueError(
            f"{path}: wanted a decoder, this is a {type(model).__name__}, which knows no classes; "
            f"first train one on labelled recordings: neurofm finetune --corpus LABELLED "
            f"--model {path} --out DECODER"
        )
    contract_of(model)
    return model


def read(run: DecodeConfig) -> Recording:
    """The recording, and whose it is as far as file name or BIDS folder tell."""
    path = Path(run.recording[0]).expanduser()
    if not path.exists():
        raise ValueError(f"{path}: there is no such file")
    if path.is_dir() and not readers.claims(path):
        raise ValueError(f"{path}: wanted one recording, this is a folder; name a file in it")
    recording = readers.read(path, montage=run.montage, unknown_head=run.unknown_head,
                             rename=run.rename, arrays=run.arrays)
    # Who it is, by the rules that made the training corpus: BIDS entities, or the file's name.
    jobs = archive.find([str(path)]).jobs
    identity = jobs[0].identity() if jobs else {}
    return recording.with_(**identity, source=str(path))


def cut(recording: Recording, decoder: Decoder, run: DecodeConfig) -> Standardized:
    """The recording as the decoder's contract wants it, in windows."""
    if not run.events:
        return standardize(recording, decoder.contract)
    rule = LabelRule("event", mapping={name: name for name in run.events}, tmin_s=run.tmin_s)
    onsets_s, _ = onsets(recording, rule)
    return standardize(recording, decoder.contract, onsets_s=onsets_s)


@torch.no_grad()
def predict(decoder: Decoder, windows: Standardized, batch_windows: int = 16) -> pd.DataFrame:
    """A row a window: start_s, stop_s, predicted, p_CLASS."""
    device = next(decoder.parameters()).device
    probability = torch.cat([
        decoder.probabilities(batch.to(device)).double().cpu()
        for batch in of_recording(windows, batch_windows)
    ]).numpy()
    names = decoder.classes
    table = pd.DataFrame({
        "start_s": windows.start_s.round(6),
        "stop_s": (windows.start_s + windows.contract.window_s).round(6),
        "predicted": [names[k] for k in probability.argmax(axis=1)],
    })
    for k, name in enumerate(names):
        table[f"p_{name}"] = probability[:, k].round(6)
    return table


def _write(out: Path, run, decoder, recording, windows, table, parents) -> None:
    table.to_csv(out / "predictions.tsv", sep="\t", index=False)
    table.to_parquet(out / "predictions.parquet", index=False)
    figures.decoded(out / "decoded.png", windows, table, decoder.classes, recording.events)
    html = decoded_page.page(recording, windows, table, decoder, run.model, out / "decoded.png")
    (out / "report.html").write_text(html)
    artifacts.write_json(out / "quality.json", windows.quality)
    artifacts.seal(
        out, "results", config=config.resolved(run), parents=parents,
        files=["predictions.tsv", "predictions.parquet", "decoded.png", "report.html",
               "quality.json"],
    )


__all__ = ["ContractError", "decode", "main", "open_decoder", "predict", "read"]


if __name__ == "__main__":
    sys.exit(main())
