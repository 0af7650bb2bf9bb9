"""Whose real and generated signals are compared: the same channels, z-scored, in two real halves.

A person's recordings in the corpus are each cut in half in time; the first halves together are the
person's first half, the second ones the second, so that halves hold the same tasks. Windows of a
recording that adjoin are one stretch, gaps part stretches, and what a window repeats of the one
before (the last of a recording often does) is counted once. Where the contract scales each window
by itself, seams within a stretch keep a small step in scale.

A generated folder is what `neurofm generate` writes: `<subject>_raw.fif` for each person, "/" in
the subject replaced by "_". Units do not matter: every channel is z-scored over what is compared.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurofm import artifacts
from neurofm.data.corpus import Corpus
from neurofm.data.sensors import common_names

from ...scoring.stretches import Stretches, cut, seconds, standard

SUFFIX = "_raw.fif"
MIN_HALF_S = 4.0  # of each person's halves


@dataclass(frozen=True, eq=False)
class Compared:
    """A corpus, and the folders of signals generated from it."""

    corpus: Corpus
    people: list[str]  # "dataset/subject" of each
    names: list[str]  # channels that all of them have, in one order
    folders: dict[str, Path]  # source → folder of generated signals
    about: dict[str, dict]  # source → how it was generated
    made_by: dict[str, str | None]  # source → fingerprint of its model

    @classmethod
    def open(cls, corpus: Corpus, generated: dict[str, str]) -> "Compared":
        """Check that folders and corpus belong together; signals are read person by person."""
        if corpus.contract.sfreq is None:
            raise ValueError(f"{corpus.folder}: wanted EEG or MEG, whose spectra and bursts are "
                             f"judged; this corpus is {corpus.contract.name}")
        manifests = {name: _manifest(corpus, Path(folder)) for name, folder in generated.items()}
        files = {name: {file for file in manifest.files if file.endswith(SUFFIX)}
                 for name, manifest in manifests.items()}
        keys = dict.fromkeys(corpus.subjects(np.arange(len(corpus))))
        of_file = {file_name(key): key for key in keys}
        for name, own in files.items():
            if unknown := sorted(own - of_file.keys()):
                raise ValueError(f"{generated[name]}: {unknown[0]} is of nobody in "
                                 f"{corpus.folder}; judge with the corpus it was generated from")
        wanted = set().union(*files.values())
        for name, own in files.items():
            if lost := sorted(wanted - own):
                raise ValueError(f"{generated[name]}: has no {lost[0]}, which other folders have "
                                 f"({len(lost)} of {len(wanted)} people lack): generate the same "
                                 f"people for all that are compared")
        people = [key for key in keys if file_name(key) in wanted]
        if not people:
            raise ValueError(f"{next(iter(generated.values()))}: holds no *{SUFFIX}; wanted what "
                             f"`neurofm generate` makes")
        folders = {name: Path(folder) for name, folder in generated.items()}
        about = {name: manifest.config for name, manifest in manifests.items()}
        made_by = {name: manifest.parents.get("model") for name, manifest in manifests.items()}
        return cls(corpus, people, _common(corpus, people), folders, about, made_by)

    @property
    def sfreq(self) -> float:
        return self.corpus.contract.one_rate

    def real(self, person: str) -> tuple[Stretches, Stretches]:
        """The person's first and second half."""
        windows = np.flatnonzero(self.corpus.subjects(np.arange(len(self.corpus))) == person)
        recordings = self.corpus.windows["recording"].to_numpy()[windows]
        halves: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for recording in dict.fromkeys(recordings.tolist()):
            whole = self._stretches(windows[recordings == recording])
            n = sum(stretch.shape[1] for stretch in whole)
            for half, part in zip(halves, cut(whole, n // 2), strict=True):
                half.extend(part)
        if (short := seconds(halves[0], self.sfreq)) < MIN_HALF_S:
            raise ValueError(f"{self.corpus.folder}: half of what there is of {person} is "
                             f"{short:.1f} s, wanted at least {MIN_HALF_S:g} s; leave the person "
                             f"out, or ingest more")
        return standard(halves[0]), standard(halves[1])

    def _stretches(self, windows: np.ndarray) -> Stretches:
        """Of one recording, nothing twice."""
        starts = self.corpus.windows["start_s"].to_numpy()[windows]
        found: list[list[np.ndarray]] = []
        end = None
        for window, start_s in sorted(zip(windows.tolist(), starts, strict=True),
                                      key=lambda pair: pair[1]):
            signal = self.corpus.signal(window, self.names)
            start = round(float(start_s) * self.sfreq)
            if end is None or start > end + 1:  # start_s is rounded: one sample is no gap
                found.append([signal])
            elif end - start < signal.shape[1]:
                found[-1].append(signal[:, max(0, end - start):])
            end = max(end or 0, start + signal.shape[1])
        return [np.concatenate(parts, axis=1) for parts in found]

    def generated(self, source: str, person: str) -> Stretches:
        """What a model made for the person: one stretch."""
        import mne

        path = self.folders[source] / file_name(person)
        raw = mne.io.read_raw_fif(path, verbose="ERROR")
        if lost := [name for name in self.names if name not in raw.ch_names]:
            raise ValueError(f"{path}: lacks {len(lost)} of {len(self.names)} channels of the "
                             f"corpus ({', '.join(lost[:5])}); generate with a model of its layout")
        if abs(raw.info["sfreq"] - self.sfreq) > 1e-3:
            raise ValueError(f"{path}: wanted the corpus's {self.sfreq:g} Hz, came "
                             f"{raw.info['sfreq']:g} Hz; generate again")
        signal = np.stack([raw.get_data(name)[0] for name in self.names])
        if not np.isfinite(signal).all():
            raise ValueError(f"{path}: holds values that are not finite; generate again")
        if (long := signal.shape[1] / self.sfreq) < MIN_HALF_S:
            raise ValueError(f"{path}: wanted at least {MIN_HALF_S:g} s, came {long:.1f} s; "
                             f"generate more seconds")
        return standard([signal])


def file_name(person: str) -> str:
    return person.replace("/", "_") + SUFFIX


def _manifest(corpus: Corpus, folder: Path) -> artifacts.Manifest:
    manifest = artifacts.open_sealed(folder, "results")
    if manifest.parents.get("data") != corpus.fingerprint:
        raise ValueError(
            f"{folder}: wanted signals generated from the corpus {corpus.folder} "
            f"({corpus.fingerprint}), these are from another ("
            f"{manifest.parents.get('data', 'not said')}); give the corpus that "
            f"`neurofm generate` had, or generate again")
    return manifest


def _common(corpus: Corpus, people: list[str]) -> list[str]:
    """Channels that every recording of these people has, in the order of the first."""
    of = corpus.subjects(np.arange(len(corpus)))
    windows = np.flatnonzero(np.isin(of, people))
    _, first = np.unique(corpus.windows["recording"].to_numpy()[windows], return_index=True)
    names = common_names([corpus.layout(window) for window in windows[first]])
    if not names:
        raise ValueError(f"{corpus.folder}: no channel is in all recordings of the "
                         f"{len(people)} people; judge people of one layout")
    return names
