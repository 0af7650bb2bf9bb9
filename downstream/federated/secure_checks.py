"""Replies to the four stages of secure aggregation, as far as they can be looked at.

Flower's workflow believes what sites send; it is given only what fits: keys of the right curve,
shares for whom they were asked for, masked vectors of the right length. What a site has masked
cannot be seen. A site that is lost before weights were sent is left out and the round begins again
(`Again`); later the others' shares replace it.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.server import Grid
from flwr.supercore.primitives.asymmetric import bytes_to_public_key

from . import messages, receiving
from .declared import Declared
from .receiving import clean
from .screening import numbers, records, values_of

LEAST = 3  # sites in a sum: of two each could tell the other's weights from it
_LONGEST = 10_000  # bytes of a key or a share of one; they have some hundred


class Again(Exception):
    """A site was lost before weights were sent."""


class Stages:
    """What the workflow takes for a grid.

    shapes: of the arrays that are summed. modulus: of the masks. most: largest weight of a site.
    equal: all count alike. lost: node → why its reply did not count.
    """

    def __init__(
        self, grid: Grid, shapes: list[tuple[int, ...]], names: dict[int, str], declared: Declared,
        modulus: int, most: int, equal: bool,
    ):
        self.grid, self.shapes, self.names, self.declared = grid, shapes, names, declared
        self.modulus, self.most, self.equal = modulus, most, equal
        self.lost: dict[int, str] = {}

    def send_and_receive(
        self, asked: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """The replies that fit the stage."""
        asked = list(asked)
        about = {message.metadata.dst_node_id: dict(message.content[RECORD_KEY_CONFIGS])
                 for message in asked}
        stage = next(iter(about.values()))[Key.STAGE] if about else ""
        if stage == Stage.UNMASK and len(asked) < LEAST:
            raise ValueError(f"weights of {len(asked)} sites came, and the sum of fewer than "
                             f"{LEAST} is not opened")
        good: list[Message] = []
        for answer in receiving.ask(self.grid, asked, timeout or 0.0, self.names):
            node = answer.node
            try:
                if answer.problem:
                    raise ValueError(answer.problem)
                self._check(stage, about[node], answer.reply.content, node, answer.site)
                if stage == Stage.SETUP:
                    _no_copy(answer.reply, good)
                good.append(answer.reply)
            except ValueError as problem:
                self.lost[node] = str(problem)
            except Exception as problem:  # of records that Flower itself would not have made
                self.lost[node] = f"cannot be read: {clean(repr(problem))}"
        if self.lost and stage in (Stage.SETUP, Stage.SHARE_KEYS):
            raise Again
        return good

    def _check(self, stage: str, asked: Mapping, content: RecordDict, node: int, site: str) -> None:
        wanted: dict[str, type] = {RECORD_KEY_CONFIGS: ConfigRecord, messages.ABOUT: ConfigRecord}
        if stage == Stage.COLLECT_MASKED_VECTORS:
            wanted |= {"fitres.parameters": ArrayRecord, "fitres.num_examples": MetricRecord,
                       "fitres.metrics": ConfigRecord, "fitres.status": ConfigRecord}
        found, _, *said = records(content, wanted)
        if stage == Stage.SETUP:
            for key in _of(found, Key.PUBLIC_KEY_1, Key.PUBLIC_KEY_2):
                _public_key(key)
        elif stage == Stage.SHARE_KEYS:
            to, texts = _of(found, Key.DESTINATION_LIST, Key.CIPHERTEXT_LIST)
            others = {int(name) for name in asked if name != Key.STAGE} - {node}
            _for_each(to, texts, others)
        elif stage == Stage.COLLECT_MASKED_VECTORS:
            self._masked(_of(found, Key.MASKED_PARAMETERS)[0])
            self._said(site, *said)
        else:
            of, shares = _of(found, Key.NODE_ID_LIST, Key.SHARE_LIST)
            _for_each(of, shares, {*asked[Key.ACTIVE_NODE_ID_LIST], *asked[Key.DEAD_NODE_ID_LIST]})

    def _masked(self, vectors: object) -> None:
        if not isinstance(vectors, list) or len(vectors) != len(self.shapes) + 1:
            raise ValueError(f"wanted {len(self.shapes) + 1} masked arrays, got "
                             f"{len(vectors) if isinstance(vectors, list) else clean(vectors)}")
        for k, (data, shape) in enumerate(zip(vectors, [(1,), *self.shapes], strict=True)):
            if not isinstance(data, bytes):
                raise ValueError(f"masked array {k}: wanted bytes, got {type(data).__name__}")
            found = values_of(f"masked array {k}", data, np.dtype(np.int64), shape)
            if found.size and not 0 <= found.min() <= found.max() < self.modulus:
                raise ValueError(f"masked array {k}: not all values are within the modulus")

    def _said(self, site: str, arrays, trials, metrics, status) -> None:
        """What a site tells besides, which no mask covers."""
        if len(arrays):
            raise ValueError("sends weights that are not masked")
        told, weight = dict(metrics), dict(trials)
        if told.pop(messages.SITE, None) != site:
            raise ValueError("its metrics are of another site")
        numbers(told, {messages.TRIALS, messages.EQUAL, "loss", "val_loss"})
        said = self.declared.checked(site, told[messages.TRIALS])
        wanted = 1 if self.equal else said
        if wanted > self.most:
            raise ValueError(f"has {wanted} trials, secure.largest_trials is {self.most}")
        if weight != {"num_examples": wanted}:
            raise ValueError(f"wanted to count for {wanted}, got {clean(weight)}")
        if dict(status).get("code") != 0 or not isinstance(dict(status).get("message"), str):
            raise ValueError("its status is not that of a success")


def _of(found: Mapping, *names: str) -> list:
    for name in sorted(set(found) ^ set(names)):
        raise ValueError(f"{clean(name)}: {'not asked for' if name in found else 'missing'}")
    return [found[name] for name in names]


def _public_key(key: object) -> None:
    """ValueError for what the other sites could not use: they would be lost by it."""
    try:
        if not isinstance(key, bytes) or len(key) > _LONGEST:
            raise TypeError
        curve = bytes_to_public_key(key).curve
    except Exception:
        raise ValueError("its public key is none") from None
    if not isinstance(curve, ec.SECP384R1):
        raise ValueError(f"its public key is of curve {curve.name}")


def _no_copy(reply: Message, good: list[Message]) -> None:
    """ValueError for keys that another site has sent, or twice the same."""
    keys = [reply.content[RECORD_KEY_CONFIGS][name]
            for name in (Key.PUBLIC_KEY_1, Key.PUBLIC_KEY_2)]
    taken = [key for one in good for key in one.content[RECORD_KEY_CONFIGS].values()]
    if keys[0] == keys[1] or set(keys) & set(taken):
        raise ValueError("its public key is a copy")


def _for_each(nodes: object, secrets: object, wanted: set[int]) -> None:
    if not (isinstance(nodes, list) and isinstance(secrets, list) and len(nodes) == len(secrets)):
        raise ValueError("wanted a list of sites and as long a list of shares")
    if {*map(type, nodes)} - {int} or len(set(nodes)) < len(nodes) or set(nodes) != wanted:
        raise ValueError("its shares are not for the sites that it was asked for")
    if not all(isinstance(one, bytes) and 0 < len(one) <= _LONGEST for one in secrets):
        raise ValueError("its shares are no shares")
