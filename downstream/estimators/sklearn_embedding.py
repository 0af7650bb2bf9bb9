"""Features of epochs by a pretrained model, as a scikit-learn transformer; see `sklearn_face`."""

from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from neurofm import checkpoints
from neurofm.checkpoints.contracts import contract_of
from neurofm.data.recording import Recording
from neurofm.models.decoder import Decoder, DecoderConfig
from neurofm.models.protocol import Backbone

from ..decoder import features
from . import epochs


class OnEpochs(BaseEstimator):
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


class NeuroFMEmbedding(TransformerMixin, OnEpochs):
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
        """Open the model and check that it can take these epochs; nothing is learned.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.
        y
            Not used.

        Returns
        -------
        NeuroFMEmbedding
            Itself.

        Raises
        ------
        ValueError
            The model cannot take the epochs.
        """
        recordings = self._recordings(X, reset=True)
        require_whole("batch_windows", self.batch_windows)
        with torch.random.fork_rng():
            self.network_ = self._start(recordings)  # its head is never used
            pools = [each for each in self.network_.config.backbone.pools if each != "attention"]
            require("pool", self.pool in (None, *pools), f"one of {', '.join(pools)}", self.pool)
            if self.pool not in (None, self.network_.config.pool):
                self.network_ = self._start(recordings, pool=self.pool)
        return self

    def transform(self, X) -> np.ndarray:
        """Features of epochs.

        Parameters
        ----------
        X
            Epochs in volts or tesla, `[epoch, channel, time]`, or `mne.Epochs`.

        Returns
        -------
        ndarray
            float32 `[epoch, feature]`; names in `get_feature_names_out`.
        """
        check_is_fitted(self)
        return self._pooled(self.network_, X)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the features, such as "covariance_SOURCE_SOURCE" of a BrainOmni.

        Parameters
        ----------
        input_features
            Not used.

        Returns
        -------
        ndarray
            str `[feature]`.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features)
        config = self.network_.config
        return np.array(config.backbone.pooled_names(config.pool), dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # float32 in any case
        return tags


def _device() -> torch.device:
    """Where training happens too: see `neurofm.training.loop.accelerator_for`."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def require(name: str, fine: bool, wanted: str, came) -> None:
    if not fine:
        raise ValueError(f"{name}: wanted {wanted}, got {came!r}")


def require_whole(name: str, value) -> None:
    require(name, isinstance(value, Integral) and int(value) >= 1,
             "a whole number, 1 or more", value)
