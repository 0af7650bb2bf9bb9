"""The runs in `configs/downstream` and `configs/federated` are understood by their commands."""

import tomllib
from importlib import import_module

import pytest

from downstream import tasks
from downstream.evaluate import EvaluateConfig
from downstream.evaluation.methods import check, fitting
from downstream.federate import FederateConfig
from downstream.federated.rounds import Federation
from downstream.finetune import FinetuneConfig
from neurofm import config
from neurofm.models.brainomni import BrainOmniConfig
from preprocessing.ingest import IngestConfig


def test_federated_configs_hold_only_known_keys(repo):
    folder = repo / "configs" / "federated"
    for path in sorted(folder.glob("*_sites.yaml")):
        run = config.parse(FederateConfig, [f"--config={path}", "--out=o"], command="federate")
        assert len(run.sites) >= 4
        assert set(run.channels) <= set(run.sites)
    config.parse(Federation, [f"--config={folder / 'deployment.yaml'}"], command="federate")
    for path in sorted(folder.glob("*_ingest.yaml")):
        config.parse(IngestConfig, [f"--config={path}", "--paths=[a]", "--out=o"],
                     command="ingest")
    about = tomllib.loads((folder / "app" / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    assert set(about["config"]) == {"settings", "sites", "out"}
    for name in about["components"].values():
        module, attribute = name.split(":")
        assert hasattr(import_module(module), attribute)


@pytest.mark.parametrize("command", ["finetune", "evaluate"])
def test_configs_hold_only_known_keys(repo, command):
    kind = {"finetune": FinetuneConfig, "evaluate": EvaluateConfig}[command]
    paths = sorted((repo / "configs" / "downstream").glob(f"*_{command}.yaml"))
    assert paths
    for path in paths:
        run = config.parse(kind, [f"--config={path}", "--corpus=c", "--model=m", "--out=o"],
                           command=command)
        task = tasks.find(run.task)
        assert run.classes or task.classes or task.number
        fmri = path.stem.startswith(("abide", "haxby"))
        names = getattr(run, "methods", None) or fitting(
            task.number, BrainOmniConfig().pools[2:], fmri)
        others = {name.partition("@")[2] for name in names}  # models that the head's command names
        check(names, ["", *sorted(others - {""})], task.number, fmri=fmri)
