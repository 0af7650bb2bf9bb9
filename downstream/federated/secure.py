"""Secure aggregation: the server learns the average of the sites' weights, and no site's own.

By Flower's SecAgg+ (Bell et al. 2020, "Secure single-server aggregation with (poly)logarithmic
overhead"): sites mask what they send with numbers that cancel in the sum; shares of the keys let
the sum be unmasked where some drop out. Flower has it for its older form of messages alone, so
ours are translated on both sides, here and nowhere else. What cannot be seen cannot be screened:
one site that sends nonsense spoils a round. Weights beyond ±`Secure.range` are clipped, and all are
rounded to about range / 2²¹ over the site's share of `largest_trials`.
"""

import json
from dataclasses import dataclass
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common import recorddict_compat as compat
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS
from flwr.server import Grid, LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key

from . import messages
from .personal import Weights

_NAMES = "names"  # of the arrays, whose older form has none


@dataclass
class Secure:
    """Secure aggregation (SecAgg+).

    Parameters
    ----------
    on
        Mask the weights, so that the server sees only their mean.
    threshold
        Share of the sites that must stay until the end of a round.
    range
        Largest absolute weight that can be sent.
    largest_trials
        Largest number of trials of a site.
    """

    on: bool = False
    threshold: float = 0.6
    range: float = 8.0
    largest_trials: int = 10_000

    def __post_init__(self):
        if not (0 < self.threshold <= 1 and self.range > 0 and self.largest_trials > 0):
            raise ValueError(f"secure wants a threshold in (0, 1] and range and largest_trials "
                             f"above 0, got {self.threshold}, {self.range}, {self.largest_trials}")

    def check(self, strategy: str, privacy: str, n_sites: int) -> None:
        """Raise ValueError where sites' own weights would have to be seen, or too few would hide
        one another."""
        if not self.on:
            return
        if strategy != "fedavg" or privacy == "server":
            raise ValueError("secure aggregation gives the mean alone: take averaging.strategy="
                             "fedavg, and privacy.where=none or client")
        if n_sites < 3:
            raise ValueError(f"secure aggregation needs 3 sites or more, so that none can be told "
                             f"from the sum; there are {n_sites}")


@dataclass
class _Node:
    """A site as the older interface knows it."""

    node_id: int


class _Mean:
    """What the workflow asks of an older strategy: to whom, and what to do with the sum."""

    def __init__(self, nodes: list[int], config: dict):
        self.nodes, self.config = [_Node(node) for node in nodes], config
        self.answers: list[dict] = []
        self.mean = None

    def num_available(self) -> int:
        return len(self.nodes)

    def configure_fit(self, round_, parameters, _clients):
        return [(node, FitIns(parameters, dict(self.config))) for node in self.nodes]

    def aggregate_fit(self, round_, results, _failures):
        self.answers = [{"trials": answer.num_examples, **answer.metrics} for _, answer in results]
        self.mean = results[0][1].parameters if results else None
        return self.mean, {}


def round_of_sites(
    grid: Grid, nodes: list[int], round_: int, learning: str, weights: Weights, how: Secure,
    timeout_s: float, extra: dict,
) -> tuple[Weights | None, list[dict]]:
    """(mean of the sites' weights, None where too few stayed; what each said besides). extra: more
    of the messages' config."""
    config = {messages.ROUND: round_, messages.LEARNING: learning,
              _NAMES: json.dumps(list(weights)), **extra}
    strategy = _Mean(nodes, config)
    context = LegacyContext(Context(1, 0, {}, RecordDict(), {}), strategy=strategy,
                            client_manager=strategy)
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({Key.CURRENT_ROUND: round_})
    context.state.array_records[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(
        ndarrays_to_parameters([*weights.values()]), True)
    SecAggPlusWorkflow(1.0, how.threshold, max_weight=float(how.largest_trials),
                       clipping_range=how.range, timeout=timeout_s)(grid, context)
    if strategy.mean is None:
        return None, []
    found = parameters_to_ndarrays(strategy.mean)
    return {name: value.astype("float32").reshape(weights[name].shape)
            for name, value in zip(weights, found, strict=True)}, strategy.answers


def masked_if_asked(message: Message, context: Context, call_next) -> Message:
    """A site's side: masks what it sends where the server asks for it."""
    if RECORD_KEY_CONFIGS not in message.content.config_records:
        return call_next(message, context)
    return secaggplus_mod(message, context, lambda m, c: _translated(m, c, call_next))


def _translated(message: Message, context: Context, call_next) -> Message:
    """Call our app with an older message; its answer in the older form."""
    instructions = compat.recorddict_to_fitins(message.content, True)
    config = dict(instructions.config)
    names = json.loads(config.pop(_NAMES))
    arrays = parameters_to_ndarrays(instructions.parameters)
    message.content = RecordDict({
        messages.ARRAYS: ArrayRecord({name: Array(value) for name, value in
                                      zip(names, arrays, strict=True)}),
        messages.CONFIG: ConfigRecord(config),
    })
    reply = call_next(message, context)
    if reply.has_error():
        raise ValueError(reply.error.reason)
    came = messages.to_weights(reply.content.array_records[messages.ARRAYS])
    metrics: MetricRecord = reply.content.metric_records[messages.METRICS]
    told: dict[str, Any] = {
        name: float(value) for name, value in metrics.items() if name != messages.TRIALS}
    told[messages.SITE] = str(reply.content.config_records[messages.ABOUT][messages.SITE])
    answer = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([came[name] for name in names]),
                    int(metrics[messages.TRIALS]), told)
    return Message(compat.fitres_to_recorddict(answer, True), reply_to=message)
