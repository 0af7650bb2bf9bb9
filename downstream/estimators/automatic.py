"""The automatic decoder of `neurofm finetune` as scikit-learn classifier and regressor of epochs.

    classifier = NeuroFMAutoClassifier().fit(epochs, labels, groups=subjects)     # no checkpoint
    cross_val_score(NeuroFMAutoClassifier("runs/brainomni"), epochs, labels, groups=subjects, cv=…)

X as in `sklearn_face`. `decoder_` is the `Stacked` that the command would make of the same windows.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from neurofm.checkpoints.contracts import contract_of
from neurofm.data.contract import Contract, InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.recording import Recording
from neurofm.models.stacked import Stacked

from ..decoder import features
from ..decoder.features import InMemory, Known
from ..decoder.stack import fit_stack
from ..decoder.stacked_build import (
    LEAST_WINDOWS,
    common_channels,
    empty,
    looked_at,
    views_that_fit,
)
from . import epochs
from .epochs import Windows
from .on_epochs import OnEpochs, require, require_whole


class _Automatic(OnEpochs):
    """Training and its parameters, which classifier and regressor have in common."""

    def __init__(self, model=None, info=None, views=(), recentered=True, events=True, contract=None,
                 batch_windows=16, random_state=0, device=None, lacking="accept"):
        self.model = model
        self.info = info
        self.views = views
        self.recentered = recentered
        self.events = events
        self.contract = contract
        self.batch_windows = batch_windows
        self.random_state = random_state
        self.device = device
        self.lacking = lacking

    def _fit(self, X, recordings: list[Recording], target: np.ndarray, groups,
             classes: tuple[str, ...]) -> None:
        """Sets `decoder_`. target: class index or number of each epoch."""
        require_whole("batch_windows", self.batch_windows)
        require("lacking", self.lacking in ("accept", "refuse"), "accept or refuse", self.lacking)
        seed = self.random_state if isinstance(self.random_state, int | np.integer) else int(
            check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        device, whose = self._device(), _whose(X, groups, recordings)
        own, backbone = (None, None) if self.model is None else self._opened()
        contract = epochs.contract_for(recordings, self._contract(own, recordings))
        band = epochs.band_of(recordings, contract, self.lacking)
        if backbone is not None:
            contract = contract.for_networks(contract_of(backbone).geometry)
        made = epochs.standardized(recordings, contract)
        layout = common_channels(made.sensors, made.sensors)
        scans = contract.VIEWS[0] == "scans"
        several = np.median(np.unique(whose, return_counts=True)[1]) >= LEAST_WINDOWS
        views = tuple(self.views) or views_that_fit(
            scans, bool(self.events), len(classes), backbone is not None,
            bool(several and self.recentered))
        decoder = empty(layout, contract, None if scans else _signals(made, layout.names), classes,
                        views, backbone, "", band)
        windows = np.arange(len(target))
        pooled = self._measured(decoder, made, target, whose, device)
        with torch.random.fork_rng():
            fit_stack(decoder, pooled, windows, np.unique(whose, return_inverse=True)[1], windows,
                      seed=seed, say=_silent)
        self.decoder_ = decoder

    def _contract(self, model, recordings: list[Recording]) -> Contract:
        """That of the model, or the one that was given; else what `neurofm ingest` does."""
        require("contract", self.contract is None or isinstance(self.contract, Contract),
                "a neurofm.InputContract or FMRIContract, or None", self.contract)
        if model is not None:
            require("contract", self.contract is None, "none, as the model has its own",
                    self.contract)
            return contract_of(model)
        if self.contract is not None:
            return self.contract
        if {kind for each in recordings for kind in each.sensors.kinds} == {"roi"}:
            return FMRIContract()
        placed = all(each.sensors.has_position.all() for each in recordings)
        return InputContract(positions="required" if placed else "optional")

    @torch.no_grad()
    def _measured(self, decoder: Stacked, made: Windows, target: np.ndarray, whose: np.ndarray,
                  device: torch.device) -> InMemory:
        """What the decoder, which comes back to the CPU, measures of all epochs."""
        decoder.to(device).eval()
        try:
            parts = [decoder.pool(made.batch(range(start, min(start + self.batch_windows,
                                                              len(made)))).to(device)).cpu()
                     for start in range(0, len(made), self.batch_windows)]
        finally:
            decoder.to("cpu")
        about = Known(np.arange(len(made)), target, whose, "epoch {}".format,
                      features.numbered(made.sensors))
        return about.with_(torch.cat(parts))

    @torch.no_grad()
    def _answers(self, X, groups) -> np.ndarray:
        """Outputs of the decoder, [epoch, output]. A person of few epochs has the training people's
        center."""
        check_is_fitted(self)
        recordings = self._recordings(X, reset=False)
        made = epochs.standardized(recordings, self._contract_of(self.decoder_, recordings))
        whose = _whose(X, groups, recordings)
        pooled = self._measured(self.decoder_, made, np.zeros(len(made)), whose, self._device())
        found = np.empty((len(made), len(self.decoder_.classes) or 1), dtype=np.float32)
        for rows in pooled.alike(np.arange(len(made))):
            values = pooled.values[torch.from_numpy(rows)]
            center = features.center(values) if len(rows) >= LEAST_WINDOWS else None
            found[rows] = self.decoder_.name(values, center).numpy()
        return found


class NeuroFMAutoClassifier(ClassifierMixin, _Automatic):
    """Epochs → classes, by several views of the signals that are solved and weighed.

    Parameters
    ----------
    model
        Folder or repository of a pretrained model, or one that is loaded, whose features are one
        more view; None = classical views alone.
    info
        The `mne.Info` of arrays; Epochs bring their own.
    views
        Names of views, as in `neurofm finetune --views`; none = all that fit.
    recentered
        Also use views that are re-centered by each subject. Epochs that are predicted together
        then count as one subject's, or those of each of `groups`. False: no answer depends on
        other epochs.
    events
        Whether epochs begin at events; False = no views of responses to events.
    contract
        How epochs are standardized where there is no model; None = as `neurofm ingest` does.
    batch_windows
        Epochs measured at a time.
    random_state
        Of the order in which subjects are dealt to folds; an int is the `--train.seed` of
        `neurofm finetune`.
    device
        Where the model computes, such as "cpu" or "cuda:1"; None = an accelerator where there is
        one.
    lacking
        As of `NeuroFMClassifier`.

    Attributes
    ----------
    classes_
        The classes.
    decoder_
        The `Stacked` with its contract, on the CPU; `decoder_.weights` tells what weighs how much,
        `decoder_.save_pretrained(folder)` writes what `neurofm decode --model folder` takes.
    """

    def fit(self, X, y, groups=None):
        """Solve and weigh the views.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.
        y
            Label of each epoch, of any type, `[epoch]`.
        groups
            Subject of each epoch, `[epoch]`: folds that choose share none of them. None = "subject"
            of the metadata of Epochs, where they have it (as those of MOABB), else one subject.

        Returns
        -------
        NeuroFMAutoClassifier
            Itself.

        Raises
        ------
        ValueError
            Views cannot be made of the epochs, or there are fewer than two classes.
        """
        recordings = self._recordings(X, reset=True)
        y = self._target(y, recordings)
        check_classification_targets(y)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"wanted labels of at least two classes, got one class: "
                             f"{self.classes_.tolist()}")
        self._fit(X, recordings, index, groups, tuple(map(str, self.classes_)))
        return self

    def predict_proba(self, X, groups=None) -> np.ndarray:
        """Probabilities of `classes_`.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.
        groups
            Subject of each epoch, as in `fit`. One of fewer than four epochs is compared with the
            average of the training subjects.

        Returns
        -------
        ndarray
            float32 `[epoch, class]`.
        """
        return self._answers(X, groups)

    def predict(self, X, groups=None) -> np.ndarray:
        """The most probable of `classes_` for each epoch.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.
        groups
            As in `predict_proba`.

        Returns
        -------
        ndarray
            `[epoch]`.
        """
        probability = self.predict_proba(X, groups)  # asks first whether this has been fitted
        return self.classes_[probability.argmax(axis=1)]


class NeuroFMAutoRegressor(RegressorMixin, _Automatic):
    """Epochs → a number each (age, a rating …), by several views that are solved and weighed.

    Parameters
    ----------
    model, info, views, recentered, events, contract, batch_windows, random_state, device, lacking
        As of `NeuroFMAutoClassifier`.

    Attributes
    ----------
    decoder_
        The `Stacked` with its contract, on the CPU.
    """

    def fit(self, X, y, groups=None):
        """Solve and weigh the views.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.
        y
            Number of each epoch, `[epoch]`.
        groups
            As of `NeuroFMAutoClassifier.fit`.

        Returns
        -------
        NeuroFMAutoRegressor
            Itself.

        Raises
        ------
        ValueError
            Views cannot be made of the epochs.
        """
        recordings = self._recordings(X, reset=True)
        y = self._target(y, recordings, dtype=np.float64)
        if len(y) < 2:
            raise ValueError("wanted at least two epochs to learn from, got 1 sample")
        if (y == y[0]).all():
            raise ValueError(f"wanted numbers that differ, got {y[0]:g} for all epochs")
        self._fit(X, recordings, y.astype(np.float32), groups, ())
        return self

    def predict(self, X, groups=None) -> np.ndarray:
        """Number of each epoch.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.
        groups
            As of `NeuroFMAutoClassifier.predict_proba`.

        Returns
        -------
        ndarray
            float32 `[epoch]`.
        """
        return self._answers(X, groups)[:, 0]


def _whose(X, groups, recordings: Sequence[Recording]) -> np.ndarray:
    """Subject of each epoch: as given, else as metadata of Epochs say, else one for all."""
    if groups is not None:
        groups = column_or_1d(groups)
        check_consistent_length(recordings, groups)
        return np.asarray(groups).astype(str)
    parts = X if isinstance(X, list | tuple) else [X]
    tables = [part.metadata for part in parts] if epochs.is_mne(X) else []
    if tables and all(table is not None and "subject" in table for table in tables):
        return np.concatenate([table["subject"].to_numpy().astype(str) for table in tables])
    return np.zeros(len(recordings), dtype=int).astype(str)


def _signals(made: Windows, names: tuple[str, ...]) -> torch.Tensor:
    """Some of the epochs that have all channels, [epoch, channel, time]."""
    found = []
    for k in looked_at(len(made)).tolist():
        if set(names) <= set(made.sensors[k].names):
            found.append(made.signals[k][made.sensors[k].rows(list(names))])
    return torch.from_numpy(np.stack(found)).double()


def _silent(*_) -> None:
    pass
