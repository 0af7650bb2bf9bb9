"""`neurofm plan --measure` beside a training of the same configuration, on this machine's CPUs:

    OMP_NUM_THREADS=1 python -m tests.benchmarks.bench_plan
"""

import json
import os
import resource
import statistics
import tempfile
from pathlib import Path

from neurofm.cli import main as neurofm
from neurofm.training.log import read_lines
from tests.support import corpora

BATCH = 16
RUN = {"model": "brain_tokenizer",
       "architecture": {"n_filters": 16, "dim": 128, "n_codes": 64, "n_heads": 4},
       "train": {"steps": 16, "batch_windows": BATCH, "log_every": 2, "precision": "float32",
                 "track": []}}


def resident() -> float:
    """Bytes of this process in main memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def compared(work: Path) -> dict[str, tuple[float, float]]:
    """Name of a number → (planned, measured)."""
    data = corpora.make(work / "corpus", n_channels=(32,) * 5, n_windows=24, splits=("train",) * 5)
    small = corpora.write_yaml(work / "small", {
        **RUN, "architecture": corpora.TOKENIZER, "data": str(data), "train": {
            "steps": 1, "batch_windows": 2, "track": []}})
    run = corpora.write_yaml(work / "run", {**RUN, "data": str(data)})
    # What a first training loads is no part of a training's memory.
    assert neurofm(["pretrain", f"--config={small}", f"--out={work / 'first'}"]) == 0
    before = resident()
    assert neurofm(["pretrain", f"--config={run}", f"--out={work / 'out'}"]) == 0
    taken = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    lines = [line for line in read_lines(work / "out/log.jsonl") if "windows_per_s" in line]
    assert neurofm(["plan", f"--config={run}", "--device=cpu", f"--measure={BATCH}",
                    f"--out={work / 'plan.json'}"]) == 0
    plan = json.loads((work / "plan.json").read_text())
    return {
        "s a step": (plan["step_s"], statistics.median(
            BATCH / line["windows_per_s"] for line in lines)),
        "GFLOP a window": (plan["flops"] / plan["steps"] / BATCH / 1e9, statistics.median(
            1000 * line["tflop_per_s"] / line["windows_per_s"] for line in lines)),
        "GB of the process": (plan["bytes_of_process"] / 1e9, taken / 1e9),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = compared(Path(folder))
    print(f"\n{'':<20}{'planned':>10}{'measured':>10}")
    for name, (planned, measured) in found.items():
        print(f"{name:<20}{planned:>10.3g}{measured:>10.3g}{planned / measured - 1:>+8.0%}")
