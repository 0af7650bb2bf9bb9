"""Second-order pooling: how sources go together over a window, instead of their mean.

What tells two mental states apart is mostly which rhythms are strong where and together with what.
A mean over frames loses that, since waves of any phase average to nothing; the Gram matrix between
sources keeps it. Its matrix logarithm makes the curved space of such matrices flat (log-Euclidean
metric, Arsigny et al. 2007), where a linear classifier works and where subtracting a person's mean
re-centers that person. It is to features what "tangent space + logistic regression" (Barachant et
al. 2012) is to signals. Measured: docs/results/decoding.md.
"""

import torch
from jaxtyping import Float
from torch import Tensor

SHRINKAGE = 0.02  # toward a multiple of the identity: sources may be copies of one another


def log_gram(
    features: Float[Tensor, "batch source frame dim"],
) -> Float[Tensor, "batch pair"]:
    """Logarithm of the Gram matrix between sources: its source · (source + 1) / 2 entries on and
    above the diagonal. Those above count √2, so that distances are those between matrices."""
    with torch.autocast(features.device.type, enabled=False):  # rounding would reach the floor
        x = features.float().flatten(2)
        n = x.shape[1]
        gram = x @ x.mT / x.shape[-1]
        mean = gram.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None].clamp_min(1e-12)
        eye = torch.eye(n, device=x.device)
        return log_of((1 - SHRINKAGE) * gram + SHRINKAGE * mean * eye)


def log_of(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch pair"]:
    """Logarithm of symmetric positive definite matrices, its entries as in `log_gram`."""
    n = matrix.shape[-1]
    row, column = torch.triu_indices(n, n, device=matrix.device)
    return _Log.apply(matrix)[..., row, column] * torch.where(row == column, 1.0, 2**0.5)


def log_grams(
    features: Float[Tensor, "batch source frame dim"], examples: Float[Tensor, "example dim"],
    n_groups: int,
) -> Float[Tensor, "batch group_pair"]:
    """`log_gram` of each of `n_groups` parts of the features, one after the other.

    The parts are spans of neighboring principal directions of `examples`. Where features stand for
    short waveforms, as a tokenizer's do, directions of like size are waves of like frequency: this
    is to `log_gram` what a filter bank is to one covariance over all frequencies.
    """
    with torch.autocast(features.device.type, enabled=False):
        _, directions = torch.linalg.eigh(examples.float().mT @ examples.float())
        parts = (features.float() @ directions).tensor_split(n_groups, dim=-1)
    return torch.cat([log_gram(part) for part in parts], dim=1)


class _Log(torch.autograd.Function):
    """Logarithm of symmetric positive definite matrices.

    The gradient is that of Daleckii and Krein: differences of eigenvalues stand below the line
    together with the same differences of logarithms. Differentiating `eigh` itself divides by the
    former alone, which is infinite where eigenvalues meet, as shrinkage makes them do.
    """

    @staticmethod
    def forward(ctx, matrix):
        with torch.autocast(matrix.device.type, enabled=False):
            value, vector = torch.linalg.eigh(matrix)
            value = value.clamp_min(torch.finfo(value.dtype).tiny)
            ctx.save_for_backward(value, vector)
            return (vector * value.log()[..., None, :]) @ vector.mT

    @staticmethod
    def backward(ctx, gradient):
        value, vector = ctx.saved_tensors
        with torch.autocast(gradient.device.type, enabled=False):
            gap = value[..., :, None] - value[..., None, :]
            log = value.log()
            rise = log[..., :, None] - log[..., None, :]
            mean = (value[..., :, None] + value[..., None, :]) / 2
            near = gap.abs() < 1e-3 * mean  # there the slope of the logarithm, to second order
            slope = torch.where(near, 1 / mean, rise / torch.where(near, 1.0, gap))
            gradient = (gradient + gradient.mT) / 2
            inner = slope * (vector.mT @ gradient @ vector)
            return vector @ inner @ vector.mT
