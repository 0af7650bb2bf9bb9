"""Train a shared decoder at several sites without sharing recordings.

    neurofm federate --sites '{clinic: corpora/clinic, lab: corpora/lab, …}' --out results/
    neurofm federate … --engine ray                sites as processes of Flower's simulation engine
    neurofm federate … --privacy.where server      with differential privacy

Every site keeps its front, its batch norms and its optimizer; what is shared is averaged by Flower
after each round. Beside it stand each site by itself ("local") and all recordings in one place
("pooled"), which is what the federation spares. The same Flower apps run as separate processes with
TLS: see `configs/federated/`. Asked to stop (SIGTERM, SIGUSR1) it ends with status 85; the same
command goes on.
"""

import functools
import itertools
import logging
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from neurofm import artifacts, config
from neurofm.data.corpus import Corpus
from neurofm.run import STOPPED
from neurofm.training import parallel
from neurofm.training.loop import Stopped

from .decoder.labelled import labelled
from .federated import (
    federated_figures,
    federated_page,
    federated_scores,
    simulation,
)
from .federated.federated_page import size
from .federated.learning import Learning
from .federated.privacy import Privacy
from .federated.rounds import Federation, FederationFailed
from .federated.secure import Secure
from .federated.site import Site, n_folds
from .federated.strategies import Averaging

METHODS = ("federated", "local", "pooled")
EXIT_FAILED = 3


@dataclass
class FederateConfig:
    """Train a shared decoder at several sites without sharing recordings.

    Parameters
    ----------
    sites
        Name of each site and its corpus of labeled windows.
    out
        Folder of the results.
    learning
        Training at the sites.
    averaging
        How weights are aggregated.
    privacy, secure
        Differential privacy and secure aggregation.
    methods
        Methods to compare: federated, local, pooled; gains are relative to local.
    folds
        Numbers of the folds to run, from 0; empty = all, so that every subject is tested once.
    seeds
        Number of trainings; scores are means over them.
    engine
        "in_process" trains one site after another; "ray" runs sites as processes.
    jobs
        Folds, seeds and methods in parallel (in_process).
    models
        Local path of the encoder at a site, where it differs from learning.model.
    channels
        Channels that the FLEEG of a site reads; default: all of its recordings.
    """

    sites: dict[str, str]
    out: str
    learning: Learning = field(default_factory=Learning)
    averaging: Averaging = field(default_factory=Averaging)
    privacy: Privacy = field(default_factory=Privacy)
    secure: Secure = field(default_factory=Secure)
    methods: list[str] = field(default_factory=lambda: list(METHODS))
    folds: list[int] = field(default_factory=list)
    seeds: int = 1
    engine: Literal["in_process", "ray"] = "in_process"
    jobs: int = 1
    models: dict[str, str] = field(default_factory=dict)
    channels: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self):
        if len(self.sites) < 2:
            raise ValueError(f"sites: wanted two or more, each with its corpus, got "
                             f"{len(self.sites)}: --sites '{{clinic: corpora/clinic, lab: …}}'")
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown or not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods wants some of {', '.join(METHODS)}, each once; got "
                             f"{', '.join(self.methods) or 'none'}")
        if min(self.seeds, self.jobs) < 1:
            raise ValueError(f"seeds and jobs must be at least 1, got {self.seeds} and "
                             f"{self.jobs}")
        for name in ("models", "channels"):
            if strange := sorted(set(getattr(self, name)) - set(self.sites)):
                raise ValueError(f"{name}: {', '.join(strange)} is no site")
        if self.engine == "ray" and self.jobs > 1:
            raise ValueError("jobs is of engine=in_process; with ray sites run at the same time")
        self.federation.check(len(self.sites))

    @property
    def every_site(self) -> list[Site]:
        return [Site(name, folder, "", self.models.get(name, ""),
                     tuple(self.channels.get(name, ()))) for name, folder in self.sites.items()]

    @property
    def federation(self) -> Federation:
        return Federation(self.learning, self.averaging, self.privacy, self.secure)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    logging.getLogger("flwr").setLevel(logging.WARNING)  # of a round we say more ourselves
    run = config.parse(FederateConfig, argv, command="federate")
    try:
        return federate(run, functools.partial(print, flush=True))
    except FederationFailed as problem:
        sys.stderr.write(f"neurofm federate: {problem}\n")
        return EXIT_FAILED
    except Stopped as stop:
        print(stop)
        return STOPPED


def federate(run: FederateConfig, say=print) -> int:
    """Do all folds and seeds of all methods, judge, write tables, figures and page, seal."""
    out = Path(run.out)
    parents = {name: Corpus.open(folder).fingerprint for name, folder in run.sites.items()}
    learning = run.learning.as_here()
    if learning.fingerprint:
        parents["model"] = learning.fingerprint
    settled = config.resolved(replace(run, jobs=1))
    if artifacts.finished(out, "results", config=settled, parents=parents):
        say(f"{out} is finished: nothing to do")
        return 0
    learning = replace(learning, classes=_classes(run))
    run = replace(run, learning=learning)
    counts = {site.name: n_folds(site, learning) for site in run.every_site}
    artifacts.claim(out, {**parents, **settled})
    config.save(run, out)
    say("; ".join(f"{name}: {n} fold{'s' * (n != 1)}" for name, n in counts.items()))
    every = run.folds or range(max(counts.values()))
    jobs = [simulation.Job(method, fold, seed)
            for fold, seed, method in itertools.product(every, range(run.seeds), run.methods)]
    tables = _done(run, jobs, say)
    table = pd.concat([each for job, parts in zip(jobs, tables, strict=True)
                       for name, each in parts.items() if job.fold < counts[name]],
                      ignore_index=True)
    found = federated_scores.score(table, tuple(learning.classes), run.methods)
    rounds = simulation.rounds(out, jobs)
    _written(out, run, table, found, rounds)
    artifacts.seal(out, "results", config=settled, parents=parents, files=[
        "predictions.parquet", "sites.tsv", "people.tsv", "rounds.tsv", "sites.png", "rounds.png",
        "index.html", "run.yaml"])
    say(found.sites.to_string(index=False, float_format="{:.3f}".format))
    say(federated_scores.finding(found))
    if "federated" in run.methods:
        up = "masked sums" if run.secure.on else size(rounds["bytes_up"].max())
        say(f"a round and site: {size(rounds['bytes_down'].max())} down, {up} up")
        if run.privacy.where != "none":
            say(f"privacy of a site: epsilon {rounds['epsilon'].max():.3g} at delta "
                f"{run.privacy.delta:g}")
    say(f"page: {out / 'index.html'}")
    return 0


def _classes(run: FederateConfig) -> list[str]:
    """Named, or those that every site has; ValueError where sites ask different questions."""
    from . import tasks

    if run.learning.classes:
        return list(run.learning.classes)
    asked = tasks.find(run.learning.task).classes
    found = {name: labelled(Corpus.open(folder), asked, run.learning.only).classes
             for name, folder in run.sites.items()}
    if len(set(found.values())) > 1:
        raise ValueError("sites tell different classes apart ("
                         + "; ".join(f"{name}: {', '.join(of)}" for name, of in found.items())
                         + "): name those that all have (--learning.classes)")
    return list(next(iter(found.values())))


def _done(run: FederateConfig, jobs: list, say) -> list[dict[str, pd.DataFrame]]:
    do = functools.partial(simulation.do, Path(run.out), run.federation, run.engine,
                           run.every_site)
    # Of several at a time each prints for itself.
    return parallel.run(functools.partial(do, say=say) if run.jobs == 1 else do, jobs, run.jobs)


def _written(
    out: Path, run: FederateConfig, table: pd.DataFrame, found: federated_scores.Scores,
    rounds: pd.DataFrame,
) -> None:
    table.to_parquet(out / "predictions.parquet", index=False)
    found.sites.to_csv(out / "sites.tsv", sep="\t", index=False, float_format="%.5g")
    found.people.to_csv(out / "people.tsv", sep="\t", index=False, float_format="%.5g")
    rounds.to_csv(out / "rounds.tsv", sep="\t", index=False, float_format="%.5g")
    federated_figures.draw(out, found, rounds)
    (out / "index.html").write_text(federated_page.page(out, run, found, rounds))


if __name__ == "__main__":
    sys.exit(main())
