"""Adding a task or a baseline means adding one file, in anybody's package."""

import json

import pytest

from tests.support.toy_package import ToyPackage, toy_package

TASK = '''
    """A toy question."""

    from neurofm.downstream.tasks import Task

    TASK = Task(question="Which side is meant, says the toy?", classes=("left", "right"))
'''
BASELINE = '''
    """The nearest class mean of each channel's loudness."""

    import numpy as np


    class ToyNearest:
        SEES = "signals"
        REGRESSION = False
        DRAWS = False
        SETTINGS = ({},)
        recentered = False

        def __init__(self, seed, sfreq):
            self.sfreq = sfreq

        def _loud(self, x):
            return np.log(x.std(axis=2))

        def fit(self, x, target, subjects, validation=None):
            loud = self._loud(x)
            self.means = np.stack([loud[target == k].mean(axis=0) for k in np.unique(target)])

        def predict(self, x, subjects):
            far = np.square(self._loud(x)[:, None] - self.means).sum(axis=2)
            weight = np.exp(far.min(axis=1, keepdims=True) - far)
            return weight / weight.sum(axis=1, keepdims=True)
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> ToyPackage:
    return toy_package(
        tmp_path_factory.mktemp("packages"), "toy_judge", {"side": TASK, "nearest": BASELINE},
        {"neurofm.tasks": {"toy_side": "side:TASK"},
         "neurofm.baselines": {"toy_nearest": "nearest:ToyNearest"}})


@pytest.fixture(scope="module")
def results(toy, planted, tmp_path_factory):
    """Of the toy's task by the toy's baseline beside one of ours."""
    out = tmp_path_factory.mktemp("judged") / "out"
    done = toy.neurofm("evaluate", "decoding", f"--data={planted.corpus}", f"--out={out}",
                       "--task=toy_side", "--methods=[toy_nearest, band_power_lr]", "--seeds=1",
                       "--tuning=1")
    assert done.returncode == 0, done.stderr
    return out


def test_one_file_task(results):
    assert "Which side is meant, says the toy?" in (results / "report.html").read_text()


def test_one_file_baseline(results):
    found = json.loads((results / "results.json").read_text())
    assert "toy_nearest" in found["methods"]
    assert "toy_nearest" in {row["method"] for row in found["scores"]}


def test_one_file_task_and_baseline_in_help(toy):
    said = " ".join(toy.neurofm("evaluate", "decoding", "--help").stdout.split())
    assert "toy_side" in said
