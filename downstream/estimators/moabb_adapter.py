"""Read data sets of MOABB, and evaluate models in MOABB.

    neurofm from_moabb BNCI2014_001 --out archive/          files, and how to ingest them

    paradigm = LeftRightImagery(**band_of(model))
    CrossSubjectEvaluation(paradigm, datasets, return_epochs=True).process(pipelines(model))

MOABB filters the continuous recordings, so its paradigms are told the model's band; its own default
(8–32 Hz) leaves a model little of what it was trained on. `return_epochs` is needed: arrays of
MOABB are in microvolts and do not say where their channels lie.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurofm import artifacts, checkpoints, config
from neurofm.checkpoints.contracts import contract_of

from .epochs import is_mne
from .sklearn_face import NeuroFMClassifier, NeuroFMEmbedding

INGEST = "ingest.yaml"  # beside the recordings: what `neurofm ingest` must know of them


class MOABBClassifier(NeuroFMClassifier):
    """A NeuroFMClassifier that finds by itself what MOABB does not tell `fit`: whose epochs are
    whose. Validation takes whole subjects, else sessions, else runs: the first of them that there
    are three of, so that most epochs are left to train on."""

    def fit(self, X, y, groups=None):
        """X: `mne.Epochs`, with MOABB's metadata of subject, session and run."""
        return super().fit(X, y, _groups(X) if groups is None else groups)


def pipelines(model, **of_classifier) -> dict:
    """Pipelines for `Evaluation.process`: the decoder, and logistic regression on its features.

    model: folder or repository of a pretrained model. of_classifier: parameters of the decoder.
    """
    return {
        "neurofm": MOABBClassifier(model, **of_classifier),
        "neurofm_embedding_lr": make_pipeline(
            NeuroFMEmbedding(model), StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)
        ),
    }


def band_of(model) -> dict[str, float | None]:
    """Arguments fmin, fmax and resample of a MOABB paradigm that give the model its own signals."""
    contract = contract_of(checkpoints.load(model) if isinstance(model, str | Path) else model)
    return {"fmin": contract.highpass_hz, "fmax": contract.lowpass_hz, "resample": contract.sfreq}


@dataclass
class FromMoabbConfig:
    """A data set of MOABB as an archive for `neurofm ingest`.

    Parameters
    ----------
    dataset
        Its class in moabb.datasets.
    out
        Folder of the archive.
    paradigm
        Class in moabb.paradigms, which chooses the events that are labels.
    dataset_args, paradigm_args
        Arguments of these classes, e.g. --paradigm_args.n_classes=4.
    subjects
        Numbers of those wanted; empty = all.
    """

    dataset: list[str]
    out: str
    paradigm: str = "LeftRightImagery"
    dataset_args: dict[str, Any] = field(default_factory=dict)
    paradigm_args: dict[str, Any] = field(default_factory=dict)
    subjects: list[int] = field(default_factory=list)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return from_moabb(config.parse(FromMoabbConfig, argv, command="from_moabb",
                                   positional="dataset"))


def from_moabb(run: FromMoabbConfig) -> int:
    """Write a FIF file a run, and `ingest.yaml`; files that are there already are kept."""
    if len(run.dataset) != 1:
        raise ValueError(f"wanted one data set, got {run.dataset}; call from_moabb once for each")
    datasets, paradigms = _moabb()
    dataset = _make(datasets, run.dataset[0], run.dataset_args)
    paradigm = _make(paradigms, run.paradigm, run.paradigm_args)
    if not paradigm.is_valid(dataset):
        raise ValueError(f"{run.dataset[0]} has the events {', '.join(dataset.event_id)} of "
                         f"paradigm {dataset.paradigm!r}, which {run.paradigm} does not take; "
                         f"name another with --paradigm")
    if unknown := sorted(set(run.subjects) - set(dataset.subject_list)):
        raise ValueError(f"{run.dataset[0]} has no subjects {unknown}; it has "
                         f"{min(dataset.subject_list)} to {max(dataset.subject_list)}")
    out = Path(run.out)
    settings = config.resolved(run)
    settings.pop("subjects")  # more of them may come later
    artifacts.claim(out, settings)
    labels = list(paradigm.used_events(dataset))
    written, kept, empty = 0, 0, []
    for subject in run.subjects or dataset.subject_list:
        for name, raw in runs(dataset, subject):
            path = out / f"{name}_eeg.fif"
            if not set(raw.annotations.description) & set(labels):
                empty.append(name)
            elif path.exists():
                kept += 1
            else:
                _save(raw, path)
                written += 1
    if written + kept == 0:
        raise ValueError(f"{run.dataset[0]}: no run has an event of {', '.join(labels)}; nothing "
                         f"was written")
    window_s = _length_s(dataset, paradigm)
    (out / INGEST).write_text(yaml.safe_dump(_ingest(run, dataset, paradigm, labels, window_s),
                                             sort_keys=False))
    print(f"{out}: {written} recordings written, {kept} were there already; labels "
          f"{', '.join(labels)}, {window_s:g} s each")
    if empty:
        print(f"left out, since they have no such event: {', '.join(empty)}")
    print(f"next: neurofm ingest --config {out / INGEST} --out CORPUS "
          f"--contract=MODEL/preprocessor_config.json --contract.window_s={window_s:g}")
    return 0


def runs(dataset, subject: int) -> Iterator[tuple[str, Any]]:
    """(BIDS entities, `mne.io.Raw`) of each run; annotations begin where MOABB's epochs do."""
    for session, of_session in dataset.get_data(subjects=[subject])[subject].items():
        for number, raw in of_session.items():
            said = (("ses", session), ("task", dataset.paradigm), ("run", number))
            yield "_".join([f"sub-{subject:03d}", *(
                f"{key}-{re.sub('[^A-Za-z0-9]', '', str(value))}" for key, value in said
            )]), raw


def _save(raw, path: Path) -> None:
    """Complete or not at all: an interrupted call leaves no file under the final name."""
    part = path.with_name(f".part-{path.name}")
    raw.save(part, overwrite=True, verbose="ERROR")
    part.rename(path)


def _length_s(dataset, paradigm) -> float:
    """Length of an epoch: the paradigm's, else what the data set gives to a trial."""
    stop_s = np.diff(dataset.interval)[0] if paradigm.tmax is None else paradigm.tmax
    return round(float(stop_s - paradigm.tmin), 6)


def _ingest(run: FromMoabbConfig, dataset, paradigm, labels: list[str], window_s: float) -> dict:
    return {
        "paths": [str(Path(run.out).absolute())],
        "dataset": re.sub("[^A-Za-z0-9_]", "", run.dataset[0]),
        "contract": {"window_s": window_s},
        "label": {"source": "event", "mapping": {name: name for name in labels},
                  "tmin_s": float(paradigm.tmin)},
    }


def _groups(epochs) -> np.ndarray | None:
    """The first of subject, session and run that takes three values or more in these epochs."""
    parts = epochs if isinstance(epochs, list | tuple) else [epochs]
    tables = [part.metadata if is_mne(part) else None for part in parts]
    for name in ("subject", "session", "run"):
        if all(table is not None and name in table for table in tables):
            values = np.concatenate([table[name].to_numpy().astype(str) for table in tables])
            if len(set(values)) >= 3:
                return values
    return None


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


if __name__ == "__main__":
    sys.exit(main())
