"""How often the interval of robustness.json holds the truth, on physically simulated people.

    python tests/benchmarks/bench_robustness.py [--subjects 72] [--decoders 200]

An archive is simulated and ingested; regional band power of every window is computed under every
condition. Then many decoders are made: of the people some train a linear classifier, some validate
it, and the others are the truth. Each promised 95 % interval holds the mean of the others, or does
not. "chosen" takes the penalty that is best on the validation people, as a step is chosen: what
that costs the promise is its optimism. The truth is of some 40 people, and no better known.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from neurofm import cli
from neurofm.data.corpus import Corpus
from neurofm.data.lacks import Lacks
from neurofm.downstream.scoring import robustness, statistics
from neurofm.pages import words

CONDITIONS = (Lacks(), Lacks(30.0), Lacks(45.0, 0.5), Lacks(None, 0.25), Lacks(30.0, 0.25),
              Lacks(artifacts=0.01))
BANDS_HZ = ((4, 8), (8, 12), (12, 16), (16, 24), (24, 30))
TRAIN, VALIDATION = 16, (2, 3, 5, 8, 12)
PENALTIES = (0.03, 0.3, 3.0, 30.0)


def simulated(folder: Path, subjects: int) -> Corpus:
    """Two minutes of left and right trials of each person, 32 electrodes."""
    assert cli.main(["simulate", f"--out={folder / 'archive'}", f"--subjects={subjects}",
                     "--minutes=2", "--always=[eeg32]", "--devices=[]",
                     "--devices_per_subject=0", "--jobs=2"]) == 0
    assert cli.main(["ingest", str(folder / "archive"), f"--out={folder / 'trials'}",
                     "--contract.window_s=4", "--label.source=event",
                     '--label.mapping={"left": "left", "right": "right"}',
                     "--splits.fractions=[0.6,0.2,0.2]"]) == 0
    return Corpus.open(folder / "trials")


def features(corpus: Corpus, lacks: Lacks) -> np.ndarray:
    """Log band power of nine regions, from whatever channels there are, [window, feature]."""
    change = robustness.changed_by(lacks, corpus, seed=0)
    centers = np.array([(x, y) for x in (-0.05, 0.0, 0.05) for y in (-0.05, 0.0, 0.05)])
    rows = []
    for window in range(len(corpus)):
        signal, sensors = corpus.signal(window), corpus.layout(window)
        if not lacks.nothing:
            signal, sensors = change(window, signal, sensors)
        far = np.linalg.norm(sensors.position[:, None, :2] - centers, axis=-1)
        weight = np.exp(-np.square(far / 0.03))
        spectrum = np.abs(np.fft.rfft(signal * np.hanning(signal.shape[1]))) ** 2
        frequency = np.fft.rfftfreq(signal.shape[1], 1 / corpus.contract.sfreq)
        power = np.stack([spectrum[:, (frequency >= low) & (frequency < high)].mean(axis=1)
                          for low, high in BANDS_HZ])
        rows.append(np.log(power @ (weight / weight.sum(axis=0)) + 1e-9).ravel())
    return np.array(rows)


def centered(values: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Minus each person's mean, as a decoder that re-centers does."""
    out = values.copy()
    for name in np.unique(subjects):
        out[subjects == name] -= values[subjects == name].mean(axis=0)
    return out


def solved(values: np.ndarray, target: np.ndarray, penalty: float) -> np.ndarray:
    """Weights of a ridge regression on ±1."""
    x, y = values / values.std(axis=0).mean(), 2.0 * target - 1
    gram = x.T @ x / len(x) + penalty * np.eye(x.shape[1])
    return np.linalg.solve(gram, x.T @ y / len(x))


def recall(values, weights, target, subjects, people) -> np.ndarray:
    """[subject, class] of these people."""
    own = np.isin(subjects, people)
    answer = (values[own] @ weights > 0).astype(int)
    return statistics.recalls(target[own], answer, subjects[own], 2)[0]


def coverage(corpus: Corpus, decoders: int, seed: int = 0) -> pd.DataFrame:
    """Share of intervals that hold the truth, a row for each number of validation people."""
    every = np.arange(len(corpus))
    subjects = np.unique(corpus.subjects(every), return_inverse=True)[1]
    target = (corpus.labels(every) == "right").astype(int)
    seen = [centered(features(corpus, lacks), subjects) for lacks in CONDITIONS]
    rng, found = np.random.default_rng(seed), []
    for _ in range(decoders):
        order = rng.permutation(subjects.max() + 1)
        own = np.isin(subjects, order[:TRAIN])
        ways = [solved(seen[0][own], target[own], penalty) for penalty in PENALTIES]
        for n in VALIDATION:
            people, others = order[TRAIN : TRAIN + n], order[TRAIN + max(VALIDATION) :]
            on_people = [statistics.balanced_accuracy(
                recall(seen[0], way, target, subjects, people)) for way in ways]
            for rule, way in (("fixed", ways[1]), ("chosen", ways[int(np.argmax(on_people))])):
                for lacks, values in zip(CONDITIONS, seen, strict=True):
                    each = recall(values, way, target, subjects, people)
                    count = np.full(2, np.isin(subjects, people).sum() // 2)
                    low, high = robustness.interval(each, count)
                    truth = statistics.balanced_accuracy(
                        recall(values, way, target, subjects, others))
                    found.append((n, rule, words.listed(lacks.parts()) or "nothing lacks", truth,
                                  statistics.balanced_accuracy(each) - truth, high - low,
                                  low <= truth <= high))
    return pd.DataFrame(found, columns=["people", "rule", "condition", "truth", "optimism",
                                        "width", "holds"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--subjects", type=int, default=72)
    parser.add_argument("--decoders", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        corpus = (Corpus.open(folder / "trials") if (folder / "trials" / "manifest.json").exists()
                  else simulated(folder, asked.subjects))
        found = coverage(corpus, asked.decoders)
    for keys in (["people", "rule"], ["condition", "rule"]):
        print(found.groupby(keys, sort=False)[["truth", "optimism", "width", "holds"]]
              .mean().round(3).to_string(), end="\n\n")
    print(f"all: {found['holds'].mean():.3f} of {len(found)} intervals hold the truth")


if __name__ == "__main__":
    main()
