"""MEG-GPT: the next token of every channel from the tokens so far.

Source: "MEG-GPT" (arXiv 2510.18080). Two bodies under one loss. "patched" is the published one, by
its released layer plan: channels by their number and each by itself, a context of fixed length.
"causal" leaves out what limits it: channels are known by where they lie and look at each other, so
that any parcellation or cap can be read; positions are relative, and the past is remembered, so
that a new sample costs the same however long it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.contract import of_signals
from ..nn.anchors import anchored
from ..nn.dropout import seed_dropout
from ..nn.losses import window_shares
from ..nn.second_order import log_gram
from ..nn.seeded import window_generators
from ..tokenizers.ephys_tokenizer import EphysTokenizer
from .meg_gpt_bodies import Causal, Patched, start_small
from .meg_gpt_config import MEGGPTConfig
from .protocol import Backbone, GenerativeModel, NextTokenModel


class MEGGPT(Backbone, NextTokenModel, GenerativeModel):
    """Next-token prediction; features for downstream tasks.

    Parameters
    ----------
    config
        Settings.
    tokenizer
        Trained tokenizer whose weights and config are copied; None = a fresh one, to be filled
        by loading.
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
        """Scores of the token that follows each position."""
        return self.head(self.body(labels, geometry, valid, session))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict each next token → (loss, metrics): means over positions and channels of a window,
        then over windows.

        loss: cross-entropy in nats. metrics: top1, top5.
        """
        seed_dropout(self, batch.seed, len(batch), batch.signal.device)
        labels = self.tokenizer.encode(self._cropped(batch)).ids[..., 0]
        whose = self.numbers(batch.subject)
        if self.training and whose is not None and batch.seed is not None:
            whose = torch.where(batch.seed % 10 == 0, -1, whose)
        wanted, scores = self.targets(labels), self.logits(
            labels[..., -self.config.context - 1 : -1], batch.geometry, batch.valid, whose)
        n = wanted.shape[-1]
        scores, chosen = scores[batch.valid][..., -n:, :].float(), wanted[batch.valid]
        entropy = F.cross_entropy(scores.flatten(0, 1), chosen.flatten(), reduction="none")
        best = scores.topk(min(5, scores.shape[-1]), dim=-1).indices == chosen[..., None]
        found = [entropy.view_as(chosen), best[..., 0].float(), best.any(-1).float()]
        share = window_shares(batch.valid)
        loss, top1, top5 = ((value.mean(dim=-1) * share).sum() for value in found)
        return loss, {"top1": top1, "top5": top5}

    def numbers(self, people: Sequence[str]) -> Int[Tensor, " batch"] | None:
        """Number of each subject."""
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
        """Signals that follow the prompt. A subject of the training data has its own embedding."""
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
        """Tokens to predict.

        Parameters
        ----------
        labels
            Labels of tokens, `[batch, channel, time]`.

        Returns
        -------
        Tensor
            int `[batch, channel, predicted]`.
        """
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

    def source_names(self, n: int, ch_names: Sequence[str]) -> tuple[str, ...]:
        """Channels."""
        return tuple(ch_names)

    def frame_times(self, n: int, n_times: int, sfreq: float) -> np.ndarray:
        """The last samples of the window."""
        return (n_times - n + np.arange(n) + 0.5) / sfreq

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Layers of the body; of "patched" the last ones give fewer samples."""
        name, blocks = (("layers", self.body.layers) if self.config.body == "patched"
                        else ("blocks", self.body.blocks))
        return tuple(f"body.{name}.{number}" for number in range(len(blocks)))

    def placed(self, output: Tensor, batch: Batch) -> Float[Tensor, "batch channel time dim"]:
        """See `FeatureModel.placed`: "patched" has the channels of a window as rows."""
        return output if output.ndim == 4 else output.unflatten(0, (len(batch), -1))
