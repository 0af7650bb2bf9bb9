"""Decode a live signal: a class or number as soon as a window ends.

    neurofm stream --model runs/decoder --replay recording.fif --out results/
    neurofm stream --model runs/decoder --lsl NAME --out results/

Every answer is printed and added to predictions.tsv at once; Ctrl-C, SIGTERM or the end of the
stream seal the folder with a summary and a page. Latency is counted from the moment a window's last
sample could be had to the moment its answer is there.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch

from neurofm import artifacts, config, json_file, tsv
from neurofm.checkpoints.contracts import contract_of
from neurofm.data.batch import Batch, collate
from neurofm.data.sensors import Sensors
from neurofm.limits import Positive, ShareBelowOne, limited
from neurofm.models.protocol import WindowDecoder
from neurofm.pages.figure import with_svg
from neurofm.preprocessing import archive
from neurofm.preprocessing.streaming import CausalStandardizer, LiveWindow, followed
from neurofm.run import Command, Job, Made

from .decoder import lacking
from .decoder.lacking import Lacking
from .use import centering, figures, findings, sidecar, streamed_page
from .use.centering import Center, Running
from .use.live import Lsl, Replay, open_lsl
from .use.one import (
    DecodeConfig,
    check_center_on,
    judged,
    named,
    open_decoder,
    read,
)
from .use.watch import stopping


@dataclass
@limited
class StreamConfig:
    """Decode a signal while it is recorded.

    Parameters
    ----------
    model
        Checkpoint folder or repository of a decoder.
    out
        New folder of the results.
    replay
        Recording to play in real time.
    lsl
        Name of a Lab Streaming Layer stream, instead of replay (needs the extra `stream`).
    hop_s
        Time from one window to the next, s; null = as in the contract of the decoder.
    abstain_below
        Windows whose highest probability is lower are "not sure".
    center_on
        Recordings of the same subject that give the mean for a decoder that recenters; no
        labels needed. Empty = a running mean over the stream that starts at the mean of the
        training subjects.
    stop_after
        Stop after this number of windows; 0 = when the signal ends.
    lacking
        As in `neurofm decode`.
    montage, unknown_head, rename, unit
        As in `neurofm ingest`.
    speed
        Speed of replay; 2 = twice as fast.
    silence_s
        Time without a sample after which the stream has ended, s.
    prior_windows
        Weight of the training mean in the running mean, in windows.
    """

    model: str
    out: str
    replay: str = field(default="", metadata=archive.OF_RECORDINGS)
    speed: Positive = 1.0
    lsl: str = ""
    silence_s: Positive = 10.0
    hop_s: Positive | None = None
    abstain_below: ShareBelowOne = 0.0
    center_on: list[str] = field(default_factory=list, metadata=archive.OF_RECORDINGS)
    prior_windows: Positive = 10.0
    stop_after: int = 0
    lacking: Lacking = "known"
    montage: str = "standard_1005"
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    rename: dict[str, str] = field(default_factory=dict)
    unit: Literal["", "V", "mV", "uV", "nV"] = ""

    def __post_init__(self):
        if bool(self.replay) == bool(self.lsl):
            raise ValueError("give one of --replay FILE and --lsl NAME")
        if self.lsl and self.speed != 1:
            raise ValueError(f"speed is for --replay; got {self.speed}")


@dataclass
class Timing:
    """How fast answers came."""

    hop_s: float  # from one window to the next, on the clock
    latency_ms: list[float] = field(default_factory=list)  # of each window
    busy_s: float = 0.0  # time spent computing
    signal_s: float = 0.0  # signal that came in

    def summary(self) -> dict:
        """real_time_factor: seconds of signal computed in a second. late: windows answered only
        after the next one had closed. kept_up: none was."""
        latency = np.array(self.latency_ms)
        late = int((latency > 1e3 * self.hop_s).sum())
        return {
            "windows": len(latency),
            "latency_median_ms": _rounded(np.median(latency)) if len(latency) else None,
            "latency_p99_ms": _rounded(np.percentile(latency, 99)) if len(latency) else None,
            "latency_max_ms": _rounded(latency.max()) if len(latency) else None,
            "real_time_factor": _rounded(self.signal_s / self.busy_s) if self.busy_s else None,
            "late": late, "kept_up": late == 0,
        }


def _rounded(value: float) -> float:
    return round(float(value), 1)


def stream(run: StreamConfig, job: Job) -> Made:
    """Decode until the signal ends."""
    decoder = open_decoder(run.model, run.abstain_below)
    contract = followed(decoder.contract, run.model)
    check_center_on(run.center_on, decoder, run.model)
    path = job.out / "predictions.tsv"
    if run.lsl and path.exists():
        raise ValueError(f"--out {job.out}: a stream into it was killed; its predictions.tsv is "
                         f"good, and a live stream never comes again: choose another --out")
    feed = _feed(run)
    standardizer = CausalStandardizer(feed.template, contract, run.hop_s,
                                      lacking.standardized(run.lacking))
    worth = lacking.of(standardizer.quality, decoder, run.model, run.lacking, feed.template.source,
                       n_channels=len(standardizer.sensors) - len(standardizer.marked),
                       sensors=standardizer.sensors)
    center = _center(run, decoder, standardizer.sensors)
    _warm_up(decoder, standardizer)
    for text in (*standardizer.differences(), *worth.said):
        job.say(f"note: {text}")
    timing = Timing(standardizer.hop / contract.sfreq / run.speed)
    with stopping() as stop:
        run_live(feed, standardizer, decoder, path, timing, stop, center=center,
                 abstain_below=run.abstain_below, stop_after=run.stop_after,
                 say=lambda row: job.say(_shown(row)))
    return _made(run, job, decoder, standardizer, feed, timing, center, worth)


COMMAND = Command("stream", StreamConfig, stream, makes="results", models=("model",), fresh=True)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    run = config.parse(StreamConfig, argv, command="stream")
    if run.lsl and artifacts.is_sealed(run.out):
        raise ValueError(f"--out {run.out} holds a finished stream, and a live one never comes "
                         f"again: choose another")
    return COMMAND.run(run, words=argv)


def run_live(
    feed: Replay | Lsl, standardizer: CausalStandardizer, decoder: WindowDecoder, path: Path,
    timing: Timing, stop, *, center: Center | Running | None = None, abstain_below: float = 0.0,
    stop_after: int = 0, say: Callable[[dict], None] = lambda row: None,
) -> None:
    """The loop: take what came, answer each window that closed, append it to `path`."""
    with open(path, "w") as file:
        file.write("\t".join(map(tsv.guarded, columns(decoder.classes))) + "\n")
        file.flush()
        for chunk in feed.chunks(stop):
            began = time.perf_counter()
            for window in standardizer.push(chunk):
                answer = answer_of(decoder, window, abstain_below, center)
                latency_ms = 1e3 * (time.perf_counter() - feed.arrived(window.last))
                timing.latency_ms.append(latency_ms)
                row = {"start_s": round(window.start_s, 6), "stop_s": round(window.stop_s, 6),
                       **answer, "latency_ms": round(latency_ms, 1),
                       "bads": ",".join(window.quality["bads"]), "note": window.problem}
                # To the system at once: whoever kills us later takes nothing of this away.
                file.write(_line(row, columns(decoder.classes)))
                file.flush()
                say(row)
                if len(timing.latency_ms) == stop_after:
                    stop.set()
                    break
            timing.busy_s += time.perf_counter() - began
            timing.signal_s += chunk.shape[1] / feed.template.sfreq
            if stop.is_set():
                return


def columns(classes: tuple[str, ...]) -> list[str]:
    """Of predictions.tsv: those of `neurofm decode`; then latency_ms, bads (sensors that could not
    be used) and note (why a window has no answer)."""
    of_classes = [*(f"p_{name}" for name in classes), "confidence", "entropy", "abstained"]
    return ["start_s", "stop_s", "predicted", *(of_classes if classes else []), "latency_ms",
            "bads", "note"]


@torch.inference_mode()
def answer_of(
    decoder: WindowDecoder, window: LiveWindow, abstain_below: float = 0.0,
    center: Center | Running | None = None,
) -> dict:
    """Columns of `decode.named` for one window; without usable signal they stay empty."""
    if window.signal is None:
        return {"predicted": "", "abstained": True} if decoder.classes else {"predicted": ""}
    device = next(decoder.parameters()).device
    batch = collate([window.signal], [window.sensors], contract_of(decoder).geometry)
    pooled = decoder.pool(batch.to(device))
    mean = center.after(pooled) if isinstance(center, Running) else center and center.value
    outputs = decoder.name(pooled, mean).double().cpu().numpy()
    return named(outputs, decoder.classes, abstain_below).iloc[0].to_dict()


def _line(row: dict, names: list[str]) -> str:
    """A row of a table; tabs and line ends would break it."""
    return "\t".join(tsv.guarded(" ".join(str(row.get(name, "")).split()))
                     for name in names) + "\n"


def _shown(row: dict) -> str:
    if row["note"]:
        what = f"– ({row['note']})"
    elif "confidence" in row:
        what = f"{row['predicted'] or 'not sure'}  {row['confidence']:.2f}"
    else:
        what = f"{row['predicted']:.4g}"
    return f"{row['start_s']:.2f}–{row['stop_s']:.2f} s  {what}  ({row['latency_ms']:.0f} ms)"


def _center(
    run: StreamConfig, decoder: WindowDecoder, sensors: Sensors
) -> Center | Running | None:
    """What windows are compared with, where the decoder re-centers."""
    if not decoder.recentered:
        return None
    if not run.center_on:
        return Running(decoder, run.prior_windows)
    asked = _as_file(run, run.center_on)
    taken = lacking.standardized(run.lacking)
    known = {path: centering.seen_live(decoder, read(asked, path), taken)
             for path in run.center_on}
    return centering.of(known, sensors)


def _as_file(run: StreamConfig, paths: list[str]) -> DecodeConfig:
    """How a recording is read for a stream."""
    return DecodeConfig(paths, run.model, run.out, montage=run.montage,
                        unknown_head=run.unknown_head, rename=run.rename, unit=run.unit,
                        lacking=run.lacking)


def _feed(run: StreamConfig) -> Replay | Lsl:
    if run.lsl:
        return open_lsl(run.lsl, run.silence_s, montage=run.montage,
                        unknown_head=run.unknown_head, rename=run.rename, unit=run.unit)
    return Replay(read(_as_file(run, [run.replay])), run.speed)


@torch.inference_mode()
def _warm_up(decoder: WindowDecoder, standardizer: CausalStandardizer) -> None:
    """A first answer takes several times as long as later ones: give it before the signal comes."""
    sensors, contract = standardizer.sensors, standardizer.contract
    noise = np.random.default_rng(0).standard_normal(
        (len(sensors), contract.window_samples)).astype(np.float32)
    batch: Batch = collate([noise], [sensors], contract.geometry)
    for _ in range(2):
        decoder.predict(batch.to(next(decoder.parameters()).device))


def _made(run: StreamConfig, job: Job, decoder, standardizer, feed, timing: Timing, center,
          worth: lacking.Worth) -> Made:
    """Summary, figure and page of a stream that has ended."""
    table = read_table(job.out / "predictions.tsv")
    numbers = timing.summary()
    delays_hz = [1.0, 4.0, 10.0, 20.0, 40.0]
    delays = 1e3 * standardizer.group_delay_s(delays_hz)
    summary = {
        **numbers, "ended": feed.ended, "threads": torch.get_num_threads(), "speed": run.speed,
        "hop_s": standardizer.hop / standardizer.contract.sfreq,
        "unusable": int((table["note"] != "").sum()),
        "group_delay_ms": {f"{hz:g} Hz": _rounded(delay) for hz, delay
                           in zip(delays_hz, delays, strict=True)},
        "resampler_waits_ms": _rounded(1e3 * standardizer.lookahead_s),
        "differences": standardizer.differences(),
        "quality": standardizer.remarks, "lacks": list(worth.said),
    }
    if decoder.classes and len(table):
        summary["abstained"] = int(table.loc[table["note"] == "", "abstained"].sum())
    artifacts.write_json(job.out / "summary.json", summary)
    files, figure = ["predictions.tsv", sidecar.FILE_NAME, "summary.json"], job.out / "streamed.png"
    if (table["note"] == "").any():
        figures.streamed(figure, table, decoder.classes)
        files.append(figure.name)
    results = findings.results(
        "stream", [run.replay or f"lsl:{run.lsl}"], run.model, table, decoder, run.abstain_below,
        [*findings.live_quality(table, standardizer.remarks), *worth.said])
    if not len(table):
        results.notes.append(f"no window was decoded ({feed.ended}); one lasts "
                             f"{standardizer.contract.window_s:g} s")
    people = judged(_as_file(run, [run.replay or run.lsl]), feed.template)
    results.flags = job.flags(people)
    sidecar.write(job.out, table, decoder.classes, results, job.parents["model"])
    return Made(
        with_svg(job.out, files), results=results, judged=people,
        page=streamed_page.page(feed.template, table, summary, decoder, run.model, figure,
                                results.summary, center.in_words() if center else ""),
        said=[findings.timing(summary)])


def read_table(path: Path) -> pd.DataFrame:
    """predictions.tsv of a stream; what is empty in it: "" in words, else NaN."""
    names = tsv.read(path, ("predicted", "bads", "note"), nrows=0)
    table = tsv.read(path, na_values={
        tsv.guarded(name): [""] for name in names if name not in ("predicted", "bads", "note")})
    if "confidence" not in table:
        with json_file.shaped(path, "numbers in column predicted"):
            table["predicted"] = pd.to_numeric(table["predicted"])
    return table
