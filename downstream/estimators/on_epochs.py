"""What transformer, classifier and regressor share: epochs in, a pretrained model, its features."""

from inspect import signature
from numbers import Integral
from os import PathLike
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length
from sklearn.utils._pprint import _EstimatorPrettyPrinter
from sklearn.utils.validation import check_array, check_memory, column_or_1d, validate_data

from neurofm import checkpoints
from neurofm.checkpoints.contracts import contract_of
from neurofm.data.contract import Contract
from neurofm.data.recording import Recording
from neurofm.models.decoder import Decoder, DecoderConfig
from neurofm.models.protocol import Backbone, NeuroFMPreTrainedModel, WindowDecoder

from ..decoder.build import inside
from . import epochs, feature_cache


class OnEpochs(BaseEstimator):
    """An estimator of epochs on a pretrained model, with the parameters model, info, batch_windows,
    device, memory and lacking."""

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

    def _opened(self) -> tuple[NeuroFMPreTrainedModel, Backbone]:
        """What `model` is, and the pretrained model in it."""
        named = isinstance(self.model, str | Path)
        model = checkpoints.load(self.model) if named else self.model
        place = str(self.model) if named else "model"
        backbone = inside(model, place) if isinstance(model, WindowDecoder) else model
        if not isinstance(backbone, Backbone):
            raise ValueError(
                f"wanted as model a pretrained one with features, such as a BrainOmni, or a "
                f"decoder on one (or the folder or repository of it), got a "
                f"{type(model).__name__}; first `neurofm pretrain` one"
            )
        return model, backbone

    def _target(self, y, recordings: list[Recording], dtype=None) -> np.ndarray:
        """y as scikit-learn wants it: one value an epoch, none missing."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is "
                             f"None: give one for each epoch")
        missing = np.flatnonzero(pd.isna(np.ravel(np.asarray(y, dtype=object))))
        if len(missing):
            raise ValueError(f"Input y contains NaN: wanted a label of each epoch, got none for "
                             f"epoch {missing[0]}; leave out epochs without one")
        y = check_array(y, ensure_2d=False, allow_nd=True, dtype=dtype, input_name="y")
        y = column_or_1d(y, warn=True)
        if y.dtype == object and (plain := np.array(y.tolist())).dtype.kind in "biuf":
            y = plain  # numbers and truth values that came as objects
        check_consistent_length(recordings, y)
        return y

    def _start(self, recordings: list[Recording], **of_decoder) -> Decoder:
        """A decoder on the pretrained model, its contract that of these epochs."""
        model, backbone = self._opened()
        contract = epochs.contract_for(recordings, contract_of(model))
        require("lacking", self.lacking in ("accept", "refuse"), "accept or refuse", self.lacking)
        trained = epochs.band_of(recordings, contract, self.lacking)
        shortest = backbone.window_length
        if contract.window_samples is not None and contract.window_samples < shortest:
            raise ValueError(
                f"wanted epochs of at least {shortest / contract.one_rate:g} s, which this model "
                f"encodes together, got {contract.window_s:g} s; cut longer ones "
                f"(mne.Epochs(raw, events, tmin=…, tmax=…))"
            )
        decoder = Decoder(DecoderConfig(backbone=backbone.config, **trained._asdict(),
                                        **of_decoder), backbone)
        decoder.contract = contract
        return decoder.eval()

    def _pooled(self, decoder: Decoder, X) -> np.ndarray:
        """What the decoder's head sees of all epochs, float32 [epoch, …]."""
        recordings = self._recordings(X, reset=False)
        contract = self._contract_of(decoder, recordings)
        memory = self._memory() if decoder.config.mode == "frozen" else None
        return feature_cache.pooled(decoder, recordings, contract, self.batch_windows,
                                    self._device(), memory).numpy()

    def _contract_of(self, decoder: WindowDecoder, recordings: list[Recording]) -> Contract:
        """The decoder's contract for these epochs. Raises ValueError where it does not take them.
        """
        own = contract_of(decoder)
        contract = epochs.contract_for(recordings, own)
        here, there = contract.window_samples, own.window_samples
        if here is not None and there is not None and abs(here - there) > 1:
            raise ValueError(
                f"wanted epochs of {own.window_s:g} s, as this "
                f"{type(self).__name__} was fitted on, got {contract.window_s:g} s; cut them alike"
            )
        epochs.band_of(recordings, contract, self.lacking)
        return contract

    def _device(self) -> torch.device:
        """Where the model computes: an accelerator where there is one, if not told."""
        if self.device is None:
            return torch.accelerator.current_accelerator() or torch.device("cpu")
        try:
            device = torch.device(self.device)
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError, TypeError, NotImplementedError) as problem:
            raise ValueError(
                f"device: wanted one that this computer has, such as 'cpu' or 'cuda:0', or None, "
                f"got {self.device!r} ({str(problem).splitlines()[0]})") from problem
        if device.type == "meta":
            raise ValueError("device: wanted one that computes, got 'meta'")
        return device

    def _memory(self) -> joblib.Memory | None:
        """Where features are kept; None = nowhere."""
        if self.memory is None:
            return None
        folder = isinstance(self.memory, str | PathLike)
        require("memory", folder or hasattr(self.memory, "cache"), "a folder or a joblib.Memory",
                self.memory)
        return check_memory(str(Path(self.memory).expanduser()) if folder else self.memory)

    def __sklearn_clone__(self):
        # A loaded model is never changed by an estimator, so that clones share it: scikit-learn's
        # own way copies all of its weights for each fold.
        if isinstance(self.model, torch.nn.Module):
            light = type(self).__new__(type(self))
            light.__dict__.update(self.__dict__, model=None)
            twin = super(OnEpochs, light).__sklearn_clone__()
            twin.model = self.model
            return twin
        return super().__sklearn_clone__()

    def __repr__(self, N_CHAR_MAX=700) -> str:
        """The model, and what is not the default, each in a few words."""
        parameters = signature(type(self)).parameters
        shown = [_short(self.model)]
        for name, value in self.get_params(deep=False).items():
            default = parameters[name].default
            same = value is default or (type(value) is type(default) and value == default)
            if name != "model" and not same:
                shown.append(f"{name}={_short(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"[:N_CHAR_MAX]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.two_d_array = False
        return tags


def _write(_printer, estimator: OnEpochs, stream, *_) -> None:
    stream.write(repr(estimator))


# A pipeline or a grid search prints its estimators' parameters whole, a loaded model's every layer,
# unless their class has a way of its own.
_EstimatorPrettyPrinter._dispatch[OnEpochs.__repr__] = _write


def _short(value) -> str:
    """A parameter in a few words."""
    if isinstance(value, torch.nn.Module):
        n = sum(parameter.numel() for parameter in value.parameters())
        return f"<{type(value).__name__} of {n:,} parameters>"
    if type(value).__name__ == "Info":  # of MNE, which is not imported for this
        return f"<Info of {len(value.ch_names)} channels at {value['sfreq']:g} Hz>"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def require(name: str, fine: bool, wanted: str, came) -> None:
    if not fine:
        raise ValueError(f"{name}: wanted {wanted}, got {came!r}")


def require_whole(name: str, value) -> None:
    require(name, isinstance(value, Integral) and int(value) >= 1,
             "a whole number, 1 or more", value)
