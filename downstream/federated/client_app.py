"""The Flower app of a site: the same in a simulation and in a deployment.

In a simulation `client_app(sites)` serves site number partition-id. In a deployment each process
(`neurofm federate join`, or a SuperNode of Flower's) is one site and says what that is itself, in
its node config: name, corpus, work, and where wanted model, channels and agreed. The server never
learns these paths.
"""

import sys
import traceback
from collections.abc import Callable, Sequence

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from neurofm.training.loop import Stopped

from . import agreed, messages, personal, privacy, secure
from .site import Site


def client_app(sites: Sequence[Site] = ()) -> ClientApp:
    """sites: those of a simulation; none = the one that the node config tells."""
    def site(context: Context) -> Site:
        return _site(context, sites)

    app = ClientApp(mods=[_as_agreed(site), secure.masked(lambda context: site(context).name),
                          privacy.clipped_if_asked])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _answer(message, site(context), _train)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _answer(message, site(context), _judge)

    return app


def _train(site: Site, message: Message) -> Message:
    round_, learning, weights = messages.asked(message)
    agreed.check_settings(site.agreed, message, learning)
    return messages.part_of(site.name, personal.take_part(site, learning, round_, weights), message)


def _judge(site: Site, message: Message) -> Message:
    _, learning, weights = messages.asked(message)
    agreed.check_settings(site.agreed, message, learning)
    return messages.judgment(site.name, personal.finish(site, learning, weights), message)


def _as_agreed(site: Callable[[Context], Site]):
    """Refuses what was not agreed before anything is done."""

    def mod(message: Message, context: Context, call_next) -> Message:
        one = site(context)
        try:
            agreed.check_request(one.agreed, message)
        except ValueError as problem:
            sys.stderr.write(f"{one.name}: {problem}\n")
            return messages.refusal(one.name, problem, message)
        return call_next(message, context)

    return mod


def _answer(message: Message, site: Site, do) -> Message:
    try:
        return do(site, message)
    except Stopped:  # whoever asked for it means this process, not this site's part in the round
        raise
    except Exception as problem:
        sys.stderr.write(f"{site.name}: {problem}\n")
        if not isinstance(problem, ValueError | OSError):
            traceback.print_exc()
        return messages.refusal(site.name, problem, message)


def _site(context: Context, sites: Sequence[Site]) -> Site:
    about = context.node_config
    if sites:
        return sites[int(about["partition-id"])]
    if missing := [name for name in ("name", "corpus", "work") if name not in about]:
        raise ValueError(
            f"this node does not say its {', '.join(missing)}: start it by neurofm federate join")
    return Site(str(about["name"]), str(about["corpus"]), str(about["work"]),
                str(about.get("model", "")),
                tuple(filter(None, str(about.get("channels", "")).split(","))),
                str(about.get("agreed", "")))


app = client_app()
