"""Sites that answer at once, without training: for tests of what a server makes of replies.

`Wire` passes each reply through Flower's own packing, as a network does, so that bytes can be
spoiled on the way.
"""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from neurofm.downstream.federated import messages, secure
from neurofm.downstream.federated.in_process import InProcess
from neurofm.downstream.federated.personal import Part
from neurofm.downstream.federated.screening import Declared
from tests.support.federated_sites import learning

NAMES = ("clinic", "lab", "ward", "home")
TRIALS = 36
WEIGHTS = {"a.weight": np.zeros((2, 5), np.float32), "a.bias": np.ones(3, np.float32)}


def app(n: int = 3) -> ClientApp:
    """Of sites of these names, which move each weight by a small number of their own."""
    made = ClientApp(mods=[secure.masked(lambda context: _name(context))])

    @made.train()
    def train(message: Message, context: Context) -> Message:
        number, _, weights = messages.asked(message)
        drawn = np.random.default_rng([int(context.node_config["partition-id"]), number])
        moved = {name: (value + drawn.normal(0, 0.1, value.shape)).astype(np.float32)
                 for name, value in weights.items()}
        return messages.part_of(_name(context), Part(moved, TRIALS, 0.5, 0.6), message)

    @made.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return messages.judgment(_name(context), {
            "balanced_accuracy": 0.7, "low": 0.6, "high": 0.8, "subjects": 5, "windows": 60},
            message)

    return made


def _name(context: Context) -> str:
    return NAMES[int(context.node_config["partition-id"])]


Spoil = Callable[[str, Message, Message], Message]  # (site, message, reply) → reply


class Wire(InProcess):
    """spoil changes replies; cut changes the packed objects of ward's replies: id → bytes."""

    def __init__(self, n: int = 3, spoil: Spoil | None = None,
                 cut: Callable[[dict[str, bytes]], None] | None = None):
        honest = app(n)

        def called(message, context):
            reply = honest(message, context)
            return spoil(_name(context), message, reply) if spoil else reply

        super().__init__(called, n)
        self.cut = cut

    def pull_messages(self, message_ids):
        for reply in super().pull_messages(message_ids):
            site = NAMES[reply.metadata.src_node_id - 1]
            yield self._through(reply) if self.cut and site == "ward" else reply

    def _through(self, reply: Message) -> Message:
        packed = {key: each.deflate() for key, each in get_all_nested_objects(reply).items()}
        self.cut(packed)
        found = inflate_object_from_contents(reply.object_id, packed)
        assert isinstance(found, Message)
        return found


def mutated(data: bytes, draw: random.Random) -> bytes:
    """With a few bytes flipped, cut, doubled or put in."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        place = draw.randrange(len(out) + 1)
        kind = draw.randrange(4)
        if kind == 0 and place < len(out):
            out[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del out[place:place + draw.choice((1, 4, 1000))]
        elif kind == 2:
            out[place:place] = draw.randbytes(draw.choice((1, 4, 64)))
        else:
            out[place:place] = out[place:place + 16]
    return bytes(out)


def settings(**fields):
    return replace(learning(), **fields)


__all__ = ["NAMES", "TRIALS", "WEIGHTS", "Declared", "Spoil", "Wire", "app", "mutated", "settings"]
