"""Features of epochs by a pretrained model, as a scikit-learn transformer; see `sklearn_face`."""

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from .on_epochs import OnEpochs, require, require_whole


class NeuroFMEmbedding(TransformerMixin, OnEpochs):
    """Epochs → features of the pretrained model, nothing of which is trained.

    Parameters
    ----------
    model
        Folder or repository of a pretrained model or a decoder, or one that is loaded (which clones
        share).
    info
        The `mne.Info` of arrays; Epochs bring their own.
    pool
        How the model makes one vector of an epoch; None = the best way it has. A BrainOmni has
        "covariance" between latent sources, as matrix logarithm; "covariances": that, and the same
        of the tokens' codes, whole and by waveform; or their "mean" over frames.
    batch_windows
        Epochs encoded at a time.
    device
        Where the model computes, such as "cpu" or "cuda:1"; None = an accelerator where there is
        one.
    memory
        A folder or a `joblib.Memory` that keeps the features of each epoch, so that folds, settings
        of a grid search and later sessions do not compute them again; None = nothing is kept.
    lacking
        Epochs that lack the upper part of the model's band, by their sampling rate or a low-pass:
        "accept" them with a warning (a score on epochs of this device tells the cost), or
        "refuse" them.
    """

    def __init__(self, model, info=None, pool=None, batch_windows=16, device=None, memory=None,
                 lacking="accept"):
        self.model = model
        self.info = info
        self.pool = pool
        self.batch_windows = batch_windows
        self.device = device
        self.memory = memory
        self.lacking = lacking

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
        self._device(), self._memory()
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
