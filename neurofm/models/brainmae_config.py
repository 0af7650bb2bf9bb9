"""Settings of a `BrainMAE` (arXiv 2406.17086)."""

from collections.abc import Sequence
from math import comb

from ..limits import Count, Positive, Share, ShareBelowOne, Whole
from .protocol import BackboneConfig

REGIONS = ("placed", "numbered")


class BrainMAEConfig(BackboneConfig):
    """Settings of a `BrainMAE`.

    Parameters
    ----------
    regions, n_regions
        "placed" reads the center of each region; "numbered", as published, has a table of
        `n_regions` rows for the regions of one atlas.
    segment_s, t_r
        Length of a segment; repetition time at which its kernel applies unchanged; both in seconds.
    dim, n_heads, dropout
        Width, heads and dropout of all blocks.
    n_static, n_adaptive
        Blocks of the state encoder whose graph depends on regions alone, and blocks whose graph
        depends on the signal too (0 = SG-TSE, else AG-TSE).
    self_loops
        Whether a region may attend to itself (an ablation of the paper).
    n_blocks, n_decoder
        Transformer blocks over segments; graph blocks between states and the reconstruction.
    narrow
        Regions are filled in from states alone, and hidden regions stand in every graph, as
        published; else from the regions seen in the segment, too, and from other segments.
    n_factors
        Rank of the linear estimate of each region from the others; 0 = none, as published.
    hidden, hidden_weight
        Range of the share of regions hidden in a segment; their weight in the loss, λ (seen: 1 − λ)
    """

    model_type = "neurofm_brainmae"

    def __init__(
        self,
        regions: str = "placed",
        n_regions: int = 0,
        segment_s: Positive = 17.64,
        t_r: Positive = 0.735,
        dim: Count = 128,
        n_heads: Count = 4,
        dropout: ShareBelowOne = 0.0,
        n_static: int = 2,
        n_adaptive: int = 2,
        self_loops: bool = False,
        n_blocks: Whole = 2,
        n_decoder: int = 1,
        narrow: bool = False,
        n_factors: int = 64,
        hidden: Sequence[ShareBelowOne] = (0.0, 0.8),
        hidden_weight: Share = 0.75,
        **of_transformers,
    ):
        self.regions = regions
        self.n_regions = n_regions
        self.segment_s = segment_s
        self.t_r = t_r
        self.dim = dim
        self.n_heads = n_heads
        self.dropout = dropout
        self.n_static = n_static
        self.n_adaptive = n_adaptive
        self.self_loops = self_loops
        self.n_blocks = n_blocks
        self.n_decoder = n_decoder
        self.narrow = narrow
        self.n_factors = n_factors
        self.hidden = tuple(hidden)
        self.hidden_weight = hidden_weight
        super().__init__(**of_transformers)
        self.require(regions in REGIONS, f"regions must be one of {REGIONS}, got {regions!r}")
        self.require(
            (n_regions > 0) == (regions == "numbered"),
            f"n_regions is the number of regions of the atlas where regions is 'numbered', and 0 "
            f"where it is 'placed', got {n_regions} and {regions!r}",
        )
        self.require(
            2 * t_r <= segment_s,
            f"t_r and segment_s are seconds, with two taps in a segment at least, got {t_r} and "
            f"{segment_s}",
        )
        self.require(
            dim % n_heads == 0 and dim % 2 == 0,
            f"dim ({dim}) must be even and a multiple of n_heads ({n_heads})",
        )
        self.require(n_static + n_adaptive > 0, "n_static + n_adaptive must be at least 1")
        self.require(
            not (narrow and n_factors),
            f"n_factors must be 0 where regions are filled in from states alone "
            f"(narrow), got {n_factors}",
        )
        self.require(
            len(self.hidden) == 2 and self.hidden[0] <= self.hidden[1],
            f"hidden are two shares, 0 <= low <= high < 1, got {hidden}",
        )

    @property
    def n_taps(self) -> int:
        """Taps of the kernel of a segment."""
        return round(self.segment_s / self.t_r)

    @property
    def pools(self) -> tuple[str, ...]:
        """Without factors there is no covariance of them."""
        own = ("covariance", "activity") if self.n_factors else ()
        return *own, "mean", "attention"

    def n_pooled(self, pool: str) -> int:
        """Width of what `BrainMAE.pooled` gives: pairs of factors, factors, or of a state."""
        return {"covariance": comb(self.n_factors + 1, 2), "activity": self.n_factors}.get(
            pool, self.dim)

    @classmethod
    def paper(cls, **fields) -> "BrainMAEConfig":
        """The published model.

        AG-TSE on the 100 regions of Schaefer, segments of 15 s, repetition time 0.72 s (HCP). Its
        width and number of heads are not stated.

        Parameters
        ----------
        **fields
            Settings, as for the class.

        Returns
        -------
        BrainMAEConfig
            Its settings.
        """
        return cls(**{"regions": "numbered", "n_regions": 100, "segment_s": 15.12, "t_r": 0.72,
                      "n_static": 3, "n_adaptive": 1, "narrow": True, "n_factors": 0, **fields})
