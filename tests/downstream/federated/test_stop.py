"""`neurofm federate` is told to stop, as schedulers do, and goes on later as if it never had."""

import json
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from neurofm import cli
from tests.support.federated_sites import corpora

ROUNDS = 10


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> list[str]:
    found = corpora(tmp_path_factory.mktemp("sites"), n=2)
    return ["federate", f"--sites={json.dumps(found)}", f"--learning.rounds={ROUNDS}",
            "--folds=[0,1]", "--methods=[federated]", "--learning.train.batch_windows=8"]


@pytest.fixture(scope="module")
def whole(words, tmp_path_factory) -> pd.DataFrame:
    """Predictions of a run that nobody disturbs."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert cli.main([*words, f"--out={out}"]) == 0
    return pd.read_parquet(out / "predictions.parquet")


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_asked_to_stop_it_saves_and_goes_on_later(words, whole, tmp_path, jobs):
    out = tmp_path / "out"
    words = [*words, f"--out={out}"]
    running = subprocess.Popen(
        [sys.executable, "-m", "neurofm.cli", *words, f"--jobs={jobs}"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = out / "work" / "federated" / "server" / "federated-0-0" / "rounds.jsonl"
    until = time.monotonic() + 180
    while time.monotonic() < until and not (lines.exists() and lines.read_text()):
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    told, problem = running.communicate(timeout=180)
    assert running.returncode == 85, problem
    assert "run the same command again" in told
    assert 0 < len(lines.read_text().splitlines()) < ROUNDS
    assert not (out / "parts" / "federated-0-0.parquet").exists()
    assert cli.main(words) == 0
    rounds = pd.read_csv(out / "rounds.tsv", sep="\t")
    assert (rounds["rejected"] == "[]").all()  # no site has lost a round by it
    assert (rounds.groupby("fold")["round"].apply(list) == [[*range(1, ROUNDS + 1)]] * 2).all()
    pd.testing.assert_frame_equal(pd.read_parquet(out / "predictions.parquet"), whole)
