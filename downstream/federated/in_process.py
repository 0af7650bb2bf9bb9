"""A Flower Grid within this process: sites are called one after another. For tests and one core.

The same apps run on it as on Flower's simulation engine and on a deployment.
"""

import copy
import uuid
from collections.abc import Iterable

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.typing import Run
from flwr.server import Grid

from neurofm.training.loop import Stopped

_UNKNOWN = 0  # code of an error that nobody has named


class InProcess(Grid):
    """n_sites nodes that run `app`, with the numbers 1 … n_sites."""

    def __init__(self, app: ClientApp, n_sites: int):
        self.app = app
        self.contexts = {
            number + 1: Context(1, number + 1, {"partition-id": number, "num-partitions": n_sites},
                                RecordDict(), {})
            for number in range(n_sites)}
        self.replies: dict[str, Message] = {}

    def set_run(self, run_id: int) -> None:
        """There is one run."""

    @property
    def run(self) -> Run:
        raise NotImplementedError("a grid within a process has no Run")

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Call each site's app and keep its answer."""
        found = []
        for message in messages:
            number = uuid.uuid4().hex
            about = message.metadata.__dict__
            about |= {"_run_id": 1, "_src_node_id": 0, "_message_id": number}
            # Sites change what they get in place, and all are sent the same; a network copies it.
            message.content = copy.deepcopy(message.content)
            self.replies[number] = self._answer(message)
            found.append(number)
        return found

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self.replies.pop(number) for number in message_ids if number in self.replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None
                         ) -> Iterable[Message]:
        return self.pull_messages(self.push_messages(messages))

    def _answer(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        try:
            reply = self.app(message, self.contexts[node])
        except Stopped:
            raise
        except Exception as problem:
            reply = Message(Error(_UNKNOWN, f"{type(problem).__name__}: {problem}"),
                            reply_to=message)
        reply.metadata.__dict__["_src_node_id"] = node
        return reply
