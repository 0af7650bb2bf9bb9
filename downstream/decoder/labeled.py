"""Which windows of a corpus have which label, and which of them train, choose and judge."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neurofm.data.contract import Contract
from neurofm.data.corpus import Corpus
from neurofm.data.windows import SPLITS


@dataclass(frozen=True, eq=False)
class Labeled:
    """The label of every window, and which windows train, choose and judge."""

    corpus: Corpus
    classes: tuple[str, ...]  # names, in the order of class indices; none where labels are numbers
    windows: dict[str, np.ndarray]  # split → window indices, ascending
    # class index of every window of the corpus, −1 where it has none of these labels; or its
    # number, float32, NaN where it has none
    target: np.ndarray
    left_out: int = 0  # windows of the chosen recordings without one of the labels
    fold: str = "stored"  # name of this way to split; "stored" is the one the corpus carries

    @property
    def all(self) -> np.ndarray:
        """Windows of all splits, ascending."""
        return np.sort(np.concatenate([self.windows[split] for split in SPLITS]))

    def of(self, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(windows, class indices or numbers, subjects) of a split."""
        windows = self.windows[split]
        return windows, self.target[windows], self.corpus.subjects(windows)

    def recordings(self, split: str) -> np.ndarray:
        """Rows of the recordings table that the windows of a split come from."""
        return np.unique(self.corpus.windows["recording"].to_numpy()[self.windows[split]])

    @property
    def one_class_a_recording(self) -> bool:
        """Whether most recordings hold windows of one class alone."""
        rows = self.corpus.windows["recording"].to_numpy()[self.all]
        table = pd.DataFrame({"recording": rows, "target": self.target[self.all]})
        return bool(self.classes) and bool(
            (table.groupby("recording")["target"].nunique() == 1).mean() > 0.5)

    @property
    def contract(self) -> Contract:
        """Of what is trained on these windows: of the kinds of sensor that the corpus might have
        held, it knows those that training recordings did hold."""
        layouts = [self.corpus.layouts[key] for key in
                   self.corpus.recordings["layout"].iloc[self.recordings("train")].unique()]
        return self.corpus.contract.of_kinds({kind for layout in layouts for kind in layout.kinds})

    def contract_on(self, pretrained: Contract) -> Contract:
        """The same on a pretrained network, which reads places by its own rule."""
        return self.contract.for_networks(pretrained.geometry)

    def describe(self) -> str:
        """Windows and subjects of each split and class, in one line a split."""
        lines = []
        for split in SPLITS:
            _, target, subjects = self.of(split)
            counts = ", ".join(f"{(target == k).sum()} {name}"
                               for k, name in enumerate(self.classes)) or f"{len(target)} windows"
            n = len(set(subjects))
            lines.append(f"{split}: {n} subject{'s' * (n != 1)}, {counts}")
        return "\n".join(lines)


def labeled(
    corpus: Corpus,
    classes: list[str] | tuple[str, ...] = (),
    only: dict[str, str] | None = None,
    *,
    number: bool = False,
) -> Labeled:
    """Windows with a label, of recordings that `only` lets through, in the corpus's own split.

    classes: labels to tell apart, empty = all there are. number: labels are numbers. only: column
    of the recordings table, or attribute of a recording, and the value it must have. Raises
    ValueError with what to do where there are none. Whether a decoder could be trained and judged
    in that split: `checked`.
    """
    keep = chosen_recordings(corpus, only)
    inside = keep[corpus.windows["recording"].to_numpy()]
    label = corpus.windows["label"].to_numpy()
    present = sorted({str(value) for value in label[inside] if value is not None})
    if not present:
        raise ValueError(
            f"{corpus.folder}: no window has a label; ingest with labels, e.g. "
            f"--label.source=entity --label.name=task, or --label.source=event "
            f"--label.mapping='{{\"EVENT\": \"LABEL\"}}'"
        )
    if number:
        return _numbers(corpus, label, inside)
    names = tuple(str(name) for name in classes) or tuple(present)
    unknown = [name for name in names if name not in present]
    if unknown or len(names) < 2:
        raise ValueError(
            f"{corpus.folder}: wanted two or more labels to tell apart, "
            f"{f'asked for {list(names)}' if classes else 'found'} where windows have {present}; "
            f"choose among these with classes, or ingest with other labels"
        )
    index = {name: k for k, name in enumerate(names)}
    target = np.array([index.get(value, -1) for value in label], dtype=np.int64)
    target[~inside] = -1
    return Labeled(corpus, names, _stored(corpus, target >= 0), target,
                    int(inside.sum() - (target >= 0).sum()))


def _numbers(corpus: Corpus, label: np.ndarray, inside: np.ndarray) -> Labeled:
    """Windows whose label is a number."""
    target = pd.to_numeric(pd.Series(label, dtype=object), errors="coerce").to_numpy("float32")
    given = np.array([value is not None for value in label])
    strange = sorted({str(value) for value in label[inside & given & np.isnan(target)]})
    if strange:
        raise ValueError(f"{corpus.folder}: wanted labels that are numbers, found "
                         f"{strange[:8]}; choose a task of classes, or ingest with another label")
    target[~inside] = np.nan
    known = np.isfinite(target)
    return Labeled(corpus, (), _stored(corpus, known), target, int(inside.sum() - known.sum()))


def _stored(corpus: Corpus, known: np.ndarray) -> dict[str, np.ndarray]:
    """Windows with a label in each split that the corpus carries."""
    split_of = corpus.recordings["split"].to_numpy()[corpus.windows["recording"].to_numpy()]
    return {split: np.flatnonzero(known & (split_of == split)) for split in SPLITS}


def chosen_recordings(corpus: Corpus, only: dict[str, str] | None) -> np.ndarray:
    """bool [recording]: those whose columns or attributes have the values wanted."""
    table = described(corpus)
    keep = np.ones(len(table), dtype=bool)
    for name, value in (only or {}).items():
        if name not in table.columns:
            raise ValueError(f"{corpus.folder}: only.{name}: recordings have no such column or "
                             f"attribute; there are {', '.join(table.columns)}")
        column = table[name].map(str)
        if not (column == str(value)).any():
            raise ValueError(f"{corpus.folder}: only.{name}={value}: no recording has it; there "
                             f"are {', '.join(sorted(set(column))[:20])}")
        keep &= (column == str(value)).to_numpy()
    if not keep.any():
        raise ValueError(f"{corpus.folder}: no recording has all of {only}; ask for less")
    return keep


def described(corpus: Corpus) -> pd.DataFrame:
    """The recordings table with attributes as columns, and `sensors`, such as "64 eeg", and
    `kinds`, such as "eeg"."""
    table = corpus.recordings.drop(columns=["attributes", "quality", "sha256"])
    attributes = pd.DataFrame(
        [json.loads(value) if isinstance(value, str) and value else value or {}
         for value in corpus.recordings["attributes"]], index=table.index,
    )
    table = table.join(attributes[[name for name in attributes if name not in table.columns]])
    layouts = [corpus.layouts[key] for key in table["layout"]]
    return table.assign(sensors=[sensors_of(layout) for layout in layouts],
                        kinds=[" + ".join(dict.fromkeys(layout.kinds)) for layout in layouts])


def sensors_of(layout) -> str:
    """A layout in words: "64 eeg", "102 mag + 204 planar_grad"."""
    return " + ".join(f"{layout.kinds.count(kind)} {kind}" for kind in dict.fromkeys(layout.kinds))


def checked(found: Labeled, min_subjects: int = 2, *, whole: bool = True) -> Labeled:
    """The same; ValueError, with what to do, where a split lacks windows or subjects of a class.

    min_subjects: fewest training subjects that a class may have. whole: all that is judged stands
    in this fold's test split; else other folds may have the classes that it lacks.
    """
    where = f"{found.corpus.folder} ({found.fold} split)"
    for split in SPLITS:
        if len(found.windows[split]) == 0:
            why = {"train": "nothing to train on", "validation": "nothing to choose the best step "
                   "by (the test split must not be used for that)",
                   "test": "nobody to judge it on"}[split]
            raise ValueError(
                f"{where}: the {split} split has no labeled window: {why}; ingest again with "
                f"subjects in train, validation and test, e.g. --splits.fractions=[0.6,0.2,0.2]; "
                f"of few subjects part the time: --protocol.kind=within"
            )
    numbers = found.target[found.windows["train"]]
    if not found.classes and (numbers == numbers[0]).all():
        raise ValueError(f"{where}: all training windows have the number {numbers[0]:g}: there is "
                         f"nothing to learn; choose other recordings, or another label")
    for split in SPLITS if whole else SPLITS[:2]:
        wanted = min_subjects if split == "train" else 1
        _, target, subjects = found.of(split)
        for k, name in enumerate(found.classes):
            n = len(set(subjects[target == k]))
            if n < wanted:
                raise ValueError(
                    f"{where}: label {name!r} has {n} {split} subject(s), wanted at least "
                    f"{wanted}: nothing could be said of unseen people; add recordings, choose "
                    f"other classes, or move subjects between the splits"
                )
    return found
