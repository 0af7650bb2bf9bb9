"""A weekend in small: a run of 2,000 steps that is signaled, killed and left without disk space
twenty times at random steps, beside one that is not. Do both end with the same bytes?

    python -m tests.benchmarks.bench_weekend [SEED]
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from neurofm import artifacts
from neurofm.run import OK
from tests.support import corpora, weekend

STEPS, STRIKES = 2000, 20


def main(seed: int) -> None:
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as name, weekend.disk(Path(name, "disk"), 16) as room:
        run = corpora.write_yaml(Path(name, "run"), {
            "model": "brain_tokenizer", "data": str(corpora.make(Path(name, "corpus"))),
            "architecture": corpora.TOKENIZER,
            "train": {"steps": STEPS, "batch_windows": 8, "log_every": 5, "save_every": 25},
        })  # fmt: skip
        command, out = ["neurofm.pretrain", f"--config={run}"], room.folder / "run"
        began = time.perf_counter()
        whole = Path(name, "whole")
        done = subprocess.run([sys.executable, "-m", *command, f"--out={whole}"], check=False,
                              capture_output=True, text=True)
        assert done.returncode == OK, done.stdout + done.stderr
        undisturbed = time.perf_counter() - began
        came = weekend.live([*command, f"--out={out}"], out, room, steps=STEPS, strikes=STRIKES,
                            seed=seed, say=lambda line: print(line, flush=True))
        took = time.perf_counter() - began - undisturbed
        one, other = (artifacts.open_sealed(folder, hashes=True) for folder in (whole, out))
        same = one.files["model.safetensors"] == other.files["model.safetensors"]
        logs = str(weekend.log(whole)) == str(weekend.log(out))
        kinds = ", ".join(f"{sum(strike.kind == kind for strike in came)} × {kind}"
                          for kind in weekend.KINDS)
        print(f"{STEPS} steps, {len(came)} times interrupted ({kinds}): {took:.0f} s, undisturbed "
              f"{undisturbed:.0f} s\nsame weights: {same}; same lines of the log: {logs}; same "
              f"fingerprint: {one.fingerprint == other.fingerprint}", flush=True)
        assert same
        assert logs


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(10**6))
