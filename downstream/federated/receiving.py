"""Replies as they arrive: each is fetched by itself, and its sender is who was asked.

Nothing that a site sends may end the run. A reply that cannot be unpacked, or that another site
has sent, is a problem of its site in this round.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flwr.app import ConfigRecord, Message
from flwr.server import Grid

from . import messages

_POLL_S = 1.0
_LONGEST_NAME, _LONGEST_REASON = 64, 160


@dataclass(frozen=True)
class Answer:
    """Of a site. problem: why its reply cannot be used; "" = it has one with content."""

    site: str
    reply: Message
    problem: str = ""
    node: int = 0


def ask(
    grid: Grid, asked: list[Message], timeout_s: float, names: dict[int, str]
) -> list[Answer]:
    """Send, wait, and say of every node what came, in the order of the sites' names.

    names: of nodes that have answered before; those that answer now are added.
    """
    came = fetched(grid, asked, timeout_s)
    claims = {node: name for node, (reply, _) in came.items()
              if reply is not None and (name := _claim(reply))}
    others = identified(claims, names)
    found = []
    for message in asked:
        node = message.metadata.dst_node_id
        reply, problem = came[node]
        if reply is not None and not problem:
            problem = others.get(node, "") or _problem(reply)
        found.append(Answer(names.get(node, f"node {node}"), reply or message, problem, node))
    return sorted(found, key=lambda answer: answer.site)


def fetched(
    grid: Grid, asked: Iterable[Message], timeout_s: float
) -> dict[int, tuple[Message | None, str]]:
    """Send and wait: node → (its reply, ""), or (None, what is wrong with it).

    Grids unpack all that has come in one call, which one damaged reply would end: each is asked for
    by itself.
    """
    asked = list(asked)
    grid.push_messages(asked)
    waiting = {message.metadata.message_id: message.metadata.dst_node_id for message in asked}
    found: dict[int, tuple[Message | None, str]] = {}
    until = time.monotonic() + timeout_s
    while True:
        for number, node in list(waiting.items()):
            try:
                came = list(grid.pull_messages([number]))
            except Exception as problem:  # whatever it is, a site has sent it
                found[node] = None, f"its reply cannot be unpacked: {clean(repr(problem))}"
                del waiting[number]
                continue
            if came:
                found[node] = _read(came[0], node)
                del waiting[number]
        left = until - time.monotonic()
        if not waiting or left <= 0:
            break
        time.sleep(min(_POLL_S, left))
    late = None, f"no answer within {timeout_s:g} s"
    return {node: found.get(node, late)
            for node in (message.metadata.dst_node_id for message in asked)}


def _read(reply: Message, node: int) -> tuple[Message | None, str]:
    if reply.has_error():  # Flower answers in its own name for a node that was lost
        if reply.error.code == messages.FAILED:
            return reply, ""
        return None, clean(reply.error.reason or f"error {reply.error.code}")
    if not reply.has_content():
        return None, "its reply has neither content nor an error"
    if reply.metadata.src_node_id != node:
        return None, "another site has answered in its place"
    return reply, ""


def identified(claims: Mapping[int, str], names: dict[int, str]) -> dict[int, str]:
    """Node → what is wrong with the name that it claims. Rightful names are added to `names`.

    A name belongs to the node that `averaging.nodes` binds it to, or that used it first in this
    run; of two that claim one in the same round, and have neither, nobody can say whose it is.
    """
    taken, count = {name: node for node, name in names.items()}, Counter(claims.values())
    wrong = {}
    for node, name in claims.items():
        if node in names and name != names[node]:
            wrong[node] = f"calls itself {name}, which it is not"
        elif taken.get(name, node) != node:
            wrong[node] = f"calls itself {name}, which is another site"
        elif node not in names and count[name] > 1:
            wrong[node] = (f"calls itself {name}, and so does another site; averaging.nodes says "
                           f"which of them it is")
        else:
            names[node] = name
    return wrong


def is_name(value: object) -> bool:
    """Whether a site may be called so: short, printable, not empty."""
    return (isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
            and value == value.strip())


def clean(text: object) -> str:
    """Words of a site as a log, a page and a terminal can bear them: short, printable, one line."""
    said = "".join(each if each.isprintable() else " " for each in str(text)[:_LONGEST_REASON])
    return said + "…" * (len(str(text)) > _LONGEST_REASON)


def _claim(reply: Message) -> str:
    """The name that a reply gives; "" where it gives none that can be one."""
    if reply.has_error():
        name: object = (reply.error.reason or "").partition(": ")[0]
    else:
        about = reply.content.get(messages.ABOUT)
        name = about.get(messages.SITE) if isinstance(about, ConfigRecord) else None
    return str(name) if is_name(name) else ""


def _problem(reply: Message) -> str:
    """Of a reply whose sender is known."""
    if reply.has_error():
        said = (reply.error.reason or "").partition(": ")[2]
        return clean(said) or "it could not take part, and says no reason"
    return "" if _claim(reply) else "wanted the name of the site, none came that can be one"
