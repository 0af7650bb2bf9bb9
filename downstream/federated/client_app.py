"""The Flower app of a site: the same in a simulation and as a SuperNode of a deployment.

In a simulation `client_app(sites)` serves site number partition-id. In a deployment each SuperNode
is one site and says what that is itself: --node-config 'name="clinic" corpus="/data/corpus"
work="/data/federated" [model="/models/encoder"] [channels="C3,Cz,C4"]'. The server never learns
these paths.
"""

import sys
import traceback
from collections.abc import Sequence

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from neurofm.training.loop import Stopped

from . import messages, personal, privacy, secure
from .site import Site


def client_app(sites: Sequence[Site] = ()) -> ClientApp:
    """sites: those of a simulation; none = the SuperNode's own."""
    app = ClientApp(mods=[secure.masked_if_asked, privacy.clipped_if_asked])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _answer(message, context, sites, _train)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _answer(message, context, sites, _judge)

    return app


def _train(site: Site, message: Message) -> Message:
    round_, learning, weights = messages.asked(message)
    return messages.part_of(site.name, personal.take_part(site, learning, round_, weights), message)


def _judge(site: Site, message: Message) -> Message:
    _, learning, weights = messages.asked(message)
    return messages.judgment(site.name, personal.finish(site, learning, weights), message)


def _answer(message: Message, context: Context, sites: Sequence[Site], do) -> Message:
    site = _site(context, sites)
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
            f"this SuperNode does not say its {', '.join(missing)}: start it with --node-config "
            f"'name=\"clinic\" corpus=\"/data/corpus\" work=\"/data/federated\"'")
    return Site(str(about["name"]), str(about["corpus"]), str(about["work"]),
                str(about.get("model", "")),
                tuple(filter(None, str(about.get("channels", "")).split(","))))


app = client_app()
