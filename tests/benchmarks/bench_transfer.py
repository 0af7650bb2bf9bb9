"""Train on one cap, decode on another: `--decoder auto` against baselines on the common channels.

    python -m tests.benchmarks.bench_transfer                      a small simulation
    python -m tests.benchmarks.bench_transfer --data CORPUS --classes '["rest","arithmetic"]'

Every person is in the test set once. A decoder is trained on the largest cap, on people who train
or validate, and judged on test people's windows by a smaller one: their own recording by another
device, or windows with channels left out (--caps). Baselines:

common         trained and judged on the channels of both caps. They know the second cap beforehand,
               and are trained for it alone; the decoder is trained once, and sees it at use.
interpolated   trained on the whole cap, judged on channels that spherical splines fill in (those of
               MNE's `interpolate_bads`).

Settings of baselines are chosen on the validation people, then they learn from both, as the decoder
does. Intervals are over people (one person: over blocks of time). Balanced accuracy.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from neurofm import cli
from neurofm.data.batch import collate
from neurofm.data.corpus import Corpus
from neurofm.downstream import baselines
from neurofm.downstream.baselines import spectra
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.decoder.stack import fit_stack
from neurofm.downstream.decoder.stacked_build import at_events, build_stacked, measure
from neurofm.downstream.protocol.windows import Protocol, folds
from neurofm.downstream.scoring import statistics
from neurofm.nn.spline_map import spline_map

METHODS = ("filter_bank_tangent_lr_recentered", "tangent_lr_recentered",
           "band_power_lr_recentered", "csp_lda_recentered", "csp_lda")
CAPS = {
    "19": "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2",
    "8": "Fp1 Fp2 C3 C4 P7 P8 O1 O2", "8 central": "F3 F4 C3 C4 P3 P4 O1 O2",
    "4": "Fp1 Fp2 O1 O2", "4 parietal": "F3 F4 P3 P4",
}
SETTINGS = 3  # of each baseline, the likeliest


def simulated(folder: Path, subjects: int) -> Corpus:
    """Two minutes of left and right trials of each person, by three caps."""
    assert cli.main(["simulate", f"--out={folder / 'archive'}", f"--subjects={subjects}",
                     "--minutes=2", "--always=[eeg64,eeg32,eeg19]", "--devices=[]",
                     "--devices_per_subject=0", "--jobs=2"]) == 0
    assert cli.main(["ingest", str(folder / "archive"), f"--out={folder / 'trials'}",
                     "--contract.window_s=4", "--label.source=event",
                     '--label.mapping={"left": "left", "right": "right"}']) == 0
    return Corpus.open(folder / "trials")


class Windows:
    """Windows of a corpus, on any of their channels, averaged again."""

    def __init__(self, corpus: Corpus, sfreq: float):
        self.corpus, self.sfreq = corpus, sfreq
        self.large, self.whole = None, dict[int, np.ndarray]()

    def covariances(self, windows: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """[window, band, channel, channel]."""
        average = np.eye(len(names)) - 1 / len(names)
        found = []
        for window in windows.tolist():
            if window not in self.whole:
                self.whole[window] = spectra.covariances(self.corpus.signal(window), self.sfreq)
            rows = self.corpus.layout(window).rows(names)
            found.append(average @ self.whole[window][:, rows][:, :, rows] @ average)
        return np.array(found)

    def rows(self, model, windows: np.ndarray, names: tuple[str, ...]) -> torch.Tensor:
        """What the decoder measures."""
        parts = []
        for start in range(0, len(windows), 16):
            few = windows[start : start + 16].tolist()
            layouts = [self.corpus.layout(k)[self.corpus.layout(k).rows(names)] for k in few]
            signals = [self.corpus.signal(k, list(names)) for k in few]
            parts.append(model.pool(collate([x - x.mean(axis=0) for x in signals], layouts,
                                            model.contract.geometry)))
        return torch.cat(parts)


def auto(model, windows: Windows, test: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Classes by the decoder, each person about an own center."""
    rows, subjects = windows.rows(model, test, names), windows.corpus.subjects(test)
    answer = np.empty(len(test), dtype=int)
    for who in np.unique(subjects):
        own = np.flatnonzero(subjects == who)
        answer[own] = model.name(rows[own], rows[own].double().mean(dim=0).float()).argmax(1)
    return answer


def baseline(name, train, validation, seed: int = 0):
    """The baseline with the setting that tells validation people best, fitted to both."""
    cls, scores = baselines.find(name), []
    settings = cls.SETTINGS[:SETTINGS]
    for setting in settings:
        one = cls(seed, **setting)
        one.fit(*train)
        x, y, subjects = validation
        scores.append(statistics.balanced_accuracy(statistics.recalls(
            y, one.predict(x, subjects).argmax(1), subjects, int(y.max()) + 1)[0]))
    best = cls(seed, **settings[int(np.argmax(scores))])
    best.fit(*(np.concatenate(both) for both in zip(train, validation, strict=True)))
    return best


def spline(every, given) -> np.ndarray:
    """Takes signals of some electrodes to those of all."""
    to, at = (torch.from_numpy(each.geometry("head")[:, :3]) for each in (every, given))
    found = spline_map(to, at[None], torch.ones(1, len(at), dtype=torch.bool))[0].numpy()
    return found - found.mean(axis=0)


class Question:
    """One fold: who trains, who validates, who is judged, with how many channels."""

    def __init__(self, windows: Windows, fold, of: dict[str, np.ndarray], full: tuple[str, ...]):
        self.windows, self.fold, self.of, self.full = windows, fold, of, full
        both = np.sort(np.concatenate([of["train"], of["validation"]]))
        self.model = build_stacked(fold, both)
        table = windows.corpus.windows.iloc[both]
        fit_stack(self.model, measure(self.model, fold, both), both,
                  table["recording"].to_numpy(), table["start_s"].to_numpy(), say=lambda text: None)
        self.fitted = {method: self.trained(method, full) for method in METHODS}

    def trained(self, method: str, names: tuple[str, ...]):
        """A baseline on these channels of the large cap."""
        return baseline(method, *((self.windows.covariances(self.of[part], names),
                                   self.fold.target[self.of[part]],
                                   self.windows.corpus.subjects(self.of[part]))
                                  for part in ("train", "validation")))

    def answers(self, test: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Of every method, to windows that have these channels."""
        corpus = self.windows.corpus
        found, subjects = {"auto": auto(self.model, self.windows, test, names)}, corpus.subjects(
            test)
        layout = corpus.layout(int(test[0]))
        to_all = spline(self.windows.large, layout[layout.rows(names)])
        common = tuple(name for name in names if name in self.full)
        for method in METHODS:
            x = self.windows.covariances(test, names)
            whole = common == self.full
            if not whole:
                found[f"interpolated {method}"] = self.fitted[method].predict(
                    to_all @ x @ to_all.T, subjects).argmax(1)
            own = self.fitted[method] if whole else self.trained(method, common)
            found[f"common {method}"] = own.predict(self.windows.covariances(test, common),
                                                    subjects).argmax(1)
        return found


def judge(corpus: Corpus, classes: list[str], protocol: Protocol) -> dict:
    """cap → method → [target, answer, person] of all test windows."""
    data = labeled(corpus, classes)
    layouts = corpus.recordings["layout"].to_numpy()[corpus.windows["recording"].to_numpy()]
    known = np.unique(layouts[data.all])
    large = max(known, key=lambda key: len(corpus.layouts[key]))
    full = corpus.layouts[large].names
    caps = {"whole": (large, full)}
    caps |= {f"device of {len(corpus.layouts[key])}": (key, corpus.layouts[key].names)
             for key in known if key != large}
    caps |= {name: (large, tuple(text.split())) for name, text in CAPS.items()
             if set(text.split()) < set(full)}
    windows = Windows(corpus, data.contract.one_rate)
    windows.large = corpus.layouts[large]
    found: dict = {cap: {} for cap in caps}
    within, trial = protocol.kind == "within", "event" if at_events(data) else "recording"
    for number, fold in enumerate(folds(data, protocol, 1 if within else 2, trial)):
        asked = Question(windows, fold, {part: own[layouts[own] == large]
                                         for part, own in fold.windows.items()}, full)
        for cap, (key, names) in caps.items():
            test = fold.windows["test"][layouts[fold.windows["test"]] == key]
            who = np.full(len(test), f"block {number}") if within else corpus.subjects(test)
            for method, answer in asked.answers(test, names).items():
                found[cap].setdefault(method, []).append((fold.target[test], answer, who))
        print(f"fold {number + 1}", flush=True)
    return {cap: {method: [np.concatenate(part) for part in zip(*parts, strict=True)]
                  for method, parts in own.items()} for cap, own in found.items()}


def told(found: dict, n_classes: int) -> list[dict]:
    """A row a cap and method: balanced accuracy, and the decoder's minus it, with intervals."""
    rows = []
    for cap, own in found.items():
        recall = {method: statistics.recalls(*parts, n_classes)[0][None]
                  for method, parts in own.items()}
        for method in sorted(recall, key=lambda name: -statistics.balanced_accuracy(recall[name])):
            less, p = statistics.difference(recall["auto"], recall[method])
            rows.append({"cap": cap, "method": method,
                         "score": str(statistics.interval(recall[method])),
                         "auto minus it": "" if method == "auto" else str(less), "p": round(p, 4)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="corpus; none = a simulation")
    parser.add_argument("--classes", type=json.loads, default=["left", "right"])
    parser.add_argument("--within", action="store_true", help="one person: blocks of time")
    parser.add_argument("--subjects", type=int, default=8, help="people to be simulated")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Corpus.open(asked.data) if asked.data else simulated(Path(scratch), asked.subjects)
        protocol = Protocol(kind="within", folds=5) if asked.within else Protocol(
            kind="kfold", folds=4)
        rows = told(judge(corpus, asked.classes, protocol), len(asked.classes))
    for row in rows:
        print(" | ".join(str(value) for value in row.values()))


if __name__ == "__main__":
    main()
