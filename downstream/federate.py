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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from neurofm import config, tsv
from neurofm.data.corpus import Corpus
from neurofm.limits import Count, limited
from neurofm.pages import table as tables
from neurofm.pages.figure import with_svg
from neurofm.results import Results, score
from neurofm.run import FAILED, Command, Job, Made
from neurofm.training import parallel

from .decoder.labeled import labeled
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


@dataclass
@limited
class FederateConfig:
    """Train a shared decoder at several sites without sharing recordings.

    Parameters
    ----------
    sites
        Name of each site → its corpus of labeled windows.
    out
        Folder of the results.
    learning
        Training at the sites.
    averaging
        How weights are aggregated.
    privacy
        Differential privacy.
    secure
        Secure aggregation.
    methods
        Methods to compare: federated, local, pooled; gains are relative to local.
    folds
        Numbers of the folds to run, from 0; empty = all, so that every subject is tested once.
    seeds
        Number of trainings; scores are means over them.
    engine
        "in_process" trains one site after another; "ray" runs sites as processes.
    jobs
        Number of processes: folds, seeds and methods run in parallel (in_process).
    models
        Site → local path of the encoder, where it differs from learning.model.
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
    seeds: Count = 1
    engine: Literal["in_process", "ray"] = "in_process"
    jobs: Count = 1
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


def federate(run: FederateConfig, job: Job) -> Made | int:
    """Do all folds and seeds of all methods, judge, write tables, figures and page."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    logging.getLogger("flwr").setLevel(logging.WARNING)  # of a round we say more ourselves
    try:
        return _federated(run, job)
    except FederationFailed as problem:
        sys.stderr.write(f"neurofm federate: {problem}\n")
        return FAILED


def _federated(run: FederateConfig, job: Job) -> Made:
    learning = replace(run.learning.as_here(), classes=_classes(run))
    run = replace(run, learning=learning)
    counts = {site.name: n_folds(site, learning) for site in run.every_site}
    config.save(run, job.out)
    job.say("; ".join(f"{name}: {n} fold{'s' * (n != 1)}" for name, n in counts.items()))
    every = run.folds or range(max(counts.values()))
    jobs = [simulation.Job(method, fold, seed)
            for fold, seed, method in itertools.product(every, range(run.seeds), run.methods)]
    made = _done(run, jobs, job)
    table = pd.concat([each for one, parts in zip(jobs, made, strict=True)
                       for name, each in parts.items() if one.fold < counts[name]],
                      ignore_index=True)
    found = federated_scores.score(table, tuple(learning.classes), run.methods)
    rounds = simulation.rounds(job.out, jobs)
    files = _written(job.out, table, found, rounds)
    said = [tables.text(federated_scores.shown(found))]
    if "federated" in run.methods:
        up = "masked sums" if run.secure.on else size(rounds["bytes_up"].max())
        said.append(f"a round and site: {size(rounds['bytes_down'].max())} down, {up} up")
        if run.privacy.where != "none":
            said.append(f"privacy of a site: epsilon {rounds['epsilon'].max():.3g} at delta "
                        f"{run.privacy.delta:g}")
    people = pd.concat([Corpus.open(folder).recordings for folder in run.sites.values()])
    if learning.fingerprint:
        job.models["model"] = learning.model
    results = Results(
        "federate", data=list(run.sites.values()), model=learning.model, methods=run.methods,
        protocol=asdict(learning.protocol), seeds=list(range(run.seeds)),
        subjects=int(found.people.groupby(["site", "subject"]).ngroups),
        scores=[score(row["method"], "balanced_accuracy", row["balanced_accuracy"],
                      n=row["people"], site=row["site"]) | {
                          "low": row["low"], "high": row["high"]}
                for row in found.sites.to_dict("records")],
        summary=federated_scores.finding(found))
    judged = people[people["recording"].isin(set(table["recording"]))]
    return Made(files, results=results, judged=judged, said=said,
                page=federated_page.page(job.out, run, found, rounds))


def _encoder(run: FederateConfig) -> dict[str, str]:
    mark = run.learning.as_here().fingerprint
    return {"model": mark} if mark else {}


COMMAND = Command(
    "federate", FederateConfig, federate, makes="results", reads=("sites",), further=_encoder,
    free=frozenset({"jobs", "learning.model", "learning.train.log_every"}))
main = COMMAND


def _classes(run: FederateConfig) -> list[str]:
    """Named, or those that every site has; ValueError where sites ask different questions."""
    from . import tasks

    if run.learning.classes:
        return list(run.learning.classes)
    asked = tasks.find(run.learning.task).classes
    found = {name: labeled(Corpus.open(folder), asked, run.learning.only).classes
             for name, folder in run.sites.items()}
    if len(set(found.values())) > 1:
        raise ValueError("sites tell different classes apart ("
                         + "; ".join(f"{name}: {', '.join(of)}" for name, of in found.items())
                         + "): name those that all have (--learning.classes)")
    return list(next(iter(found.values())))


def _done(run: FederateConfig, jobs: list, job: Job) -> list[dict[str, pd.DataFrame]]:
    do = functools.partial(simulation.do, job.out, run.federation, run.engine, run.every_site)
    # Of several at a time each prints for itself.
    return parallel.run(functools.partial(do, say=job.say) if run.jobs == 1 else do, jobs, run.jobs)


def _written(
    out: Path, table: pd.DataFrame, found: federated_scores.Scores, rounds: pd.DataFrame
) -> list[str]:
    """Write tables and figures; returns the names of all files."""
    table.to_parquet(out / "predictions.parquet", index=False)
    tsv.write(found.sites, out / "sites.tsv", float_format="%.5g")
    tsv.write(found.people, out / "people.tsv", float_format="%.5g")
    tsv.write(rounds, out / "rounds.tsv", float_format="%.5g")
    federated_figures.draw(out, found, rounds)
    return with_svg(out, ["predictions.parquet", "sites.tsv", "people.tsv", "rounds.tsv",
                          "sites.png", "rounds.png", "run.yaml"])
