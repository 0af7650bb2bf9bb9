"""`make bench`: runs every bench_*.py of this folder, each in a fresh process, and prints tables.

Timings on shared machines wander: each benchmark repeats, quotes medians, and compares what it
compares within one run.
"""

import subprocess
import sys
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("bench_*.py")):
    print(f"\n=== {path.stem.removeprefix('bench_')}", flush=True)
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{path.stem}"], check=True)
