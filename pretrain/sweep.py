"""Sweeps: a run for each combination of settings, a table of them, and a Slurm array.

    grid.yaml            train.lr: [1e-3, 3e-4]
                         architecture.dim: [64, 128]

    OUT/runs.tsv         a row a run: number, folder, settings
    OUT/configs/1.yaml   the whole configuration of a run, for --config
    OUT/sweep.sbatch     runs one of them for each task of a Slurm array
    OUT/train.lr=…       the folder of a run
"""

import itertools
import json
import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from neurofm import artifacts, config, yaml_file
from neurofm.checkpoints.sweeps import FILE_NAME
from neurofm.lock import NAME as LOCK
from neurofm.lock import only_one
from neurofm.run import OK

if TYPE_CHECKING:
    from .train import PretrainConfig

_NOT = ("out", "sweep", "sweep_limit", "continue_with")  # of the sweep, not of its runs
_POWER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # 1e-3: to YAML 1.1 a text
_TABLE, _SUBMITTED = "runs.tsv", "sweep.sbatch"
_LONGEST = 120  # name of a folder
_SCRIPT = '''#!/bin/bash
# Each task of a Slurm array makes a run of the sweep by configs/slurm/pretrain.sbatch. See there
# what the environment of the job may say. Submit from the folder that relative paths start from:
#
#   sbatch {script}
#
# Without Slurm: for n in $(seq {n}); do neurofm pretrain --config {configs}/$n.yaml; done
#SBATCH --job-name=neurofm-sweep
#SBATCH --array=1-{n}
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.log

exec bash "${{SCRIPT:-configs/slurm/pretrain.sbatch}}" \\
    --config "{configs}/${{SLURM_ARRAY_TASK_ID:?submit this with sbatch}}.yaml" "$@"
'''


def write(run: "PretrainConfig", words: list[str]) -> int:
    """Write the runs of `run.sweep`; each is checked as its own command line will be."""
    out = Path(run.out)
    base = {name: value for name, value in config.resolved(run).items() if name not in _NOT}
    runs = combinations(run.sweep, base, run.sweep_limit)
    names = names_of(runs)
    made = []
    for number, (settings, name) in enumerate(zip(runs, names, strict=True), start=1):
        content = {**_with(base, settings), "out": str(out / name)}
        _check(type(run), content)
        made.append((number, name, content, settings))
    with only_one(out, "pretrain"):
        _written(out, made)
    script = out / _SUBMITTED
    print(f"{len(made)} runs in {out}: runs.tsv lists them\n"
          f"next: sbatch {script}, or for n in $(seq {len(made)}); do neurofm pretrain --config "
          f"{out / 'configs'}/$n.yaml; done\n"
          f"then: neurofm show {out}", flush=True)
    return OK


def _written(out: Path, made: list[tuple[int, str, dict, dict]]) -> None:
    """Write list, table, settings and script. Raises ValueError where the folder holds anything
    else, such as a sweep of the same grid with other settings besides.

    made: number, name, whole settings, and those of the grid, of each run.
    """
    listing = {"runs": [{"number": number, "name": name, "settings": settings}
                        for number, name, _, settings in made]}
    file, configs = out / FILE_NAME, out / "configs"
    texts = {configs / f"{number}.yaml": yaml.safe_dump(content, sort_keys=False)
             for number, _, content, _ in made}
    held = {path.name for path in out.iterdir()} - {LOCK}
    if held and not file.exists() and not held <= {configs.name, _TABLE, _SUBMITTED}:
        raise ValueError(f"--out {out}: wanted a new folder, but it holds other things; choose "
                         f"another --out, or delete it")
    other = [path.name for path, text in texts.items()
             if path.exists() and path.read_text() != text]
    if other or (file.exists() and artifacts.read_json(file) != artifacts.as_json(listing)):
        raise ValueError(f"--out {out}: holds another sweep ({other[0] if other else FILE_NAME} "
                         f"differs); choose another --out")
    configs.mkdir(exist_ok=True)
    for path, text in texts.items():
        path.write_text(text)
    keys = list(made[0][3])
    rows = [["number", "folder", *keys]]
    rows += [[str(number), name, *(json.dumps(settings[key]) for key in keys)]
             for number, name, _, settings in made]
    (out / _TABLE).write_text("".join("\t".join(row) + "\n" for row in rows))
    (out / _SUBMITTED).write_text(
        _SCRIPT.format(n=len(made), script=out / _SUBMITTED, configs=configs))
    artifacts.write_json(file, listing, checked=True)


def combinations(path: str, base: dict, limit: int) -> list[dict[str, Any]]:
    """The settings of each run: dotted name → value. Raises ValueError for a grid that is none.

    base: the other settings. limit: largest number of runs.
    """
    grid = yaml_file.read(path)
    if not isinstance(grid, dict) or not grid:
        raise ValueError(f"{path}: wanted names of settings, each with a list of values, such as "
                         f"'train.lr: [1.0e-3, 3.0e-4]'; found {type(grid).__name__}")
    for name, values in grid.items():
        if name in _NOT or name == "data":
            raise ValueError(f"{path}: {name} is of the whole sweep and cannot differ in its runs")
        if not isinstance(values, list) or not values:
            raise ValueError(f"{path}: {name}: wanted a list of values, such as [1, 2]; got "
                             f"{values!r}")
    if (n := math.prod(map(len, grid.values()))) > limit:
        raise ValueError(f"{path}: {n} combinations, more than --sweep_limit {limit}: name fewer "
                         f"values, or raise it")
    return [dict(zip(map(str, grid), map(_number, values), strict=True))
            for values in itertools.product(*grid.values())]


def names_of(runs: list[dict[str, Any]]) -> list[str]:
    """Name of each run's folder: the settings in which it differs from others."""
    differ = [key for key in runs[0] if len({json.dumps(run[key]) for run in runs}) > 1]
    short = {key: key.rpartition(".")[2] for key in differ}
    if len(set(short.values())) < len(short):
        short = {key: key for key in differ}
    names = [",".join(f"{short[key]}={_text(run[key])}" for key in differ) or "run" for run in runs]
    if len(set(names)) < len(names) or max(map(len, names)) > _LONGEST:
        return [f"{number:03d}" for number in range(1, len(runs) + 1)]
    return names


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and _POWER.fullmatch(value) else value


def _text(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    return re.sub(r"[^\w.+-]+", "_", text).strip("_")


def _with(base: dict, settings: dict[str, Any]) -> dict:
    """The settings, in place of those of `base`."""
    found = json.loads(json.dumps(base))
    for name, value in settings.items():
        *above, last = name.split(".")
        inside = found
        for part in above:
            inside = inside.setdefault(part, {})
        inside[last] = value
    return found


def _check(kind: type, content: dict) -> None:
    """Parse a run's configuration as `neurofm pretrain --config` will; prints the problem and exits
    2 where it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        config.parse(kind, [f"--config={file}"], command="pretrain")
