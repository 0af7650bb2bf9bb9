"""Replies to the stages of secure aggregation, none of which may count: what it is → (stage, how).

Each takes (reply, the record of the protocol, that of another site) and changes them in place.
"""

from collections.abc import Callable

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from tests.support.bad_replies import forced, head, npy

SETUP, SHARE, COLLECT, UNMASK = "pk1", "dsts", "masked_params", "nids"  # a key of each stage


def put(**values) -> Callable:
    return lambda reply, record, other: forced(record, **values)


def change(key: str, make: Callable) -> Callable:
    return lambda reply, record, other: forced(record, **{key: make(record[key])})


def first(key: str, make: Callable) -> Callable:
    """The first of a list is changed."""
    return change(key, lambda values: [make(values[0]), *values[1:]])


def in_record(name: str, **values) -> Callable:
    return lambda reply, record, other: forced(reply.content[name], **values)


def _without(reply, record, other):
    del reply.content[RECORD_KEY_CONFIGS]


def _unmasked(reply, record, other):
    reply.content["fitres.parameters"] = ArrayRecord({"0": Array(np.ones(3))})


def _key_of_another(reply, record, other):
    record["pk1"] = other["pk1"]


def _vectors_of_another(reply, record, other):
    """Of the right form; only that they do not fit the sum can be noticed."""
    record["masked_params"] = other["masked_params"]


def _noise(value: bytes) -> bytes:
    found = np.frombuffer(value, np.int64, offset=128)
    drawn = np.random.default_rng(0).integers(0, 2**32, found.shape)
    return value[:128] + drawn.tobytes()


OTHER_CURVE = public_key_to_bytes(ec.generate_private_key(ec.SECP256R1()).public_key())
BAD: dict[str, tuple[str, Callable]] = {
    "no record of keys": (SETUP, _without),
    "a key more": (SETUP, put(pk3=b"a")),
    "a key that is a number": (SETUP, put(pk2=7)),
    "a key that is none": (SETUP, put(pk1=b"-----BEGIN PUBLIC KEY-----\nAAAA")),
    "a key of a megabyte": (SETUP, put(pk1=b"a" * 10**6)),
    "a key of another curve": (SETUP, put(pk1=OTHER_CURVE)),
    "the key of another site": (SETUP, _key_of_another),
    "twice the same key": (SETUP, lambda reply, record, other: forced(record, pk2=record["pk1"])),
    "a share less": (SHARE, lambda reply, record, other: forced(
        record, dsts=record["dsts"][:-1], ctxts=record["ctxts"][:-1])),
    "more sites than shares": (SHARE, change("ctxts", lambda values: values[:-1])),
    "a share for nobody": (SHARE, first("dsts", lambda node: 12345)),
    "two shares for one": (SHARE, change("dsts", lambda nodes: [nodes[0]] * len(nodes))),
    "shares that are words": (SHARE, first("ctxts", lambda text: "a")),
    "a share of a megabyte": (SHARE, first("ctxts", lambda text: b"a" * 10**6)),
    "no masked arrays": (COLLECT, put(masked_params=[])),
    "a masked array less": (COLLECT, change("masked_params", lambda values: values[:-1])),
    "a masked array cut": (COLLECT, first("masked_params", lambda value: value[:-1])),
    "a masked array of 40 TB": (COLLECT, first(
        "masked_params", lambda value: head("(10000000000000,)", "'<i8'"))),
    "masked fractions": (COLLECT, first("masked_params", lambda value: npy(np.zeros(1)))),
    "beyond the modulus": (COLLECT, first(
        "masked_params", lambda value: npy(np.array([2**40])))),
    "weights that are not masked": (COLLECT, _unmasked),
    "10^18 trials": (COLLECT, in_record("fitres.num_examples", num_examples=10**18)),
    "other trials than it says": (COLLECT, in_record("fitres.num_examples", num_examples=35)),
    "trials as a list": (COLLECT, in_record("fitres.num_examples", num_examples=[36])),
    "more trials than allowed": (COLLECT, in_record("fitres.metrics", **{"num-examples": 101})),
    "metrics of another": (COLLECT, in_record("fitres.metrics", site="clinic")),
    "loss as words": (COLLECT, in_record("fitres.metrics", loss="low")),
    "a status of failure": (COLLECT, in_record("fitres.status", code=1)),
    "one record more": (COLLECT, lambda reply, record, other: reply.content.update(
        {"more": MetricRecord({"a": 1})})),
    "the name of another": (COLLECT, lambda reply, record, other: reply.content.update(
        {"about": ConfigRecord({"site": "clinic"})})),
    "shares of nobody": (UNMASK, first("nids", lambda node: 12345)),
    "fewer shares than sites": (UNMASK, change("shares", lambda values: values[:-1])),
    "shares that are numbers": (UNMASK, first("shares", lambda share: 1)),
}
NONSENSE: dict[str, tuple[str, Callable]] = {  # of the right form: whose it is cannot be told
    "noise behind the mask": (COLLECT, change(
        "masked_params", lambda values: [_noise(value) for value in values])),
    "vectors of another": (COLLECT, _vectors_of_another),
    "shares of noise": (UNMASK, change(
        "shares", lambda values: [value[:4] + bytes(len(value) - 4) for value in values])),
}
