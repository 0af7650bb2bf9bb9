"""Settings of a `MEGGPT` (arXiv 2510.18080)."""

import itertools
from collections.abc import Sequence
from math import comb
from typing import Annotated

from ..limits import Count, Limit, ShareBelowOne
from ..nn.anchors import N_ANCHORS
from ..nn.patched_attention import Plan
from ..tokenizers.ephys_tokenizer import EphysTokenizerConfig
from .meg_gpt_bodies import ACTIVATIONS
from .protocol import BackboneConfig

BODIES = ("patched", "causal")
RELEASED = ((100, 1, 25, 4, 8), (25, 4, 20, 4, 0), (20, 4, 10, 8, 0), (10, 8, 8, 8, 0),
            (8, 8, 16, 1, 0))


class MEGGPTConfig(BackboneConfig):
    """Settings of a `MEGGPT`.

    Parameters
    ----------
    tokenizer
        Config of the tokenizer inside.
    n_codes
        Number of labels; 0 = the tokenizer's.
    body
        "patched" as released, or "causal"; see the top of the file.
    dim, n_heads, feedforward_dim, activation, dropout
        Of the body.
    predicted
        How many of the last positions count in the loss; 0 = all.
    learn_people
        Whether each training person has an embedding, which carries that person's spectra, rhythms
        and amplitudes.
    people
        "dataset/subject" of each, by number; filled in when training starts. Anybody else (and, in
        training, one window in ten) is the mean of all.
    plan
        Of "patched": (n_in, len_in, n_out, len_out, band) of each layer (`nn.patched_attention`).
    n_channels
        Of "patched": number of numbered channels.
    n_sessions
        People, or sessions known by number alone (as in the published model); 0 = no such
        embedding.
    token_dim, position_dim, channel_dim, session_dim
        Widths of the embeddings; 0 = dim, others are projected to it.
    norm_first
        Of "patched": norms stand before attention and feed-forward, as released; else after.
    channel_attention
        Of "patched": channels at one time attend to each other before each looks back, which the
        released model does not do.
    n_blocks
        Of "causal": number of blocks.
    context
        Of "causal": samples that a position sees.
    """

    model_type = "neurofm_meg_gpt"
    sub_configs = {"tokenizer": EphysTokenizerConfig}  # noqa: RUF012 (transformers' convention)

    def __init__(
        self,
        tokenizer: EphysTokenizerConfig | dict | None = None,
        n_codes: int = 0,
        body: str = "causal",
        dim: Count = 256,
        n_heads: Count = 4,
        feedforward_dim: Count = 1024,
        activation: str = "gelu",
        dropout: ShareBelowOne = 0.0,
        predicted: int = 0,
        learn_people: bool = False,
        people: Sequence[str] = (),
        plan: Sequence[Sequence[int]] = (),
        n_channels: int = 0,
        n_sessions: int = 0,
        token_dim: int = 0,
        position_dim: int = 0,
        channel_dim: int = 0,
        session_dim: int = 0,
        norm_first: bool = True,
        channel_attention: bool = False,
        n_blocks: Count = 4,
        context: Annotated[int, Limit(2)] = 400,
        **of_transformers,
    ):
        if not isinstance(tokenizer, EphysTokenizerConfig):
            tokenizer = EphysTokenizerConfig(**(tokenizer or {}))
        self.tokenizer = tokenizer
        self.n_codes = n_codes or tokenizer.n_codes
        self.body = body
        self.dim = dim
        self.n_heads = n_heads
        self.feedforward_dim = feedforward_dim
        self.activation = activation
        self.dropout = dropout
        self.predicted = predicted
        self.learn_people = learn_people
        self.people = tuple(people)
        self.plan = tuple(tuple(layer) for layer in plan)
        self.n_channels = n_channels
        self.n_sessions = n_sessions or len(self.people)
        self.token_dim = token_dim
        self.position_dim = position_dim
        self.channel_dim = channel_dim
        self.session_dim = session_dim
        self.norm_first = norm_first
        self.channel_attention = channel_attention
        self.n_blocks = n_blocks
        self.context = context
        super().__init__(**of_transformers)
        self.require(body in BODIES, f"body must be one of {BODIES}, got {body!r}")
        self.require(activation in ACTIVATIONS,
                     f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}")
        self.require(dim % (2 * n_heads) == 0,
                     f"dim ({dim}) must be a multiple of twice n_heads ({n_heads})")
        self.require(not channel_attention or body == "patched",
                     f"channel_attention is of body 'patched' (in {body!r} channels always look at "
                     f"each other)")
        self.require((body == "patched") == bool(plan) and (body == "patched") == (n_channels > 0),
                     f"plan and n_channels are of body 'patched', which needs both; got body "
                     f"{body!r}, {len(plan)} layers and {n_channels} channels")
        self.require(not self.people or self.n_sessions == len(self.people),
                     f"people ({len(self.people)}) and n_sessions ({n_sessions}) disagree: leave "
                     f"n_sessions out")
        layers = [Plan(*layer) for layer in self.plan]
        for one, two in itertools.pairwise(layers):
            self.require(one.written == two.read,
                         f"plan: a layer writes {one.written} positions, the next reads {two.read}")
        for layer in layers:
            self.require(layer.written <= layer.read,
                         f"plan: a layer of {layer.read} positions cannot write {layer.written}")
        if layers:
            self.context = layers[0].read
            self.predicted = layers[-1].written
        self.require(0 <= self.predicted <= self.context and self.context >= 2,
                     f"predicted must be 0 … context ({self.context}), got {self.predicted}")

    def knowing(self, data, windows) -> "MEGGPTConfig":
        """With those who are trained on, where people are learned. data, windows: what of."""
        if not self.learn_people or self.people:
            return self
        people = sorted(set(data.subjects(windows).tolist()))
        return MEGGPTConfig(**{**self.to_dict(), "people": people})

    @property
    def pools(self) -> tuple[str, ...]:
        """See `MEGGPT.pooled`."""
        return "covariance", "mean"

    def n_pooled(self, pool: str) -> int:
        """Width of what `MEGGPT.pooled` gives."""
        if pool == "covariance":
            return comb(N_ANCHORS + 1, 2)
        return (self.n_channels or N_ANCHORS) * self.dim

    @classmethod
    def released(cls, **fields) -> "MEGGPTConfig":
        """The model whose weights were published.

        Parameters
        ----------
        **fields
            Settings, as for the class.

        Returns
        -------
        MEGGPTConfig
            Its settings.
        """
        return cls(**{"body": "patched", "plan": RELEASED, "n_channels": 52, "n_codes": 66,
                      "dropout": 0.2, "n_sessions": 612, "session_dim": 66, **fields})


    @classmethod
    def paper(cls, **fields) -> "MEGGPTConfig":
        """The model of the paper: 80 samples (320 ms), four post-norm layers of width 400, the
        last 8 positions in the loss. Its patches are not stated: here there are none.

        Parameters
        ----------
        **fields
            Settings, as for the class.

        Returns
        -------
        MEGGPTConfig
            Its settings.
        """
        plan = (*((80, 1, 80, 1, 0) for _ in range(3)), (80, 1, 8, 1, 0))
        return cls(**{"body": "patched", "plan": plan, "dim": 400, "feedforward_dim": 1600,
                      "activation": "leaky_relu", "norm_first": False, "n_channels": 52,
                      "n_codes": 66, "dropout": 0.2, "n_sessions": 612, **fields})
