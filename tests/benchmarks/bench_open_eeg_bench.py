"""The split of Open EEG Bench on a stand-in for PhysioNet eegmat: the commands of
`configs/downstream/eegmat_open_eeg_bench.yaml` run as they are written there, on simulated people.

    python -m tests.benchmarks.bench_open_eeg_bench --out runs/faked
    python -m tests.benchmarks.bench_open_eeg_bench --out runs/faked --whole

--whole runs all methods and seeds. The scores say nothing of people. It shows that the commands run
when people 20 to 35 are there.
"""

import argparse
import re
import shlex
from pathlib import Path

import pandas as pd

from neurofm import cli
from tests.support.physionet_eegmat import make_archive

CONFIG = Path(__file__).resolve().parents[2] / "configs/downstream/eegmat_open_eeg_bench.yaml"
QUICK = ["--methods=[auto,csp_lda,tangent_lr_recentered]", "--seeds=1", "--tuning=1"]


def commands(out: Path) -> tuple[list[str], list[str]]:
    """(ingest, evaluate) as the file gives them for PhysioNet's names, on files in `out`."""
    lines = [line.removeprefix("#   neurofm ") for line in CONFIG.read_text().splitlines()
             if line.startswith("#   neurofm ")]
    (ingest,) = (line for line in lines if line.startswith("ingest") and "--files" in line)
    (evaluate,) = (line for line in lines if line.startswith("evaluate"))
    found = [shlex.split(re.sub(r"\bruns/", f"{out}/", line)) for line in (ingest, evaluate)]
    known = {"EEGMAT": str(out / "archive"), f"configs/downstream/{CONFIG.name}": str(CONFIG)}
    first, second = ([known.get(word, word) for word in line] for line in found)
    return first, second


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--whole", action="store_true")
    given = parser.parse_args()
    make_archive(given.out / "archive", range(36), 30)
    ingest, evaluate = commands(given.out)
    for words in (ingest, evaluate + QUICK * (not given.whole)):
        if status := cli.main(words):
            return status
    table = pd.read_parquet(next(given.out.glob("eegmat/*evaluation/predictions.parquet")))
    print("tested:", *sorted(table["subject"].unique()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
