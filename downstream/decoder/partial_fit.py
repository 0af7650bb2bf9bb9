"""Fit what a `Stacked` decoder answers for a part of its cap (`neurofm.nn.partial_cap`).

Penalty and shares are chosen by the folds inside the training windows, over parts of the cap that
are drawn at random: what a held-out window measures with a part follows from what it measures with
the whole.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurofm.models.stacked import Stacked
from neurofm.nn.partial_cap import PartialCap, part_of

from .shares import best_factor, shares

PENALTIES = (1e-3, 1e-2, 3e-2, 0.1, 0.3)
SIZES, DRAWS = (0.5, 0.25), 2  # of the channels; parts of each size


def fit_partial(
    model: Stacked, everything, splits: Sequence[tuple], target: np.ndarray, weight: np.ndarray,
    seed: int = 0,
) -> None:
    """Fit it.

    Parameters
    ----------
    model
        Its `partial` is changed.
    everything
        All training windows, a `Part`.
    splits
        Of each fold (the other windows, its own windows, which they are).
    target
        Class index or number of each training window.
    weight
        How much each counts.
    seed
        Of the parts of the cap.
    """
    n_classes, n = len(model.classes), len(model.config.channels)
    middle = np.average(target, weights=weight)
    wanted = np.eye(n_classes)[target] - 1 / n_classes if n_classes else (target - middle)[:, None]
    drawn, rng = [], np.random.default_rng(seed)
    for size in SIZES:
        for _ in range(DRAWS):
            drawn.append(np.sort(rng.permutation(n)[: max(2, min(n, round(size * n)))]))
    n_blocks = len(model.partial.blocks)
    held = np.zeros((len(PENALTIES), n_blocks, len(drawn), *wanted.shape))
    for training, own, inside in splits:
        fold = _empty(model)
        teach(model, fold, training, wanted[~inside], weight[~inside])
        for number, channels in enumerate(drawn):
            part, rows, centers = _measured(model, fold, own, channels)
            found = fold.prepared(rows, centers, own.of, part, model.least[0].double())
            for block, (moments, x, down) in enumerate(found):
                for k, penalty in enumerate(PENALTIES):
                    mean, solved = moments.solved(down, penalty)
                    held[k, block, number, inside] = ((x - mean) @ solved).numpy()
    goal = np.tile(target, len(drawn))
    counts = np.tile(weight, len(drawn))
    held = held.reshape(len(PENALTIES), n_blocks, -1, wanted.shape[1])
    chosen, outputs = [], []
    for block in range(n_blocks):
        shift = 0 if n_classes else middle
        judged = [best_factor(each[block] + shift, goal, counts, n_classes) for each in held]
        best = int(np.argmin([loss for loss, _ in judged]))
        chosen.append((PENALTIES[best], judged[best][1]))
        outputs.append(judged[best][1] * held[best, block])
    share = shares(np.stack(outputs), goal, counts, n_classes)
    teach(model, model.partial, everything, wanted, weight)
    for block, (penalty, factor), much in zip(model.partial.blocks, chosen, share, strict=True):
        block.penalty.fill_(penalty)
        block.share.fill_(float(factor * much))


def teach(
    model: Stacked, partial: PartialCap, part, wanted: np.ndarray, weight: np.ndarray
) -> None:
    """Take moments; where nothing is re-centered, all windows have the people's mean."""
    rows, centers, of = model.rows(part.rows), model.rows(part.centers), part.of
    if not partial.recentered:
        centers = {name: value.mean(dim=0, keepdim=True) for name, value in centers.items()}
        of = torch.zeros_like(of)
    partial.fit(rows, centers, of, torch.from_numpy(wanted), torch.from_numpy(weight))


def _empty(model: Stacked) -> PartialCap:
    of = model.partial
    return PartialCap(of.n, of.n_bands, of.n_slow, len(model.classes) or 1, of.recentered)


def _measured(
    model: Stacked, fold: PartialCap, own, channels: np.ndarray
) -> tuple[Float[Tensor, "k n"], dict[str, Tensor], dict[str, Tensor]]:
    """What held-out windows and their centers measure with some channels."""
    seen = torch.zeros(len(model.config.channels), dtype=torch.bool)
    seen[torch.from_numpy(channels)] = True
    part, least = part_of(model.basis, seen, model.config.average), model.least[0].double()
    whole = model.rows(own.rows)
    rows = {"covariance": fold.fewer(whole["covariance"], part, least)}
    if fold.n_slow:
        rows["slow"] = (part @ whole["slow"].double().unflatten(1, (fold.n, -1))).flatten(1)
    if fold.recentered:
        centers = torch.stack([rows["covariance"][own.of == k].mean(dim=0)
                               for k in range(len(own.centers))])
    else:
        centers = fold.fewer(fold.middle.flatten()[None], part, least).expand(
            len(own.centers), -1)
    return part, rows, {"covariance": centers}
