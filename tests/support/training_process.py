"""A training in a process of its own: what it has logged, and waiting for it."""

import json
import subprocess
import time
from pathlib import Path

from neurofm.training.pace import MEASURED


def log(out: Path) -> list[dict]:
    file = out / "log.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [{name: value for name, value in json.loads(line).items() if name not in MEASURED}
            for line in lines]


def wait_for(condition, process: subprocess.Popen, at_most_s: float = 120) -> None:
    began = time.monotonic()
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() - began < at_most_s
        time.sleep(0.02)
