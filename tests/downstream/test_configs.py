"""The runs in `configs/downstream` are understood by the commands they are for."""

import pytest

from downstream import tasks
from downstream.evaluate import EvaluateConfig
from downstream.evaluation.methods import check, fitting
from downstream.finetune import FinetuneConfig
from neurofm import config
from neurofm.models.brainomni import BrainOmniConfig


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
