"""Protocols: ways to part people, sessions or devices into train, validation and test.

`folds` gives a `Labeled` for each fold, checked for leaks. In every one of them the validation
windows are of other people (sessions, devices, stretches of time) than the training and the test
windows, so that steps and settings can be chosen without a look at the test.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np

from neurofm.limits import InnerShare, Limit, limited

from ..decoder.labeled import Labeled, checked, described
from . import blocks, leaks, published

# Whoever is judged was trained on, too: the question is another day, or another stretch of time.
SAME_PEOPLE = ("sessions", "within")
MISSING = ("", "n/a", "nan", "None")  # what tables write where there is no value


@dataclass
@limited
class Protocol:
    """Which subjects train, select and test.

    Parameters
    ----------
    kind
        "stored" = the split of the corpus; "kfold" = `folds` parts of the subjects, each
        the test set once; "loso" = each subject the test set once; "published" = the
        subjects in `train`, `validation_subjects` and `test`; "sessions" = the last session
        of each subject tests, the one before selects, the others train (column = "run":
        runs instead of sessions); "across" = each value of `column` (device, site, data
        set) tests once, subjects of other values train; "within" = each recording is cut
        into `folds` blocks of time, each tests once, the next one selects, the others
        train. "sessions" and "within" test on training subjects: scores do not generalize
        to other subjects.
    trials
        For sessions, with two sessions per subject: select on every n-th trial of each
        class of the first session, a share of `validation`, and train on its other trials.
        Needs event labels.
    rotate
        For sessions: test each session once, as CrossSession of MOABB. By default no
        session after the test session trains.
    gap_s
        For within: time to leave out of training at the border of a block, s. null = 0 for
        event labels, else one window, because zero-phase filters and slow drifts cross the
        border.
    validation
        Share of the training subjects that select steps and settings (kfold, loso, across).
    train
        For published: training subjects, names or ranges such as "1-70".
    validation_subjects
        For published: subjects that select.
    test
        For published: test subjects.
    column
        For across and sessions: column or attribute of recordings.
    seed
        Seed of the random assignment of subjects.
    folds
        Number of folds (kfold) or blocks (within).
    """

    kind: Literal["stored", "kfold", "loso", "published", "sessions", "across",
                  "within"] = "stored"
    folds: Annotated[int, Limit(2)] = 5
    validation: InnerShare = 0.2
    train: list[str] = field(default_factory=list)
    validation_subjects: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    column: str = ""
    trials: bool = False
    rotate: bool = False
    gap_s: float | None = None
    seed: int = 0

    PREFIX = "protocol."

    def __post_init__(self):
        if self.kind == "within" and self.folds < 3:
            raise ValueError(f"protocol.kind is within: wanted three blocks at least, to train, to "
                             f"choose and to test, got protocol.folds={self.folds}")
        for name, kind in (("rotate", "sessions"), ("trials", "sessions"),
                           ("gap_s", "within")):
            if getattr(self, name) and self.kind != kind:
                raise ValueError(f"protocol.{name} is of protocol.kind={kind}, but the kind is "
                                 f"{self.kind}: leave it out")
        named = {"train": self.train, "validation_subjects": self.validation_subjects,
                 "test": self.test}
        missing = [name for name, value in named.items() if not value]
        if self.kind == "published" and missing:
            raise ValueError(f"protocol.kind is published, but protocol.{missing[0]} names nobody")
        if self.rotate and self.trials:
            raise ValueError("protocol.trials tests the last session alone: leave protocol.rotate "
                             "out, or protocol.trials")
        if self.kind == "across" and not self.column:
            raise ValueError("protocol.kind is across, but protocol.column names no column of the "
                             "recordings, such as session, dataset, sensors or site")


def folds(
    data: Labeled, protocol: Protocol, min_subjects: int = 2, trial: str = "recording"
) -> list[Labeled]:
    """The folds, each checked: enough subjects of every class, nothing on both sides.

    min_subjects: fewest training subjects of a class; 1 where the same people are judged. trial:
    which windows belong together, as in `Task`.
    """
    kind, same = protocol.kind, protocol.kind in SAME_PEOPLE
    if same:
        _check_labels_vary(data, kind)
    if protocol.trials and trial != "event":
        raise ValueError("protocol.trials deals out trials of one session, but windows of this "
                         "task are no trials of their own: their neighbors would be on both "
                         "sides; use protocol.kind=within")
    found = list(blocks.within(data, protocol.folds, gap_s(protocol, data, trial))
                 if kind == "within" else KINDS[kind](data, protocol))
    for fold in found:
        leaks.refuse(checked(fold, 1 if same else min_subjects, whole=len(found) == 1),
                     same_people=same, same_recordings=kind == "within" or protocol.trials)
    judged = np.concatenate([fold.windows["test"] for fold in found])
    assert len(set(judged)) == len(judged), "a window is tested twice"
    return found


def gap_s(protocol: Protocol, data: Labeled, trial: str) -> float:
    """Seconds left out at the borders of blocks of time."""
    if protocol.gap_s is not None:
        return protocol.gap_s
    return 0.0 if trial == "event" else data.corpus.contract.window_s or 0.0


def in_words(protocol: Protocol, found: list[Labeled], trial: str = "recording") -> str:
    """One line for the page."""
    n = len({subject for fold in found for subject in fold.of("test")[2]})
    people = f"{n} subject{'s' * (n != 1)}"
    column, gap = protocol.column or "session", gap_s(protocol, found[0], trial)
    beside = "those that share samples with it" + (
        f" or lie within {gap:g} s of it" if gap else "")
    return {
        "stored": f"the corpus's own split, {n} test subjects",
        "kfold": f"{len(found)} folds by subject, each of {n} subjects tested once",
        "loso": f"leave one subject out, {n} subjects",
        "published": f"published split, {n} test subjects",
        "sessions": f"each {column} of a subject tested once ({len(found)} folds), the one before "
                    f"chooses, trained on the others, earlier and later, {people}"
                    if protocol.rotate else
                    f"each subject's last {column}, trained on the earlier ones but for every "
                    f"{every(protocol)}th trial of a class, by which is chosen, {people}"
                    if protocol.trials else
                    f"each subject's last {column}, trained on the earlier ones, {people}",
        "across": f"each {protocol.column} left out once ({len(found)}), tested on {n} subjects",
        "within": f"every recording cut in {len(found)} blocks of time, each tested once, the next "
                  f"one chooses, the others train without {beside}; one model for {people}",
    }[protocol.kind]


def what_a_fold_is(protocol: Protocol) -> tuple[str, str]:
    """One and several, in words."""
    column = protocol.column or "session"
    return {"within": ("block of time", "blocks of time"),
            "sessions": (column, f"{column}s")}.get(protocol.kind, ("fold", "folds"))


def said_of_whom(protocol: Protocol) -> list[str]:
    """What a reader must know about whom scores are of, in lines."""
    if protocol.kind == "within":
        return ["scores are of later or earlier stretches of the same recordings that were trained "
                "on: they say nothing of other people, nor of another day or another placement of "
                "the sensors"]
    if protocol.kind == "sessions":
        return [f"scores are of another {protocol.column or 'session'} of the same people who were "
                f"trained on: they say nothing of other people"]
    return []


def _stored(data: Labeled, protocol: Protocol) -> Iterator[Labeled]:
    yield data


def _kfold(data: Labeled, protocol: Protocol) -> Iterator[Labeled]:
    people = _dealt(data, np.random.default_rng(protocol.seed))
    n, label = len(people) if protocol.kind == "loso" else protocol.folds, _label_of(data)
    if n > len(people):
        raise ValueError(f"{data.corpus.folder}: {n} folds of {len(people)} subjects; wanted at "
                         f"most as many folds as subjects")
    windows, of = data.all, data.corpus.subjects(data.all)
    for k in range(n):
        test = people[k::n]
        chosen = _watched([one for one in people if one not in set(test)], protocol.validation, k,
                          label)
        name = test[0] if protocol.kind == "loso" else f"fold-{k + 1}"
        yield _parted(data, name, windows, np.isin(of, test), np.isin(of, chosen))


def _published(data: Labeled, protocol: Protocol) -> Iterator[Labeled]:
    windows, parts = data.all, {}
    of = np.array([key.split("/", 1)[1] for key in data.corpus.subjects(windows)])
    for split, wanted in published.parts(protocol).items():
        named, _ = published.named(wanted, np.unique(of))
        parts[split] = windows[np.isin(of, named)]
    lacking = [split for split, part in parts.items() if not len(part)]
    if lacking:
        absent = "; ".join(published.missing(data, protocol))
        raise ValueError(f"{data.corpus.folder}: this protocol needs subjects that the corpus does "
                         f"not have: {absent}; nobody is left for {' and '.join(lacking)}; ingest "
                         f"these subjects, or choose another protocol (--protocol.kind=kfold)")
    yield replace(data, fold="published", windows=parts)


def _sessions(data: Labeled, protocol: Protocol) -> Iterator[Labeled]:
    windows = data.all
    rows = data.corpus.windows["recording"].to_numpy()[windows]
    column = protocol.column or "session"
    session = _column(data, column)[rows]
    of = data.corpus.subjects(windows)
    place, count = np.zeros((2, len(windows)), dtype=int)
    for subject in np.unique(of):
        own = sorted(set(session[of == subject]), key=_natural)
        if len(own) < 3 - protocol.trials:
            raise ValueError(
                f"{data.corpus.folder}: {subject} has {len(own)} {column}(s) ({', '.join(own)}); "
                + ("wanted two: to train and to choose, to test" if protocol.trials else
                   "wanted three: to train, to choose steps and settings, to test; of two the "
                   "first can do both, by trials: protocol.trials=true")
            )
        count[of == subject] = len(own)
        for at, name in enumerate(own):
            place[(of == subject) & (session == name)] = at
    if protocol.trials:
        test = place == count - 1
        fold = _parted(data, f"last {column}", windows, test, ~test & _nth(data, protocol))
        fold.windows["train"] = blocks.apart(data.corpus, fold.windows["train"],
                                             fold.windows["validation"], 0.0)
        yield fold
        return
    if not protocol.rotate:
        yield _parted(data, f"last {column}", windows, place == count - 1, place == count - 2)
        return
    for k in range(count.max()):
        judged = count > k  # who has fewer sessions trains, after each of theirs was the test
        test, chosen = place == k, judged & (place == (k - 1) % count)
        names = set(session[test])
        name = f"{column} {names.pop() if len(names) == 1 else k + 1}"
        yield _parted(data, name, windows, test, chosen)


def every(protocol: Protocol) -> int:
    """One trial of so many chooses."""
    return max(2, round(1 / protocol.validation))


def _nth(data: Labeled, protocol: Protocol) -> np.ndarray:
    """bool [labeled window]: every n-th of each recording and class, in the order of time."""
    windows, table, n = data.all, data.corpus.windows, every(protocol)
    recording, start_s = (table[name].to_numpy()[windows] for name in ("recording", "start_s"))
    target, chosen = data.target[windows], np.zeros(len(windows), dtype=bool)
    for row in np.unique(recording):
        for value in np.unique(target[recording == row]):
            own = np.flatnonzero((recording == row) & (target == value))
            chosen[own[np.argsort(start_s[own], kind="stable")][n // 2 :: n]] = True
    return chosen


def _across(data: Labeled, protocol: Protocol) -> Iterator[Labeled]:
    windows = data.all
    rows = data.corpus.windows["recording"].to_numpy()[windows]
    value = _column(data, protocol.column)[rows]
    of = data.corpus.subjects(windows)
    if len(set(value)) < 2:
        raise ValueError(f"{data.corpus.folder}: all recordings have {protocol.column}="
                         f"{value[0]}; wanted two values at least")
    for k, left_out in enumerate(sorted(set(value), key=_natural)):
        test = value == left_out
        # Somebody recorded both ways would be on both sides: their other recordings are left out.
        rest = ~test & ~np.isin(of, of[test])
        people = [one for one in _dealt(data, np.random.default_rng(protocol.seed))
                  if one in set(of[rest])]
        if not people:
            raise ValueError(
                f"{data.corpus.folder}: everybody has a recording with {protocol.column}="
                f"{left_out}, so nobody else is left to train on; cross-{protocol.column} needs "
                f"subjects of their own"
            )
        chosen = np.isin(of, _watched(people, protocol.validation, k, _label_of(data)))
        yield _parted(data, left_out, windows[test | rest], test[test | rest],
                      chosen[test | rest] & ~test[test | rest])


def _column(data: Labeled, name: str) -> np.ndarray:
    """A column, or attribute, of all recordings, as text; every labeled recording has one."""
    table = described(data.corpus)
    if name not in table:
        raise ValueError(f"{data.corpus.folder}: protocol.column={name}: recordings have no such "
                         f"column or attribute; there are {', '.join(table.columns)}")
    value = table[name].map(str).to_numpy()
    rows = np.unique(data.corpus.windows["recording"].to_numpy()[data.all])
    without = table["recording"].to_numpy()[rows[np.isin(value[rows], MISSING)]]
    if len(without):
        more = f" and {len(without) - 8} more" if len(without) > 8 else ""
        raise ValueError(
            f"{data.corpus.folder}: {len(without)} of {len(rows)} recordings have no {name}, so "
            f"nobody knows on which side they belong: {', '.join(without[:8])}{more}; leave them "
            f"out (--only.…), or ingest again so that they have one"
        )
    return value


def _check_labels_vary(data: Labeled, kind: str) -> None:
    """Raise ValueError where everybody has one label: then to know the person is to know it."""
    of, target = data.corpus.subjects(data.all), data.target[data.all]
    people = np.unique(of)
    if len(people) > 1 and all(len(np.unique(target[of == one])) == 1 for one in people):
        raise ValueError(
            f"{data.corpus.folder}: every subject has one label all through, and protocol.kind="
            f"{kind} trains on those whom it judges: scores would say how well people are "
            f"recognized; choose protocol.kind=kfold or loso"
        )


KINDS = {"stored": _stored, "kfold": _kfold, "loso": _kfold, "published": _published,
         "sessions": _sessions, "across": _across}


def _parted(
    data: Labeled, name: str, windows: np.ndarray, test: np.ndarray, chosen: np.ndarray
) -> Labeled:
    parts = {"train": ~test & ~chosen, "validation": chosen & ~test, "test": test}
    return replace(data, fold=str(name),
                   windows={split: windows[part] for split, part in parts.items()})


def _dealt(data: Labeled, rng) -> list[str]:
    """All subjects, so that taking every n-th gives parts with alike labels: shuffled, then sorted
    by their mean label (for diagnoses and ages; where everybody has every label this only
    shuffles)."""
    windows = data.all
    of, target = data.corpus.subjects(windows), data.target[windows].astype(float)
    people = rng.permutation(np.unique(of))
    mean = {one: round(float(target[of == one].mean()), 1) for one in people}
    return sorted(people, key=lambda one: mean[one])


def _label_of(data: Labeled) -> dict[str, int]:
    """The class of each subject, where everybody has one all through (sex, a diagnosis)."""
    windows = data.all if data.classes else data.all[:0]
    of, target = data.corpus.subjects(windows), data.target[windows]
    found = {one: np.unique(target[of == one]) for one in np.unique(of)}
    return ({one: int(values[0]) for one, values in found.items()}
            if all(len(values) == 1 for values in found.values()) else {})


def _watched(people: list[str], share: float, start: int, label: dict[str, int]) -> list[str]:
    """The validation subjects among `people` (which are dealt): spread over them evenly, beginning
    elsewhere in each fold; and one more of a class that would have none, if it has two or more.
    label: class of each subject, {} where a subject may have several."""
    n = max(1, round(share * len(people)))
    places = (np.arange(n) * len(people) // n + start) % len(people)
    chosen = [people[place] for place in places]
    for value in sorted(set(label.values()) - {label[one] for one in chosen if label}):
        left = [one for one in people if label[one] == value]
        if len(left) > 1:
            chosen.append(left[start % len(left)])
    return chosen


def _natural(value: str) -> list:
    """Key that puts session 10 after session 9."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part)
            for part in re.split(r"(\d+)", value)]
