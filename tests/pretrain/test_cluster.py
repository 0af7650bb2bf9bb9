"""What runs on a cluster: batch scripts with a fake SLURM, and what images are made of."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from neurofm import artifacts
from neurofm.pretrain.train import main as pretrain_main
from tests.support import corpora
from tests.support.training_process import log, wait_for

ROOT = Path(__file__).resolve().parents[2]
SLURM = ROOT / "configs" / "slurm"
DOCKER = ROOT / "docker"
SCRIPTS = ("single_node.sbatch", "multi_node.sbatch")

# Starts a command once for each task; hands USR1 on to the tasks alone, or to everything in them:
# SLURM does the one or the other, depending on how it follows processes.
FAKE_SRUN = r"""#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
tasks=()
for ((i = 0; i < FAKE_TASKS; i++)); do SLURM_PROCID=$i "$@" & tasks+=($!); done
below() { for pid in "$@"; do echo "$pid"; below $(pgrep -P "$pid"); done; }
hand_on() {
    if [ "$FAKE_SIGNALS" = everything ]; then kill -USR1 $(below "${tasks[@]}") 2> /dev/null
    else kill -USR1 "${tasks[@]}"; fi
}
trap hand_on USR1
worst=0
for pid in "${tasks[@]}"; do
    while wait "$pid"; status=$?; kill -0 "$pid" 2> /dev/null; do :; done
    ((status > worst)) && worst=$status
done
exit $worst
"""
FAKE_SCONTROL = """#!/bin/bash
if [ "$1 $2" = "show hostnames" ]; then echo localhost; else echo "$@" >> "$FAKE_CALLS"; fi
"""


def free_job_id() -> int:
    """Of a job whose port, as the scripts choose it, is not in use."""
    while True:
        number = random.randrange(10_000)
        with socket.socket() as one:
            if one.connect_ex(("localhost", 20_000 + number)) != 0:
                return number


@pytest.fixture
def slurm(tmp_path):
    """(start(script, words, **environment), what was asked of scontrol)"""
    commands, calls = tmp_path / "bin", tmp_path / "scontrol.txt"
    commands.mkdir()
    for name, text in (("srun", FAKE_SRUN), ("scontrol", FAKE_SCONTROL)):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    path = f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    running = []

    def start(script: str, *words: str, **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            ["bash", SLURM / script, *words], cwd=ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PATH": path, "FAKE_CALLS": str(calls),
                 "SLURM_JOB_ID": str(free_job_id()), "SLURM_GPUS_ON_NODE": "1",
                 "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": environment["FAKE_TASKS"],
                 "ACCELERATE_CONFIG": "configs/accelerate/cpu.yaml", **environment},
        )  # fmt: skip
        running.append(process)
        return process

    yield start, lambda: calls.read_text().splitlines() if calls.exists() else []
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "tasks", "signals", "workers"),
    [("single_node.sbatch", "1", "everything", 1), ("multi_node.sbatch", "2", "task", 0)],
)
def test_distributed_job_is_stopped_requeued_and_finished(
    slurm, corpus_folder, tmp_path, script, tasks, signals, workers
):
    start, asked = slurm
    whole, out = tmp_path / "whole", tmp_path / "out"
    settings = {
        "model": "brain_tokenizer", "data": str(corpus_folder), "architecture": corpora.TOKENIZER,
        "train": {"steps": 150, "batch_windows": 8, "log_every": 1, "lr": 1e-4},
    }  # fmt: skip
    path = corpora.write_yaml(tmp_path / "run", settings)
    assert pretrain_main([f"--config={path}", f"--out={whole}"]) == 0
    words = (f"--config={path}", f"--out={out}", f"--train.workers={workers}")

    job = start(script, *words, FAKE_TASKS=tasks, FAKE_SIGNALS=signals)
    wait_for(lambda: len(log(out)) >= 2, job)
    job.send_signal(signal.SIGUSR1)  # "B:": to the script
    said, _ = job.communicate(timeout=120)
    assert job.returncode != 0, said
    assert "as asked; state saved in" in said
    assert said.count("exitcode  : 85") >= 1
    (call,) = asked()
    assert re.fullmatch(r"requeue \d+", call)
    assert "back into the queue" in said
    stopped_at = log(out)[-1]["step"]
    assert stopped_at < 150

    job = start(script, *words, FAKE_TASKS=tasks, FAKE_SIGNALS=signals)
    said, _ = job.communicate(timeout=120)
    assert job.returncode == 0, said
    assert f"continuing at step {stopped_at}" in said
    assert f"{tasks} process(es) on cpu" in said
    assert len(asked()) == 1
    assert artifacts.is_sealed(out)
    losses, wanted = ([line["loss"] for line in log(folder) if "loss" in line]
                      for folder in (out, whole))
    if tasks == "1":
        assert losses == wanted
    else:
        # Rounding grows through the loss's phase term: see `without_phase` in tests/training.
        assert losses[:8] == pytest.approx(wanted[:8], abs=1e-2)
        assert losses == pytest.approx(wanted, abs=0.1)


def test_failure_is_not_requeued(slurm, tmp_path):
    """What fails by itself would fail again."""
    start, asked = slurm
    job = start("single_node.sbatch", FAKE_TASKS="1", FAKE_SIGNALS="task",
                ACCELERATE_CONFIG="/nowhere.yaml")
    job.communicate(timeout=60)
    assert job.returncode == 1
    assert asked() == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_bad_input_a_job_without_gpus(slurm, script):
    """Told before anything starts, with what to do."""
    start, asked = slurm
    job = start(script, FAKE_TASKS="1", FAKE_SIGNALS="task", SLURM_GPUS_ON_NODE="")
    said, _ = job.communicate(timeout=60)
    assert job.returncode not in (0, 85)
    assert "no GPUs: ask for --gpus-per-node, or say PROCESSES=" in said
    assert asked() == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts(script):
    """They parse, ask for the signal, may be requeued, and name files that exist."""
    text = (SLURM / script).read_text()
    assert subprocess.run(["bash", "-n", SLURM / script]).returncode == 0
    assert re.search(r"^#SBATCH --signal=B:USR1@\d+", text, re.M)
    assert re.search(r"^#SBATCH --requeue", text, re.M)
    for path in re.findall(r"(?:configs|docker)/[\w/.]*\w", text):
        assert (ROOT / path).exists(), path


def copied(recipe: str) -> list[str]:
    """What an image takes from the repository."""
    text = (DOCKER / recipe).read_text()
    if recipe.endswith(".def"):
        block = text.partition("%files\n")[2].partition("\n\n")[0]
        return [line.split()[0] for line in block.splitlines()]
    lines = re.findall(r"^COPY (.*) \S+$", text, re.M)
    return [name for line in lines for name in line.split()]


@pytest.mark.parametrize("recipe", ["cpu.Dockerfile", "cuda.Dockerfile", "neurofm.def"])
def test_images(recipe):
    """What the recipes copy is there, what they install is pinned, what they name exists."""
    text = (DOCKER / recipe).read_text()
    names = copied(recipe)
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert {"constraints.txt", "pyproject.toml", "neurofm", "configs"} <= set(names)
    installs = re.findall(r"pip install.*$", text, re.M)
    assert len(installs) == 3  # locked packages by hash, torch at its version, neurofm itself
    assert "--no-deps --require-hashes -r requirements.txt" in installs[0]
    assert '"$(grep ^torch== constraints.txt)"' in installs[1]
    assert "--no-deps --no-build-isolation ." in installs[2]
    for path in re.findall(r"(?:configs|docker)/[\w/]*\.\w+", text):
        assert (ROOT / path).exists(), path


def test_everything_installed_is_pinned():
    """constraints.txt names every requirement, at the version that these tests run with."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): number for name, number in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for name in extras for each in extras[name])]
    for requirement in wanted:
        if requirement.startswith("neurofm["):
            continue
        name = re.split(r"[\[<>=!~ ]", requirement)[0]
        number = pinned.get(re.sub(r"[-_.]+", "-", name).lower())
        assert number is not None, f"{name} is not in constraints.txt"
        assert version(name).partition("+")[0] == number, name


def test_what_is_copied_can_be_installed(tmp_path):
    """`pip install .` in the image, as far as a wheel: every module is in it, and what the entry
    points name."""
    for name in copied("cpu.Dockerfile"):
        source, target = ROOT / name, tmp_path / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, ignore=skip, symlinks=True) if source.is_dir() else (
            shutil.copy(source, target))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         f"--wheel-dir={tmp_path}", tmp_path / "source"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    for package in ("neurofm", "preprocessing", "pretrain", "downstream"):
        for path in (ROOT / package).rglob("*.py"):
            inside = path.relative_to(ROOT / "neurofm" if package == "neurofm" else ROOT)
            assert f"neurofm/{inside}" in packed
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for group in project["entry-points"].values():
        for place in group.values():
            module = place.partition(":")[0].replace(".", "/")
            assert {f"{module}.py", f"{module}/__init__.py"} & packed, place
