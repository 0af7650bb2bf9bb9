"""Signals out of a trained MEGGPT, one file a person: what it dreams after a real beginning.

    neurofm generate --model runs/meg_gpt --corpus corpus/ --out generated/ --seconds 60

Each person's first window is the prompt (or labels drawn by how often they come); what follows is
drawn token by token, decoded, and written as FIF. Units are those of the corpus: z-scored channels.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from neurofm import artifacts, checkpoints, config
from neurofm.checkpoints.contracts import check_contract
from neurofm.checkpoints.tokenizer import find_device
from neurofm.data.corpus import Corpus
from neurofm.data.sensors import Sensors
from neurofm.models.meg_gpt import MEGGPT

_TYPES = {"eeg": "eeg", "mag": "mag", "planar_grad": "grad", "axial_grad": "mag", "roi": "misc"}


@dataclass
class GenerateConfig:
    """Generate config.

    Parameters
    ----------
    model
        Checkpoint of a MEGGPT.
    corpus
        Whose people begin.
    out
        Folder of the results.
    split
        whose.
    people
        How many, 0 = all of them.
    seconds
        Of each, after burn_in_s that are left out.
    prompt
        "real" signals, or "unigram".
    temperature, top_p, seed
        Of the drawing.
    device
        As in `neurofm tokenize`.
    batch
        People at a time, of one layout.
    """

    model: str
    corpus: str
    out: str
    split: str = "test"
    people: int = 0
    seconds: float = 60.0
    burn_in_s: float = 2.0
    prompt: Literal["real", "unigram"] = "real"
    temperature: float = 1.0
    top_p: float = 0.99
    seed: int = 0
    device: str = "auto"
    batch: int = 8

    def __post_init__(self):
        if not self.seconds > 0 or not self.burn_in_s >= 0 or self.people < 0 or self.batch < 1:
            raise ValueError(f"wanted seconds above 0, burn_in_s and people of 0 or more and batch "
                             f"of at least 1, got {self.seconds}, {self.burn_in_s}, {self.people} "
                             f"and {self.batch}")


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return run_generate(config.parse(GenerateConfig, argv, command="generate"))


def run_generate(run: GenerateConfig) -> int:
    """Generate, write, seal; returns the exit status."""
    out, corpus = Path(run.out), Corpus.open(run.corpus)
    parents = {"data": corpus.fingerprint, "model": checkpoints.fingerprint(run.model)}
    if artifacts.finished(out, "results", config=config.resolved(run), parents=parents):
        print(f"{out} is finished: nothing to do")
        return 0
    model = checkpoints.load(run.model)
    if not isinstance(model, MEGGPT):
        raise ValueError(f"{run.model}: wanted a MEGGPT, which draws the next token, this is a "
                         f"{type(model).__name__}")
    check_contract(model, run.model, corpus, same_geometry=True)
    device = find_device(run.device)
    model.to(device)
    artifacts.claim(out, {**parents, **config.resolved(run)})
    windows = corpus.select(run.split)
    subjects = corpus.subjects(windows)
    _, first = np.unique(subjects, return_index=True)  # each person's first window
    first = windows[np.sort(first)][: run.people or None]
    files, began, drawn = [], time.perf_counter(), 0
    for layout, members in _by_layout(corpus, first).items():
        for start in range(0, len(members), run.batch):
            part = members[start : start + run.batch]
            signals = dreamed(model, corpus, part, run, device)
            drawn += signals.size
            for window, signal in zip(part.tolist(), signals, strict=True):
                name = f"{corpus.subjects(np.array([window]))[0]}".replace("/", "_")
                files.append(f"{name}_raw.fif")
                write_fif(out / files[-1], signal, corpus.layouts[layout], corpus.contract.sfreq)
    artifacts.seal(out, "results", config=config.resolved(run), parents=parents, files=files)
    took = time.perf_counter() - began
    print(f"{len(files)} people, {run.seconds:g} s each, in {out}: {drawn / took:,.0f} tokens a "
          f"second")
    return 0


def _by_layout(corpus: Corpus, windows: np.ndarray) -> dict[str, np.ndarray]:
    keys = corpus.recordings["layout"].to_numpy()[corpus.windows["recording"].to_numpy()[windows]]
    return {key: windows[keys == key] for key in dict.fromkeys(keys)}


def dreamed(
    model: MEGGPT, corpus: Corpus, windows: np.ndarray, run: GenerateConfig, device
) -> np.ndarray:
    """float32 [window, channel, time]: what follows the burn-in."""
    found = model.generate(
        corpus.batch(windows).to(device), run.seconds, burn_in_s=run.burn_in_s,
        unigram=run.prompt == "unigram", temperature=run.temperature, top_p=run.top_p,
        seed=run.seed)
    return found.cpu().numpy()


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
    raw.save(path, overwrite=True, verbose="ERROR")


if __name__ == "__main__":
    sys.exit(main())
