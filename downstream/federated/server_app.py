"""The Flower app of the server: the same in a simulation and behind a SuperLink.

In a deployment its settings are a YAML file on the server, in the form of `neurofm federate`
without sites: --run-config 'settings="/etc/neurofm/federation.yaml" sites=3 out="/var/federation"'.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flwr.app import Context
from flwr.server import Grid
from flwr.serverapp import ServerApp

from neurofm import artifacts, config
from neurofm.lock import only_one
from neurofm.terminal import printable

from . import agreed, rounds
from .rounds import Federation


def server_app(federation: Federation, folder: Path, n_sites: int, say: Callable) -> ServerApp:
    """Of a simulation."""
    made = ServerApp()

    @made.main()
    def main(grid: Grid, context: Context) -> None:
        rounds.run(grid, federation, folder, n_sites, say)

    return made


app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Of a deployment."""
    about = context.run_config
    if missing := [name for name in ("settings", "sites", "out") if not about.get(name)]:
        raise ValueError(f"--run-config lacks {', '.join(missing)}, e.g. 'settings=\"federation."
                         f"yaml\" sites=3 out=\"federation/\"'")
    federation = agreed.read(str(about["settings"]))
    out = Path(str(about["out"]))
    federation = replace(federation, learning=federation.learning.as_here())
    with only_one(out, "federate"):
        artifacts.claim(out, {"sites": int(about["sites"]), **config.resolved(federation)})
        found = rounds.run(grid, federation, out, int(about["sites"]), _say)
    for site, metrics in found.items():
        _say(f"{site}: balanced accuracy {metrics['balanced_accuracy']:.3f} on "
             f"{metrics['subjects']:.0f} people held out")


def _say(text) -> None:
    print(printable(str(text)), flush=True)
