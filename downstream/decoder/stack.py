"""Fit a `Stacked` decoder: every view is solved, weighed and put together by folds over people.

The training windows are parted into folds (`inner_folds`). In each fold every view learns from the
other folds' windows and answers this one's, for every penalty. By these answers a view's penalty
and the views' shares are chosen; then each view learns from all training windows. Re-centering
takes the training part and the held-out part of a fold separately, as with new people.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurofm import progress
from neurofm.models.stacked import Stacked
from neurofm.models.stacked_views import view_of
from neurofm.nn.views.view import View

from .features import InMemory
from .inner_folds import inner_folds
from .partial_fit import fit_partial
from .shares import best_factor, shares
from .solved import CS, Solved, balanced, solve


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of some windows, each with its person's center."""

    rows: Float[Tensor, "window feature"]
    centers: Float[Tensor, "center feature"]
    of: Tensor  # center of each window

    def features(self, model: Stacked, view: View) -> Float[np.ndarray, "window feature"]:
        """What a view makes of them."""
        return view(model.rows(self.rows), model.rows(self.centers), self.of).numpy()

    def teach(self, model: Stacked, view: View, target: np.ndarray) -> None:
        """Let a view take what it needs from them."""
        view.fit(model.rows(self.rows), model.rows(self.centers), self.of,
                 torch.from_numpy(target), len(model.classes))


@dataclass(frozen=True)
class Judged:
    """A view on held-out training windows."""

    name: str
    c: float
    loss: float  # cross-entropy, nats; of numbers the share of unexplained variance
    share: float
    # class index, or number, of each held-out window, in the order of the training windows
    answers: np.ndarray = field(repr=False, compare=False)


@torch.no_grad()
def fit_stack(
    model: Stacked, pooled: InMemory, windows: np.ndarray, recording: np.ndarray,
    start_s: np.ndarray, *, seed: int = 0, outputs_of: dict[str, np.ndarray] | None = None,
    say: Callable = print,
) -> list[Judged]:
    """Fit all views, their linear models and their shares.

    Parameters
    ----------
    model
        Empty but for its channels; it is changed.
    pooled
        What `model.pool` measured of the windows, with their targets and subjects.
    windows
        Training windows.
    recording, start_s
        Of each training window: where the fold of few people are cut.
    seed
        Of the folds.
    outputs_of
        Held-out outputs by view, of the same windows and folds: those that are there are taken,
        those that are found are put in.
    say
        Is told the result.

    Returns
    -------
    list[Judged]
        One a view, in their order.
    """
    rows, n_classes = pooled.rows(windows), len(model.classes)
    target = pooled.target[torch.from_numpy(rows)].numpy()
    weight = balanced(target, n_classes)
    fold = inner_folds(pooled.subjects[rows], target, recording, start_s, seed, n_classes > 0)
    everything = part(pooled, rows)
    model.centre.copy_(everything.centers.mean(dim=0))
    splits = [(part(pooled, rows[fold != k]), part(pooled, rows[fold == k]), fold == k)
              for k in np.unique(fold)]
    found, outputs = list[tuple[int, float, float]](), []
    known = {} if outputs_of is None else outputs_of
    for name in progress.each(model.config.views, len(model.config.views), "views"):
        if name not in known:
            known[name] = _held_out(model, name, splits, target, weight, n_classes)
        held = known[name]
        judged = [best_factor(each, target, weight, n_classes) for each in held]
        best = int(np.argmin([loss for loss, _ in judged]))
        loss, factor = judged[best]
        found.append((best, loss, factor))
        outputs.append(factor * (held[best] if n_classes else held[best] - target.mean()))
    share = shares(np.stack(outputs), target, weight, n_classes)
    size = np.array([_size(each) for each in outputs])
    for k, (best, _, factor) in enumerate(found):
        everything.teach(model, model.views[k], target)
        solved = solve(everything.features(model, model.views[k]), target, weight, n_classes,
                       (CS[best],))
        _fill(model, k, solved, factor / (size[k] or 1.0),
              0.0 if n_classes else float(target.mean()))
    share = share * size  # of outputs of size 1: a view whose outputs are small counts little
    model.share.copy_(torch.from_numpy(share))
    if not n_classes:
        model.intercept.fill_(float(target.mean()))
    if model.config.placed:
        fit_partial(model, everything, splits, target, weight, seed)
    model.config.calibration_windows = len(rows) if n_classes else 0
    told = []
    for name, (best, loss, _), part_of, answer in zip(
            model.config.views, found, share / max(share.sum(), 1e-300), outputs, strict=True):
        answers = answer.argmax(axis=1) if n_classes else answer[:, 0] + target.mean()
        told.append(Judged(name, CS[best], loss, float(part_of), answers))
    say("\n".join(in_words(told)))
    return told


def in_words(judged: Sequence[Judged]) -> list[str]:
    """A line a view, the weightiest first."""
    width = max(len(each.name) for each in judged)
    return [f"{each.name:<{width}}  weight {each.share:4.0%}   held-out loss {each.loss:.3f}   "
            f"C = {each.c:g}" for each in sorted(judged, key=lambda one: -one.share)]


def part(pooled: InMemory, rows: np.ndarray) -> Part:
    """Windows with the centers of their people (by each device) among these windows."""
    centers, of = [], np.empty(len(rows), dtype=np.int64)
    values = pooled.values.double()
    for k, group in enumerate(pooled.alike(rows)):
        of[np.isin(rows, group)] = k
        centers.append(values[torch.from_numpy(group)].mean(dim=0))
    return Part(values[torch.from_numpy(rows)], torch.stack(centers), torch.from_numpy(of))


def _held_out(
    model: Stacked, name: str, splits: Sequence[tuple[Part, Part, np.ndarray]],
    target: np.ndarray, weight: np.ndarray, n_classes: int,
) -> Float[np.ndarray, "penalty window output"]:
    """Outputs of a view for the fold that each window is held out in."""
    found = np.zeros((len(CS), len(target), n_classes or 1))
    for training, held, inside in splits:
        view = view_of(name, model.config)
        training.teach(model, view, target[~inside])
        solved = solve(training.features(model, view), target[~inside],
                       balanced(target[~inside], n_classes), n_classes)
        found[:, inside] = solved.outputs(held.features(model, view))
    return found


def _size(outputs: Float[np.ndarray, "window output"]) -> float:
    """Root mean square of outputs, of classes of their differences: what all have in common says
    nothing."""
    if outputs.shape[1] > 1:
        outputs = outputs - outputs.mean(axis=1, keepdims=True)
    return float(np.sqrt(np.square(outputs).mean()))


def _fill(model: Stacked, k: int, solved: Solved, factor: float, middle: float) -> None:
    """Put a solved linear model in its place; its outputs are multiplied by `factor`, those of
    numbers counted from `middle`."""
    linear = model.linear[k]
    for name, value in (("mean", solved.mean), ("scale", solved.scale),
                        ("weight", factor * solved.weight[0]),
                        ("bias", factor * (solved.bias[0] - middle))):
        getattr(linear, name).copy_(torch.from_numpy(np.ascontiguousarray(value)))


def batches(windows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Windows, `size` at a time."""
    for start in range(0, len(windows), size):
        yield windows[start : start + size]
