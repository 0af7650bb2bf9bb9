"""Which answers of a round may be averaged: complete, finite, of the right shape, of a sane size.

A rejected answer costs its site this round and nothing else. Under secure aggregation answers
cannot be looked at, so nothing is screened there.
"""

from dataclasses import dataclass

import numpy as np
from flwr.app import Message

from . import messages
from .messages import Answer
from .personal import Weights


@dataclass(frozen=True)
class Rejected:
    site: str
    reason: str


def screen(
    answers: list[Answer], sent: Weights, largest: float
) -> tuple[list[Answer], list[Rejected]]:
    """(answers that count; those that do not, and why).

    sent: weights that the round began with. largest: how many times the median change of all sites
    the change of one may be; 0 = any. Needs three answers, since of two none is in the middle.
    """
    good, rejected, change = [], [], []
    for answer in answers:
        if problem := answer.problem or _problem(answer.reply, sent):
            rejected.append(Rejected(answer.site, problem))
        else:
            good.append(answer)
            change.append(_distance(messages.to_weights(_arrays(answer.reply)), sent))
    if not largest or len(good) < 3:
        return good, rejected
    middle = float(np.median(change))
    sane = []
    for size, answer in zip(change, good, strict=True):
        if size <= largest * middle:
            sane.append(answer)
        else:
            rejected.append(Rejected(answer.site, (
                f"its weights moved by {size:.3g}, more than {largest:g} times the median of "
                f"{len(change)} sites ({middle:.3g})")))
    return sane, rejected


def _problem(reply: Message, sent: Weights) -> str:
    if messages.ARRAYS not in reply.content.array_records:
        return "wanted its weights, none came"
    came = messages.to_weights(_arrays(reply))
    for name in sorted(set(came) ^ set(sent)):
        return f"weights {name}: {'not asked for' if name in came else 'missing'}"
    for name, value in came.items():
        if value.shape != sent[name].shape:
            return f"{name}: wanted {list(sent[name].shape)}, got {list(value.shape)}"
        if not np.isfinite(value).all():
            return f"{name}: {int((~np.isfinite(value)).sum())} of {value.size} are not finite"
    metrics = reply.content.metric_records.get(messages.METRICS, {})
    if not 0 < float(metrics.get(messages.TRIALS, 0)) < float("inf"):
        return f"wanted a number of trials above 0, got {metrics.get(messages.TRIALS)}"
    return ""


def _arrays(reply: Message):
    return reply.content.array_records[messages.ARRAYS]


def _distance(one: Weights, other: Weights) -> float:
    return float(np.sqrt(sum(np.square(one[name].astype(np.float64) - other[name]).sum()
                             for name in other)))
