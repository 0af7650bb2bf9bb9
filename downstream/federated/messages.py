"""What travels: shared weights as arrays, settings as JSON, counts and losses. Nothing else does.

    server → site   arrays {name: float32}, config {"server-round", "learning"}
    site → server   arrays {name: float32}, metrics {"num-examples", "one", "loss", …},
                    about {"site"}; or an error that says no more than its kind
"""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from .learning import Learning
from .personal import Part, Weights

ARRAYS, CONFIG, METRICS, ABOUT = "arrays", "config", "metrics", "about"
ROUND, LEARNING, SITE = "server-round", "learning", "site"
TRIALS, EQUAL = "num-examples", "one"  # metrics that an average may be weighted by
JUDGED = ("balanced_accuracy", "low", "high", "subjects", "windows")
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
    return Message(RecordDict({
        METRICS: MetricRecord({TRIALS: int(metrics["windows"]), EQUAL: 1,
                               **{name: float(metrics[name]) for name in JUDGED}}),
        ABOUT: ConfigRecord({SITE: site}),
    }), reply_to=message)


def refusal(site: str, problem: Exception, message: Message) -> Message:
    """A site that could not take part. What exactly was wrong stands in the site's own log: it may
    name people and files, which must not travel."""
    return Message(Error(FAILED, f"{site}: {type(problem).__name__}; the site's log says why"),
                   reply_to=message)
