"""Data sets of MOABB, the benchmark of brain-computer interfaces, as recordings.

    neurofm ingest --moabb BNCI2014_001 --out corpus/ [--moabb_options.paradigm MotorImagery]

Each run becomes a FIF file beside the corpus's records. The paradigm says which events are labels,
and how long an epoch is: windows are no longer than that.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from neurofm import artifacts
from neurofm.limits import limited

from .labels import LabelRule


@dataclass
@limited
class MOABBOptions:
    """How a data set of MOABB is read.

    Parameters
    ----------
    paradigm
        Paradigm of MOABB that selects events and labels, such as LeftRightImagery.
    dataset_args
        Arguments of the data set class of MOABB.
    paradigm_args
        Arguments of the paradigm class of MOABB, such as
        --moabb_options.paradigm_args.n_classes=4.
    subjects
        Numbers of the subjects to use; empty = all.
    """

    paradigm: str = "LeftRightImagery"
    dataset_args: dict[str, Any] = field(default_factory=dict)
    paradigm_args: dict[str, Any] = field(default_factory=dict)
    subjects: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Archive:
    """Where the recordings lie, how they are labeled, and the length of an epoch."""

    folder: Path
    label: LabelRule
    window_s: float


def write(name: str, options: MOABBOptions, folder: Path, say: Callable[..., None]) -> Archive:
    """Write a FIF file a run; files that are there already are kept.

    name: class in moabb.datasets. folder: nothing is made there where the settings are refused.
    """
    datasets, paradigms = _moabb()
    dataset = _make(datasets, name, options.dataset_args)
    paradigm = _make(paradigms, options.paradigm, options.paradigm_args)
    if not paradigm.is_valid(dataset):
        raise ValueError(f"{name} has the events {', '.join(dataset.event_id)} of paradigm "
                         f"{dataset.paradigm!r}, which {options.paradigm} does not take; name "
                         f"another with --moabb_options.paradigm")
    if unknown := sorted(set(options.subjects) - set(dataset.subject_list)):
        raise ValueError(f"{name} has no subjects {unknown}; it has {min(dataset.subject_list)} to "
                         f"{max(dataset.subject_list)}")
    folder.mkdir(parents=True, exist_ok=True)
    labels = list(paradigm.used_events(dataset))
    with FileLock(folder / ".lock"):  # parts wait for the one that writes
        artifacts.claim(folder, {"dataset": name, "paradigm": options.paradigm,
                                 "dataset_args": options.dataset_args,
                                 "paradigm_args": options.paradigm_args})
        written, kept, empty = _write(dataset, options.subjects, folder, set(labels))
    if written + kept == 0:
        raise ValueError(f"{name}: no run has an event of {', '.join(labels)}; nothing was written")
    window_s = _length_s(dataset, paradigm)
    say(f"{folder}: {written} recordings written, {kept} were there already; labels "
        f"{', '.join(labels)}, {window_s:g} s each")
    if empty:
        say(f"left out, since they have no such event: {', '.join(empty)}")
    rule = LabelRule(source="event", mapping={label: label for label in labels},
                     tmin_s=float(paradigm.tmin))
    return Archive(folder, rule, window_s)


def recordings(dataset, subject: int) -> Iterator[tuple[str, Any]]:
    """(BIDS entities, `mne.io.Raw`) of each run; annotations begin where MOABB's epochs do."""
    for session, runs in dataset.get_data(subjects=[subject])[subject].items():
        for number, raw in runs.items():
            said = (("ses", session), ("task", dataset.paradigm), ("run", number))
            yield "_".join([f"sub-{subject:03d}", *(
                f"{key}-{re.sub('[^A-Za-z0-9]', '', str(value))}" for key, value in said
            )]), raw


def _write(dataset, subjects: list[int], folder: Path, labels: set[str]):
    """(number written, number that was there, names of runs without an event)."""
    written, kept, empty = 0, 0, []
    for subject in subjects or dataset.subject_list:
        for name, raw in recordings(dataset, subject):
            path = folder / f"{name}_eeg.fif"
            if not set(raw.annotations.description) & labels:
                empty.append(name)
            elif path.exists():
                kept += 1
            else:
                _save(raw, path)
                written += 1
    return written, kept, empty


def _save(raw, path: Path) -> None:
    """Complete or not at all: an interrupted call leaves no file under the final name."""
    part = path.with_name(f".part-{path.name}")
    raw.save(part, overwrite=True, verbose="ERROR")
    part.rename(path)


def _length_s(dataset, paradigm) -> float:
    """Length of an epoch: the paradigm's, else what the data set gives to a trial."""
    stop_s = np.diff(dataset.interval)[0] if paradigm.tmax is None else paradigm.tmax
    return round(float(stop_s - paradigm.tmin), 6)


def _moabb():
    """moabb.datasets and moabb.paradigms, or a ValueError that says how to get them."""
    try:
        import moabb.datasets
        import moabb.paradigms
    except ImportError as problem:
        raise ValueError(f"MOABB cannot be imported ({problem}): "
                         f"pip install \"neurofm[moabb]\"") from problem
    return moabb.datasets, moabb.paradigms


def _make(module, name: str, arguments: dict):
    """An instance of the class `name` of a module of MOABB."""
    import difflib
    import inspect

    known = {each for each, value in inspect.getmembers(module, inspect.isclass)}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise ValueError(f"{module.__name__} has no {name!r}"
                         + (f"; did you mean {near[0]!r}?" if near else ""))
    try:
        return getattr(module, name)(**arguments)
    except TypeError as problem:
        raise ValueError(f"{name}: {problem}") from problem
