"""The generated reference: complete, and what the code says."""

import dataclasses
import importlib.util
import inspect
import json
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

import neurofm
from neurofm import config, models
from neurofm.results import Results

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_command_has_a_page(generate, site):
    ours = {point.name for point in entry_points(group="neurofm.commands")
            if point.module.startswith("neurofm.")} - {"evaluate"}
    ours |= {f"evaluate {point.name}" for point in entry_points(group="neurofm.benchmarks")
             if point.module.startswith("neurofm.")}
    assert set(generate.commands.all_commands()) == ours
    pages = {path.stem for path in (site / "reference" / "commands").glob("*.md")} - {"index"}
    assert pages == {name.replace(" ", "-") for name in ours}


def test_every_key_of_every_command_is_on_its_page(generate, site):
    """As jsonargparse takes them."""
    lacking = []
    for name, command in generate.commands.all_commands().items():
        if command.config is None:
            continue
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(command.config)
        text = (site / "reference" / "commands" / f"{name.replace(' ', '-')}.md").read_text()
        taken = {key for key in config._keys(parser) if not key.endswith(".help")}
        above = {key.rpartition(".")[0] for key in taken}
        lacking += [f"{name} --{key}" for key in taken - above if f"`--{key}` ·" not in text]
    assert not lacking


def test_every_key_has_a_meaning(generate):
    empty = [f"{name} --{key.name}" for name, command in generate.commands.all_commands().items()
             if command.config for key in generate.keys.keys(command.config)
             if len(key.meaning) < 3]
    assert not empty


def test_defaults_are_those_of_the_class(generate):
    found = {key.name: key.default for key in generate.keys.keys(
        generate.commands.all_commands()["pretrain"].config)}
    assert found["data"] is None
    assert found["splits"] == "[train]"
    assert (found["train.steps"], found["train.compile"]) == ("1000", "auto")


def test_every_public_name_is_in_the_api(generate):
    assert sorted(name for names in generate.api.groups().values() for name in names) \
        == dir(neurofm)


def test_results_schema(generate, tmp_path):
    fields = [field.name for field in dataclasses.fields(Results)]
    assert list(generate.schema.fields()) == ["version", *fields]
    (tmp_path / "results.json").write_text(generate.schema.example())
    assert Results.load(tmp_path).flags[0].kind == "LEAK"


def test_every_model_has_its_settings(generate):
    for name in models.INDEX:
        config_class = models.find(name).config_class
        wanted = set(inspect.signature(config_class.__init__).parameters) \
            - {"self", "of_transformers"}
        assert {key.name for key in generate.models.settings(name)} == wanted


@pytest.mark.parametrize("name", sorted(models.INDEX))
def test_every_setting_of_a_model_has_a_meaning(generate, name):
    assert not [key.name for key in generate.models.settings(name) if len(key.meaning) < 3]


def test_every_configuration_file_is_listed(generate, site):
    text = (site / generate.configurations.FILE).read_text()
    files = [path for path in (ROOT / "configs").rglob("*") if path.suffix in (".yaml", ".sbatch")]
    assert not [path.name for path in files if f"**{path.name}**" not in text]


def test_sizes_are_those_of_the_networks():
    path = ROOT / "docs" / "models" / "measure.py"
    spec = importlib.util.spec_from_file_location("measure", path)
    measure = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(measure)
    kept = json.loads(measure.FILE.read_text())
    assert [(row["network"], row["parameters"], row["window"]) for row in kept] \
        == [(row["network"], row["parameters"], row["window"]) for row in measure.measured(False)]
    assert all(row["flops"] > 0 for row in kept)
