"""The runs in `configs/downstream` and `configs/federated` are understood by their commands."""

import dataclasses
import tomllib
from importlib import import_module

import pytest
import yaml

from neurofm import cli, config
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.data.fmri_contract import FMRIContract
from neurofm.downstream import tasks
from neurofm.downstream.benchmarks.decoding.methods import check, fitting
from neurofm.downstream.benchmarks.decoding.question import EvaluateConfig
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.federate import FederateConfig
from neurofm.downstream.federated.rounds import Federation
from neurofm.downstream.finetune import FinetuneConfig
from neurofm.downstream.protocol.published import absent
from neurofm.downstream.protocol.windows import Protocol, folds
from neurofm.models.brainomni import BrainOmniConfig
from neurofm.preprocessing.ingest import IngestConfig
from tests.support.planted import make_corpus


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
    app = tomllib.loads((repo / "downstream/federated/flower-app/pyproject.toml").read_text())
    about = app["tool"]["flwr"]["app"]
    assert set(about["config"]) == {"settings", "sites", "out"}
    for name in about["components"].values():
        module, attribute = name.split(":")
        assert hasattr(import_module(module), attribute)


@pytest.mark.parametrize("command", ["finetune", "evaluate"])
def test_configs_hold_only_known_keys(repo, command):
    kind = {"finetune": FinetuneConfig, "evaluate": EvaluateConfig}[command]
    data = "data" if "data" in kind.__dataclass_fields__ else "corpus"
    paths = sorted((repo / "configs" / "downstream").glob(f"*_{command}.yaml"))
    assert paths
    for path in paths:
        run = config.parse(kind, [f"--config={path}", f"--{data}=c", "--model=m", "--out=o"],
                           command=command)
        task = tasks.find(run.task)
        assert run.classes or task.classes or task.number
        contract = (FMRIContract if path.stem.startswith(("abide", "haxby")) else InputContract)()
        names = getattr(run, "methods", None) or fitting(
            task.number, contract, BrainOmniConfig().pools[2:])
        others = {name.partition("@")[2] for name in names}  # models that the head's command names
        check(names, ["", *sorted(others - {""})], task.number, contract)


def test_no_run_watches_the_subjects_it_is_tested_on(repo):
    paths = sorted((repo / "configs" / "pretrain").glob("*.yaml"))
    assert len(paths) > 10
    for path in paths:
        run = yaml.safe_load(path.read_text())
        assert "test" not in [run.get("watch"), *run.get("splits", [])], path


def test_published_people_who_are_not_there_are_named(repo, tmp_path, capsys):
    """The split of Open EEG Bench with the first 20 of its 36 people."""
    path = repo / "configs" / "downstream" / "eegmat_open_eeg_bench.yaml"
    run = config.parse(EvaluateConfig, [f"--config={path}", "--data=c", "--out=o"],
                       command="evaluate")
    check(run.methods, [], False, InputContract())
    made = make_corpus(tmp_path / "corpus", split=["train"] * 20, n_windows=2)
    out = tmp_path / "out"
    words = ["evaluate", "decoding", f"--config={path}", f"--data={made}", f"--out={out}",
             "--task=labels"]
    assert cli.main(words) == 1
    said = capsys.readouterr().err
    assert "20-27 (train); 28-31 (validation); 32-35 (test)" in said
    assert "nobody is left for validation and test" in said
    assert not out.exists()
    data = labeled(Corpus.open(made))
    here = Protocol(kind="published", train=["0-11", "25"], validation_subjects=["12-15"],
                    test=["16-20"])
    (fold,) = folds(data, dataclasses.replace(here, train=["0-11"]))
    assert [len(set(fold.of(split)[2])) for split in ("train", "validation", "test")] == [12, 4, 4]
    assert "20 (test); scores are not those of the whole split" in absent(
        data, dataclasses.replace(here, train=["0-11"]))[0]
    with pytest.raises(ValueError, match="subject '25'"):
        folds(data, here)
