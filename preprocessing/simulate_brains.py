"""`neurofm simulate --t1 true`: people of whom a T1 and fMRI are taken. `run`: a `SimulateConfig`.
"""

import functools
from dataclasses import fields
from pathlib import Path

import yaml

from neurofm import processes, progress
from neurofm.run import Job, Made

from .collect import PRELOAD, attempt

SETTINGS = "run.yaml"  # the settings but for the folder, for --config
_MEANT = {"out", "subjects", "first_subject", "minutes", "t_r_s", "seed", "t1", "brains", "jobs"}
_FEWEST = 20  # volumes


def check(run) -> None:
    """Raise ValueError for settings that have no meaning for T1s, or none that can be met."""
    idle = [each.name for each in fields(run)
            if each.name not in _MEANT and getattr(run, each.name) != each.default]
    if idle:
        raise ValueError(f"{', '.join(idle)} would be ignored with t1: leave them out")
    if not run.t_r_s or not all(0.3 <= t_r_s <= 5 for t_r_s in run.t_r_s):
        raise ValueError(f"t_r_s: wanted repetition times of 0.3 to 5 s, got {run.t_r_s}")
    if run.minutes * 60 < _FEWEST * max(run.t_r_s):
        raise ValueError(f"minutes must leave room for {_FEWEST} volumes of {max(run.t_r_s):g} s, "
                         f"got {run.minutes}")


def make(run, job: Job) -> Made:
    """Make the people who are not there, then the tables of all."""
    from threadpoolctl import threadpool_limits

    from .simulation import brain_archive

    folder = job.out
    (folder / "truth").mkdir(exist_ok=True)
    settings = {key: value for key, value in job.config.items() if key not in ("out", "jobs")}
    (folder / SETTINGS).write_text(yaml.safe_dump(settings, sort_keys=False))
    people = [brain_archive.person(number, run.brains, run.seed)
              for number in range(run.first_subject, run.first_subject + run.subjects)]
    one = functools.partial(_one, folder, run)
    shown = functools.partial(progress.each, total=len(people), what="simulate")
    if run.jobs == 1:
        with threadpool_limits(1):  # as in the processes below: the same sums, the same bytes
            rows = [one(who) for who in shown(people)]
    else:
        work = functools.partial(_tried, folder, run)
        for who, problem in shown(processes.run(work, people, run.jobs, preload=PRELOAD)):
            if problem is not None:
                raise ValueError(f"{who.name}: {problem}; the same command goes on")
        rows = [one(who) for who in people]
    files = [SETTINGS, *brain_archive.write_tables(folder, rows, run.brains)]
    for who, row in zip(people, rows, strict=True):
        files += [*row["files"], f"truth/{who.name}.json"]
    n_t1, n_fmri = (sum(getattr(who, name) for who in people) for name in ("has_t1", "has_fmri"))
    said = f"{folder}: {len(people)} subjects, {n_t1} with a T1, {n_fmri} with fMRI"
    return Made(files, said=[said], next=(
        f"neurofm ingest {folder} --modality t1 --out t1; neurofm ingest {folder} --modality fmri "
        f"--images.atlas {folder}/rois.nii.gz --out fmri"))


def _one(folder: Path, run, who) -> dict:
    from .simulation import brain_archive

    return brain_archive.write_person(folder, who, run.brains, run.seed, run.minutes, run.t_r_s)


def _tried(folder: Path, run, who) -> str | None:
    """None once the person is there, or the reason why it could not be made."""
    return attempt(lambda: _one(folder, run, who))
