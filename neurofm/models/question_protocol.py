"""What models answer that are judged at their own task: regions that were hidden, the next token,
generated signals. `protocol` lists them with the others."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..data.batch import Batch
from ..nn.segments import Segments
from ..pretrained import NeuroFMPreTrainedModel
from ..tokenizers.sample_tokenizer import SampleTokenizer


class RegionModel(NeuroFMPreTrainedModel):
    """Base of masked models of fMRI: `neurofm evaluate hidden-regions` takes them. Where they have
    `states`, config.segment_s is the length of a segment in seconds."""

    modality = "fmri"

    @abstractmethod
    def cut(self, batch: Batch) -> Segments:
        """Segments of the scans, on the model's own time grid.

        Parameters
        ----------
        batch
            Scans.
        """

    @abstractmethod
    def fill_in(
        self, batch: Batch, hidden: Bool[Tensor, "batch segment region"] | None
    ) -> tuple[Float[Tensor, "batch region segment volume"], Segments]:
        """(every region as the model predicts it, in the volumes of each segment; the segments).

        Parameters
        ----------
        batch
            Scans.
        hidden
            Regions that may not be looked at; None = all may.
        """

    def guess(
        self, batch: Batch, hidden: Bool[Tensor, "batch segment region"] | None
    ) -> tuple[Float[Tensor, "batch region segment volume"], Segments]:
        """The linear part of `fill_in`; 0 where the model has none.

        Parameters
        ----------
        batch, hidden
            As for `fill_in`.

        Returns
        -------
        values, segments
            As of `fill_in`.
        """
        segments = self.cut(batch)
        return torch.zeros_like(segments.volumes), segments

    def graph(
        self, geometry: Float[Tensor, "batch region 6"], valid: Bool[Tensor, "batch region"]
    ) -> Float[Tensor, "batch region region"] | None:
        """How much each region takes from each other; None where the model has no such graph.

        Parameters
        ----------
        geometry
            Places of the regions.
        valid
            Regions that are no padding.
        """
        return None

    def states(self, batch: Batch, in_context: bool = True) -> tuple[
            Float[Tensor, "batch segment dim"], Bool[Tensor, "batch segment"]] | None:
        """(state of each segment, segments of which enough was measured); None where the model has
        no states.

        Parameters
        ----------
        batch
            Scans.
        in_context
            States after the segments have seen each other.
        """
        return None

    def answer(self, batch: Any) -> dict[str, Tensor]:
        return {"filled": self.fill_in(batch, None)[0].contiguous()}


class NextTokenModel(NeuroFMPreTrainedModel):
    """Base of models over tokens of single samples: `neurofm evaluate next-token` takes them. Their
    config has n_codes and context (samples that are read)."""

    tokenizer: SampleTokenizer

    @abstractmethod
    def logits(
        self, labels: Int[Tensor, "batch channel time"],
        geometry: Float[Tensor, "batch channel 6"] | None = None,
        valid: Bool[Tensor, "batch channel"] | None = None,
        session: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch channel predicted code"]:
        """Scores of the token that follows each position, or each of the last ones.

        Parameters
        ----------
        labels
            Tokens so far.
        geometry
            Where channels lie.
        valid
            Channels that are no padding.
        session
            What `numbers` gave.
        """

    def numbers(self, people: Sequence[str]) -> Int[Tensor, " batch"] | None:
        """Number of each person, −1 for one never seen; None where the model knows no people.

        Parameters
        ----------
        people
            Names, "dataset/subject".
        """
        return None


class GenerativeModel(NeuroFMPreTrainedModel):
    """Base of models that continue signals: `neurofm generate` takes them, and `neurofm evaluate
    generation` judges what it wrote."""

    @abstractmethod
    def generate(
        self, prompt: Batch, seconds: float, *, burn_in_s: float = 0.0, unigram: bool = False,
        temperature: float = 1.0, top_p: float = 0.99, seed: int = 0,
    ) -> Float[Tensor, "batch channel time"]:
        """What follows the prompt, after a burn-in that is left out.

        Parameters
        ----------
        prompt
            Signals to go on from.
        seconds
            Length of what is returned.
        burn_in_s
            Seconds that are generated first and left out.
        unigram
            True: the prompt says only how frequent tokens are.
        temperature, top_p
            How tokens are drawn: logits are divided by the temperature; of the likeliest tokens
            those are kept that together have the probability top_p.
        seed
            Of the draws.
        """
