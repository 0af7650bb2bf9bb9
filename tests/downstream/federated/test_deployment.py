"""A federation as it is deployed: SuperLink and sites as processes, TLS, keys of sites.

Beside it the same federation in this process: the apps are the same, and so must be the weights.
"""

import time

import numpy as np
import pytest
import yaml

from neurofm import config
from neurofm.downstream.federated import rounds
from neurofm.downstream.federated.rounds import Federation
from neurofm.downstream.federated.strategies import Averaging
from tests.support.federated_sites import corpora, federate, learning, weights_after
from tests.support.flower_processes import Deployment

APP = "downstream/federated/flower-app"


def submit(deployment: Deployment, repo, federation: Federation, out, n_sites: int) -> int:
    settings = deployment.folder / f"{out.name}.yaml"
    settings.write_text(yaml.safe_dump(config.resolved(federation)))
    return deployment.run(repo / APP, {"settings": str(settings), "sites": n_sites,
                                       "out": str(out)})


# An app that somebody else submits: at a site that runs it, it reads a file and leaves a mark.
UNKNOWN = {
    "pyproject.toml": """
[project]
name = "survey"
version = "1.0.0"
description = "not ours"
license = "MIT"
[tool.flwr.app]
publisher = "somebody"
[tool.flwr.app.components]
serverapp = "survey.server:app"
clientapp = "survey.client:app"
""",
    "survey/__init__.py": "",
    "survey/client.py": """
from pathlib import Path
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
Path({mark!r}).touch()
app = ClientApp()
@app.train()
def train(message, context):
    read = Path({secret!r}).read_text()
    return Message(RecordDict({{"about": ConfigRecord({{"read": read}})}}), reply_to=message)
""",
    "survey/server.py": """
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()
@app.main()
def main(grid, context):
    content = RecordDict({{"about": ConfigRecord({{"question": "anything"}})}})
    for reply in grid.send_and_receive([Message(content, node, "train")
                                        for node in grid.get_node_ids()], timeout=60):
        print("reply:", reply.error if reply.has_error() else reply.content, flush=True)
""",
}


def unknown_app(folder, mark, secret):
    for name, text in UNKNOWN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.format(mark=str(mark), secret=str(secret)))
    return folder


@pytest.mark.long
def test_three_sites_as_processes_give_the_weights_of_the_simulation(repo, tmp_path, monkeypatch):
    """An unknown app is refused by each of them, and they go on. One is killed in the middle of a
    round and started again; nothing of it is lost."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = corpora(tmp_path / "sites")
    plain = Federation(learning())
    federate(found, tmp_path / "simulated", plain)
    expected = weights_after(tmp_path / "simulated")

    nodes = {name: {"data": folder, "out": str(tmp_path / "work" / name)}
             for name, folder in found.items()}
    (tmp_path / "flower").mkdir()
    with Deployment(tmp_path / "flower", nodes) as deployment:
        out = tmp_path / "deployed"
        run = submit(deployment, repo, plain, out, 3)
        assert deployment.wait(run, 240) == "finished:completed", deployment.run_log(run)
        got = rounds._resumed(out)[1]
        assert got.keys() == expected.keys()
        assert all(np.abs(got[name] - expected[name]).max() < 1e-5 for name in expected)
        assert [line["sites"] for line in rounds.lines(out)] == [sorted(found)] * 2
        assert "balanced accuracy" in deployment.run_log(run)
        for name, folder in found.items():  # each process has read its own folder alone
            others = [other for key, other in found.items() if key != name]
            assert not any(other in deployment.log(name) for other in others), folder

        mark, secret = tmp_path / "mark", tmp_path / "secret.txt"
        secret.write_text("Ada Lovelace")
        run = deployment.run(unknown_app(tmp_path / "survey", mark, secret), {})
        deployment.wait(run, 120)
        said = deployment.run_log(run)
        assert said.count("reply:") == said.count("this site runs one app alone") == 3, said
        assert "Ada" not in said
        assert not mark.exists()
        for name in found:
            assert f"REFUSED: run {run} is of app somebody/survey" in deployment.log(name)
            assert deployment.processes[name].poll() is None

        # Longer, with a site lost in round 1: rounds go on with two, and it comes back by itself.
        # It is let in a minute after it was lost, and a round of the others takes seconds.
        n = 36
        long = Federation(learning(rounds=n, train={"seed": 7}), Averaging(timeout_s=60))
        out = tmp_path / "interrupted"
        run = submit(deployment, repo, long, out, 3)
        state = tmp_path / "work" / "ward" / "fold-0-seed-7"
        until = time.monotonic() + 60
        while not state.exists() and time.monotonic() < until:
            time.sleep(0.05)
        deployment.kill("ward")
        deployment.start("ward")
        assert deployment.wait(run, 400) == "finished:completed", deployment.run_log(run)
        lines = rounds.lines(out)
        assert [line["round"] for line in lines] == [*range(1, n + 1)]
        lost = [line["round"] for line in lines if "ward" not in line["sites"]]
        assert lost, "the site answered in time in spite of being killed"
        assert lines[-1]["sites"] == sorted(found)
        assert lines[lost[0] - 1]["rejected"]  # later it is not asked, until it is back
        assert sorted(path.name for path in state.glob("state/step-*"))[-1].endswith(
            f"{n * long.learning.steps_a_round(36):08d}")

        # One that is asked to stop says goodbye, and is let in again at once.
        stopped = deployment.processes.pop("clinic")
        stopped.terminate()
        assert stopped.wait(30) == 0
        assert "asked to stop" in deployment.log("clinic")
        began = time.monotonic()
        deployment.start("clinic")
        assert time.monotonic() - began < 45


@pytest.mark.long
def test_wrong_settings_are_said_in_the_runs_log(repo, tmp_path):
    (tmp_path / "flower").mkdir()
    with Deployment(tmp_path / "flower", {}) as deployment:
        bad = tmp_path / "bad.yaml"
        bad.write_text("learning: {rouns: 3}\n")
        run = deployment.run(repo / APP, {"settings": str(bad), "sites": 3,
                                          "out": str(tmp_path / "out")})
        assert deployment.wait(run, 100) == "finished:failed"
        assert "rounds" in deployment.run_log(run)
        assert "rouns" in deployment.run_log(run)
