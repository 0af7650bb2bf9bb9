"""BrainOmni: a transformer over the tokens of BrainTokenizer, trained by predicting masked ones.

Source: "BrainOmni" (arXiv 2505.18185, sec. 3.3). The tokenizer is frozen and travels inside the
model; its codebooks turn token ids into features, so training needs tokens alone, not signals.
"""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..data.batch import Batch, Tokens
from ..nn.attention import CrissCrossBlock, cosine_table, rotary_table
from ..nn.code_head import CodebookHead, LinearHead
from ..nn.dropout import bits, window_keys
from ..nn.neighbors import Neighbors
from ..nn.second_order import log_gram, log_grams
from ..tokenizers.brain_tokenizer import BrainTokenizer
from .brainomni_config import BrainOmniConfig
from .protocol import Backbone


class BrainOmni(Backbone):
    """Masked prediction of tokens; features for downstream tasks.

    Parameters
    ----------
    config
        Settings.
    tokenizer
        Trained tokenizer whose weights and config are copied; None = a fresh one, to be filled
        by loading.
    """

    config_class = BrainOmniConfig
    needs_tokenizer = "required"
    bf16_on_cpu = True
    uses_all = True

    def __init__(self, config: BrainOmniConfig, tokenizer: BrainTokenizer | None = None):
        if tokenizer is not None:
            config = BrainOmniConfig(**{**config.to_dict(), "tokenizer": tokenizer.config})
        super().__init__(config)
        inner = config.tokenizer
        self.tokenizer = BrainTokenizer(inner)
        self.mask_token = nn.Parameter(torch.randn(inner.dim))
        same = inner.dim == config.dim
        self.project = nn.Identity() if same else nn.Linear(inner.dim, config.dim)
        self.near = (Neighbors(config.dim, inner.n_sources, config.neighbors, config.n_heads)
                     if config.neighbors else nn.Identity())
        self.blocks = nn.ModuleList(CrissCrossBlock(config.dim, config.n_heads, config.dropout)
                                    for _ in range(config.n_blocks))
        if config.head == "codebook":
            self.head = CodebookHead(config.dim, config.n_predicted, self.tokenizer.quantizer)
        else:
            self.head = LinearHead(config.dim, config.n_predicted, inner.n_codes)
        self.post_init()
        if tokenizer is not None:
            self.tokenizer.load_state_dict(tokenizer.state_dict())
            self.head.start_from(self.tokenizer.quantizer)
            self.contract = tokenizer.contract
        self.choose_trainable()

    @property
    def window_length(self) -> int:
        return self.tokenizer.window_length

    def choose_trainable(self) -> None:
        """All but the tokenizer, which is trained on its own before."""
        self.tokenizer.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "BrainOmni":
        """Training mode, but for the tokenizer: it is frozen, its codebooks too."""
        super().train(mode)
        self.tokenizer.eval()
        return self

    def blocks_of_one_kind(self) -> list[nn.Module]:
        """Its transformer blocks."""
        return list(self.blocks)

    def no_decay(self, name: str, parameter: Tensor) -> bool:
        """True for parameters without weight decay: norms, biases and the mask token."""
        return parameter.ndim < 2 or name.endswith("bias")

    def tokenize(self, batch: Batch | Tokens) -> Tokens:
        """Token ids of a batch; tokens pass through.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Tokens
            ids `[batch, source, frame, level]`.
        """
        return batch if isinstance(batch, Tokens) else self.tokenizer.encode(batch)

    def _read(self, ids: Int[Tensor, "batch source frame levels"]
              ) -> Float[Tensor, "batch source frame inner"]:
        """Features of tokens, as the transformer sees them."""
        x = self.tokenizer.quantizer.codes(ids)
        return x * x.shape[-1] ** 0.5 if self.config.scaled_codes else x

    def _enter(
        self, x: Float[Tensor, "batch source frame inner"]
    ) -> tuple[Float[Tensor, "batch source frame dim"], Float[Tensor, "2 frame half"]]:
        """Tokenizer features → input of the first block, and the rotary table."""
        dtype = self.mask_token.dtype  # under autocast, too, what blocks add to stays float32
        x = (x + self.tokenizer.codec.source_embedding()[:, None].detach()).to(dtype)
        return self.near(self.project(x)).to(dtype), self._table(x.shape[2], x.device)

    def _table(self, n: int, device: torch.device) -> Float[Tensor, "2 n half"]:
        """Rotary table of n frames. The authors' loader goes from cosines to rotations where a
        signal is longer than the table, and stays there: which of the two a model does would
        depend on what it has seen before."""
        if self.config.rotary == "trained":
            return rotary_table(n, self.config.dim // 2, device)
        if n > self.config.rotary_frames:
            raise ValueError(f"rotary 'released' holds for up to {self.config.rotary_frames} "
                             f"frames, these windows have {n}: use shorter windows, or import the "
                             f"weights with --rotary trained")
        return cosine_table(n, self.config.dim // 2, device)

    def _through(
        self, x: Float[Tensor, "batch source frame inner"],
        keys: Int[Tensor, "block 3 batch"] | None = None,
    ) -> Float[Tensor, "batch source frame dim"]:
        """All blocks. keys: for dropout, see `CrissCrossBlock`."""
        x, table = self._enter(x)
        for number, block in enumerate(self.blocks):
            key = None if keys is None else keys[number]
            if self.checkpointing and torch.is_grad_enabled():  # dropout by keys is the same again
                x = checkpoint(block, x, table, key, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, table, key)
        return x

    def _logits(self, x: Float[Tensor, "batch source frame inner"]
                ) -> Float[Tensor, "batch source frame level code"]:
        return self.head(self._through(x), self.tokenizer.quantizer)

    # --------------------------------------------------------------------- use

    def logits(
        self, batch: Batch | Tokens | Int[Tensor, "batch source frame levels"]
    ) -> Float[Tensor, "batch source frame level code"]:
        """Logits of every level at every position, with nothing masked.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Tensor
            `[batch, source, frame, level, code]`.
        """
        ids = batch if isinstance(batch, Tensor) else self.tokenize(batch).ids
        return self._logits(self._read(ids))

    def fill_in(
        self, tokens: Tokens, hidden: Bool[Tensor, "batch source frame"]
    ) -> Float[Tensor, "batch source frame level code"]:
        """Predict hidden tokens.

        Parameters
        ----------
        tokens
            Tokens of windows.
        hidden
            Positions that show the mask token instead of theirs.

        Returns
        -------
        logits
            Of every level's code at every position.
        """
        x = self._read(tokens.ids)
        return self._logits(torch.where(hidden[..., None], self.mask_token.to(x.dtype), x))

    def embed(self, batch: Batch | Tokens) -> Float[Tensor, "batch source frame dim"]:
        """Features for downstream tasks: after all blocks but the last, of length 1."""
        x, table = self._enter(self._read(self.tokenize(batch).ids))
        for block in self.blocks[:-1]:
            x = block(x, table)
        return F.normalize(x.float(), dim=-1)

    def frame_times(self, n: int, n_times: int, sfreq: float) -> np.ndarray:
        """Those of its tokens."""
        return self.tokenizer.frame_times(n, n_times, sfreq)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """All blocks but the last, which only predicts tokens."""
        return tuple(f"blocks.{number}" for number in range(len(self.blocks) - 1))

    def prepare(self, batch: Batch | Tokens) -> Tokens:
        """Its tokens: the tokenizer is frozen."""
        return self.tokenize(batch)

    @torch.no_grad()
    def start(self, batches: Iterable[Batch]) -> None:
        """A random tokenizer gets codes by k-means of its own features: that is part of how a
        quantizer starts, and random codes would throw most of the signal away."""
        embedded = torch.cat([self.tokenizer.embed(batch) for batch in batches])
        quantizer = self.tokenizer.quantizer
        quantizer.bypassed.fill_(False)
        quantizer.train()
        quantizer(embedded)
        quantizer.eval()

    def pooled(self, batch: Batch | Tokens, pool: str) -> Float[Tensor, "batch *place feature"]:
        """One vector of each window. "covariance": how sources go together over frames, as matrix
        logarithm. "covariances": that, and the same of the codes that its tokens stand for (blocks
        mix sources, which blurs how they went together), as a whole and in groups of like
        waveforms. "mean": over frames, sources side by side, as published. "attention": features
        of all places."""
        tokens = self.tokenize(batch)
        features = self.embed(tokens)
        if pool == "covariances":
            codes = self.tokenizer.quantizer.codes(tokens.ids)
            examples = self.tokenizer.quantizer.first_codes()
            return torch.cat([log_gram(features), log_gram(codes),
                              log_grams(codes, examples, self.config.n_waveforms)], dim=1)
        if pool == "covariance":
            return log_gram(features)
        if pool == "mean":
            return features.mean(dim=2).flatten(1)
        return features.flatten(1, 2)

    def used(self, pool: str) -> list[nn.Module]:
        """All but what features never see: the last block, the token head."""
        return [self.project, self.near, *self.blocks[:-1]]

    def layer(self, name: str) -> tuple[int, int]:
        """(layer of a parameter: 0 = before the blocks; number of layers)."""
        return int(name.split(".")[1]) + 1 if name.startswith("blocks.") else 0, len(self.blocks)

    def forward(self, batch: Batch | Tokens) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict the codes of masked positions → (loss, metrics).

        loss: cross-entropy, mean over levels and chosen positions of a window, then over windows.
        metrics: accuracy of each level at the chosen positions, and how often each code was wanted
        there (see `logged`).
        """
        tokens = self.tokenize(batch)
        x = self._read(tokens.ids)
        n_blocks = len(self.blocks)
        keys = window_keys(tokens.seed, len(x), 2 + 3 * n_blocks, x.device)
        chosen, shown = self._mask(x, keys[:2])
        at = self._through(shown, keys[2:].unflatten(0, (n_blocks, 3))).flatten(0, 2)
        logits = self.head(at.index_select(0, chosen), self.tokenizer.quantizer).float()
        wanted = tokens.ids.flatten(0, 2)[chosen, : self.config.n_predicted].long()
        # Windows have equally many chosen positions.
        loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        with torch.no_grad():
            hit = (logits.argmax(dim=-1) == wanted).float().mean(dim=0)
            # Counted without bincount, which waits for a GPU.
            uses = logits.new_zeros(self.config.n_predicted, self.config.tokenizer.n_codes)
            uses.scatter_add_(1, wanted.T, torch.ones_like(wanted.T, dtype=uses.dtype))
        metrics = {}
        for level in range(self.config.n_predicted):
            metrics[f"accuracy_{level}"] = hit[level]
            metrics[f"wanted_{level}"] = uses[level] / len(wanted)
        return loss, metrics

    def logged(self, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
        """`chance_LEVEL`: what always naming the most frequent code would score."""
        return {name.replace("wanted", "chance"): share.max() for name, share in wanted.items()}

    def _mask(
        self, x: Float[Tensor, "batch source frame inner"], keys: Int[Tensor, "2 batch"]
    ) -> tuple[Int[Tensor, " chosen"], Float[Tensor, "batch source frame inner"]]:
        """Chosen positions, counted over the whole batch, and features in which they show the mask
        token or another position's.

        Deviation: other tokens come from the same window (published: from the whole batch), and
        exactly the configured shares are taken, so nothing depends on how a batch is cut.
        """
        b, s, t, _ = x.shape
        n_chosen = max(1, round(self.config.masked * s * t))
        n_replaced = round(self.config.replaced * n_chosen)
        begin = torch.arange(0, b * s * t, s * t, device=x.device)[:, None]
        chosen = bits(keys[0], s * t).argsort(dim=1, stable=True)[:, :n_chosen] + begin
        others = (bits(keys[1], n_replaced) % (s * t)).long() + begin
        replaced, masked = chosen[:, :n_replaced].flatten(), chosen[:, n_replaced:].flatten()
        flat = x.flatten(0, 2)
        shown = flat.index_copy(0, replaced, flat[others.flatten()])
        token = self.mask_token.to(x.dtype).expand(len(masked), -1)
        return chosen.flatten(), shown.index_copy(0, masked, token).view(x.shape)
