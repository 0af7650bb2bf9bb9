"""Secure aggregation: the server learns the average of the sites' weights, and no site's own.

By Flower's SecAgg+ (Bell et al. 2020, "Secure single-server aggregation with (poly)logarithmic
overhead"): sites mask what they send with numbers that cancel in the sum; shares of the keys let
the sum be unmasked where some drop out. Flower has it for its older form of messages alone, so
ours are translated on both sides, here and nowhere else. What cannot be seen cannot be screened:
one site that sends nonsense behind its mask spoils a round, which is noticed. Weights beyond
±`Secure.range` are clipped, and all are rounded to about range / 2²¹ over the site's share of
`largest_trials`.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common import recorddict_compat as compat
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS
from flwr.server import Grid, LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key

from neurofm.limits import Count, Positive, PositiveShare, limited
from neurofm.training.loop import Stopped

from . import messages
from .declared import Declared
from .personal import Weights
from .receiving import clean
from .screening import Rejected
from .secure_checks import LEAST, Again, Stages

_NAMES = "names"  # of the arrays, whose older form has none
_EQUAL = "equal"  # whether all sites count alike
_CHECK = "check"  # size of the known numbers that every site adds
_PATTERN = np.array([1.0, -1.0, 0.5, -0.25], dtype=np.float32)
_STEPS, _MODULUS = 2**22, 2**32  # Flower's defaults: steps of a weight, size of the masks


@dataclass
@limited
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
        Largest number of trials of a site. Sites with more are rejected.
    """

    on: bool = False
    threshold: PositiveShare = 0.6
    range: Positive = 8.0
    largest_trials: Count = 10_000

    PREFIX = "secure."

    def check(self, strategy: str, privacy: str, n_sites: int) -> None:
        """Raise ValueError where sites' own weights would have to be seen, or too few would hide
        one another."""
        if not self.on:
            return
        if strategy != "fedavg" or privacy == "server":
            raise ValueError("secure aggregation gives the mean alone: take averaging.strategy="
                             "fedavg, and privacy.where=none or client")
        if n_sites < LEAST:
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
        self.answers = [{**answer.metrics, "weight": answer.num_examples,
                         "trials": answer.metrics[messages.TRIALS]} for _, answer in results]
        self.mean = results[0][1].parameters if results else None
        return self.mean, {}


def round_of_sites(
    grid: Grid, nodes: list[int], round_: int, learning: str, weights: Weights, how: Secure,
    timeout_s: float, extra: dict, names: dict[int, str], declared: Declared, equal: bool,
) -> tuple[Weights | None, list[dict], list[Rejected]]:
    """(mean of the sites' weights, None where there is none; what each said besides; who did not
    count, and why). extra: more of the messages' config. equal: all sites count alike."""
    most = 1 if equal else how.largest_trials
    config = {messages.ROUND: round_, messages.LEARNING: learning, _EQUAL: equal,
              _NAMES: json.dumps(list(weights)), _CHECK: how.range / 2, **extra}
    lost: dict[int, str] = {}
    shapes = [*(value.shape for value in weights.values()), _PATTERN.shape]
    while True:
        stages = Stages(grid, shapes, names, declared, _MODULUS, most, equal)
        strategy = _Mean([node for node in nodes if node not in lost], config)
        try:
            if len(strategy.nodes) < LEAST:
                raise ValueError(f"{len(strategy.nodes)} are left, and a sum needs {LEAST}")
            _run(stages, strategy, round_, weights, how, most, timeout_s)
            mean = _opened(strategy, weights, how.range, most)
            problem = ""
        except Again:
            lost |= stages.lost
            continue
        except Stopped:  # of a simulation, whose sites are in this process
            raise
        except Exception as wrong:  # of shares that do not fit: whose they are cannot be told
            mean, problem = None, clean(wrong)
        break
    rejected = [Rejected(names.get(node, f"node {node}"), why)
                for node, why in (lost | stages.lost).items()]
    if problem:
        rejected.append(Rejected("the sites together", f"no sum: {problem}"))
    return mean, strategy.answers, rejected


def _run(
    stages: Stages, strategy: _Mean, round_: int, weights: Weights, how: Secure, most: int,
    timeout_s: float,
) -> None:
    context = LegacyContext(Context(1, 0, {}, RecordDict(), {}), strategy=strategy,
                            client_manager=strategy)
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({Key.CURRENT_ROUND: round_})
    context.state.array_records[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(
        ndarrays_to_parameters([*weights.values()]), True)
    SecAggPlusWorkflow(
        1.0, how.threshold, max_weight=float(most), clipping_range=how.range,
        quantization_range=_STEPS, modulus_range=_MODULUS, timeout=timeout_s)(stages, context)


def _opened(strategy: _Mean, weights: Weights, largest: float, most: int) -> Weights:
    """The mean; ValueError where it cannot be one.

    Every site adds the same known numbers to its weights. Where these are not what comes out,
    somebody has sent something else than what the masks were made for.
    """
    if strategy.mean is None:
        raise ValueError("too few sites stayed to the end of the round")
    *found, check = parameters_to_ndarrays(strategy.mean)
    total = sum(answer["weight"] for answer in strategy.answers)
    finest = 2 * largest / _STEPS * len(strategy.answers) * most / total
    if not np.allclose(check, _PATTERN * largest / 2, rtol=1e-6, atol=finest):
        raise ValueError("what every site has added to its weights does not come out: one has sent "
                         "nonsense behind its mask")
    return {name: value.astype("float32").reshape(weights[name].shape)
            for name, value in zip(weights, found, strict=True)}


def masked(name: Callable[[Context], str]):
    """A site's side: masks what it sends where the server asks for it. name: of the site."""

    def mod(message: Message, context: Context, call_next) -> Message:
        if RECORD_KEY_CONFIGS not in message.content.config_records:
            return call_next(message, context)
        site = name(context)
        try:
            reply = secaggplus_mod(message, context, lambda m, c: _translated(m, c, call_next))
        except _Refused as refused:
            return refused.reply
        except Stopped:
            raise
        except Exception as problem:
            sys.stderr.write(f"{site}: {problem}\n")
            return messages.refusal(site, problem, message)
        reply.content[messages.ABOUT] = ConfigRecord({messages.SITE: site})
        return reply

    return mod


class _Refused(Exception):
    def __init__(self, reply: Message):
        super().__init__(reply.error.reason)
        self.reply = reply


def _translated(message: Message, context: Context, call_next) -> Message:
    """Call our app with an older message; its answer in the older form."""
    instructions = compat.recorddict_to_fitins(message.content, True)
    config = dict(instructions.config)
    names, check = json.loads(str(config.pop(_NAMES))), float(config.pop(_CHECK))
    equal = config.pop(_EQUAL)
    arrays = parameters_to_ndarrays(instructions.parameters)
    message.content = RecordDict({
        messages.ARRAYS: ArrayRecord({name: Array(value) for name, value in
                                      zip(names, arrays, strict=True)}),
        messages.CONFIG: ConfigRecord(config),
    })
    reply = call_next(message, context)
    if reply.has_error():
        raise _Refused(reply)
    came = messages.to_weights(reply.content.array_records[messages.ARRAYS])
    metrics: MetricRecord = reply.content.metric_records[messages.METRICS]
    told: dict[str, Any] = dict(metrics)
    told[messages.SITE] = str(reply.content.config_records[messages.ABOUT][messages.SITE])
    sums = [*(came[name] for name in names), _PATTERN * check]
    answer = FitRes(Status(Code.OK, ""), ndarrays_to_parameters(sums),
                    1 if equal else int(metrics[messages.TRIALS]), told)
    return Message(compat.fitres_to_recorddict(answer, True), reply_to=message)
