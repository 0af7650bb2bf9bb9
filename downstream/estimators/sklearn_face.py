"""The scikit-learn face: a pretrained model as transformer, classifier and regressor of epochs.

    classifier = NeuroFMClassifier("runs/brainomni").fit(epochs, labels)      # mne.Epochs
    pipeline = make_pipeline(NeuroFMEmbedding(model, info), StandardScaler(), LogisticRegression())
    cross_val_score(pipeline, epochs.get_data(), labels, groups=subjects, cv=GroupKFold(5))

They obey scikit-learn's conventions, so they work in pipelines, grid searches and MOABB.
X: `mne.Epochs` (a list of them too); an array [epoch, channel, time] in volts (tesla) with the
`mne.Info` of its channels; or a list of `neurofm.Recording`, such as scans of fMRI, each of which
is taken whole. Epochs are brought to the model's contract; see `epochs` for what filtering cut
epochs cannot do. All epochs of one estimator have one length; scans may have unlike ones.
"""

from collections.abc import Mapping
from numbers import Real

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
)

from neurofm.data.recording import Recording
from neurofm.training.loop import TrainConfig
from neurofm.training.sampler import check_batch

from ..decoder import features
from .fit_epochs import fit_epochs, held_out, weights_of
from .on_epochs import OnEpochs, require, require_whole

_USUAL = 32  # epochs a step: with so many, few epochs can be trained on, too


class _Trained(OnEpochs):
    """Training and its parameters, which classifier and regressor have in common."""

    def __init__(
        self, model, info=None, mode="frozen", pool=None, recentered=False,
        head="linear", hidden_dim=256, dropout=0.1, rank=8, n_steps=300, lr=1e-3, weight_decay=1.0,
        n_steps_full=200, lr_full=1e-4, batch_windows=_USUAL, validation_fraction=0.2,
        random_state=None, verbose=False, device=None, memory=None, lacking="accept",
    ):
        self.model = model
        self.info = info
        self.mode = mode
        self.pool = pool
        self.recentered = recentered
        self.head = head
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.rank = rank
        self.n_steps = n_steps
        self.lr = lr
        self.weight_decay = weight_decay
        self.n_steps_full = n_steps_full
        self.lr_full = lr_full
        self.batch_windows = batch_windows
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose
        self.device = device
        self.memory = memory
        self.lacking = lacking

    def _fit(
        self, recordings: list[Recording], target: np.ndarray, groups, sample_weight,
        classes: np.ndarray | None = None, *, class_weight=None, calibrate: bool = False,
        **of_decoder,
    ) -> None:
        """Sets `decoder_`. target: class index or number of each epoch."""
        self._check_parameters()
        device, memory = self._device(), self._memory()
        if groups is not None:
            groups = column_or_1d(groups)
            check_consistent_length(recordings, groups)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, recordings,
                                                 ensure_non_negative=True)
        random = check_random_state(self.random_state)
        seed = int(random.randint(np.iinfo(np.int32).max))
        validation = np.zeros(len(target), dtype=bool)
        # An epoch of weight 0 cannot choose.
        counts = ~validation if sample_weight is None else sample_weight > 0
        validation[counts] = held_out(
            None if classes is None else target[counts],
            None if groups is None else groups[counts], int(counts.sum()),
            self.validation_fraction, random)
        weight = weights_of(sample_weight, target, classes, ~validation)
        names = () if classes is None else tuple(map(str, classes))
        head = self._training(seed, self.n_steps, self.lr, self.weight_decay)
        full = self._training(seed, self.n_steps_full, self.lr_full, 0.05)
        # Training draws from torch's own generator; a caller's is left as it was.
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            decoder = self._start(
                recordings, classes=names, mode=self.mode, pool=self.pool or "",
                recentered=self.recentered, head=self.head, hidden_dim=self.hidden_dim,
                dropout=self.dropout, rank=self.rank, **of_decoder,
            )
            if self.mode != "frozen" or not decoder.config.solved:
                check_batch("batch_windows", self.batch_windows, int((~validation).sum()), _USUAL)
            self.decoder_ = fit_epochs(
                decoder, recordings, target, groups, validation, head, full, weight=weight,
                class_weight=class_weight, calibrate=calibrate, device=device, memory=memory,
                say=print if self.verbose else _silent)

    def _answers(self, X) -> np.ndarray:
        """Outputs of the decoder, float32 [epoch, output]."""
        pooled = torch.from_numpy(self._pooled(self.decoder_, X))
        center = features.center(pooled) if self.recentered else None
        return self.decoder_.name(pooled, center).numpy()

    def _training(self, seed: int, steps: int, lr: float, weight_decay: float) -> TrainConfig:
        return TrainConfig(
            steps=steps, batch_windows=self.batch_windows, lr=float(lr), seed=seed,
            weight_decay=float(weight_decay), validate_every=10, log_every=100, save_every=steps,
        )

    def _check_parameters(self) -> None:
        for name in ("n_steps", "n_steps_full", "batch_windows", "hidden_dim", "rank"):
            require_whole(name, getattr(self, name))
        fraction = self.validation_fraction
        require("validation_fraction", isinstance(fraction, Real) and 0 <= float(fraction) < 1,
                 "a share, from 0 to below 1", fraction)


class NeuroFMClassifier(ClassifierMixin, _Trained):
    """Epochs → classes, by a decoder on a pretrained model.

    Parameters
    ----------
    model
        Folder or repository of a pretrained model or a decoder, or one that is loaded (which clones
        share).
    info
        The `mne.Info` of arrays; Epochs bring their own.
    mode
        "frozen" trains the head alone; "full" then trains the transformer with it, "lora" and
        "dora" low-rank changes of it, as `neurofm finetune` does.
    pool, head, hidden_dim, dropout, rank, label_smoothing
        See `DecoderConfig`.
    n_steps, lr, weight_decay
        For training the head; a linear head is solved, with the penalty weight_decay. (Not
        `steps`: MOABB takes whatever has `steps` for a Pipeline.)
    n_steps_full, lr_full
        For the training after the head's.
    batch_windows
        Epochs a step, and encoded at a time. Where there are fewer to train on, up to 32 are
        accepted (a step then sees some of them several times) and more are refused; a linear head
        on a frozen model is solved without steps.
    recentered
        Subtract the mean feature of each group, without labels. Epochs that are predicted together
        then count as one subject's, and no epoch can be predicted alone.
    validation_fraction
        Share of the epochs (of whole groups, where `fit` is given groups) that choose the step at
        which training ends; 0 = train on all of them, to the end.
    calibrate
        Whether these epochs also choose the temperature of the probabilities.
    random_state
        Of weights, order and validation split; an int gives the same result every time.
    verbose
        Print the log of training.
    class_weight
        "balanced": classes count alike in training, however many epochs they have; None: epochs
        do; a dict: class → how much each of its epochs counts. `sample_weight` multiplies it.
    device
        Where the model computes, such as "cpu" or "cuda:1"; None = an accelerator where there is
        one. `decoder_` is on the CPU afterwards.
    memory
        A folder or a `joblib.Memory` that keeps the features of each epoch, so that folds, settings
        of a grid search and later sessions do not compute them again; None = nothing is kept. What
        trains along with the head (mode) is encoded anew.
    lacking
        Epochs that lack the upper part of the model's band, by their sampling rate or a low-pass:
        "accept" them with a warning (a score on epochs of this device tells the cost), or
        "refuse" them.

    Attributes
    ----------
    classes_
        The classes.
    decoder_
        The `Decoder` with its contract, on the CPU; `decoder_.save_pretrained(folder)` writes what
        `neurofm decode --model folder` takes.
    """

    def __init__(
        self, model, info=None, mode="frozen", pool=None, recentered=False,
        head="linear", hidden_dim=256, dropout=0.1, rank=8, label_smoothing=0.1, n_steps=300,
        lr=1e-3, weight_decay=1.0, n_steps_full=200, lr_full=1e-4, batch_windows=_USUAL,
        validation_fraction=0.2, calibrate=True, random_state=None, verbose=False,
        class_weight="balanced", device=None, memory=None, lacking="accept",
    ):
        super().__init__(
            model, info, mode, pool, recentered, head, hidden_dim, dropout, rank, n_steps, lr,
            weight_decay, n_steps_full, lr_full, batch_windows, validation_fraction, random_state,
            verbose, device, memory, lacking,
        )
        self.label_smoothing = label_smoothing
        self.calibrate = calibrate
        self.class_weight = class_weight

    def fit(self, X, y, groups=None, sample_weight=None):
        """Train a decoder on epochs.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.
        y
            Label of each epoch, of any type, `[epoch]`.
        groups
            Group of each epoch (subject, session …), `[epoch]`: all epochs of a group train, or
            all validate.
        sample_weight
            How much each epoch counts, in training and in the choice of step and temperature,
            `[epoch]`.

        Returns
        -------
        NeuroFMClassifier
            Itself.

        Raises
        ------
        ValueError
            The model cannot take the epochs, or there are fewer than two classes.
        """
        recordings = self._recordings(X, reset=True)
        y = self._target(y, recordings)
        check_classification_targets(y)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"wanted labels of at least two classes, got one class: "
                             f"{self.classes_.tolist()}")
        self._fit(recordings, index, groups, sample_weight, self.classes_,
                  class_weight=self._class_weight(), calibrate=self.calibrate,
                  label_smoothing=self.label_smoothing)
        return self

    def _class_weight(self) -> torch.Tensor | None:
        """How much an epoch of each of `classes_` counts; None = so that classes count alike."""
        if isinstance(self.class_weight, Mapping):
            unknown = set(self.class_weight) - set(self.classes_.tolist())
            require("class_weight", not unknown, f"keys of {self.classes_.tolist()}",
                    self.class_weight)
            found = [self.class_weight.get(name, 1.0) for name in self.classes_.tolist()]
            fine = all(isinstance(each, Real) and float(each) > 0 for each in found)
            require("class_weight", fine, "numbers above 0", self.class_weight)
            return torch.tensor(found, dtype=torch.float32)
        require("class_weight", self.class_weight in (None, "balanced"),
                "None, 'balanced' or a dict class → weight", self.class_weight)
        return torch.ones(len(self.classes_)) if self.class_weight is None else None

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities of `classes_`.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.

        Returns
        -------
        ndarray
            float32 `[epoch, class]`.
        """
        check_is_fitted(self)
        return self._answers(X)

    def predict(self, X) -> np.ndarray:
        """The most probable of `classes_` for each epoch.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.

        Returns
        -------
        ndarray
            `[epoch]`.
        """
        probability = self.predict_proba(X)  # which asks first whether this has been fitted
        return self.classes_[probability.argmax(axis=1)]


class NeuroFMRegressor(RegressorMixin, _Trained):
    """Epochs → a number each (age, a rating …), by a decoder on a pretrained model.

    Parameters
    ----------
    model, info, mode, pool, recentered, head, hidden_dim, dropout, rank
        As of `NeuroFMClassifier`.
    n_steps, lr, weight_decay, n_steps_full, lr_full, batch_windows
        As of `NeuroFMClassifier`.
    validation_fraction, random_state, verbose, device, memory, lacking
        As of `NeuroFMClassifier`.

    Attributes
    ----------
    decoder_
        The `Decoder` with its contract, on the CPU.
    """

    def fit(self, X, y, groups=None, sample_weight=None):
        """Train a decoder on epochs.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.
        y
            Number of each epoch, `[epoch]`.
        groups
            Group of each epoch (subject, session …), `[epoch]`: all epochs of a group train, or
            all validate.
        sample_weight
            As of `NeuroFMClassifier.fit`.

        Returns
        -------
        NeuroFMRegressor
            Itself.

        Raises
        ------
        ValueError
            The model cannot take the epochs.
        """
        recordings = self._recordings(X, reset=True)
        y = self._target(y, recordings, dtype=np.float64)
        if len(y) < 2:
            raise ValueError("wanted at least two epochs to learn from, got 1 sample")
        self._fit(recordings, y, groups, sample_weight)
        return self

    def predict(self, X) -> np.ndarray:
        """Number of each epoch.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.

        Returns
        -------
        ndarray
            float32 `[epoch]`.
        """
        check_is_fitted(self)
        return self._answers(X)[:, 0]


def _silent(*_) -> None:
    pass
