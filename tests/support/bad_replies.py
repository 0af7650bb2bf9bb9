"""Replies that a site might send to a round, none of which may count: what it is → how it is made.

Each takes (message, an honest reply, an honest reply of another site) and returns a reply.
"""

import io
from collections.abc import Callable

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from neurofm.downstream.federated import messages

ARRAYS, METRICS, ABOUT = messages.ARRAYS, messages.METRICS, messages.ABOUT


def forced(record, **values):
    """A record with values that its class would refuse."""
    record.__dict__["_data"].update(values)
    return record


def array(data: bytes, shape=(2, 5), dtype="float32", stype="numpy.ndarray") -> Array:
    return Array(dtype=dtype, shape=shape, stype=stype, data=data)


def npy(value: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, value, allow_pickle=True)
    return file.getvalue()


def head(shape: str, descr: str = "'<f4'", version: bytes = b"\x01\x00") -> bytes:
    """An array's head alone, as it is written."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + text


def with_weight(value: Array) -> Callable:
    def change(message, reply, other):
        reply.content[ARRAYS]["a.weight"] = value
        return reply
    return change


def with_values(change_values: Callable[[np.ndarray], np.ndarray]) -> Callable:
    def change(message, reply, other):
        value = reply.content[ARRAYS]["a.weight"].numpy()
        reply.content[ARRAYS]["a.weight"] = Array(change_values(value))
        return reply
    return change


def with_metrics(**values) -> Callable:
    def change(message, reply, other):
        keys = {"num_examples": messages.TRIALS}
        forced(reply.content[METRICS], **{keys.get(name, name): value
                                          for name, value in values.items()})
        return reply
    return change


def with_site(name) -> Callable:
    def change(message, reply, other):
        reply.content[ABOUT] = forced(ConfigRecord(), site=name)
        return reply
    return change


def with_record(name: str, record) -> Callable:
    def change(message, reply, other):
        reply.content.__dict__["_data"][name] = record
        return reply
    return change


def without(record: str, key: str = "") -> Callable:
    def change(message, reply, other):
        if key:
            del reply.content[record][key]
        else:
            del reply.content[record]
        return reply
    return change


def error(code: int, reason: str | None) -> Callable:
    return lambda message, reply, other: Message(Error(code, reason), reply_to=message)


def _empty(message, reply, other):
    reply.__dict__["_content"] = None
    return reply


def _renamed(message, reply, other):
    reply.content[ARRAYS]["b.weight"] = reply.content[ARRAYS].pop("a.weight")
    return reply


def _cut(n: int) -> Callable:
    def change(message, reply, other):
        data = reply.content[ARRAYS]["a.weight"].data
        reply.content[ARRAYS]["a.weight"] = array(data[:n] if n < 0 else data + bytes(n))
        return reply
    return change


def _copy(message, reply, other):
    reply.content[ARRAYS] = other.content[ARRAYS]
    return reply


def _replayed(message, reply, other):
    reply.content = other.content
    return reply


F8, HUGE = npy(np.zeros((2, 5))), "(10000000000000,)"
BAD: dict[str, Callable] = {
    # records
    "no record": lambda message, reply, other: Message(RecordDict(), reply_to=message),
    "neither content nor error": _empty,
    "no arrays": without(ARRAYS),
    "no metrics": without(METRICS),
    "no about": without(ABOUT),
    "one record more": with_record("more", ConfigRecord({"a": 1})),
    "two array records": with_record("more", ArrayRecord()),
    "arrays that are settings": with_record(ARRAYS, ConfigRecord()),
    "arrays that are metrics": with_record(ARRAYS, MetricRecord()),
    "metrics that are arrays": with_record(METRICS, ArrayRecord()),
    "about that is metrics": with_record(ABOUT, MetricRecord({"site": 1})),
    # arrays
    "no array": with_record(ARRAYS, ArrayRecord()),
    "an array less": without(ARRAYS, "a.bias"),
    "another name": _renamed,
    "a long name with line breaks": lambda message, reply, other: with_record(
        ARRAYS, ArrayRecord({"\n\x1b[31m" * 10**5: Array(np.zeros(1))}))(message, reply, other),
    "float64": with_values(lambda value: value.astype(np.float64)),
    "float16": with_values(lambda value: value.astype(np.float16)),
    "integers": with_values(lambda value: value.astype(np.int32)),
    "complex": with_values(lambda value: value.astype(np.complex64)),
    "big-endian": with_values(lambda value: value.astype(">f4")),
    "float64 that says float32": with_weight(array(F8)),
    "a pickle": with_weight(array(npy(np.array([["a"] * 5] * 2, dtype=object)))),
    "a pickle that says so": with_weight(array(b"\x80\x04]\x94.", stype="pickle")),
    "a tensor of torch": with_weight(array(b"PK\x03\x04", stype="torch.Tensor")),
    "a row less": with_values(lambda value: value[:1]),
    "transposed": with_values(lambda value: np.ascontiguousarray(value.T)),
    "columns first": with_values(np.asfortranarray),
    "a number": with_values(lambda value: np.array(0, np.float32)),
    "nothing in it": with_values(lambda value: np.zeros((0, 5), np.float32)),
    "cut by a byte": _cut(-1),
    "cut by half": _cut(-20),
    "a byte more": _cut(1),
    "no bytes": with_weight(array(b"")),
    "noise": with_weight(array(bytes(range(168)))),
    "a head of 40 TB": with_weight(array(head(HUGE))),
    "a head of 40 TB that says so": with_weight(array(head(HUGE), shape=(10**13,))),
    "a negative shape": with_weight(array(head("(-1, 5)"), shape=(-1, 5))),
    "a head of many brackets": with_weight(array(head("(" * 5000 + ")" * 5000))),
    "a head of code": with_weight(array(head("__import__('os').getpid()"))),
    "a head of version 3": with_weight(array(head("(2, 5)", version=b"\x03\x00") + bytes(40))),
    "a dtype of many fields": with_weight(array(head("(2, 5)", "[('a','<f4')]") + bytes(40))),
    "not a number": with_values(lambda value: value * np.nan),
    "infinite": with_values(lambda value: np.full_like(value, -np.inf)),
    "1e38": with_values(lambda value: np.full_like(value, 1e38)),
    "a thousand times too far": with_values(lambda value: value + np.float32(1000)),
    # numbers of trials and metrics
    "no trials": without(METRICS, messages.TRIALS),
    "0 trials": with_metrics(num_examples=0),
    "-5 trials": with_metrics(num_examples=-5),
    "10^18 trials": with_metrics(num_examples=10**18),
    "more trials than declared": with_metrics(num_examples=37),
    "10^5000 trials": with_metrics(num_examples=10**5000),
    "trials as a fraction": with_metrics(num_examples=36.0),
    "trials not a number": with_metrics(num_examples=float("nan")),
    "infinite trials": with_metrics(num_examples=float("inf")),
    "trials true": with_metrics(num_examples=True),
    "trials as words": with_metrics(num_examples="36"),
    "trials as a list": with_metrics(num_examples=[36, 36]),
    "loss as a list": with_metrics(loss=[0.5]),
    "infinite loss": with_metrics(loss=float("inf")),
    "loss of 10^400": with_metrics(loss=10**400),
    "no loss": without(METRICS, "loss"),
    "a metric more": with_metrics(accuracy=1.0),
    # who it is
    "no name": with_site(""),
    "a name with line breaks": with_site("ward\nround 9/9: all is well"),
    "a name of a megabyte": with_site("w" * 10**6),
    "a number for a name": with_site(7),
    "the name of another": with_site("clinic"),
    "another name than before": with_site("annex"),
    "weights of another": _copy,
    "the whole reply of another": _replayed,
    # errors
    "an error without a reason": error(messages.FAILED, None),
    "an error with a long reason": error(3, "\x1b[2J" + "x" * 10**6),
    "an error in another's name": error(messages.FAILED, "clinic: all is lost"),
    "an error of an unknown kind": error(-1, "?"),
}
