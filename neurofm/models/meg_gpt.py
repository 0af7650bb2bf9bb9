"""MEG-GPT: the next token of every channel from the tokens so far.

Source: "MEG-GPT" (arXiv 2510.18080). Two bodies under one loss. "patched" is the published one, by
its released layer plan: channels by their number and each by itself, a context of fixed length.
"causal" leaves out what limits it: channels are known by where they lie and look at each other, so
that any parcellation or cap can be read; positions are relative, and the past is remembered, so
that a new sample costs the same however long it is.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import comb

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.contract import of_signals
from ..nn.anchors import N_ANCHORS, anchored
from ..nn.patched_attention import Plan
from ..nn.second_order import log_gram
from ..nn.seeded import window_generators
from ..tokenizers.ephys_tokenizer import EphysTokenizer, EphysTokenizerConfig
from .meg_gpt_bodies import ACTIVATIONS, Causal, Patched, start_small
from .protocol import Backbone, BackboneConfig

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
        dim: int = 256,
        n_heads: int = 4,
        feedforward_dim: int = 1024,
        activation: str = "gelu",
        dropout: float = 0.0,
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
        n_blocks: int = 4,
        context: int = 400,
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
        """The model whose weights were published. `fields` as for the class."""
        return cls(**{"body": "patched", "plan": RELEASED, "n_channels": 52, "n_codes": 66,
                      "dropout": 0.2, "n_sessions": 612, "session_dim": 66, **fields})


    @classmethod
    def paper(cls, **fields) -> "MEGGPTConfig":
        """The paper's: 80 samples (320 ms), four post-norm layers of 400, the last 8 positions
        in the loss. How it patches is not stated: here it does not. `fields` as for the class."""
        plan = (*((80, 1, 80, 1, 0) for _ in range(3)), (80, 1, 8, 1, 0))
        return cls(**{"body": "patched", "plan": plan, "dim": 400, "feedforward_dim": 1600,
                      "activation": "leaky_relu", "norm_first": False, "n_channels": 52,
                      "n_codes": 66, "dropout": 0.2, "n_sessions": 612, **fields})


class MEGGPT(Backbone):
    """Next-token prediction; features for downstream tasks.

    tokenizer: a trained one, whose weights are copied in and whose config replaces
        `config.tokenizer`; None leaves a fresh one, to be filled by loading.
    """

    config_class = MEGGPTConfig
    needs_tokenizer = "required"

    def __init__(self, config: MEGGPTConfig, tokenizer: EphysTokenizer | None = None):
        if tokenizer is not None:
            config = MEGGPTConfig(**{**config.to_dict(), "tokenizer": tokenizer.config,
                                     "n_codes": tokenizer.config.n_codes})
        super().__init__(config)
        self.tokenizer = EphysTokenizer(config.tokenizer)
        self.body = Patched(config) if config.body == "patched" else Causal(config)
        self.head = nn.Linear(config.dim, config.n_codes)
        start_small(self.head)
        self.post_init()
        if tokenizer is not None:
            self.tokenizer.load_state_dict(tokenizer.state_dict())
            self.contract = tokenizer.contract
        self.choose_trainable()

    def _init_weights(self, module: nn.Module) -> None:
        """Weights by the width of what they read. With the usual 0.02, which is far too small for
        narrow models, attention between channels is the same for all of them for many hundred
        steps, and what single channels say of each other is not found."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.3)
        elif isinstance(module, nn.Linear):
            small = getattr(module, "starts_small", False)
            std = 0.02 if small else module.in_features**-0.5
            nn.init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    @property
    def reads_places(self) -> bool:
        return self.config.body == "causal"

    @property
    def n_channels(self) -> int:
        return self.config.n_channels

    @property
    def window_length(self) -> int:
        return self.tokenizer.window_length

    def choose_trainable(self) -> None:
        """All but the tokenizer, which is trained on its own before."""
        self.tokenizer.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "MEGGPT":
        """Training mode, but for the tokenizer."""
        super().train(mode)
        self.tokenizer.eval()
        return self

    def logits(
        self, labels: Int[Tensor, "batch channel time"],
        geometry: Float[Tensor, "batch channel 6"] | None = None,
        valid: Bool[Tensor, "batch channel"] | None = None,
        session: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch channel predicted code"]:
        """Scores of the token that follows each position; of "patched" the last ones of the plan.

        geometry: where channels lie, which "causal" reads. session: number of each window's person
        (or session), where they have embeddings; −1, or None = the mean of all of them, for one
        that was never seen.
        """
        return self.head(self.body(labels, geometry, valid, session))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict each next token → (loss, metrics), means over positions, channels and windows.

        loss: cross-entropy in nats. metrics: top1, top5.
        """
        labels = self.tokenizer.encode(self._cropped(batch)).ids[..., 0]
        whose = self.numbers(batch.subject)
        if self.training and whose is not None and batch.seed is not None:
            whose = torch.where(batch.seed % 10 == 0, -1, whose)
        wanted, scores = self.targets(labels), self.logits(
            labels[..., -self.config.context - 1 : -1], batch.geometry, batch.valid, whose)
        n = wanted.shape[-1]
        scores, chosen = scores[batch.valid][..., -n:, :].float(), wanted[batch.valid]
        loss = F.cross_entropy(scores.flatten(0, 1), chosen.flatten())
        best = scores.topk(min(5, scores.shape[-1]), dim=-1).indices == chosen[..., None]
        return loss, {"top1": best[..., 0].float().mean(), "top5": best.any(-1).float().mean()}

    def numbers(self, people: Sequence[str]) -> Int[Tensor, " batch"] | None:
        """Number of each person ("dataset/subject"), −1 for one never seen; None where people have
        no names here."""
        known = {name: number for number, name in enumerate(self.config.people)}
        if not known or not people:
            return None
        return torch.tensor([known.get(name, -1) for name in people], device=self.device)

    def _cropped(self, batch: Batch) -> Batch:
        """A stretch of each window that is as long as the context, from anywhere (by the window's
        seed), with what warms the tokenizer up before it; in evaluation the last one."""
        length = self.config.context + 1 + self.config.tokenizer.margin
        spare = batch.signal.shape[-1] - length
        if spare < 0:
            raise ValueError(f"this model reads {length} samples (its context, one that follows "
                             f"and what warms its tokenizer up), windows have "
                             f"{batch.signal.shape[-1]}: ingest longer ones")
        first = [spare] * len(batch)
        if self.training and spare:
            generators = window_generators(batch.seed, len(batch), torch.device("cpu"))
            first = [int(torch.randint(spare + 1, (1,), generator=one)) for one in generators]
        parts = [row[:, at : at + length] for row, at in zip(batch.signal, first, strict=True)]
        return replace(batch, signal=torch.stack(parts))

    def generate(
        self, prompt: Batch, seconds: float, *, burn_in_s: float = 0.0, unigram: bool = False,
        temperature: float = 1.0, top_p: float = 0.99, seed: int = 0,
    ) -> Float[Tensor, "batch channel time"]:
        """What follows windows of signal (`Corpus.batch`), as signals; burn_in_s of it are left
        out. unigram: begin with labels drawn by how often the windows have them instead. Of people
        who were learned each has their own embedding. Drawing is as in
        `meg_gpt_generate.generate`, which works on labels."""
        from .meg_gpt_generate import generate, unigram_prompt

        if self.contract is None:
            raise ValueError("this model has no contract, so seconds are unknown: use "
                             "neurofm.models.meg_gpt_generate.generate, which counts samples")
        n, burnt = (round(time * of_signals(self.contract).sfreq) for time in (seconds, burn_in_s))
        labels = self.tokenizer.encode(prompt).ids[..., 0][..., -self.config.context :]
        if unigram:
            count = torch.bincount(labels.flatten(), minlength=self.config.n_codes)
            labels = unigram_prompt(count.cpu(), tuple(labels.shape), seed).to(labels.device)
        new = generate(self, labels, n + burnt, prompt.geometry, temperature=temperature,
                       top_p=top_p, seed=seed, session=self.numbers(prompt.subject))
        whole = torch.cat([labels, new], dim=-1)[..., None]
        return self.tokenizer.decode(whole)[..., -n:]

    def targets(self, labels: Int[Tensor, "batch channel time"]
                ) -> Int[Tensor, "batch channel predicted"]:
        """The tokens that are to be predicted."""
        n = self.config.predicted or min(self.config.context, labels.shape[-1] - 1)
        return labels[..., -n:]

    @torch.no_grad()
    def start(self, batches: Iterable[Batch]) -> None:
        """A random tokenizer orders its vocabulary; of its labels this model knows `n_codes`, and
        what comes more rarely counts as never seen."""
        self.tokenizer.finish(batches)
        label = self.tokenizer.vocabulary.label_of
        label[label >= self.config.n_codes] = 0

    def pooled(self, batch: Batch, pool: str) -> Float[Tensor, "batch feature"]:
        """One vector of each window, of features brought to places that are the same for every
        layout. "covariance": how these go together over time, as matrix logarithm. "mean": over
        time, places side by side; of "patched" channels, as published."""
        labels = self.tokenizer.encode(batch).ids[..., 0]
        if self.config.body == "patched":
            labels = labels[..., -self.config.context :]
        features = self.body(labels, batch.geometry, batch.valid, None).float()
        if pool == "mean" and self.config.body == "patched":
            return features.mean(dim=2).flatten(1)
        features = anchored(features, batch.geometry, batch.valid)
        return log_gram(features) if pool == "covariance" else features.mean(dim=2).flatten(1)

    def used(self, pool: str) -> list[nn.Module]:
        """All but the head of the tokens."""
        return [self.body]

    def layer(self, name: str) -> tuple[int, int]:
        """(layer of a parameter: 0 = embeddings; number of layers)."""
        blocks = self.body.layers if self.config.body == "patched" else self.body.blocks
        parts = name.split(".")
        inside = len(parts) > 2 and parts[1] in ("layers", "blocks")
        return int(parts[2]) + 1 if inside else 0, len(blocks) + 1

    def embed(self, batch: Batch) -> Float[Tensor, "batch channel time dim"]:
        """Features of the last `context` samples (of "patched": of those its plan ends with)."""
        labels = self.tokenizer.encode(batch).ids[..., 0]
        return self.body(labels[..., -self.config.context :], batch.geometry, batch.valid,
                         None).float()
