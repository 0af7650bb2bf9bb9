"""BrainMAE: states of the brain from fMRI, trained by reconstructing hidden regions.

Source: "BrainMAE" (arXiv 2406.17086; no code was published). A scan is cut into segments. Graph
attention between regions turns a segment into one state (transient state encoder), a transformer
over segments adds context, and the signal of every region is read off the states.

`paper()` is that model. The defaults differ: regions are known by position, so any atlas can be
read; segments (`neurofm.nn.segments`) last equally long at any repetition time; a hidden region
is reconstructed not from the state alone, but from visible regions of its segment (linear estimate
of `neurofm.nn.region_factors`, learned correction) and from other segments.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..data.batch import Batch
from ..nn.attention import FeedForward, SelfAttention, rotary_table
from ..nn.attentive_pool import AttentivePool
from ..nn.dropout import seed_dropout
from ..nn.region_factors import RegionFactors
from ..nn.regions import AdaptiveBlock, NumberedRegions, PlacedRegions, StaticGraphBlock
from ..nn.second_order import log_of
from ..nn.seeded import window_generators
from ..nn.segments import Segments, cut
from .brainmae_config import BrainMAEConfig
from .protocol import Backbone, RegionModel


class BrainMAE(Backbone, RegionModel):
    """Prediction of hidden regions; features of regions and states of segments.

    Parameters
    ----------
    config
        Settings.
    """

    config_class = BrainMAEConfig

    def __init__(self, config: BrainMAEConfig):
        super().__init__(config)
        dim, heads, dropout = config.dim, config.n_heads, config.dropout
        self.regions = (PlacedRegions(dim) if config.regions == "placed"
                        else NumberedRegions(dim, config.n_regions))
        self.kernel = nn.Linear(config.n_taps, dim)
        if config.n_factors:
            self.factors = RegionFactors(dim, config.n_factors)
            self.surprise = nn.Linear(config.n_taps, dim)
        self.hidden_token = nn.Parameter(0.02 * torch.randn(dim))

        def static(n: int) -> nn.ModuleList:
            return nn.ModuleList(StaticGraphBlock(dim, heads, dropout, config.self_loops)
                                 for _ in range(n))

        self.static = static(config.n_static)
        self.adaptive = nn.ModuleList(AdaptiveBlock(dim, heads, dropout)
                                      for _ in range(config.n_adaptive))
        self.pool = AttentivePool(dim, heads)
        self.over_segments = nn.ModuleList(SegmentBlock(dim, heads, dropout)
                                           for _ in range(config.n_blocks))
        self.state_to_region = nn.Linear(dim, dim)
        self.decoder = static(config.n_decoder)
        self.norm_out = nn.RMSNorm(dim, eps=1e-6)
        self.read_off = nn.Linear(dim, config.n_taps)
        self.post_init()

    def no_decay(self, name: str, parameter: Tensor) -> bool:
        """True for parameters without weight decay: norms, biases and the hidden token."""
        return parameter.ndim < 2 or name.endswith("bias")

    # ------------------------------------------------------------------- parts

    def cut(self, batch: Batch) -> Segments:
        """The batch in segments."""
        if batch.t_r is None:
            raise ValueError("BrainMAE reads fMRI: wanted windows with their repetition time "
                             "(Batch.t_r, seconds), got none; are these EEG or MEG?")
        measured = batch.measured
        if measured is None:
            measured = torch.ones_like(batch.signal[:, 0], dtype=torch.bool)
        return cut(batch.signal, batch.t_r, measured, self.config.segment_s, self.config.n_taps)

    def _encode(
        self, seg: Segments, regions: Float[Tensor, "batch region dim"],
        valid: Bool[Tensor, "batch region"], hidden: Bool[Tensor, "batch segment region"] | None,
    ) -> "Encoded":
        """Segments, of which the hidden regions may not be looked at."""
        taps = seg.taps.transpose(1, 2)
        seen = valid[:, None].expand(taps.shape[:3])
        if hidden is not None and not self.config.narrow:
            seen = seen & ~hidden
        guess = torch.zeros_like(taps)
        x = self.kernel(taps)
        if self.config.n_factors:
            guess = self.factors(taps, regions, seen).guess.to(taps.dtype)
            x = torch.where(seen[..., None], x + self.surprise(taps - guess), self.kernel(guess))
        if hidden is not None:
            token = self.hidden_token.to(x.dtype)
            x = torch.where(hidden[..., None], token + x if self.config.n_factors else token, x)
        x = x + regions[:, None]
        for block in [*self.static, *self.adaptive]:
            x = block(x, regions, seen)
        state = self.pool(x.flatten(0, 1), seen.flatten(0, 1)).unflatten(0, x.shape[:2])
        rows = state[:, :, None] if self.config.narrow else torch.cat([state[:, :, None], x], dim=2)
        rows = self._over_segments(rows, seg.valid)
        regions = x if self.config.narrow else rows[:, :, 1:]
        return Encoded(regions, rows[:, :, 0], state, seen, guess)

    def _over_segments(
        self, rows: Float[Tensor, "batch segment row dim"], valid: Bool[Tensor, "batch segment"]
    ) -> Float[Tensor, "batch segment row dim"]:
        """States, and regions, each in the context of itself in other segments."""
        batch, n, width, dim = rows.shape
        table = rotary_table(n, dim, rows.device)
        mask = valid[:, None].expand(-1, width, -1).reshape(-1, n)
        x = rows.transpose(1, 2).reshape(-1, n, dim)
        for block in self.over_segments:
            x = block(x, table, mask)
        return x.view(batch, width, n, dim).transpose(1, 2)

    def _fill_in(
        self, batch: Batch, seg: Segments, hidden: Bool[Tensor, "batch segment region"] | None
    ) -> Float[Tensor, "batch region segment volume"]:
        """What every region should have measured, in the volumes of each segment."""
        regions = self.regions(batch.geometry)
        x, state, _, seen, guess = self._encode(seg, regions, batch.valid, hidden)
        y = self.state_to_region(state)[:, :, None] + regions[:, None]
        y = y if self.config.narrow else y + x
        for block in self.decoder:
            y = block(y, regions, seen)
        taps = guess + self.read_off(self.norm_out(y))
        return torch.einsum("bsvm,bsrm->brsv", seg.weight.to(taps), taps)

    def _hide(self, batch: Batch, n_segments: int) -> Bool[Tensor, "batch segment region"]:
        """Regions hidden in each segment: a share drawn for it, of the regions there are."""
        low, high = self.config.hidden
        hidden = torch.zeros(len(batch), n_segments, batch.valid.shape[1], dtype=torch.bool,
                             device=batch.signal.device)
        generators = window_generators(batch.seed, len(batch), batch.signal.device)
        for row, generator in enumerate(generators):
            n = int(batch.valid[row].sum())
            drawn = torch.rand(n_segments, 1 + n, generator=generator, device=hidden.device)
            share = low + (high - low) * drawn[:, :1]
            order = drawn[:, 1:].argsort(dim=1).argsort(dim=1)
            hidden[row][:, batch.valid[row]] = order < (share * n).round()
        return hidden

    # --------------------------------------------------------------------- use

    def embed(self, batch: Batch) -> Float[Tensor, "batch region segment dim"]:
        """Features of each region in each segment, states added; 0 where there is no region or too
        little was measured."""
        seg, regions = self.cut(batch), self.regions(batch.geometry)
        x, state, *_ = self._encode(seg, regions, batch.valid, None)
        there = seg.valid[:, None, :, None] & batch.valid[:, :, None, None]
        return (x + state[:, :, None]).transpose(1, 2).float() * there

    def source_names(self, n: int, ch_names: Sequence[str]) -> tuple[str, ...]:
        """Regions."""
        return tuple(ch_names)

    def frame_times(self, n: int, n_times: int, sfreq: float) -> np.ndarray:
        """Segments of fixed seconds."""
        return (np.arange(n) + 0.5) * self.config.segment_s

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Graph blocks."""
        return tuple(f"{part}.{number}" for part in ("static", "adaptive")
                     for number in range(len(getattr(self, part))))

    def placed(
        self, output: Float[Tensor, "batch segment region dim"], batch: Batch
    ) -> Float[Tensor, "batch region segment dim"]:
        """See `FeatureModel.placed`; 0 where there is no region or too little was measured."""
        there = self.cut(batch).valid[:, None, :, None] & batch.valid[:, :, None, None]
        return output.transpose(1, 2) * there

    def states(self, batch: Batch, in_context: bool = True) -> tuple[
            Float[Tensor, "batch segment dim"], Bool[Tensor, "batch segment"]]:
        """States of segments."""
        seg = self.cut(batch)
        found = self._encode(seg, self.regions(batch.geometry), batch.valid, None)
        state = found.state if in_context else found.alone
        return state.float() * seg.valid[..., None], seg.valid

    def pooled(self, batch: Batch, pool: str) -> Float[Tensor, "batch *place feature"]:
        """One vector of each scan. "covariance": how the factors that regions have in common go
        together over the scan, as matrix logarithm: connectivity, in a space that is the same for
        any atlas. "activity": how high each factor was, which tells blocks of a task apart. "mean":
        of the states over segments. "attention": the state of each segment."""
        if pool not in ("covariance", "activity"):
            states, valid = self.states(batch)
            if pool == "attention":
                return states
            return states.sum(dim=1) / valid.sum(dim=1, keepdim=True).clamp(min=1)
        seg = self.cut(batch)
        seen = batch.valid[:, None].expand(-1, seg.valid.shape[1], -1)
        taps, regions = seg.taps.transpose(1, 2), self.regions(batch.geometry)
        _, scores, doubt = self.factors(taps, regions, seen)
        weight = seg.valid / seg.valid.sum(dim=1, keepdim=True).clamp(min=1)
        if pool == "activity":
            return torch.einsum("bs,bskt->bk", weight, scores) / scores.shape[-1]
        # What is expected of z z', given the scan: of the guesses, and of what they leave open.
        each = scores @ scores.mT / scores.shape[-1] + doubt
        return log_of(torch.einsum("bs,bskl->bkl", weight, each))

    def used(self, pool: str) -> list[nn.Module]:
        """All but what fills in; of pools of factors regions and factors alone."""
        if pool in ("covariance", "activity"):
            return [self.regions, self.factors]
        factors = [self.factors, self.surprise] if self.config.n_factors else []
        return [self.regions, self.kernel, *factors, self.static, self.adaptive, self.pool,
                self.over_segments]

    def layer(self, name: str) -> tuple[int, int]:
        """(layer of a parameter: regions, kernel and factors, graph blocks, over segments; their
        number)."""
        n = len(self.static) + len(self.adaptive)
        part, number = [*name.split("."), ""][:2]
        if part in ("static", "adaptive"):
            return 1 + int(number) + len(self.static) * (part == "adaptive"), n + 2
        return n + 1 if part in ("pool", "over_segments") else 0, n + 2

    def graph(
        self, geometry: Float[Tensor, "batch region 6"], valid: Bool[Tensor, "batch region"]
    ) -> Float[Tensor, "batch region region"] | None:
        """Attention of each region to each other one."""
        if not len(self.static):
            return None
        regions = self.regions(geometry)
        return torch.stack([block.graph(regions, valid[:, None]).mean(dim=(1, 2))
                            for block in self.static]).mean(dim=0)

    def fill_in(
        self, batch: Batch, hidden: Bool[Tensor, "batch segment region"] | None
    ) -> tuple[Float[Tensor, "batch region segment volume"], Segments]:
        """Predict the regions of each segment."""
        seg = self.cut(batch)
        return self._fill_in(batch, seg, hidden), seg

    def guess(
        self, batch: Batch, hidden: Bool[Tensor, "batch segment region"] | None
    ) -> tuple[Float[Tensor, "batch region segment volume"], Segments]:
        """As `fill_in`, by the linear guess from other regions alone."""
        seg = self.cut(batch)
        guess = self._encode(seg, self.regions(batch.geometry), batch.valid, hidden).guess
        return torch.einsum("bsvm,bsrm->brsv", seg.weight.to(guess), guess), seg

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Hide, fill in, compare → (loss, metrics), means over windows.

        loss: λ · mean squared error of hidden regions + (1 − λ) · of those seen, over volumes that
        were measured. metrics: r2_hidden, r2_seen: share of the variance about 0 that is filled in.
        """
        seed_dropout(self, batch.seed, len(batch), batch.signal.device)
        seg = self.cut(batch)
        hidden = self._hide(batch, seg.valid.shape[1])
        found = self._fill_in(batch, seg, hidden)
        counted = (seg.measured & seg.valid[..., None])[:, None] & batch.valid[:, :, None, None]
        error = torch.square(found.float() - seg.volumes.float())
        hidden, weight = hidden.transpose(1, 2), self.config.hidden_weight
        loss, metrics = 0.0, {}
        for name, share, which in (("hidden", weight, hidden), ("seen", 1 - weight, ~hidden)):
            rows = counted & which[..., None]
            # A window in which nothing was hidden has no error there, and so no share of the loss.
            of = rows.sum(dim=(1, 2, 3)).clamp(min=1)
            wrong = (error * rows).sum(dim=(1, 2, 3)) / of
            power = (torch.square(seg.volumes) * rows).sum(dim=(1, 2, 3)) / of
            loss = loss + share * wrong.mean()
            metrics[f"r2_{name}"] = (1 - wrong.mean() / power.mean().clamp(min=1e-12)).detach()
        return loss, metrics


class Encoded(NamedTuple):
    """regions: features. state: of each segment, in context; alone: before it was. seen: which
    regions could be looked at. guess: of each region by the others, 0 without factors."""

    regions: Float[Tensor, "batch segment region dim"]
    state: Float[Tensor, "batch segment dim"]
    alone: Float[Tensor, "batch segment dim"]
    seen: Bool[Tensor, "batch segment region"]
    guess: Float[Tensor, "batch segment region tap"]


class SegmentBlock(nn.Module):
    """Segments attend to each other (rotary: what counts is how far apart they lie)."""

    def __init__(self, dim: int, n_heads: int, dropout: float = 0.0):
        super().__init__()
        self.norm_attention = nn.RMSNorm(dim, eps=1e-6)
        self.attention = SelfAttention(dim, n_heads, dropout)
        self.norm_feedforward = nn.RMSNorm(dim, eps=1e-6)
        self.feedforward = FeedForward(dim, dropout)

    def forward(
        self, x: Float[Tensor, "batch segment dim"], table: Float[Tensor, "2 segment half"],
        valid: Bool[Tensor, "batch segment"],
    ) -> Float[Tensor, "batch segment dim"]:
        mask = valid | ~valid.any(dim=1, keepdim=True)
        x = x + self.attention(self.norm_attention(x), table, mask)
        return x + self.feedforward(self.norm_feedforward(x))
