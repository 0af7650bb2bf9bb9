"""Folders may be called by somebody's name: they are cut off settings, and what is left is asked
for."""

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants

import neurofm
from neurofm import artifacts, cli, contents
from neurofm.data import tables
from neurofm.hub import places, review
from tests.support import small_checkpoints
from tests.support.every_command import commands
from tests.support.resealed import resealed

NO_PLACES = {"what", "repo"}  # words without a --name that name no folder or file
SETTINGS = {
    "data": "maria_huber/corpus", "out": "runs/maria_huber", "model": "maria_huber/base/",
    "tokens": "C:\\maria\\tokens", "models": {"ours": "maria_huber/base"},
    "protocol": {"test": ["lab/07"]}, "only": {"state": "open/closed"}, "channels": ["EEG A1/A2"],
    "atlas": "maria huber/schaefer.nii.gz", "tokenizer": "lab/tokenizer@v1", "seed": 3,
    "sites": {"clinic": "~maria/clinic", "lab": "hf://lab/windows@v1"}, "model_name": "a/b",
}
COMMAND = ("neurofm finetune --data maria_huber/corpus --model='maria huber/base' --seed 1 "
           "--models '{ours: maria_huber/base}' --only.state open/closed --out OUT "
           "'maria huber/a.edf'")


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """A Hub cache with a model."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models--lab--tokenizer").mkdir(parents=True)


@pytest.mark.usefixtures("fetched")
def test_secrets_folders_are_cut_off_settings():
    cut = {
        **SETTINGS, "data": "corpus", "out": "OUT", "model": "base", "tokens": "tokens",
        "models": {"ours": "base"}, "atlas": "schaefer.nii.gz",
        "sites": {"clinic": "clinic", "lab": "hf://lab/windows@v1"}}
    assert places.cut(SETTINGS) == cut
    assert places.cut(cut) == cut
    assert places.cut_words(COMMAND) == (
        "neurofm finetune --data corpus --model=base --seed 1 --models "
        "'{ours: base}' --only.state open/closed --out OUT a.edf")
    assert places.cut_words("neurofm decode 'maria/a") == "neurofm decode 'a"


def test_secrets_in_options_of_every_command_that_names_folders(repo):
    found = set()
    for each in [each for several in commands(repo).values() for each in several]:
        words = each.positional if isinstance(each.positional, tuple) else (each.positional,)
        found |= {*each.reads, *(name.rpartition(".")[2] for name in each.models), *words}
        found |= marked(each.config)
    assert found - {""} - NO_PLACES <= places.KEYS


def marked(config: type) -> set[str]:
    """Options whose files are told by their bytes."""
    import dataclasses
    import typing

    found, kinds = set(), typing.get_type_hints(config)
    for each in dataclasses.fields(config):
        kind = kinds[each.name]
        if dataclasses.is_dataclass(kind):
            found |= marked(kind)
        elif contents.KEY in each.metadata:
            found.add(each.name)
    return found


def test_secrets_in_names_of_folders_of_a_checkpoint(tmp_path, checked_here, capsys):
    folder = small_checkpoints.make("decoder", tmp_path / "decoder")
    said = {"data": "maria_huber/corpus", "model": "runs/huber", "out": "maria_huber/decoder"}
    (folder / "run.yaml").write_text(yaml.safe_dump(said))
    neurofm.Results(question="finetune", data="maria_huber/corpus", model="runs/huber",
                    notes=["runs/huber has no ledger"], command=COMMAND).save(folder)
    artifacts.unseal(folder)
    artifacts.seal(folder, "checkpoint", config=said, files=sorted(
        path.name for path in folder.iterdir() if path.is_file()))
    look, people = tmp_path / "look", tmp_path / "home" / "people.tsv"
    words = ["publish", str(folder), "tester/mine", "--license=mit", f"--pseudonyms={people}"]
    assert cli.main([*words, "--dry-run", f"--staged={look}"]) == 0
    everything = "".join(path.read_text() for path in look.iterdir()
                         if path.suffix != ".safetensors").casefold()
    assert "maria" not in everything
    settings = {"data": "corpus", "model": "huber", "out": "OUT"}
    assert yaml.safe_load((look / "run.yaml").read_text()) == settings
    assert artifacts.read_manifest(look).config.items() >= settings.items()
    assert json.loads((look / "results.json").read_text())["notes"] == ["huber has no ledger"]
    # What is left of a path may be a name, too.
    told = capsys.readouterr().out
    assert "1 text that may name somebody: 'huber' (" in told
    assert "folders also by a row of the table" in told
    assert review.read(people.with_suffix(".texts.tsv")) == {"huber"}
    people.write_text("dataset\tlabel\tpseudonym\n\thuber\tbase\n")
    again = tmp_path / "again"
    assert cli.main([*words, "--dry-run", f"--staged={again}"]) == 0
    assert "that may name somebody" not in capsys.readouterr().out
    assert yaml.safe_load((again / "run.yaml").read_text())["model"] == "base"


def test_secrets_in_the_folder_that_held_the_recordings(corpus_folder, tmp_path, capsys):
    import shutil

    folder = tmp_path / "corpus"
    shutil.copytree(corpus_folder, folder)
    table = tables.read(folder / "recordings.arrow").copy()
    table["source"] = [f"maria_huber/{Path(source).name}" for source in table["source"]]
    tables.write(table, folder / "recordings.arrow")
    (folder / "datasets.json").write_text(json.dumps(
        {name: {"licence": "CC0"} for name in {*table["dataset"]}}))
    resealed(folder, add=("datasets.json",))
    people = tmp_path / "people.tsv"
    words = ["publish", str(folder), "tester/windows", "--license=mit", "--dry-run",
             f"--pseudonyms={people}"]
    assert cli.main(words) == 0
    assert "maria_huber" in review.read(people.with_suffix(".texts.tsv"))
