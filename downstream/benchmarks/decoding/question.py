"""Compare decoders on held-out subjects: pretrained, untrained and baselines.

    neurofm evaluate decoding --data labeled/ --model runs/brainomni --out results/
    neurofm evaluate decoding --data labeled/ --out results/    without a model
    neurofm evaluate decoding --config … --part 3/16    one of 16 jobs of an array, in any order
    neurofm evaluate decoding --config … --jobs 4       four processes here

Every method is trained on the same windows of a fold, makes its choices on the fold's validation
subjects and is judged on its test subjects. A run that was interrupted goes on with what is not
finished; calls that share a folder do each job once, and the one that finds all done writes the
report.
"""

import functools

import pandas as pd
from filelock import FileLock

from neurofm import artifacts
from neurofm.run import OK, Command, Made
from neurofm.run import Job as Call
from neurofm.terminal import log_shown
from neurofm.training import parallel

from ...scoring import identity
from . import few_shot, judged, methods
from .jobs import share, work
from .settings import EvaluateConfig, part_of
from .setup import Setup, prepared


def ask(run: EvaluateConfig, call: Call) -> Made | int:
    """Train, answer, compare; the last of several calls makes the report."""
    setup, out = prepared(run), call.out
    call.claim()
    call.say(setup.describe())
    first, of = part_of(run.part)
    if run.jobs > 1:
        parallel.run(functools.partial(_do_share, run), range(first, of * run.jobs, of), run.jobs)
    if run.jobs == 1 or not run.part:
        _do(setup, run, first, of)
    if artifacts.is_sealed(out) and COMMAND.is_finished(run):
        call.say(f"{out} was finished by another call")
        return OK
    done = sum(job.is_done(out) for job in setup.jobs)
    if done < len(setup.jobs):
        call.say(f"{done} of {len(setup.jobs)} jobs are done; the call that finds all of them done "
                 f"writes the report")
        return OK
    with FileLock(out / ".report.lock"):  # one call writes it; another finds it written
        if artifacts.is_sealed(out) and COMMAND.is_finished(run):
            call.say(f"{out} was finished by another call")
            return OK
        status = call.seal(_report(run, setup, call))
        (out / ".report.lock").unlink(missing_ok=True)
    return status


COMMAND = Command(
    "evaluate decoding", EvaluateConfig, ask, makes="results", reads=("data",),
    models=("model", "models"), free=frozenset({"part", "jobs", "batch_windows"}),
    leaves=("parts", "runs"),
    until_sealed=frozenset({"methods", "seeds", "explain", "shots", "covariates"}),
    shared=lambda run: True,
)
main = COMMAND


def _do(setup: Setup, run: EvaluateConfig, k: int, n: int) -> None:
    """The k-th of n shares; without a part, also what other calls are at."""
    work(share(setup.jobs, k, n), setup.jobs, setup.out, wait=not run.part and n == 1,
         make=setup.answered)


def _do_share(run: EvaluateConfig, k: int) -> None:
    """A share in a process of its own, which prepares what it needs."""
    with log_shown():
        _do(prepared(run), run, k, part_of(run.part)[1] * run.jobs)


def _report(run: EvaluateConfig, setup: Setup, call: Call) -> Made:
    """All jobs' predictions → probes, tables, page."""
    table = pd.concat([pd.read_parquet(setup.out / "parts" / job.file) for job in setup.jobs],
                      ignore_index=True)
    networks = setup.networks if run.model else None  # probes are of the model evaluated
    auto = next((job.method for job in setup.jobs if methods.is_automatic(job.method)), None)
    curves = few_shot.curves(
        run.shots, networks, setup.simple, setup.parts, run.seeds,
        (lambda fold: (auto, setup.automatic.views(auto, fold))) if auto else None,
    ) if run.shots else None
    known = identity.probe(networks, setup.simple, setup.parts[0])
    return judged.report(run, setup, table, curves, known, call.parents)
