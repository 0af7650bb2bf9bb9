"""The batch scripts on a real Slurm of two machines (tests/support/slurm_cluster.py).

Training is interrupted as clusters do it, and must end with the bytes of a run that was not. What
takes minutes runs in `make test-slurm` alone, which sets NEUROFM_SLURM=all and keeps the log.
"""

import json
import os
import re
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neurofm import artifacts, cli
from tests.support import corpora, slurm_cluster
from tests.support.slurm_cluster import Cluster
from tests.support.training_process import log

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "configs/slurm/pretrain.sbatch"
ARRAY = ROOT / "configs/slurm/array.sbatch"
STEPS = 150

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(
    bool(slurm_cluster.lacking()), reason=slurm_cluster.lacking() or "Slurm is there")]
whole_walk = pytest.mark.skipif(os.environ.get("NEUROFM_SLURM") != "all",
                                reason="takes minutes: `make test-slurm` runs it")

# Two processes: two GPUs of one machine, or one of each of two.
ONE_NODE = "--nodes=1 --gpus-per-node=2 --cpus-per-task=2"
TWO_NODES = "--nodes=2 --gpus-per-node=1 --cpus-per-task=1"
GOING_ON = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")
SETTINGS = {
    "ACCELERATE_CONFIG": "configs/accelerate/cpu.yaml", "MASTER_ADDR": "127.0.0.1",
    "VENV": sys.prefix, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore",
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    with Cluster.up() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def run(tmp_path_factory, corpus_folder):
    """Settings of a run, as a file."""
    return corpora.write_yaml(tmp_path_factory.mktemp("slurm") / "run", {
        "model": "brain_tokenizer", "data": str(corpus_folder),
        "architecture": {**corpora.TOKENIZER, "phase": 0.0},  # phase magnifies rounding
        "train": {"steps": STEPS, "batch_windows": 8, "log_every": 1, "save_every": 40},
    })  # fmt: skip


@pytest.fixture(scope="module")
def whole(cluster, run):
    """Weights of the run that nothing has disturbed."""
    out = run.with_name("whole")
    job = start(cluster, run, out, ONE_NODE)
    ended = cluster.wait(job)
    assert ended["JobState"] == "COMPLETED", cluster.log(job)
    assert ended["Restarts"] == "0"
    return weights(out)


def start(cluster: Cluster, run: Path, out: Path, options: str, *words: str, **settings) -> str:
    return cluster.submit(SCRIPT, f"--config={run}", f"--out={out}", *words,
                          options=f"--chdir={ROOT} {options}", **{**SETTINGS, **settings})


def weights(out: Path) -> str:
    """sha256 of the weights, which are what the manifest says."""
    return artifacts.open_sealed(out, "checkpoint", hashes=True).files["model.safetensors"][1]


def until(cluster: Cluster, job: str, condition, at_most_s: float = 120) -> None:
    began = time.monotonic()
    while not condition():
        state = cluster.job(job)["JobState"]
        assert state in GOING_ON, f"{state}: {cluster.log(job)}"
        assert time.monotonic() - began < at_most_s, cluster.log(job)
        time.sleep(0.05)


def last_step(out: Path) -> int:
    return log(out)[-1]["step"] if log(out) else 0


@pytest.mark.long
def test_stopped_before_the_limit_and_requeued(cluster, run, whole, tmp_path):
    """The signal comes in the middle: one line tells, the job goes back and on, on two machines."""
    out = tmp_path / "out"
    job = start(cluster, run, out, TWO_NODES)
    until(cluster, job, lambda: last_step(out) >= 5)
    cluster.signal(job)
    until(cluster, job, lambda: cluster.job(job)["Restarts"] == "1")
    said = cluster.log(job)
    (step,) = re.findall(r"stopped after step (\d+) as asked; state saved in", said)
    assert int(step) < STEPS
    after = said.partition(f"stopped after step {step}")[2].splitlines()
    assert after[1] == "back into the queue"
    assert all("DUE TO JOB REQUEUE" in line for line in after[2:])  # Slurm's own
    assert not re.search("Traceback|error|exit code", said.partition("back into")[0]), said
    ended = cluster.wait(job)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), cluster.log(job)
    assert f"continuing at step {step} from" in cluster.log(job)
    assert weights(out) == whole


@whole_walk
@pytest.mark.parametrize("after_s", [0.0, 0.5, 1.0, 2.0, 4.0, 8.0])
def test_signal_at_start_up(cluster, run, whole, tmp_path, after_s):
    """Before the environment, the processes, or torch are there: nothing is lost, nothing hangs."""
    out = tmp_path / "out"
    job = start(cluster, run, out, TWO_NODES if after_s > 1 else ONE_NODE)
    cluster.wait(job, "RUNNING")
    time.sleep(after_s)
    cluster.signal(job)
    until(cluster, job, lambda: cluster.job(job)["Restarts"] == "1")
    assert last_step(out) < STEPS / 2
    assert "back into the queue" in cluster.log(job)
    ended = cluster.wait(job)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), cluster.log(job)
    assert weights(out) == whole


@whole_walk
@pytest.mark.parametrize("step", [STEPS - 1, STEPS])
def test_signal_at_the_end(cluster, run, whole, tmp_path, step):
    """What is finished stays finished, and does not go back into the queue for nothing."""
    out = tmp_path / "out"
    job = start(cluster, run, out, ONE_NODE)
    until(cluster, job, lambda: last_step(out) >= step)
    cluster.signal(job)
    ended = cluster.wait(job)
    assert ended["JobState"] == "COMPLETED", cluster.log(job)
    assert int(ended["Restarts"]) <= 1
    assert weights(out) == whole


@whole_walk
def test_a_machine_goes_down(cluster, run, whole, tmp_path):
    """Slurm puts the job back itself; it goes on from the last state, not from the beginning."""
    out = tmp_path / "out"
    job = start(cluster, run, out, TWO_NODES)
    until(cluster, job, lambda: last_step(out) >= 50)
    cluster.fail_node("n2")
    try:
        until(cluster, job, lambda: cluster.job(job)["Restarts"] == "1")
    finally:
        cluster.start_node("n2")
    ended = cluster.wait(job)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), cluster.log(job)
    assert "continuing at step 40 from" in cluster.log(job)
    assert weights(out) == whole


@whole_walk
def test_time_limit(cluster, run, whole, tmp_path):
    """Slurm's own signal before its own limit, as often as it takes. Slurm looks every 30 s, so the
    run takes about 100 s."""
    lines = [json.loads(line) for line in (run.with_name("whole") / "log.jsonl").open()]
    pace = statistics.median(line["windows_per_s"] for line in lines if "windows_per_s" in line)
    steps = int(100 * pace / 8)
    words = (f"--train.steps={steps}", "--train.log_every=50")
    first = start(cluster, run, tmp_path / "whole", ONE_NODE, *words)
    assert cluster.wait(first, at_most_s=900)["JobState"] == "COMPLETED", cluster.log(first)
    job = start(cluster, run, tmp_path / "out", f"{ONE_NODE} --time=2 --signal=B:USR1@45", *words)
    ended = cluster.wait(job, at_most_s=1800)
    assert ended["JobState"] == "COMPLETED", cluster.log(job)
    assert int(ended["Restarts"]) >= 1
    assert cluster.log(job).count("back into the queue") == int(ended["Restarts"])
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


@whole_walk
def test_what_fails_by_itself_is_not_requeued(cluster, run, tmp_path):
    job = start(cluster, run, tmp_path / "out", ONE_NODE, "--data=/nowhere")
    ended = cluster.wait(job)
    assert (ended["JobState"], ended["Restarts"]) == ("FAILED", "0")
    assert "neurofm pretrain: /nowhere: wanted" in cluster.log(job)


# Stands for Python in a job: says what a process is given, and ends as it is told.
FAKE_PYTHON = """#!/bin/bash
echo "process $RANK/$WORLD_SIZE local $LOCAL_RANK cpus $(nproc) threads $OMP_NUM_THREADS" \
     "at $MASTER_ADDR${MODULE_LOADED:+ with $MODULE_LOADED}: $*"
[ "$END" != stopped ] || { [ -e "$AGAIN" ] && exit 0; sleep 1; : > "$AGAIN"
                           [ "$RANK" != 0 ] || echo stopped > "$NEUROFM_STOPPED"; exit 0; }
[ -z "$END" ] || exit "$END"
"""


@pytest.fixture
def fake(tmp_path):
    """Settings of a job whose Python is FAKE_PYTHON."""
    for name, text in (("python", FAKE_PYTHON), ("activate", f"PATH={tmp_path}/bin:$PATH\n"),
                       ("apptainer", '#!/bin/bash\necho "apptainer $1 $2 $3"\nexec "${@:4}"\n')):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return {"VENV": str(tmp_path), "AGAIN": str(tmp_path / "again"), "MASTER_ADDR": ""}


def fake_job(cluster: Cluster, options: str, **settings: str) -> tuple[str, dict[str, str]]:
    job = cluster.submit(SCRIPT, "--out=x", options=f"--chdir={ROOT} {options}", **settings)
    ended = cluster.wait(job, at_most_s=60)
    return cluster.log(job), ended


@pytest.mark.parametrize(("options", "sizes"), [
    (ONE_NODE, ("2", 1, "n1")), ("--nodes=2 --gpus-per-node=1 --cpus-per-task=2", ("2", 2, "n1")),
    ("--nodes=2 --gpus-per-node=2 --cpus-per-task=2", ("4", 1, "n1")),
])
def test_sizes_are_those_of_the_job(cluster, fake, options, sizes):
    """Processes, their numbers and their CPUs, of which srun takes none from sbatch."""
    world, cpus, head = sizes
    said, ended = fake_job(cluster, options, **fake)
    assert ended["JobState"] == "COMPLETED", said
    lines = re.findall(r"process (\d)/(\d) local (\d) cpus (\d) threads (\d) at (\w+): (.*)", said)
    assert sorted(line[0] for line in lines) == [*map(str, range(int(world)))]
    assert {line[1] for line in lines} == {world}
    assert len({(line[0], line[2]) for line in lines}) == int(world)
    assert {line[3:6] for line in lines} == {(str(cpus), str(cpus), head)}
    assert {line[6] for line in lines} == {
        f"-m neurofm.pretrain --train.workers={cpus - 1} --out=x"}


def test_modules_environment_container(cluster, fake):
    module = {"BASH_FUNC_module%%": '() { export MODULE_LOADED="$1 $2 $3"; }'}
    said, ended = fake_job(cluster, ONE_NODE, **fake, **module, MODULES="cuda/12 apptainer",
                           CONTAINER="a.sif")
    assert ended["JobState"] == "COMPLETED", said
    assert said.count("with load cuda/12 apptainer") == said.count("apptainer exec --nv a.sif") == 2


@pytest.mark.parametrize(("end", "state", "restarts"), [
    ("stopped", "COMPLETED", "1"), ("85", "COMPLETED", "1"), ("3", "FAILED", "0"),
])
def test_what_goes_back_into_the_queue(cluster, fake, end, state, restarts):
    settings = {**fake, "END": end}
    if end == "85":  # the file is not seen from inside a container; the second time it is done
        Path(fake["VENV"], "bin/python").write_text(
            "#!/bin/bash\n[ ! -e $AGAIN ] || exit 0\nsleep 1; : > $AGAIN; exit 85\n")
    said, ended = fake_job(cluster, ONE_NODE, **settings)
    assert (ended["JobState"], ended["Restarts"]) == (state, restarts), said
    assert said.count("back into the queue") == int(restarts)
    if end == "stopped":
        assert not re.search("exit code|Exited", said)


def test_bad_input_sizes(cluster, fake):
    """Told before anything starts, with what to do."""
    said, ended = fake_job(cluster, "--nodes=1 --gpus-per-node=0 --cpus-per-task=1", **fake)
    assert "no GPUs: ask for --gpus-per-node, or say PROCESSES=" in said
    assert ended["JobState"] == "FAILED"
    said, _ = fake_job(cluster, "--nodes=1 --gpus-per-node=2 --cpus-per-task=1", **fake)
    assert "2 processes need a CPU each, the job has 1: ask for more --cpus-per-task" in said


@pytest.mark.long
@pytest.mark.parametrize("command", ["tokenize", pytest.param("ingest", marks=whole_walk)])
def test_an_array_makes_what_one_call_makes(
    cluster, command, tmp_path, corpus_folder, tokenizer_folder
):
    """One part never begins, one is killed: the call that follows names them and does the rest."""
    if command == "tokenize":
        words = ["tokenize", f"--data={corpus_folder}", f"--model={tokenizer_folder}"]
        places, kind = "parts", "tokens"
    else:
        for i in range(6):
            (tmp_path / "lab").mkdir(exist_ok=True)
            np.save(tmp_path / "lab" / f"p{i}.npy",
                    np.random.default_rng(i).standard_normal((4, 250 * 40)))
        words = ["ingest", str(tmp_path / "lab"), "--arrays.sfreq=250", "--arrays.unit=uV",
                 "--arrays.axes=channel,time", "--contract.window_s=4",
                 "--contract.positions=optional"]
        places, kind = ".ingest", "corpus"
    settings = {"VENV": sys.prefix, "PYTHONPATH": str(ROOT)}
    options = f"--chdir={ROOT} --cpus-per-task=1"
    array = cluster.submit(ARRAY, *words, f"--out={tmp_path / 'out'}",
                           options=f"{options} --array=1-3 --hold", **settings)
    merge = cluster.submit(ARRAY, *words, f"--out={tmp_path / 'out'}",
                           options=f"{options} --dependency=afterany:{array}", **settings)
    cluster.ask("scancel", f"{array}_2")
    cluster.ask("scontrol", "release", array)
    lock = tmp_path / "out" / places / "part-3-of-3.lock"
    until(cluster, merge, lock.exists)
    cluster.ask("scancel", "--full", "--signal=KILL", f"{array}_3")
    assert cluster.wait(merge)["JobState"] == "COMPLETED", cluster.log(merge)
    assert re.search(r"parts that are not finished: 2/3 \(\d recordings?\)", cluster.log(merge))
    assert cli.command([*words, f"--out={tmp_path / 'whole'}"]) == 0
    assert (artifacts.open_sealed(tmp_path / "out", kind, hashes=True).fingerprint
            == artifacts.open_sealed(tmp_path / "whole", kind, hashes=True).fingerprint)


@whole_walk
def test_a_sweep_as_an_array(cluster, run, tmp_path):
    """The script that `--sweep` writes is submitted as it is; each task of the array makes a run.
    """
    out, grid = tmp_path / "sweep", tmp_path / "grid.yaml"
    grid.write_text("train.lr: [1.0e-3, 3.0e-4]\n")
    assert cli.command(["pretrain", f"--config={run}", f"--sweep={grid}", f"--out={out}",
                        "--train.steps=4"]) == 0
    array = cluster.submit(out / "sweep.sbatch", **SETTINGS,
                           options=f"--chdir={ROOT} --cpus-per-task=1 --time=10")
    for task in (1, 2):
        ended = cluster.wait(f"{array}_{task}")
        assert ended["JobState"] == "COMPLETED", cluster.log(ended["JobId"])
    learned = [artifacts.open_sealed(out / name, "checkpoint", hashes=True).fingerprint
               for name in ("lr=0.001", "lr=0.0003")]
    assert learned[0] != learned[1]


@whole_walk
def test_an_evaluation_as_an_array(cluster, planted, tmp_path):
    """A part that never ran is done by the last call, which writes the report of all."""
    words = ["evaluate", "decoding", f"--data={planted.corpus}",
             "--methods=[csp_lda,band_power_lr]"]
    settings = {"VENV": sys.prefix, "PYTHONPATH": str(ROOT)}
    options, out = f"--chdir={ROOT} --cpus-per-task=1", tmp_path / "out"
    array = cluster.submit(ARRAY, *words, f"--out={out}", options=f"{options} --array=1-2 --hold",
                           **settings)
    merge = cluster.submit(ARRAY, *words, f"--out={out}",
                           options=f"{options} --dependency=afterany:{array}", **settings)
    cluster.ask("scancel", f"{array}_2")
    cluster.ask("scontrol", "release", array)
    assert cluster.wait(merge)["JobState"] == "COMPLETED", cluster.log(merge)
    assert "page: " in cluster.log(merge)
    assert cli.command([*words, f"--out={tmp_path / 'whole'}"]) == 0
    one, other = (artifacts.open_sealed(folder, "results", hashes=True)
                  for folder in (out, tmp_path / "whole"))
    assert one.files["predictions.parquet"] == other.files["predictions.parquet"]
