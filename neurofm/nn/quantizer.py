"""Residual vector quantization with codebooks learned by moving averages, alike on all processes.

Sources: residual quantization and its codebook updates from SoundStream (arXiv 2107.03312, sec.
3.3); rotation trick from arXiv 2410.06424; sizes and rates from BrainOmni (arXiv 2505.18185).

Every number that enters a codebook is summed, or gathered in rank order, over all processes, and
every random choice comes from a generator seeded by a counter of updates. So codebooks are the
same, bit for bit, on all processes, and (up to the order of sums) the same as one process would
get from the whole batch.
"""

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

KMEANS_VECTORS = 4096
KMEANS_ITERATIONS = 10
ROWS_AT_ONCE = 65_536  # bounds the table of distances
# A remainder this small beside its vector (16 float32 steps) is rounding error. Left in, it would
# choose a code at random, another one on every machine and for every batch size.
NOTHING_LEFT = 2e-6


class Quantized(NamedTuple):
    """features: sum of the chosen codes, with a gradient to the input. ids: chosen codes.
    commitment: squared distance of the input to its codes, mean over features and levels.
    share: how often each code was chosen in this batch (in training: in that of all processes), of
        all choices of its level; 0 everywhere while the quantizer lets features through."""

    features: Float[Tensor, "*batch dim"]
    ids: Int[Tensor, "*batch level"]
    commitment: Float[Tensor, "*batch"]
    share: Float[Tensor, "level code"]


class ResidualQuantizer(nn.Module):
    """`n_levels` codebooks of `n_codes` vectors; each level quantizes what the last left over.

    code_dim: width of codes; if it is not `dim`, each level projects its input down and its code
        back up. decay: of the moving averages. revive_below: a code whose moving average of uses
        falls below is replaced by a vector of the batch. rotation_trick: carry the gradient by
        the rotation and scaling that take the input to its code; else straight through.
    """

    codebook: Tensor
    uses: Tensor
    sums: Tensor
    started: Tensor
    bypassed: Tensor
    n_updates: Tensor

    def __init__(
        self,
        dim: int,
        n_levels: int,
        n_codes: int,
        code_dim: int | None = None,
        decay: float = 0.99,
        revive_below: float = 2.0,
        rotation_trick: bool = True,
        bypassed: bool = False,
    ):
        super().__init__()
        code_dim = code_dim or dim
        self.n_codes, self.n_levels = n_codes, n_levels
        self.decay, self.revive_below = decay, revive_below
        self.rotation_trick = rotation_trick
        projected = code_dim != dim
        self.down = nn.ModuleList(nn.Linear(dim, code_dim) for _ in range(n_levels * projected))
        self.up = nn.ModuleList(nn.Linear(code_dim, dim) for _ in range(n_levels * projected))
        codebook = torch.randn(n_levels, n_codes, code_dim) * code_dim**-0.5
        self.register_buffer("codebook", codebook)
        self.register_buffer("uses", torch.ones(n_levels, n_codes))
        self.register_buffer("sums", codebook.clone())
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("bypassed", torch.tensor(bypassed))
        self.register_buffer("n_updates", torch.tensor(0))
        self._seen: dict[str, tuple[Tensor, int, int]] = {}

    def codes(self, ids: Int[Tensor, "*batch level"]) -> Float[Tensor, "*batch dim"]:
        """Features of token ids: the sum of their codes over levels."""
        return sum(self._up(level, self.codebook[level][ids[..., level]])
                   for level in range(self.n_levels))

    def first_codes(self) -> Float[Tensor, "code dim"]:
        """The codes of the first level, which most of a feature is made of, as features."""
        return self._up(0, self.codebook[0])

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Quantized:
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if self.known("bypassed"):
                return self._identity(x)
            flat = x.reshape(-1, x.shape[-1])
            n_updates = self.known("n_updates") if self.training else 0
            started = not self.training or self.known("started")
            batch = _GlobalBatch(len(flat), n_updates, x.device, self.training)
            residual, total = flat, torch.zeros_like(flat)
            nothing = NOTHING_LEFT * flat.detach().norm(dim=-1, keepdim=True)
            all_ids, commitments, counts = [], [], []
            for level in range(self.n_levels):
                inside = self._down(level, residual)
                if not started:
                    self._start(level, inside.detach(), batch)
                ids = nearest(inside, self.codebook[level])
                code = self.codebook[level][ids]
                commitments.append((inside - code).square().mean(dim=-1))
                used = batch.sum(uses_of(ids, self.n_codes))
                counts.append(used)
                if self.training:
                    self._update(level, inside.detach(), ids, used, batch)
                    code = (rotate_to(inside, code) if self.rotation_trick
                            else inside + (code - inside).detach())
                code = self._up(level, code)
                total = total + code
                residual = residual - code.detach()
                left = residual.detach().norm(dim=-1, keepdim=True) > nothing
                residual = torch.where(left, residual, 0)
                all_ids.append(ids)
            if self.training:
                if not started:
                    self.started.fill_(True)
                self.n_updates += 1
                self._seen["n_updates"] = self.n_updates, self.n_updates._version, n_updates + 1
            share = torch.stack(counts) / torch.stack(counts).sum(dim=1, keepdim=True)
            return Quantized(
                total.view_as(x),
                torch.stack(all_ids, dim=-1).view(*x.shape[:-1], self.n_levels),
                torch.stack(commitments).mean(dim=0).view(x.shape[:-1]),
                share,
            )

    def _identity(self, x: Float[Tensor, "*batch dim"]) -> Quantized:
        """What comes out while bypassed: the input itself, and ids that mean nothing (−1)."""
        nothing = x.new_zeros(self.n_levels, self.n_codes)
        # Projections take no part yet, but training in several processes waits for gradients of
        # every parameter.
        unused = sum((0.0 * parameter.sum() for parameter in self.parameters()), nothing.sum())
        return Quantized(
            x,
            torch.full((*x.shape[:-1], self.n_levels), -1, device=x.device),
            unused.expand(x.shape[:-1]),
            nothing,
        )

    def known(self, name: str) -> int:
        """Value of a number among the buffers. It is read once and then again only where the buffer
        has been written to: reading waits for a GPU."""
        buffer = getattr(self, name)
        if not isinstance(buffer, Tensor):  # `export` puts plain numbers there
            return int(buffer)
        if torch.compiler.is_compiling() or torch.compiler.is_exporting() or buffer.is_inference():
            return int(buffer)
        seen, version, value = self._seen.get(name, (None, -1, 0))
        if seen is not buffer or version != buffer._version:
            value = int(buffer)
            self._seen[name] = buffer, buffer._version, value
        return value

    def __getstate__(self) -> dict:
        """For copies and other processes, whose buffers are others."""
        return {**super().__getstate__(), "_seen": {}}

    def _down(self, level: int, x: Tensor) -> Tensor:
        return self.down[level](x) if len(self.down) else x

    def _up(self, level: int, code: Tensor) -> Tensor:
        return self.up[level](code) if len(self.up) else code

    @torch.no_grad()
    def _start(self, level: int, x: Float[Tensor, "n code_dim"], batch: "_GlobalBatch") -> None:
        """First codes by k-means, only in training (the published code also does so on the first
        evaluation, which takes minutes and changes the tokenizer one evaluates)."""
        samples = batch.pick(x, min(batch.n_vectors, KMEANS_VECTORS))
        first = samples[: self.n_codes]
        if len(first) < self.n_codes:  # too few vectors: copies, which dead-code revival replaces
            first = first.repeat(-(-self.n_codes // len(first)), 1)[: self.n_codes]
        codebook, uses = kmeans(samples, first)
        batch.same_everywhere(codebook, uses)
        # As many uses as a batch of this size would make, so averages start in balance. (The
        # published code starts `sums` as the codes themselves, whatever their number of uses.)
        uses = uses * (batch.n_vectors / len(samples))
        self._write(level, codebook, uses)

    @torch.no_grad()
    def _update(self, level: int, x: Float[Tensor, "n code_dim"], ids: Int[Tensor, " n"],
                used: Float[Tensor, " code"], batch: "_GlobalBatch") -> None:
        """Move codes toward the mean of the vectors that chose them; revive dead ones."""
        sums = batch.sum(sum_by_code(x, ids, self.n_codes))
        self.uses[level].lerp_(used, 1 - self.decay)
        self.sums[level].lerp_(sums, 1 - self.decay)
        uses = self.uses[level]
        # Laplace smoothing keeps a code that nobody uses from dividing by zero.
        smooth = (uses + 1e-5) / (uses.sum() + self.n_codes * 1e-5) * uses.sum()
        moved = self.sums[level] / smooth[:, None]
        # A revived code enters the averages too. (Published code writes it to the codebook alone,
        # where the average overwrites it in the same step.)
        dead = uses < self.revive_below
        fresh = batch.pick(x, self.n_codes)
        codebook = torch.where(dead[:, None], fresh, moved)
        uses = torch.where(dead, self.revive_below, uses)
        sums = torch.where(dead[:, None], fresh * self.revive_below, self.sums[level])
        self.codebook[level], self.uses[level], self.sums[level] = codebook, uses, sums

    def _write(self, level: int, codebook: Tensor, uses: Tensor) -> None:
        self.codebook[level] = codebook
        self.uses[level] = uses
        self.sums[level] = codebook * uses[:, None]


class _GlobalBatch:
    """The vectors of one step over all processes, as one list in rank order."""

    def __init__(self, n_here: int, seed: int, device: torch.device, training: bool):
        # In evaluation processes may have unequal numbers of batches: nothing is exchanged.
        self.spread = training and dist.is_initialized() and dist.get_world_size() > 1
        self.generator = torch.Generator().manual_seed(seed)
        self.n_here = self.n_vectors = n_here
        self.offset = 0
        if self.spread:
            sizes = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=device)
            sizes[dist.get_rank()] = n_here
            dist.all_reduce(sizes)
            self.n_vectors = int(sizes.sum())
            self.offset = int(sizes[: dist.get_rank()].sum())

    def sum(self, x: Tensor) -> Tensor:
        """`x` summed over processes."""
        if self.spread:
            dist.all_reduce(x)
        return x

    def pick(self, x: Float[Tensor, "n dim"], n: int) -> Float[Tensor, "picked dim"]:
        """`n` vectors at random out of all processes' vectors: the same on each of them, each
        vector at most once unless there are fewer than `n`."""
        rows = torch.randperm(self.n_vectors, generator=self.generator)[:n]
        if len(rows) < n:
            more = torch.randint(self.n_vectors, (n - len(rows),), generator=self.generator)
            rows = torch.cat([rows, more])
        rows = rows.to(x.device, non_blocking=True) - self.offset
        here = (rows >= 0) & (rows < self.n_here)
        return self.sum(torch.where(here[:, None], x[rows.clamp(0, self.n_here - 1)], 0))

    def same_everywhere(self, *tensors: Tensor) -> None:
        """Copy rank 0's tensors: sums on a GPU may differ in their last bit between processes."""
        if self.spread:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


def perplexity(uses: Float[Tensor, "*level code"]) -> Float[Tensor, "*level"]:
    """exp(entropy) of how often each code was used (counts or shares): as many codes used equally
    often would give the same. 0 where none was."""
    total = uses.sum(dim=-1, keepdim=True)
    used = torch.special.entr(uses / total.clamp(min=1e-12)).sum(dim=-1).exp()
    return torch.where(total[..., 0] > 0, used, 0)


def nearest(x: Float[Tensor, "n dim"], codebook: Float[Tensor, "code dim"]) -> Int[Tensor, " n"]:
    """Index of the nearest code of each vector, by squared distance; ties go to the first code."""
    with torch.no_grad():
        norm = codebook.square().sum(dim=1)  # |x|² is the same for all codes: it can be left out
        return torch.cat([
            torch.addmm(norm, part, codebook.T, alpha=-2).argmin(dim=1)
            for part in x.split(ROWS_AT_ONCE)
        ])


def uses_of(ids: Int[Tensor, " n"], n_codes: int) -> Float[Tensor, " code"]:
    """How many vectors chose each code: whole numbers, so the order of the sum does not matter.
    (`bincount` waits for a GPU.)"""
    ones = torch.ones(len(ids), device=ids.device)
    return ones.new_zeros(n_codes).index_add_(0, ids, ones)


def sum_by_code(
    x: Float[Tensor, "n dim"], ids: Int[Tensor, " n"], n_codes: int
) -> Float[Tensor, "code dim"]:
    """Sum of the vectors that chose each code, in an order that never changes."""
    sums = x.new_zeros(n_codes, x.shape[1])
    if x.is_cuda:  # index_add_ adds in random order there, index_put_ sorts first
        return sums.index_put_((ids,), x, accumulate=True)
    return sums.index_add_(0, ids, x)


def kmeans(
    x: Float[Tensor, "n dim"], centers: Float[Tensor, "code dim"]
) -> tuple[Float[Tensor, "code dim"], Float[Tensor, " code"]]:
    """Lloyd's iterations from given centers → (centers, vectors of each). Empty ones stay put."""
    for _ in range(KMEANS_ITERATIONS):
        ids = nearest(x, centers)
        counts = torch.bincount(ids, minlength=len(centers)).to(x.dtype)
        means = sum_by_code(x, ids, len(centers)) / counts.clamp(min=1)[:, None]
        centers = torch.where(counts[:, None] > 0, means, centers)
    counts = torch.bincount(nearest(x, centers), minlength=len(centers)).to(x.dtype)
    return centers, counts


def rotate_to(
    x: Float[Tensor, "n dim"], code: Float[Tensor, "n dim"]
) -> Float[Tensor, "n dim"]:
    """`code` in value; the gradient reaches `x` turned and scaled as `x` must be to become `code`.

    Rotation trick (arXiv 2410.06424, eq. 4): λ (x − 2 r rᵀx + 2 q̂ x̂ᵀx) with r the unit vector
    halfway between x̂ and q̂, λ = |code| / |x|, all but x held constant.
    """
    with torch.no_grad():
        unit_x, unit_code = F.normalize(x, dim=-1), F.normalize(code, dim=-1)
        half = F.normalize(unit_x + unit_code, dim=-1)
        scale = code.norm(dim=-1, keepdim=True) / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    turned = (
        x
        - 2 * half * (half * x).sum(dim=-1, keepdim=True)
        + 2 * unit_code * (unit_x * x).sum(dim=-1, keepdim=True)
    )
    return scale * turned
