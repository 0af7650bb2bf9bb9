"""A Slurm of two machines on loopback: munged, slurmctld and two slurmd, in a folder of its own.

Each machine has two CPUs and two GPUs, which are files: torch sees none, so processes talk over
gloo. Nothing outside the folder is read or written; the daemons of a machine's own Slurm, its munge
key and its users are left alone. Works as root in a container, without systemd and without cgroups.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

NODES = ("n1", "n2")
DAEMONS = ("munged", "slurmctld", "slurmd")
_SBIN = "/usr/sbin:/sbin"  # not in everyone's PATH
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if not name.startswith(("SLURM", "SRUN", "SBATCH", "ACCELERATE", "MASTER_"))
               and name not in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS")}
ENVIRONMENT["PATH"] = f"{os.environ['PATH']}:{_SBIN}"

_CONF = """
ClusterName=small
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=2,batch_sched_delay=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
ReturnToService=2
SlurmdTimeout=10
KillWait=5
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 Gres=gpu:2 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""
_GRES = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"


def lacking() -> str:
    """Why no such Slurm can be started here; "" where it can."""
    absent = [name for name in DAEMONS if shutil.which(name, path=ENVIRONMENT["PATH"]) is None]
    if absent:
        return f"Slurm is not installed ({', '.join(absent)}): `make test-slurm` does so on Debian"
    if len(getattr(os, "sched_getaffinity", lambda _: ())(0)) < 2:
        return "Slurm's two machines want two CPUs, of which this process may use one"
    return ""


class Cluster:
    """`with Cluster.up() as cluster`: the daemons run until the block is left."""

    def __init__(self, folder: Path):
        self.folder, self.daemons = folder, dict[str, subprocess.Popen]()
        self.environment = {**ENVIRONMENT, "SLURM_CONF": str(folder / "slurm.conf")}

    @classmethod
    @contextlib.contextmanager
    def up(cls) -> Iterator["Cluster"]:
        folder = Path(tempfile.mkdtemp(prefix="neurofm-slurm-"))
        folder.chmod(0o755)  # munged wants its socket's folder open to all
        cluster = cls(folder)
        try:
            cluster._begin()
            yield cluster
        finally:
            cluster._end()
            shutil.rmtree(folder, ignore_errors=True)

    def submit(self, script: Path, *words: object, options: str = "", **settings: str) -> str:
        """The job's id; settings: environment variables of the job."""
        log = self.folder / "job-%j.log"
        return self.ask("sbatch", "--parsable", f"--output={log}", *options.split(), script, *words,
                        **settings).strip()

    def ask(self, *words: object, **settings: str) -> str:
        """What a command of Slurm prints; raises where it fails."""
        done = subprocess.run([*map(str, words)], env={**self.environment, **settings},
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job: {"JobState": "RUNNING", "Restarts": "0", …}."""
        told = self.ask("scontrol", "show", "job", "--oneliner", number)
        return dict(re.findall(r"(\w+)=(\S*)", told.splitlines()[0]))

    def log(self, number: str) -> str:
        path = self.folder / f"job-{number}.log"
        return path.read_text() if path.exists() else ""

    def wait(self, number: str, *states: str, at_most_s: float = 300) -> dict[str, str]:
        """Until a job is in one of these states; without any, until it has ended for good."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        began = time.monotonic()
        while (job := self.job(number))["JobState"] not in (states or ended):
            assert time.monotonic() - began < at_most_s, f"{job}\n{self.log(number)}\n{self.said()}"
            time.sleep(0.2)
        return job

    def signal(self, number: str) -> None:
        """USR1 to the batch script, as `--signal=B:USR1@…` sends it before the time limit."""
        self.ask("scancel", "--batch", "--signal=USR1", number)

    def fail_node(self, name: str) -> None:
        """A machine goes down: its slurmd and all it has started die at once."""
        daemon, tasks = self.daemons.pop(name), self._processes(name)
        steps = {parent for pid in tasks if (parent := _parent(pid)) and _is_step(parent)}
        for pid in [daemon.pid, *steps, *tasks]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait()

    def start_node(self, name: str) -> None:
        (self.folder / f"spool-{name}").mkdir(exist_ok=True)
        self._start(name, "slurmd", "-D", "-N", name)

    def said(self) -> str:
        """The daemons' own logs, for a test that has failed."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text()[-2000:]}" for path in logs
                         if not path.name.startswith("job-"))

    def _begin(self) -> None:
        for name in ("state", "spool-n1", "spool-n2"):
            (self.folder / name).mkdir()
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o600)
        (self.folder / "slurm.conf").write_text(_CONF.format(
            folder=self.folder, host=socket.gethostname().partition(".")[0], ports=_free_ports(3),
            user=pwd.getpwuid(os.getuid()).pw_name))
        (self.folder / "gres.conf").write_text(_GRES)
        self._start("munged", "munged", "--foreground", "--force", "--num-threads=2",
                    f"--socket={self.folder}/munge.sock", f"--key-file={self.folder}/munge.key",
                    f"--log-file={self.folder}/munged.log", f"--pid-file={self.folder}/munged.pid",
                    f"--seed-file={self.folder}/munged.seed")
        self._start("slurmctld", "slurmctld", "-D")
        for name in NODES:
            self.start_node(name)
        began = time.monotonic()
        while self._idle() < len(NODES):
            assert time.monotonic() - began < 60, self.said()
            time.sleep(0.2)

    def _idle(self) -> int:
        told = subprocess.run(["sinfo", "--noheader", "--Node", "--format=%T"], text=True,
                              env=self.environment, capture_output=True, check=False)
        return told.stdout.split().count("idle")

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=out, stderr=out, cwd=self.folder,
                start_new_session=True)

    def _end(self) -> None:
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired, OSError):
            self.ask("scancel", "--full", "--signal=KILL", f"--user={os.getuid()}")
            time.sleep(0.5)
        for name in NODES:
            if name in self.daemons:
                self.fail_node(name)
        for daemon in reversed([*self.daemons.values()]):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()

    def _processes(self, node: str) -> list[int]:
        """What this Slurm has started on a node and still runs."""
        marks = {f"SLURM_CONF={self.folder}/slurm.conf".encode(),
                 f"SLURMD_NODENAME={node}".encode()}
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):  # ended meanwhile, or another user's
                if marks <= set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                    found.append(int(pid))
        return found


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _is_step(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("slurmstepd")
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
