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

from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_array,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from neurofm import checkpoints
from neurofm.checkpoints.contracts import contract_of
from neurofm.data.recording import Recording
from neurofm.models.decoder import Decoder, DecoderConfig
from neurofm.models.protocol import Backbone
from neurofm.training.loop import TrainConfig

from ..decoder import features
from . import epochs
from .fit_epochs import fit_epochs, held_out


class _OfEpochs(BaseEstimator):
    """What the three share: taking epochs in, opening the model, applying a decoder."""

    def _recordings(self, X, *, reset: bool) -> list[Recording]:
        """A Recording an epoch. reset: this is `fit`, whose number of channels is remembered."""
        if epochs.is_mne(X) or epochs.are_recordings(X):
            found = epochs.of_mne(X) if epochs.is_mne(X) else list(X)
            if reset:
                self.n_features_in_ = found[0].n_channels
            return found
        self._check_array(X)
        # Epochs may come with other channels than those of `fit`; arrays are tied to `info`.
        X = validate_data(self, X, reset=reset, allow_nd=True, dtype=(np.float64, np.float32))
        return self._of_array(X)

    def _check_array(self, X) -> None:
        if not issparse(X):  # scikit-learn has a message for them
            epochs.check_array(X, self.info)

    def _of_array(self, X: np.ndarray) -> list[Recording]:
        return epochs.of_array(X, self.info)

    def _start(self, recordings: list[Recording], **of_decoder) -> Decoder:
        """A decoder on the pretrained model, its contract that of these epochs."""
        model = checkpoints.load(self.model) if isinstance(self.model, str | Path) else self.model
        backbone = model.backbone if isinstance(model, Decoder) else model
        if not isinstance(backbone, Backbone):
            raise ValueError(
                f"wanted as model a pretrained one with features, such as a BrainOmni, or a "
                f"decoder on one (or the folder or repository of it), got a "
                f"{type(model).__name__}; first `neurofm pretrain` one"
            )
        contract = epochs.contract_for(recordings, contract_of(model))
        shortest = backbone.window_length
        if contract.window_samples is not None and contract.window_samples < shortest:
            raise ValueError(
                f"wanted epochs of at least {shortest / contract.one_rate:g} s, which this model "
                f"encodes together, got {contract.window_s:g} s; cut longer ones "
                f"(mne.Epochs(raw, events, tmin=…, tmax=…))"
            )
        decoder = Decoder(DecoderConfig(backbone=backbone.config, **of_decoder), backbone)
        decoder.contract = contract
        return decoder.eval()

    def _pooled(self, decoder: Decoder, X) -> np.ndarray:
        """What the decoder's head sees of all epochs, float32 [epoch, …]."""
        recordings = self._recordings(X, reset=False)
        own = contract_of(decoder)
        contract = epochs.contract_for(recordings, own)
        here, there = contract.window_samples, own.window_samples
        if here is not None and there is not None and abs(here - there) > 1:
            raise ValueError(
                f"wanted epochs of {own.window_s:g} s, as this "
                f"{type(self).__name__} was fitted on, got {contract.window_s:g} s; cut them alike"
            )
        device = _device()
        decoder.to(device)
        try:
            with torch.no_grad():
                parts = [decoder.pool(batch.to(device)).float().cpu() for batch in
                         epochs.batches(recordings, contract, self.batch_windows)]
        finally:
            decoder.to("cpu")  # so that what was fitted on a GPU can be unpickled without one
        return torch.cat(features.alike(parts)).numpy()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.two_d_array = False
        return tags


class NeuroFMEmbedding(TransformerMixin, _OfEpochs):
    """Epochs → features of the pretrained model, nothing of which is trained.

    Parameters
    ----------
    model
        Folder or repository of a pretrained model or a decoder, or one that is loaded (which
        cloning copies).
    info
        The `mne.Info` of arrays; Epochs bring their own.
    pool
        How the model makes one vector of an epoch; None = the best way it has. A BrainOmni has
        "covariance" between latent sources, as matrix logarithm; "covariances": that, and the same
        of the tokens' codes, whole and by waveform; or their "mean" over frames.
    batch_windows
        Epochs encoded at a time.
    """

    def __init__(self, model, info=None, pool=None, batch_windows=16):
        self.model = model
        self.info = info
        self.pool = pool
        self.batch_windows = batch_windows

    def fit(self, X, y=None):
        """Open the model and check that it can take these epochs; nothing is learned."""
        recordings = self._recordings(X, reset=True)
        _require_whole("batch_windows", self.batch_windows)
        with torch.random.fork_rng():
            self.network_ = self._start(recordings)  # its head is never used
            pools = [each for each in self.network_.config.backbone.pools if each != "attention"]
            _require("pool", self.pool in (None, *pools), f"one of {', '.join(pools)}", self.pool)
            if self.pool not in (None, self.network_.config.pool):
                self.network_ = self._start(recordings, pool=self.pool)
        return self

    def transform(self, X) -> np.ndarray:
        """Features, float32 [epoch, feature]; names in `get_feature_names_out`."""
        check_is_fitted(self)
        return self._pooled(self.network_, X)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """As the model names them, such as "covariance_SOURCE_SOURCE" of a BrainOmni."""
        check_is_fitted(self)
        _check_feature_names_in(self, input_features)
        config = self.network_.config
        return np.array(config.backbone.pooled_names(config.pool), dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # float32 in any case
        return tags


class _Trained(_OfEpochs):
    """Training and its parameters, which classifier and regressor have in common."""

    def __init__(
        self, model, info=None, mode="frozen", pool=None, recentered=False,
        head="linear", hidden_dim=256, dropout=0.1, rank=8, n_steps=300, lr=1e-3, weight_decay=1.0,
        n_steps_full=200, lr_full=1e-4, batch_windows=32, validation_fraction=0.2,
        random_state=None, verbose=False,
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

    def _fit(
        self, recordings: list[Recording], target: np.ndarray, groups, classes=(), *,
        calibrate: bool = False, **of_decoder,
    ) -> None:
        """Sets `decoder_`. target: class index or number of each epoch."""
        self._check_parameters()
        if groups is not None:
            groups = column_or_1d(groups)
            check_consistent_length(recordings, groups)
        random = check_random_state(self.random_state)
        seed = int(random.randint(np.iinfo(np.int32).max))
        validation = held_out(target if classes else None, groups, len(target),
                              self.validation_fraction, random)
        head = self._training(seed, self.n_steps, self.lr, self.weight_decay)
        full = self._training(seed, self.n_steps_full, self.lr_full, 0.05)
        # Training draws from torch's own generator; a caller's is left as it was.
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            decoder = self._start(
                recordings, classes=classes, mode=self.mode, pool=self.pool or "",
                recentered=self.recentered, head=self.head, hidden_dim=self.hidden_dim,
                dropout=self.dropout, rank=self.rank, **of_decoder,
            )
            windows = epochs.standardized(recordings, contract_of(decoder))
            self.decoder_ = fit_epochs(
                decoder, windows, target, groups, validation, head, full, calibrate=calibrate,
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
            _require_whole(name, getattr(self, name))
        fraction = self.validation_fraction
        _require("validation_fraction", isinstance(fraction, Real) and 0 <= float(fraction) < 1,
                 "a share, from 0 to below 1", fraction)

    def _target(self, y, recordings: list[Recording], dtype=None) -> np.ndarray:
        """y as scikit-learn wants it: one value an epoch, none missing."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is "
                             f"None: give one for each epoch")
        y = check_array(y, ensure_2d=False, allow_nd=True, dtype=dtype, input_name="y")
        y = column_or_1d(y, warn=True)
        check_consistent_length(recordings, y)
        return y


class NeuroFMClassifier(ClassifierMixin, _Trained):
    """Epochs → classes, by a decoder on a pretrained model.

    Parameters
    ----------
    model
        Folder or repository of a pretrained model or a decoder, or one that is loaded (which
        cloning copies).
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
        Epochs a step, and encoded at a time.
    recentered
        Subtract each group's mean feature, without labels. Epochs that are predicted together are
        then taken for one person's, and no epoch can be predicted alone.
    validation_fraction
        Share of the epochs (of whole groups, where `fit` is given groups) that choose the step at
        which training ends; 0 = train on all of them, to the end.
    calibrate
        Whether these epochs also choose the temperature of the probabilities.
    random_state
        Of weights, order and validation split; an int gives the same result every time.
    verbose
        Print the log of training.

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
        lr=1e-3, weight_decay=1.0, n_steps_full=200, lr_full=1e-4, batch_windows=32,
        validation_fraction=0.2, calibrate=True, random_state=None, verbose=False,
    ):
        super().__init__(
            model, info, mode, pool, recentered, head, hidden_dim, dropout, rank, n_steps, lr,
            weight_decay, n_steps_full, lr_full, batch_windows, validation_fraction, random_state,
            verbose,
        )
        self.label_smoothing = label_smoothing
        self.calibrate = calibrate

    def fit(self, X, y, groups=None):
        """y: label of each epoch, of any type. groups: whose each epoch is (subject, session …):
        all of a group's epochs train, or all of them validate."""
        recordings = self._recordings(X, reset=True)
        y = self._target(y, recordings)
        check_classification_targets(y)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"wanted labels of at least two classes, got one class: "
                             f"{self.classes_.tolist()}")
        self._fit(recordings, index, groups, tuple(map(str, self.classes_)),
                  calibrate=self.calibrate, label_smoothing=self.label_smoothing)
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities of `classes_`, float32 [epoch, class]."""
        check_is_fitted(self)
        return self._answers(X)

    def predict(self, X) -> np.ndarray:
        """The likeliest of `classes_` for each epoch."""
        probability = self.predict_proba(X)  # which asks first whether this has been fitted
        return self.classes_[probability.argmax(axis=1)]


class NeuroFMRegressor(RegressorMixin, _Trained):
    """Epochs → a number each (age, a rating …), by a decoder on a pretrained model.

    Parameters as of `NeuroFMClassifier`, but for what concerns classes and probabilities.
    Fitted: `decoder_`, the `Decoder` with its contract, on the CPU.
    """

    def fit(self, X, y, groups=None):
        """y: the number of each epoch. groups: as in `NeuroFMClassifier`."""
        recordings = self._recordings(X, reset=True)
        y = self._target(y, recordings, dtype=np.float64)
        if len(y) < 2:
            raise ValueError("wanted at least two epochs to learn from, got 1 sample")
        self._fit(recordings, y, groups)
        return self

    def predict(self, X) -> np.ndarray:
        """The number of each epoch, float32."""
        check_is_fitted(self)
        return self._answers(X)[:, 0]


def _device() -> torch.device:
    """Where training happens too: see `neurofm.training.loop.accelerator_for`."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def _require(name: str, fine: bool, wanted: str, came) -> None:
    if not fine:
        raise ValueError(f"{name}: wanted {wanted}, got {came!r}")


def _require_whole(name: str, value) -> None:
    _require(name, isinstance(value, Integral) and int(value) >= 1,
             "a whole number, 1 or more", value)


def _silent(*_) -> None:
    pass
