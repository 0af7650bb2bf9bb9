"""A federation on one machine, one fold and seed of one method at a time; what is done is kept.

    out/parts/METHOD-FOLD-SEED.parquet    predictions of the people held out, if as it was written
    out/work/METHOD/…                     states of server and sites, until that is there; of
                                          federated folds personalized decoders and rounds stay
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from neurofm import artifacts, extras
from neurofm.journal import Journal

from . import personal
from . import rounds as the_rounds
from .client_app import client_app
from .in_process import InProcess
from .learning import Learning
from .pooled import pooled
from .privacy import Privacy
from .rounds import Federation, FederationFailed
from .secure import Secure
from .server_app import server_app
from .site import Site

ALONE = {"min_sites": 1, "largest_change": 0.0, "strategy": "fedavg"}


@dataclass(frozen=True)
class Job:
    """method: federated, local or pooled."""

    method: str
    fold: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.method}-{self.fold}-{self.seed}"


def do(
    out: Path, federation: Federation, engine: str, sites: list[Site], job: Job,
    say: Callable = print,
) -> dict[str, pd.DataFrame]:
    """Site → predictions of those it holds out in this fold; trained where that is not done yet.
    sites: without folders of work."""
    kept = out / "parts" / f"{job.name}.parquet"
    journal, name = Journal(out), f"parts/{job.name}.parquet"
    if kept.exists() and journal.known and journal.kept(name) is None:
        say(f"{kept}: is damaged, or not what was written: it is trained again")
        kept.unlink()
        shutil.rmtree(_server(out / "work" / job.method, job), ignore_errors=True)
        for site in sites:
            work = replace(site, work=str(out / "work" / job.method / site.name))
            shutil.rmtree(work.folder(federation.learning.of_fold(job.fold, job.seed)),
                          ignore_errors=True)
    if not kept.exists():
        tables = _trained(out / "work" / job.method, federation, engine, sites, job, say)
        kept.parent.mkdir(parents=True, exist_ok=True)
        table = pd.concat([each.assign(method=job.method, site=name, seed=job.seed)
                           for name, each in tables.items()], ignore_index=True)
        temporary = kept.with_name(f".{kept.name}.part")
        table.to_parquet(temporary, index=False)
        journal.note(name, artifacts.sha256(temporary))
        temporary.replace(kept)
        _clear(out / "work" / job.method, job, sites, federation.learning)
    table = pd.read_parquet(kept)
    return {site.name: table[table["site"] == site.name] for site in sites}


def rounds(out: Path, jobs: list[Job]) -> pd.DataFrame:
    """A row a round of each federated fold and seed."""
    rows = []
    for job in jobs:
        for line in the_rounds.lines(_server(out / "work" / job.method, job)):
            about = {name: json.dumps(line.get(name))
                     for name in ("sites", "trials", "counted", "rejected")}
            rows.append({"method": job.method, "fold": job.fold, "seed": job.seed,
                         **line, **about})
    return pd.DataFrame(rows, columns=[
        "method", "fold", "seed", "round", "sites", "trials", "counted", "rejected", "loss",
        "val_loss", "bytes_down", "bytes_up", "epsilon", "took_s"])


def _trained(work, federation, engine, sites, job, say) -> dict[str, pd.DataFrame]:
    learning = federation.learning.of_fold(job.fold, job.seed)
    sites = [replace(site, work=str(work / site.name)) for site in sites]
    if job.method == "pooled":
        say(f"pooled, fold {job.fold}, seed {job.seed}")
        return pooled(sites, learning, work / f"fold-{job.fold}-seed-{job.seed}")
    if job.method == "local":
        for site in sites:
            alone = Federation(learning, replace(federation.averaging, **ALONE), Privacy(),
                               Secure())
            say(f"{site.name} by itself, fold {job.fold}, seed {job.seed}")
            _run(alone, "in_process", [site], work / site.name / "server" / job.name,
                 lambda *_: None)
    else:
        _run(replace(federation, learning=learning), engine, sites, _server(work, job), say)
    return {site.name: personal.predictions(site, learning) for site in sites}


def _clear(work: Path, job: Job, sites: list[Site], learning: Learning) -> None:
    """Take away what only going on with the training would need."""
    learning = learning.of_fold(job.fold, job.seed)
    if job.method != "federated":
        for folder in work.glob(f"**/fold-{learning.fold}-seed-{learning.train.seed}"):
            shutil.rmtree(folder)
    for site in sites if job.method == "federated" else ():
        shutil.rmtree(replace(site, work=str(work / site.name)).folder(learning) / "state",
                      ignore_errors=True)


def _server(work: Path, job: Job) -> Path:
    return work / "server" / job.name


def _run(
    federation: Federation, engine: str, sites: list[Site], folder: Path, say: Callable
) -> None:
    if engine == "in_process":
        grid = InProcess(client_app(sites), len(sites))
        judged = the_rounds.run(grid, federation, folder, len(sites), say)
    else:
        judged = _by_ray(federation, sites, folder, say)
    if missing := [site.name for site in sites if site.name not in judged]:
        raise FederationFailed(f"{', '.join(missing)}: could not be judged; see what it printed, "
                               f"then run again")


def _by_ray(federation: Federation, sites: list[Site], folder: Path, say: Callable) -> dict:
    """By Flower's simulation engine: sites are called in processes of Ray."""
    from flwr.simulation import run_simulation

    extras.need("ray", "--engine ray")
    run_simulation(
        server_app(federation, folder, len(sites), say), client_app(sites), len(sites),
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0},
                        "init_args": {"include_dashboard": False}},
    )
    found = folder / "judged.json"
    if not found.exists():
        raise FederationFailed(f"the simulation ended before all rounds were done; what was done "
                               f"is kept in {folder}: run again to go on")
    return json.loads(found.read_text())["sites"]

