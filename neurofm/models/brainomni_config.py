"""Settings of a `BrainOmni` (arXiv 2505.18185)."""

from collections.abc import Iterable
from math import comb

import numpy as np

from ..limits import Count, PositiveShare, Share, ShareBelowOne
from ..tokenizers.brain_tokenizer import BrainTokenizerConfig
from .protocol import BackboneConfig

HEADS = ("linear", "codebook")
ROTARY = ("trained", "released")
RELEASED_FRAMES = 240  # rows of the released rotary table
WAVEFORMS = 16  # groups of them in the pool "covariances"


class BrainOmniConfig(BackboneConfig):
    """The defaults are the published "tiny" model; `base()` gives the other one.

    Parameters
    ----------
    tokenizer
        Config of the tokenizer inside.
    dim, n_heads, n_blocks, dropout
        Width, heads, blocks and dropout of the transformer.
    n_levels
        Levels of tokens predicted, None = all the tokenizer has. All levels are read.
    masked
        Share of (source, frame) positions to predict.
    replaced
        Share of those that show another position's token instead of the mask token.
    scaled_codes
        Bring features of tokens from length 1 to length √width before the source embedding, which
        has that length, is added. As published they are 16 times shorter, and what a token says is
        drowned by where it is.
    neighbors
        Frames that a linear layer before the blocks looks at (`neurofm.nn.neighbors`), an odd
        number; 0 = no such layer, as published.
    head
        "linear" is the published one; "codebook" scores codes by their inner product with a
        predicted vector (`neurofm.nn.code_head`).
    rotary
        "trained": queries and keys over time are rotated by their position. "released": they are
        multiplied by the cosines of the rotation, as the authors' loader does with the table in
        the public files, whose sines are lost; up to `rotary_frames` frames.
    rotary_frames
        Frames that the released table has.
    """

    model_type = "neurofm_brainomni"
    sub_configs = {"tokenizer": BrainTokenizerConfig}  # noqa: RUF012 (transformers' convention)

    def __init__(
        self,
        tokenizer: BrainTokenizerConfig | dict | None = None,
        dim: Count = 256,
        n_heads: Count = 8,
        n_blocks: Count = 12,
        dropout: ShareBelowOne = 0.1,
        n_levels: Count | None = None,
        masked: PositiveShare = 0.5,
        replaced: Share = 0.2,
        scaled_codes: bool = False,
        neighbors: int = 0,
        head: str = "linear",
        rotary: str = "trained",
        rotary_frames: Count = RELEASED_FRAMES,
        **of_transformers,
    ):
        if not isinstance(tokenizer, BrainTokenizerConfig):
            tokenizer = BrainTokenizerConfig(**(tokenizer or {}))
        self.tokenizer = tokenizer
        self.dim = dim
        self.n_heads = n_heads
        self.n_blocks = n_blocks
        self.dropout = dropout
        self.n_levels = n_levels
        self.masked = masked
        self.replaced = replaced
        self.scaled_codes = scaled_codes
        self.neighbors = neighbors
        self.head = head
        self.rotary = rotary
        self.rotary_frames = rotary_frames
        super().__init__(**of_transformers)
        self.require(
            n_heads % 2 == 0 and dim % n_heads == 0,
            f"dim ({dim}) must be a multiple of n_heads ({n_heads}) and n_heads even: half the "
            f"heads attend over time, half over sources",
        )
        self.require((dim // 2) % 2 == 0, f"dim must be a multiple of 4, got {dim}")
        self.require(
            n_levels is None or 1 <= n_levels <= tokenizer.n_levels,
            f"n_levels must be 1 … {tokenizer.n_levels} (the tokenizer's), got {n_levels}",
        )
        self.require(
            neighbors == 0 or neighbors % 2 == 1,
            f"neighbors must be an odd number of frames, or 0 for no such layer, got {neighbors}",
        )
        self.require(head in HEADS, f"head must be one of {HEADS}, got {head!r}")
        self.require(rotary in ROTARY, f"rotary must be one of {ROTARY}, got {rotary!r}")

    @property
    def n_predicted(self) -> int:
        """Levels of tokens that are predicted."""
        return self.tokenizer.n_levels if self.n_levels is None else self.n_levels

    @property
    def pools(self) -> tuple[str, ...]:
        """See `BrainOmni.pooled`."""
        return "covariance", "covariances", "mean", "attention"

    @property
    def n_waveforms(self) -> int:
        """Groups of waveforms in the pool "covariances"."""
        return min(WAVEFORMS, self.tokenizer.dim)

    def n_pooled(self, pool: str) -> int:
        """Width of what `BrainOmni.pooled` gives: pairs of sources (of each covariance), sources ×
        dim, or dim of every place."""
        n, pairs = self.tokenizer.n_sources, comb(self.tokenizer.n_sources + 1, 2)
        return {"covariances": (2 + self.n_waveforms) * pairs, "covariance": pairs,
                "mean": n * self.dim, "attention": self.dim}[pool]

    def pooled_names(self, pool: str) -> list[str]:
        """Such as "covariance_0_3", "codes_0_3", "waveforms2_0_3" or "mean_0_17"."""
        n = self.tokenizer.n_sources
        pairs = list(zip(*np.triu_indices(n), strict=True))
        waves = {f"waveforms{k}": pairs for k in range(self.n_waveforms)}
        kinds: dict[str, dict[str, Iterable[tuple]]] = {
            "covariances": {"covariance": pairs, "codes": pairs, **waves},
            "covariance": {"covariance": pairs},
            "mean": {"mean": np.ndindex(n, self.dim)}}
        places = kinds.get(pool)
        if places is None:
            return super().pooled_names(pool)
        return [f"{name}_{i}_{j}" for name, each in places.items() for i, j in each]

    @classmethod
    def base(cls, **fields) -> "BrainOmniConfig":
        """The published "base" model.

        Parameters
        ----------
        **fields
            Settings, as for the class.

        Returns
        -------
        BrainOmniConfig
            Width 512, 16 heads.
        """
        return cls(**{"dim": 512, "n_heads": 16, **fields})
