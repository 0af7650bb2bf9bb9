"""What models answer. Commands ask these classes, with their defaults, and nothing else.

    Trainable                 forward, no_decay, lr_scale, anneal, logged      (nn/trainable.py)
    FeatureModel              embed, embed_at, layer_names, placed, source_names, frame_times
    │                                                                  (nn/feature_model.py)
    └ NeuroFMPreTrainedModel  contract, modality, learns_from, needs_tokenizer, needs_labels,
      │                       reads_places, ch_names, n_channels, n_times, window_length,
      │                       example, answer, finish                          (pretrained.py)
      ├ Tokenizer             encode, decode, of_channels, of_samples  (tokenizers/tokenizer.py)
      ├ Backbone              pooled, prepare, start, used, layer
      ├ WindowDecoder         classes, pool, name, predict, prepare, pretrained, recentered,
      │                       center, mean_number, interpolated, weights
      ├ ScanModel             predict, rois
      ├ RegionModel           cut, fill_in, guess, graph, states
      ├ NextTokenModel        tokenizer, logits, numbers
      └ GenerativeModel       generate

A model may be several of these: a meg_gpt has features, predicts tokens and generates signals.
What only the training data knows (people, electrodes, regions) a model's config takes in
`NeuroFMConfig.knowing`.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data.batch import Batch, Tokens
from ..data.sensors import Sensors
from ..nn.trainable import Trainable
from ..pretrained import NeuroFMConfig, NeuroFMPreTrainedModel
from ..tokenizers.tokenizer import Tokenizer
from .question_protocol import GenerativeModel, NextTokenModel, RegionModel

__all__ = [
    "Backbone", "BackboneConfig", "GenerativeModel", "NeuroFMConfig", "NeuroFMPreTrainedModel",
    "NextTokenModel", "RegionModel", "ScanModel", "Tokenizer", "Trainable", "WindowDecoder",
]


class BackboneConfig(NeuroFMConfig):
    """Config of a `Backbone`.

    Attributes
    ----------
    dim
        Width of features.
    n_heads
        Of its attention, and of a head's where a decoder pools by attention.
    """

    dim: int
    n_heads: int = 1

    def __init__(self, **of_transformers: Any):
        super().__init__(**of_transformers)  # else transformers makes one that takes no such keys

    @property
    def pools(self) -> tuple[str, ...]:
        """Ways to make one vector of a window, the best one first; "attention" leaves the places to
        the head."""
        raise NotImplementedError(f"{type(self).__name__} must name its pools")

    def n_pooled(self, pool: str) -> int:
        """Width of `Backbone.pooled`.

        Parameters
        ----------
        pool
            How features are pooled, one of `config.pools`.

        Returns
        -------
        int
            Number of features.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how wide pooled features are")

    def pooled_names(self, pool: str) -> list[str]:
        """Names of the features of `Backbone.pooled`.

        Parameters
        ----------
        pool
            How features are pooled, one of `config.pools`.

        Returns
        -------
        list[str]
            One name per feature.
        """
        return [f"{pool}_{number}" for number in range(self.n_pooled(pool))]


class Backbone(NeuroFMPreTrainedModel):
    """Base of models with features: they can be probed, fine-tuned and compared."""

    @abstractmethod
    def embed(self, batch: Any) -> Float[Tensor, "batch source frame dim"]:
        """Features of every place and time."""

    @abstractmethod
    def pooled(self, batch: Any, pool: str) -> Float[Tensor, "batch *place feature"]:
        """Features of each window.

        Parameters
        ----------
        batch
            Windows side by side, padded.
        pool
            How features are pooled, one of `config.pools`.

        Returns
        -------
        Tensor
            `[batch, feature]`; of "attention" `[batch, place, feature]`, 0 where there is no
            place.
        """

    @abstractmethod
    def used(self, pool: str) -> list[nn.Module]:
        """Parts that can be trained with a decoder.

        Parameters
        ----------
        pool
            How features are pooled, one of `config.pools`.

        Returns
        -------
        list[Module]
            Parts that `pooled` depends on.
        """

    @abstractmethod
    def layer(self, name: str) -> tuple[int, int]:
        """Layer of a parameter.

        Parameters
        ----------
        name
            Name of the parameter.

        Returns
        -------
        tuple[int, int]
            (layer, 0 = the first; number of layers).
        """

    def prepare(self, batch: Batch) -> Batch | Tokens:
        """What of a batch does not change in training.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Batch or Tokens
            Tokens, where the model reads them.
        """
        return batch

    def start(self, batches: Iterable[Batch]) -> None:
        """What random weights take from training signals before training; usually nothing.

        Parameters
        ----------
        batches
            Batches of training windows.
        """

    def answer(self, batch: Any) -> dict[str, Tensor]:
        return {"pooled": self.pooled(batch, self.config.pools[0]).contiguous()}


class WindowDecoder(NeuroFMPreTrainedModel):
    """Base of models that name the class of a window, or its number: `neurofm decode`, `stream`,
    `export` and `publish` take them."""

    needs_labels = True

    @property
    def recentered(self) -> bool:
        """Whether answers depend on the person's mean over windows."""
        return False

    @property
    def center(self) -> Float[Tensor, " feature"]:
        """Mean over the training subjects of theirs, for a decoder that recenters: the likeliest
        one of somebody unknown."""
        raise ValueError(f"a {type(self).__name__} does not recenter, it has no center")

    @property
    def mean_number(self) -> float:
        """Mean of the training windows' numbers, for a decoder that predicts a number."""
        raise ValueError(f"a {type(self).__name__} names classes, it predicts no number")

    @property
    def pretrained(self) -> Backbone | None:
        """Pretrained model inside; None = there is none."""
        return None

    @property
    def weights(self) -> dict[str, float]:
        """Share in the answer of each of its parts, by name; none = it has only one."""
        return {}

    @property
    def temperature(self) -> float:
        """That the classes' logits are divided by."""
        return 1.0

    @property
    def calibrated_on(self) -> str:
        """Windows that calibrated the probabilities, in words; "" = none did."""
        return "" if self.temperature == 1 else "validation subjects"

    @property
    def calibration_windows(self) -> int:
        """Number of these windows; 0 = not known."""
        return 0

    @property
    def band_end_hz(self) -> float | None:
        """Where the band of most training recordings ends, Hz; None = where the contract's does."""
        return None

    @property
    def lowest_end_hz(self) -> float | None:
        """Where the band of at least a tenth of them ends, Hz; None = where the contract's does."""
        return self.band_end_hz

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the probabilities; none = it predicts a number."""
        return self.config.classes

    def prepare(self, batch: Batch) -> Batch | Tokens:
        """What of a batch `pool` can take instead, made once: tokens, where that is all it reads.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Batch or Tokens
            By default the batch.
        """
        return batch

    def interpolated(self, sensors: Sensors) -> tuple[str, ...]:
        """Channels that it makes up for recordings with other sensors.

        Parameters
        ----------
        sensors
            Of a recording.

        Returns
        -------
        tuple[str, ...]
            Names of its own channels that no sensor measures; none = it makes up none.
        """
        return ()

    def distances_m(self, sensors: Sensors) -> dict[str, float]:
        """How far its own channels are from a recording's sensors, where it takes any cap.

        Parameters
        ----------
        sensors
            Of a recording.

        Returns
        -------
        dict[str, float]
            Each of its own channels → way along the head to the nearest sensor, m; 0 = that
            sensor's signal is taken as it is. None at all = it has no places of its own.
        """
        return {}

    @abstractmethod
    def pool(self, batch: Any) -> Float[Tensor, "batch *place feature"]:
        """Features that the answer is read from.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Tensor
            `[batch, (place), feature]`.
        """

    @abstractmethod
    def name(
        self, pooled: Float[Tensor, "batch *place feature"],
        center: Float[Tensor, " feature"] | None = None,
    ) -> Float[Tensor, "batch output"]:
        """As `predict`, from what `pool` gave.

        Parameters
        ----------
        pooled
            Features, `[batch, (place), feature]`.
        center
            Mean over windows of the subject of what `pool` gives, `[feature]`, where the
            decoder recenters; None = the mean of the training subjects.

        Returns
        -------
        Tensor
            `[batch, output]`.
        """

    @torch.no_grad()
    def predict(
        self, batch: Any, center: Float[Tensor, " feature"] | None = None
    ) -> Float[Tensor, "batch output"]:
        """Class or number of each window.

        Parameters
        ----------
        batch
            Windows side by side, padded.
        center
            Mean over windows of the subject of what `pool` gives, `[feature]`, where the
            decoder recenters; None = the mean of the training subjects.

        Returns
        -------
        Tensor
            Probability of each of `classes`, `[batch, class]`; or a number, `[batch, 1]`.
        """
        return self.name(self.pool(batch), center)

    def answer(self, batch: Any) -> dict[str, Tensor]:
        return {"predicted": self.predict(batch).contiguous()}


class ScanModel(NeuroFMPreTrainedModel):
    """Base of models that predict fMRI from EEG: `neurofm synthesize` takes those of scans."""

    learns_from: ClassVar[Literal["signals", "scans", "volumes"]] = "scans"

    @property
    def rois(self) -> tuple[str, ...]:
        """Names of the predicted regions, in the order of the last axis of `predict`; empty where
        the model does not know them."""
        return ()

    @abstractmethod
    def predict(self, batch: Any) -> Tensor:
        """Value of each region.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Tensor
            `[batch, volume, roi]` of scans, `[batch, roi]` of volumes.
        """

    def answer(self, batch: Any) -> dict[str, Tensor]:
        return {"predicted": self.predict(batch).contiguous()}
