"""Settings of a `BrainTokenizer` (arXiv 2505.18185)."""

from collections.abc import Sequence
from typing import Annotated

from ..limits import Count, Limit, Share, ShareBelowOne
from ..pretrained import NeuroFMConfig

CODECS = ("attention", "leadfield")


class BrainTokenizerConfig(NeuroFMConfig):
    """The defaults are the published BrainTokenizer (5.05 M parameters).

    Parameters
    ----------
    window_length
        Samples encoded together (512 = 2 s at 256 Hz).
    overlap
        Share of a window that the next one covers too, when encoding for a model.
    spatial
        How channels become sources: "attention" over encoded channels is the published way,
        "leadfield" mixes channels before they are encoded (`neurofm.nn.leadfield`).
    kind_rows
        See `neurofm.nn.sensor_encoder.SensorEncoder`.
    n_filters, ratios, kernel, last_kernel
        Of SEANet; a window gives window_length / product of ratios frames.
    dim, n_sources, n_heads, dropout
        Width, number of sources, heads and dropout.
    n_levels, n_codes, code_dim
        Of the quantizer; code_dim None = dim.
    ema_decay, revive_below, rotation_trick
        See `neurofm.nn.quantizer.ResidualQuantizer`.
    quantize_from
        Share of a training run after which features are quantized; before, the quantizer lets them
        through, so that there is something to quantize when it starts.
    commitment
        Weight of the pull of features toward their codes.
    phase
        Weight of the loss's term in spectral phase (published ½). Compared without wrapping, a
        phase near ±π jumps by 2π at the last bit of rounding, so runs with it differ between
        machines and numbers of processes; 0 leaves it out.
    hidden
        Share of channels hidden in training (at least one).
    noise
        Standard deviation of noise added to what is encoded in training.
    """

    model_type = "neurofm_brain_tokenizer"

    def __init__(
        self,
        window_length: Count = 512,
        overlap: ShareBelowOne = 0.25,
        spatial: str = "attention",
        kind_rows: Sequence[Annotated[int, Limit(-1)]] = (0, 1, 2, 2, -1),
        n_filters: Count = 32,
        ratios: Sequence[Count] = (8, 4, 2),
        kernel: Count = 5,
        last_kernel: Count = 5,
        dim: Count = 256,
        n_sources: Count = 16,
        n_heads: Count = 4,
        dropout: ShareBelowOne = 0.0,
        n_levels: Count = 4,
        n_codes: Annotated[int, Limit(2)] = 512,
        code_dim: Count | None = None,
        ema_decay: ShareBelowOne = 0.99,
        revive_below: float = 2.0,
        rotation_trick: bool = True,
        quantize_from: Share = 0.0,
        commitment: float = 0.25,
        phase: float = 0.5,
        hidden: ShareBelowOne = 0.25,
        noise: float = 0.1,
        **of_transformers,
    ):
        self.window_length = window_length
        self.overlap = overlap
        self.spatial = spatial
        self.kind_rows = tuple(kind_rows)
        self.n_filters = n_filters
        self.ratios = tuple(ratios)
        self.kernel = kernel
        self.last_kernel = last_kernel
        self.dim = dim
        self.n_sources = n_sources
        self.n_heads = n_heads
        self.dropout = dropout
        self.n_levels = n_levels
        self.n_codes = n_codes
        self.code_dim = code_dim
        self.ema_decay = ema_decay
        self.revive_below = revive_below
        self.rotation_trick = rotation_trick
        self.quantize_from = quantize_from
        self.commitment = commitment
        self.phase = phase
        self.hidden = hidden
        self.noise = noise
        super().__init__(**of_transformers)
        self.require(
            dim % n_heads == 0, f"dim ({dim}) must be a multiple of n_heads ({n_heads})"
        )
        self.require(
            spatial in CODECS, f"spatial must be one of {list(CODECS)}, got {spatial!r}"
        )
        self.require(
            len(self.kind_rows) == 5 and max(self.kind_rows) >= 0,
            f"kind_rows must have a row (or -1) for each of 5 kinds, got {kind_rows}",
        )

    def stride(self, overlap: float | None = None) -> int:
        """Distance between windows.

        Parameters
        ----------
        overlap
            Share of a window that the next one repeats; None = that of the config.

        Returns
        -------
        int
            Samples.
        """
        overlap = self.overlap if overlap is None else overlap
        stride = round(self.window_length * (1 - overlap))
        self.require(
            0 < stride <= self.window_length, f"overlap must be in [0, 1), got {overlap}"
        )
        return stride
