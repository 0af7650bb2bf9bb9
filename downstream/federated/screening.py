"""Which answers of a round may be averaged: complete, finite, of the right shape, of a sane size.

Everything is looked at before it is unpacked, and what is averaged is made anew of what was looked
at: `Update`. A rejected answer costs its site this round and nothing else. Under secure aggregation
answers cannot be looked at; what is left to check there is in `secure`.
"""

import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from . import messages
from .declared import Declared
from .personal import Weights
from .receiving import Answer, clean

_LARGEST = 1e9  # absolute weight; squares of more would overflow in what compares weights


@dataclass(frozen=True)
class Rejected:
    site: str
    reason: str


@dataclass(frozen=True, eq=False)
class Update:
    """A reply that counts, of values that were checked."""

    site: str
    weights: Weights
    trials: int
    loss: float
    val_loss: float
    reply: Message

    def message(self, trials: float) -> Message:
        """The reply for Flower's strategies, which average whatever it holds."""
        return Message(metadata=self.reply.metadata, content=RecordDict({
            messages.ARRAYS: messages.to_record(self.weights),
            messages.METRICS: MetricRecord({messages.TRIALS: trials, messages.EQUAL: 1})}))


def screen(
    answers: list[Answer], sent: Weights, largest: float, declared: Declared
) -> tuple[list[Update], list[Rejected]]:
    """(updates that count; answers that do not, and why).

    sent: weights that the round began with. largest: how many times the median change of all sites
    the change of one may be; 0 = any. Needs three answers, since of two none is in the middle.
    """
    good: list[Update] = []
    rejected: list[Rejected] = []
    for answer in answers:
        try:
            if answer.problem:
                raise ValueError(answer.problem)
            good.append(_update(answer, sent, declared))
        except ValueError as problem:
            rejected.append(Rejected(answer.site, str(problem)))
        except Exception as problem:  # of records that Flower itself would not have made
            rejected.append(Rejected(answer.site, f"cannot be read: {clean(repr(problem))}"))
    return _sane(_once(good, sent, rejected), sent, largest, rejected), rejected


def _update(answer: Answer, sent: Weights, declared: Declared) -> Update:
    content = answer.reply.content
    arrays, metrics, _ = records(content, {
        messages.ARRAYS: ArrayRecord, messages.METRICS: MetricRecord,
        messages.ABOUT: ConfigRecord})
    numbers(metrics, {messages.TRIALS, messages.EQUAL, "loss", "val_loss"})
    trials = declared.checked(answer.site, metrics[messages.TRIALS])
    for name in sorted(set(arrays) ^ set(sent)):
        raise ValueError(f"weights {clean(name)}: "
                         f"{'not asked for' if name in arrays else 'missing'}")
    weights = {name: unpacked(name, arrays[name], np.dtype(np.float32), value.shape)
               for name, value in sent.items()}
    for name, value in weights.items():
        if wrong := int((~np.isfinite(value)).sum()):
            raise ValueError(f"{name}: {wrong} of {value.size} are not finite")
        if value.size and np.abs(value).max() > _LARGEST:
            raise ValueError(f"{name}: wanted weights of at most {_LARGEST:g}, got "
                             f"{np.abs(value).max():.3g}")
    return Update(answer.site, weights, trials, float(metrics["loss"]),
                  float(metrics["val_loss"]), answer.reply)


def judgment(content: RecordDict) -> dict[str, float]:
    """What a site says of its decoder; ValueError where that cannot be."""
    metrics, _ = records(content, {messages.METRICS: MetricRecord, messages.ABOUT: ConfigRecord})
    numbers(metrics, {messages.TRIALS, messages.EQUAL, *messages.JUDGED})
    told = {name: float(metrics[name]) for name in messages.JUDGED}
    for name in ("balanced_accuracy", "low", "high"):
        if not (0 <= told[name] <= 1 or math.isnan(told[name])):
            raise ValueError(f"{name}: wanted a share from 0 to 1, got {told[name]:g}")
    for name in ("subjects", "windows"):
        if not told[name] >= 0:
            raise ValueError(f"{name}: wanted a count, got {told[name]:g}")
    return told


def records(content: RecordDict, wanted: Mapping[str, type]) -> list:
    """The records of a reply, exactly those wanted; ValueError else."""
    for name in sorted(set(content) ^ set(wanted)):
        raise ValueError(f"record {clean(name)}: "
                         f"{'not asked for' if name in content else 'missing'}")
    for name, kind in wanted.items():
        if not isinstance(content[name], kind):
            raise ValueError(f"record {name}: wanted {kind.__name__}, got "
                             f"{type(content[name]).__name__}")
    return [content[name] for name in wanted]


def numbers(metrics: Mapping, wanted: set[str]) -> None:
    """ValueError where metrics are not exactly those wanted, each one number (NaN: unknown)."""
    for name in sorted(set(metrics) ^ wanted):
        raise ValueError(f"metric {clean(name)}: "
                         f"{'not asked for' if name in metrics else 'missing'}")
    for name in wanted:
        value = metrics[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"metric {name}: wanted a number, got {type(value).__name__}")
        if abs(value) > _LARGEST and name != messages.TRIALS:  # infinity too
            raise ValueError(f"metric {name}: {clean(value)} is no sane value")


def unpacked(name: str, array: Array, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """An array of the shape and type that are wanted; ValueError for any other, without reading it.

    Its head is compared with the one that NumPy writes for such an array, and is never believed.
    """
    if array.stype != "numpy.ndarray" or array.dtype != str(dtype):
        raise ValueError(f"{name}: wanted {dtype} as numpy.ndarray, got {clean(array.dtype)} as "
                         f"{clean(array.stype)}")
    if tuple(array.shape) != tuple(shape):
        raise ValueError(f"{name}: wanted {list(shape)}, got {clean(list(array.shape))}")
    return values_of(name, array.data, dtype, shape)


def values_of(name: str, data: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Values of an array in NumPy's format whose type and shape are known."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {
        "descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    wanted = head.getvalue()
    size = len(wanted) + math.prod(shape) * dtype.itemsize
    if len(data) != size:
        raise ValueError(f"{name}: wanted {size} bytes, got {len(data)}")
    if data[:len(wanted)] != wanted:
        raise ValueError(f"{name}: its bytes do not begin as an array {list(shape)} of {dtype}")
    return np.frombuffer(data, dtype, offset=len(wanted)).reshape(shape).copy()


def _once(good: list[Update], sent: Weights, rejected: list[Rejected]) -> list[Update]:
    """Without copies: the same weights from two sites count once."""
    untouched = _digest(sent)
    seen: dict[bytes, str] = {}
    kept = []
    for one in good:
        what = _digest(one.weights)
        if what != untouched and what in seen:
            rejected.append(Rejected(one.site, f"its weights are those of {seen[what]}, byte for "
                                               f"byte: they count once"))
        else:
            seen[what] = one.site
            kept.append(one)
    return kept


def _sane(
    good: list[Update], sent: Weights, largest: float, rejected: list[Rejected]
) -> list[Update]:
    if not largest or len(good) < 3:
        return good
    change = [_distance(one.weights, sent) for one in good]
    middle = float(np.median(change))
    kept = []
    for size, one in zip(change, good, strict=True):
        if size <= largest * middle:
            kept.append(one)
        else:
            rejected.append(Rejected(one.site, (
                f"its weights moved by {size:.3g}, more than {largest:g} times the median of "
                f"{len(change)} sites ({middle:.3g})")))
    return kept


def counted(trials: list[int], largest: float) -> list[float]:
    """Trials as they count in the mean: none has more than `largest` of their sum.

    Where there are too few sites for that, all count alike.
    """
    order, share = sorted(trials, reverse=True), max(largest, 1 / max(1, len(trials)))
    for n_capped, next_one in enumerate(order):
        left = 1 - n_capped * share
        most = share * sum(order[n_capped:]) / left if left > 1e-9 else 0.0
        if next_one <= most * (1 + 1e-9):  # with the larger ones cut to `most`, all fit
            return [min(float(one), most) if n_capped else float(one) for one in trials]
    return [1.0] * len(trials)


def _digest(weights: Weights) -> bytes:
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(np.ascontiguousarray(weights[name], dtype=np.float32).tobytes())
    return found.digest()


def _distance(one: Weights, other: Weights) -> float:
    return float(np.sqrt(sum(np.square(one[name].astype(np.float64) - other[name]).sum()
                             for name in other)))
