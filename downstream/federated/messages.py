"""What travels: shared weights as arrays, settings as JSON, counts and losses. Nothing else does.

    server → site   arrays {name: float32}, config {"server-round", "learning"}
    site → server   arrays {name: float32}, metrics {"num-examples", "one", "loss", …},
                    about {"site"}; or an error that says no more than its kind
"""

from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.server import Grid

from .learning import Learning
from .personal import Part, Weights

ARRAYS, CONFIG, METRICS, ABOUT = "arrays", "config", "metrics", "about"
ROUND, LEARNING, SITE = "server-round", "learning", "site"
TRIALS, EQUAL = "num-examples", "one"  # metrics that an average may be weighted by
FAILED = 1001  # our own kind of error: the site has refused


def to_record(weights: Weights) -> ArrayRecord:
    return ArrayRecord({name: Array(np.ascontiguousarray(value, dtype=np.float32))
                        for name, value in weights.items()})


def to_weights(record: ArrayRecord) -> Weights:
    return {name: array.numpy() for name, array in record.items()}


def asked(message: Message) -> tuple[int, Learning, Weights]:
    """(round, settings, weights) that the server sent."""
    config = message.content.config_records[CONFIG]
    return (int(config[ROUND]), Learning.from_json(str(config[LEARNING])),
            to_weights(message.content.array_records[ARRAYS]))


def part_of(site: str, part: Part, message: Message) -> Message:
    """A site's answer to a round."""
    return Message(RecordDict({
        ARRAYS: to_record(part.weights),
        METRICS: MetricRecord({TRIALS: part.n_trials, EQUAL: 1, "loss": float(part.loss),
                               "val_loss": float(part.val_loss)}),
        ABOUT: ConfigRecord({SITE: site}),
    }), reply_to=message)


def judgment(site: str, metrics: dict, message: Message) -> Message:
    """A site's answer when it was judged: numbers over its people, no person's."""
    told = ("balanced_accuracy", "low", "high", "subjects", "windows")
    return Message(RecordDict({
        METRICS: MetricRecord({TRIALS: int(metrics["windows"]), EQUAL: 1,
                               **{name: float(metrics[name]) for name in told}}),
        ABOUT: ConfigRecord({SITE: site}),
    }), reply_to=message)


def refusal(site: str, problem: Exception, message: Message) -> Message:
    """A site that could not take part. What exactly was wrong stands in the site's own log: it may
    name people and files, which must not travel."""
    return Message(Error(FAILED, f"{site}: {type(problem).__name__}; the site's log says why"),
                   reply_to=message)


@dataclass(frozen=True)
class Answer:
    """Of a site. problem: why there is no reply with content; "" = there is one."""

    site: str
    reply: Message
    problem: str = ""


def ask(
    grid: Grid, asked: list[Message], timeout_s: float, names: dict[int, str]
) -> list[Answer]:
    """Send, wait, and say of every node what came, in the order of the sites' names.

    names: of nodes that have answered before; those that answer now are added. Flower answers for
    a node that was lost in its own name, so replies are told apart by the message that they answer.
    """
    replies = {reply.metadata.reply_to_message_id: reply
               for reply in grid.send_and_receive(asked, timeout=timeout_s)}
    found = []
    for message in asked:
        node, reply = message.metadata.dst_node_id, replies.get(message.metadata.message_id)
        problem = ""
        if reply is None:
            problem = f"no answer within {timeout_s:g} s"
        elif not reply.has_error():
            names[node] = str(reply.content.config_records[ABOUT][SITE])
        elif reply.error.code == FAILED:
            names[node], _, problem = (reply.error.reason or "").partition(": ")
        else:
            problem = reply.error.reason or f"error {reply.error.code}"
        found.append(Answer(names.get(node, f"node {node}"), reply or message, problem))
    return sorted(found, key=lambda answer: answer.site)
