"""A weekend in small: one run that is signaled, killed and left without disk space, at random.

The disk is a tmpfs of a few megabytes where this process may mount one, which a file fills but for
a random rest; elsewhere the largest size of a file is limited.
"""

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neurofm.run import STOPPED

from .training_process import log

KINDS = ("USR1", "TERM", "KILL", "full disk")
_PATIENCE_S = 180.0
_NO_ROOM = ("No space left on device", "File too large")


@dataclass(frozen=True)
class Strike:
    """What was done to the run, and how its process ended."""

    kind: str
    step: int  # last one in the log when it came; -1 = during start-up
    status: int

    def __str__(self) -> str:
        where = "during start-up" if self.step < 0 else f"after step {self.step}"
        return f"{self.kind:9} {where:16} exit status {self.status}"


class Disk:
    """A folder whose room can be taken away from a process and given back."""

    def __init__(self, folder: Path, mounted: bool):
        self.folder, self.mounted = folder, mounted

    def fill(self, process: subprocess.Popen, left: int) -> None:
        """Leave `left` bytes."""
        if not self.mounted:
            hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (left, hard))
            return
        free = os.statvfs(self.folder)
        with (self.folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            file.write(b"x" * max(0, free.f_bavail * free.f_bsize - left))

    def free(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)


@contextlib.contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[Disk]:
    """A small disk at `folder`, empty."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder],
                             capture_output=True, check=False).returncode == 0
    try:
        yield Disk(folder, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


def live(command: list[str], out: Path, room: Disk, *, steps: int, strikes: int, seed: int,
         say=print) -> list[Strike]:
    """Run `command` until it is finished, struck `strikes` times at random steps.

    Parameters
    ----------
    command
        Words after `python -m`, which make `out`.
    steps
        Steps of the run.
    seed
        Of what is done and when.

    Returns
    -------
    list of Strike
        In their order. Raises AssertionError where a process ended otherwise than it should.
    """
    draw, came = random.Random(seed), list[Strike]()
    kinds = [KINDS[k % len(KINDS)] for k in range(strikes)]
    draw.shuffle(kinds)
    when = sorted(draw.randrange(-steps // 8, steps - 1) for _ in range(strikes))
    for kind, at in zip(kinds, when, strict=True):
        process = _start(command)
        if at < 0:
            time.sleep(draw.uniform(0, 4))  # while it is imported, or just after
        else:
            _until(lambda at=at: _last(out) > at, process)
        step = _last(out) if at >= 0 else -1
        came.append(Strike(kind, step, _strike(kind, process, room, draw)))
        say(str(came[-1]))
    process = _start(command)
    said, _ = process.communicate(timeout=10 * _PATIENCE_S)
    assert process.returncode == 0, said[-3000:]
    return came


def _strike(kind: str, process: subprocess.Popen, room: Disk, draw: random.Random) -> int:
    if kind == "full disk":
        room.fill(process, draw.randrange(200_000))
        expected = {0, 1}
    else:
        number = signal.Signals[f"SIG{kind}"]
        process.send_signal(number)
        # Without a handler yet, it dies of the signal; after its last step it goes on and finishes.
        expected = {-number} if kind == "KILL" else {STOPPED, -number, 0}
    try:
        said, _ = process.communicate(timeout=_PATIENCE_S)
    finally:
        process.kill()
        room.free()
    assert process.returncode in expected, f"{kind}: {process.returncode}\n{said[-3000:]}"
    if process.returncode == 1:
        assert any(words in said for words in _NO_ROOM), said[-3000:]
        assert "Traceback" not in said, said[-3000:]
    return process.returncode


def _start(command: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _last(out: Path) -> int:
    try:
        lines = log(out)
    except json.JSONDecodeError:  # its last line is being written
        return 0
    return lines[-1]["step"] if lines else 0


def _until(condition, process: subprocess.Popen) -> None:
    began = time.monotonic()
    while not condition() and process.poll() is None:
        assert time.monotonic() - began < 10 * _PATIENCE_S
        time.sleep(0.02)
