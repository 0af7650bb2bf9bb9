"""Generate signals with a trained generative model, one file per subject.

    neurofm generate --model runs/meg_gpt --data corpus/ --out generated/ --seconds 60

The prompt is each person's first window (or labels drawn by their frequencies). What follows it is
drawn token by token, decoded and written as FIF. Units are those of the corpus: z-scored channels.
The ledger of the model lies beside the signals, so that `neurofm evaluate generation` knows whom
the model was trained on.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from neurofm import artifacts, checkpoints, progress
from neurofm.checkpoints.contracts import open_for
from neurofm.checkpoints.tokenizer import find_device
from neurofm.data.corpus import Corpus
from neurofm.data.sensors import Sensors
from neurofm.data.windows import Split
from neurofm.limits import Count, Positive, PositiveShare, limited
from neurofm.models.protocol import GenerativeModel
from neurofm.pages import page as report
from neurofm.pages import table as tables
from neurofm.pages import words
from neurofm.pages.figure import save, subplots
from neurofm.pages.page import Page
from neurofm.repository import LEDGER
from neurofm.results import Results
from neurofm.run import Command, Job, Made

_TYPES = {"eeg": "eeg", "mag": "mag", "planar_grad": "grad", "axial_grad": "mag", "roi": "misc"}
_SHOWN_S, _SHOWN = 5.0, 6  # seconds and channels in the figure


@dataclass
@limited
class GenerateConfig:
    """Generate signals with a trained generative model.

    Parameters
    ----------
    model
        Checkpoint of a model that generates signals, such as a meg_gpt.
    data
        Corpus whose signals prompt the model.
    out
        Folder of the signals.
    split
        Split of the subjects: train, validation or test.
    people
        Number of subjects; 0 = all.
    seconds
        Length of the signal of each subject, s.
    burn_in_s
        Time to discard after the prompt, s.
    prompt
        "real": begin with real signals; "unigram": begin with random tokens.
    temperature
        Sampling temperature; 1 = the distribution of the model.
    top_p
        Sample from the most probable tokens that together have this probability.
    seed
        Seed of the samples.
    device
        "auto" takes a GPU if there is one; "cpu", "cuda", "cuda:1" …
    batch_windows
        Subjects per batch, of one layout.
    """

    model: str
    data: str
    out: str
    split: Split = "test"
    people: int = 0
    seconds: Positive = 60.0
    burn_in_s: float = 2.0
    prompt: Literal["real", "unigram"] = "real"
    temperature: Positive = 1.0
    top_p: PositiveShare = 0.99
    seed: int = 0
    device: str = "auto"
    batch_windows: Count = 8


def generate(run: GenerateConfig, job: Job) -> Made:
    """Write a FIF a person; files that are there already are not made again."""
    corpus = Corpus.open(run.data)
    model = open_for(corpus, run.model, GenerativeModel,
                     "generates signals, such as a meg_gpt", same_geometry=True)
    device = find_device(run.device)
    model.to(device)
    first = prompts(corpus, run)
    rows, began, drawn = [], time.perf_counter(), 0
    batches = list(_batches(corpus, first, run.batch_windows))
    for layout, part in progress.each(batches, len(batches), "generate"):
        people = corpus.subjects(part).tolist()
        names = [f"{subject.replace('/', '_')}_raw.fif" for subject in people]
        if not all((job.out / name).exists() for name in names):
            signals = model.generate(
                corpus.batch(part).to(device), run.seconds, burn_in_s=run.burn_in_s,
                unigram=run.prompt == "unigram", temperature=run.temperature, top_p=run.top_p,
                seed=run.seed).cpu().numpy()
            drawn += signals.size
            for name, signal in zip(names, signals, strict=True):
                write_fif(job.out / name, signal, corpus.layouts[layout],
                          corpus.contract.one_rate)
        rows += [{"file": name, "subject": subject, "channels": len(corpus.layouts[layout]),
                  "seconds": run.seconds} for name, subject in zip(names, people, strict=True)]
    files = [row["file"] for row in rows]
    draw(job.out / "generated.png", job.out / files[0])
    ledger = checkpoints.read_ledger(run.model)
    if ledger is not None:
        artifacts.write_json(job.out / LEDGER, ledger)
    took = time.perf_counter() - began
    return Made(
        [*files, "generated.png", *([LEDGER] if ledger is not None else [])],
        results=Results("generate", run.data, run.model, ["model"],
                        {"split": run.split, "prompt": run.prompt, "seconds": run.seconds,
                         "temperature": run.temperature, "top_p": run.top_p}, [run.seed],
                        len(files)),
        judged=corpus.judged(first), page=page(run, corpus, pd.DataFrame(rows), job.out),
        said=[f"{len(files)} people, {run.seconds:g} s each, in {job.out}: {drawn / took:,.0f} "
              f"tokens a second"])


COMMAND = Command("generate", GenerateConfig, generate, makes="results", reads=("data",),
                  models=("model",))
main = COMMAND


def prompts(corpus: Corpus, run: GenerateConfig) -> np.ndarray:
    """The first window of each person."""
    windows = corpus.select(run.split)
    _, first = np.unique(corpus.subjects(windows), return_index=True)
    return windows[np.sort(first)][: run.people or None]


def _batches(
    corpus: Corpus, windows: np.ndarray, at_once: int
) -> Iterator[tuple[str, np.ndarray]]:
    """(Layout, some windows of it), again and again."""
    keys = corpus.recordings["layout"].to_numpy()[corpus.windows["recording"].to_numpy()[windows]]
    for key in dict.fromkeys(keys):
        members = windows[keys == key]
        for start in range(0, len(members), at_once):
            yield key, members[start : start + at_once]


def write_fif(path: Path, signal: np.ndarray, sensors: Sensors, sfreq: float) -> None:
    """Write a signal of z-scored channels; EEG in tens of µV, so that viewers show it at once."""
    import mne

    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = [_TYPES[kind] for kind in sensors.kinds]
    info = mne.create_info(list(sensors.names), sfreq, kinds)
    scale = np.array([{"eeg": 1e-5, "mag": 1e-12, "grad": 1e-10}.get(kind, 1.0) for kind in kinds])
    raw = mne.io.RawArray(signal * scale[:, None], info, verbose="ERROR")
    raw.set_annotations(mne.Annotations([0.0], [0.0], ["generated by neurofm"]))
    if set(kinds) == {"eeg"} and sensors.has_position.all():
        place = dict(zip(sensors.names, sensors.position.astype(float), strict=True))
        raw.set_montage(mne.channels.make_dig_montage(place, coord_frame="head"), verbose="ERROR")
    begun = path.with_name(f"unfinished_{path.name}")
    raw.save(begun, overwrite=True, verbose="ERROR")
    begun.rename(path)  # a file under its name is complete


def draw(path: Path, signal: Path) -> None:
    """The first seconds of a few channels."""
    import mne

    raw = mne.io.read_raw_fif(signal, verbose="ERROR")
    x = raw.get_data()[:_SHOWN, : round(_SHOWN_S * raw.info["sfreq"])]
    x = x / np.maximum(x.std(axis=1, keepdims=True), 1e-30)
    figure, axis = subplots(figsize=(9, 0.6 + 0.5 * len(x)))
    axis.plot(np.arange(x.shape[1]) / raw.info["sfreq"], (x - 5 * np.arange(len(x))[:, None]).T,
              color="0.2", lw=0.8)
    axis.set_yticks(-5 * np.arange(len(x)), raw.ch_names[: len(x)])
    axis.set(xlabel="time (s)", title=f"Generated signals, {signal.name}, each channel z-scored")
    save(figure, path)


def page(run: GenerateConfig, corpus: Corpus, files: pd.DataFrame, out: Path) -> Page:
    """How the signals were drawn, a look at them, the files."""
    return Page("Generated signals", f"{run.model}, prompts from {run.data}, {run.split} split", [
        ("", report.paragraph("These signals are generated, not recorded. `neurofm evaluate "
                              "generation` compares them with recordings.")),
        ("Draws", tables.pairs([
            ("Prompt", {"real": "the person's first window",
                        "unigram": "labels drawn by their frequencies in the person's first window",
                        }[run.prompt]),
            ("Burn-in", f"{run.burn_in_s:g} s after the prompt, left out"),
            ("Temperature", f"{run.temperature:g}"), ("Top p", f"{run.top_p:g}"),
            ("Seed", str(run.seed))])),
        ("First seconds", report.figure(out / "generated.png", "Generated signals")),
        ("Files", tables.html(files, scroll=len(files) > 20)),
        ("Signals", tables.pairs(words.contract_in_words(corpus.contract))),
    ])
