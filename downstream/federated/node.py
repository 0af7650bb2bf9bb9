"""The process of a site: it answers messages of one app, with the code that is installed here.

In place of flower-supernode, which downloads and runs whatever app is submitted to its SuperLink.
Here no app is downloaded. A run whose app has another hash is refused, and the site goes on.
"""

import time
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import grpc
from flwr.app import Context, Error, Message, RecordDict
from flwr.cli.build import build_fab_from_disk
from flwr.client.grpc_rere_client.connection import grpc_request_response
from flwr.common.constant import ErrorCode
from flwr.common.retry_invoker import make_simple_grpc_retry_invoker
from flwr.common.typing import Run, RunNotRunningException
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    pull_and_inflate_object_from_tree,
    push_objects,
)

from neurofm.training.loop import Stopped

from . import messages
from .client_app import client_app
from .receiving import clean

_IDLE_S = 1.0
_LARGEST_MESSAGE = 2**29  # bytes, of one message of gRPC; Flower sends arrays in parts of 5 MB
_RUNS = 8  # whose states are kept: masks of secure aggregation between its stages


class NotJoined(Exception):
    """The connection to the SuperLink could not be made, or has ended."""


@cache
def own_app() -> str:
    """SHA-256 of the app that `flwr run` submits from the folder that is installed here."""
    return sha256(build_fab_from_disk(Path(__file__).parent / "flower-app")).hexdigest()


def serve(
    server: str, certificate: bytes, key, node_config: dict[str, str], app: str, say: Callable
) -> None:
    """Take messages and answer them until asked to stop (`Stopped`, KeyboardInterrupt).

    server: host:port of the SuperLink's Fleet API. key: the site's private key. app: SHA-256 of the
    one app whose runs are answered. Raises NotJoined where there is no connection any more.
    """
    problem: Exception | None = None
    try:
        with grpc_request_response(
            server, False, make_simple_grpc_retry_invoker(), _LARGEST_MESSAGE, certificate,
            (key, key.public_key()),
        ) as connection:
            try:
                _Node(connection, node_config, app, say).go_on()
            except Exception as found:  # Flower's context would keep silent about it
                problem = found
    except RuntimeError:  # Flower has logged why
        raise NotJoined(f"{server}: this site is not let in: is its key registered there? After a "
                        f"crash its last sign of life must be a minute old") from None
    if isinstance(problem, grpc.RpcError):
        raise NotJoined(f"{server}: the connection has ended ({clean(problem)})") from None
    if problem is not None:
        raise problem


class _Node:
    def __init__(self, connection: tuple, node_config: dict[str, str], app: str, say: Callable):
        (self.number, self.receive, self.send, self.get_run, _, self.pull, self.push,
         self.confirm) = connection
        self.node_config, self.accepted, self.say = node_config, app, say
        self.app = client_app()
        self.runs: dict[int, Run] = {}
        self.contexts: dict[int, Context] = {}
        say(f"joined as node {self.number}; runs app {app[:16]}… alone")

    def go_on(self) -> None:
        while True:
            try:
                came = self.receive()
                if came is None:
                    time.sleep(_IDLE_S)
                    continue
                began = time.monotonic()
                reply = self._reply(*came)
                self._answer(reply, time.monotonic() - began)
            except RunNotRunningException:
                self.say("the run that this message is of has ended; ignored")

    def _reply(self, message: Message, tree) -> Message:
        """message: without its content, which is asked for only when its app is ours."""
        number = message.metadata.run_id
        run = self.runs.get(number) or self.get_run(number)
        if run.fab_hash != self.accepted:
            self.say(f"REFUSED: run {number} is of app {clean(run.fab_id)} "
                     f"{clean(run.fab_version)} ({clean(run.fab_hash)}), this site runs "
                     f"{self.accepted} alone")
            return Message(Error(ErrorCode.INVALID_FAB, "this site runs one app alone, and this is "
                                                        "another"), reply_to=message)
        if number not in self.runs:
            self.runs[number] = run
            self.contexts[number] = Context(number, self.number, dict(self.node_config),
                                            RecordDict(), {})
            for old in list(self.runs)[:-_RUNS]:
                del self.runs[old], self.contexts[old]
        try:
            whole = pull_and_inflate_object_from_tree(
                tree, partial(self.pull, number), partial(self.confirm, number),
                return_type=Message)
            whole.metadata.__dict__["_message_id"] = message.metadata.message_id
            self.say(f"run {number}, round {clean(whole.metadata.group_id)}: "
                     f"{whole.metadata.message_type}")
            return self.app(whole, self.contexts[number])
        except (Stopped, RunNotRunningException, grpc.RpcError):
            raise
        except Exception as problem:  # of a message that is none of ours
            self.say(f"run {number}: {type(problem).__name__}: {clean(problem)}")
            return messages.refusal(self.node_config["name"], problem, message)

    def _answer(self, reply: Message, took_s: float) -> None:
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            wanted = self.send(reply, get_object_tree(reply), took_s)
            push_objects(get_all_nested_objects(reply),
                         partial(self.push, reply.metadata.run_id), object_ids_to_push=wanted)
