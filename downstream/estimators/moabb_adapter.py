"""Evaluate models in MOABB, the benchmark of brain-computer interfaces.

    paradigm = LeftRightImagery(**band_of(model))
    CrossSubjectEvaluation(paradigm, datasets, return_epochs=True).process(pipelines(model))

Without a model (`band_of()`, `pipelines()`) there is the automatic decoder alone.

MOABB filters the continuous recordings, so its paradigms are told the model's band; its own default
(8–32 Hz) leaves a model little of what it was trained on. `return_epochs` is needed: arrays of
MOABB are in microvolts and do not say where their channels lie. `neurofm ingest --moabb NAME` makes
a corpus of its data (`neurofm.preprocessing.moabb`).
"""

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurofm import checkpoints
from neurofm.checkpoints.contracts import contract_of
from neurofm.data.contract import InputContract, of_signals

from .automatic import NeuroFMAutoClassifier
from .epochs import is_mne
from .sklearn_embedding import NeuroFMEmbedding
from .sklearn_face import NeuroFMClassifier


class MOABBClassifier(NeuroFMClassifier):
    """A NeuroFMClassifier that finds by itself what MOABB does not tell `fit`: whose epochs are
    whose. Validation takes whole subjects, else sessions, else runs: the first of them that there
    are three of, so that most epochs are left to train on."""

    def fit(self, X, y, groups=None, sample_weight=None):
        """X: `mne.Epochs`, with MOABB's metadata of subject, session and run."""
        return super().fit(X, y, _groups(X) if groups is None else groups, sample_weight)


def pipelines(model=None, **of_classifier) -> dict:
    """Pipelines for `Evaluation.process`: the automatic decoder; with a model also a head on it,
    and logistic regression on its features.

    model: folder or repository of a pretrained model. of_classifier: parameters of the head;
    device, memory, lacking and random_state are of all that have them.
    """
    auto = NeuroFMAutoClassifier(model, **{
        name: of_classifier[name] for name in ("device", "lacking", "random_state")
        if name in of_classifier})
    if model is None:
        return {"neurofm_auto": auto}
    both = {name: of_classifier[name] for name in ("device", "memory", "lacking")
            if name in of_classifier}
    return {
        "neurofm_auto": auto,
        "neurofm": MOABBClassifier(model, **of_classifier),
        "neurofm_embedding_lr": make_pipeline(
            NeuroFMEmbedding(model, **both), StandardScaler(),
            LogisticRegression(C=0.01, max_iter=2000),
        ),
    }


def band_of(model=None) -> dict[str, float | None]:
    """Arguments fmin, fmax and resample of a MOABB paradigm that give the model its own signals;
    without a model, those that `neurofm ingest` makes."""
    contract = InputContract() if model is None else of_signals(
        contract_of(checkpoints.load(model) if isinstance(model, str | Path) else model))
    return {"fmin": contract.highpass_hz, "fmax": contract.lowpass_hz, "resample": contract.sfreq}


def _groups(epochs) -> np.ndarray | None:
    """The first of subject, session and run that takes three values or more in these epochs."""
    parts = epochs if isinstance(epochs, list | tuple) else [epochs]
    tables = [part.metadata if is_mne(part) else None for part in parts]
    for name in ("subject", "session", "run"):
        if all(table is not None and name in table for table in tables):
            values = np.concatenate([table[name].to_numpy().astype(str) for table in tables
                                     if table is not None])
            if len(set(values)) >= 3:
                return values
    return None
