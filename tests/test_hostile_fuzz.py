"""Fuzzing: whatever is changed in a file, there is a result or one error that names the file; no
traceback, no hang, no growth beyond a bound.

`NEUROFM_FUZZ` is the number of cases of all tests together; 1000 unless it is set.
"""

import functools
import itertools
import json
import os
import shutil
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from hypothesis import given

from neurofm import manifest, models, repository, seen
from neurofm.checkpoints.card import About, card
from neurofm.checkpoints.robustness import Robustness
from neurofm.checkpoints.store import load
from neurofm.data import contracts
from neurofm.data.sensors import read_layouts
from neurofm.data.tokens import TokenSet
from neurofm.hub import show
from neurofm.preprocessing import archive, readers, terms
from neurofm.preprocessing.readers import ArrayTable, ImageTable, ReadOptions
from neurofm.results import Results
from tests.support import hostile
from tests.support.hostile import cases, check
from tests.support.resealed import resealed
from tests.support.torture import scans
from tests.support.torture.signals import NAMES, edf

CLOCK = itertools.count(10**18, 10**6)


@pytest.fixture(scope="session")
def atlas(tmp_path_factory) -> str:
    return str(scans.atlas(tmp_path_factory.mktemp("atlas") / "atlas.nii"))


@functools.cache
def made(name: str, base: Path) -> tuple[Path, dict[Path, bytes]]:
    """(the file in question, the content of all files of it)."""
    folder = base / name
    folder.mkdir()
    path = {**hostile.RECORDINGS, **hostile.NATIVE}[name](folder)
    return path, {file: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("name", hostile.RECORDINGS)
def test_hostile_recordings(name, base, atlas):
    """Every file of a recording, changed one at a time."""
    path, files = made(name, base)
    options = ReadOptions(arrays=ArrayTable(sfreq=hostile.RATE), images=ImageTable(atlas=atlas))

    @cases(0.3 / len(hostile.RECORDINGS))
    @given(hostile.edits())
    def one(edits):
        which = sorted(files)[edits[0][2] % len(files)]
        for file, content in files.items():
            file.write_bytes(hostile.edited(content, edits) if file == which else content)
        check(lambda: readers.opened(path, options), path.name)

    one()


@pytest.mark.parametrize("name", hostile.NATIVE)
def test_hostile_recordings_that_c_reads(name, base):
    """In processes of their own, as `readers.read` has it: a crash is an error of the file."""
    path, files = made(name, base)
    table = ArrayTable(sfreq=hostile.RATE)

    @cases(0.05 / len(hostile.NATIVE))
    @given(hostile.edits())
    def one(edits):
        which = sorted(files)[edits[0][2] % len(files)]
        for file, content in files.items():
            file.write_bytes(hostile.edited(content, edits) if file == which else content)
        check(lambda: readers.read(path, arrays=table), path.name)

    one()


@pytest.fixture(scope="module")
def bids(tmp_path_factory) -> Path:
    """A recording with every sidecar that is read."""
    root = tmp_path_factory.mktemp("bids")
    folder, stem = root / "sub-01" / "eeg", "sub-01_task-a"
    folder.mkdir(parents=True)
    edf(folder / f"{stem}_eeg.edf", hostile.SHORT)
    for path, content in {
        root / "dataset_description.json": '{"Name": "a", "BIDSVersion": "1.8.0"}',
        root / "participants.tsv": "participant_id\tage\tsex\nsub-01\t30\tF\n",
        folder / f"{stem}_eeg.json": '{"SamplingFrequency": 200, "PowerLineFrequency": 50, '
                                     '"TaskName": "a", "EEGReference": "Cz"}',
        folder / f"{stem}_events.tsv": "onset\tduration\ttrial_type\n0.1\t0.2\tgo\n",
        folder / f"{stem}_channels.tsv": "name\ttype\tunits\tstatus\n" + "".join(
            f"{name}\tEEG\tuV\tgood\n" for name in NAMES),
        folder / f"{stem}_electrodes.tsv": "name\tx\ty\tz\n" + "".join(
            f"{name}\t0.0{k}\t0.05\t0.0{k}\n" for k, name in enumerate(NAMES)),
        folder / f"{stem}_coordsystem.json": '{"EEGCoordinateSystem": "CapTrak", '
                                             '"EEGCoordinateUnits": "m"}',
    }.items():
        path.write_text(content)
    return root


@cases(0.03)
@given(edits=hostile.edits())
def test_hostile_sidecars(bids, edits):
    """Tables and JSON beside a recording, and what `ingest` finds in such a folder."""
    files = {file: file.read_bytes() for file in sorted(bids.rglob("*.[tj]s*"))}
    which = sorted(files)[edits[0][2] % len(files)]
    path = next(bids.rglob("*.edf"))
    which.write_bytes(hostile.edited(files[which], edits))
    os.utime(which, ns=(next(CLOCK), next(CLOCK)))  # tables are read anew when they change
    try:
        check(lambda: readers.opened(path, ReadOptions()), path.name)
        check(lambda: terms.of(archive.find([str(bids)]).jobs, {}, lambda *_: None), "")
    finally:
        which.write_bytes(files[which])
        os.utime(which, ns=(next(CLOCK), next(CLOCK)))


@pytest.fixture(scope="module")
def tokens(tokens_folder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokens") / "tokens"
    shutil.copytree(tokens_folder, folder)
    return folder


@cases(0.03)
@given(edits=hostile.edits())
def test_hostile_token_sets(tokens, edits):
    """Tables and shards changed by somebody who sealed them again, and manifests changed."""
    files = {file: file.read_bytes() for file in sorted(tokens.rglob("*")) if file.is_file()}
    which = sorted(files)[edits[0][2] % len(files)]
    which.write_bytes(hostile.edited(files[which], edits))
    try:
        if which.name != "manifest.json":
            resealed(tokens)
        check(lambda: [TokenSet.open(tokens).ids(window) for window in range(3)], tokens.name)
    finally:
        for file, content in files.items():
            file.write_bytes(content)


@cases(0.05)
@given(edits=hostile.changes())
def test_hostile_manifests(tokens, edits):
    """With a right checksum: what a manifest says is checked besides."""
    path = tokens / "manifest.json"
    whole = path.read_bytes()
    said = hostile.changed({key: value for key, value in json.loads(whole).items()
                            if key != "checksum"}, edits)
    if isinstance(said, dict):
        said["checksum"] = manifest.checksum(said)
    path.write_text(json.dumps(said))
    try:
        check(lambda: TokenSet.open(tokens).ids(0), tokens.name)
    finally:
        path.write_bytes(whole)


def consumers() -> dict:
    """File of a checkpoint or corpus → what reads it."""
    def about(folder):
        found = Robustness.read(folder)
        assert found is not None
        return found.rows(), found.about()

    def ledger(folder):
        found = repository.read_ledger(folder)
        assert found is not None
        return show._seen(found), seen.doubt(found, ["raw"])

    return {
        "preprocessor_config.json": lambda folder: contracts.load(folder).in_words(),
        "robustness.json": about, "training_data.json": ledger,
        "layouts.json": lambda folder: read_layouts(folder / "layouts.json"),
        "results.json": lambda folder: Results.load(folder), "config.json": load,
    }


@pytest.fixture(scope="session")
def stranger(decoder, corpus_folder, tmp_path_factory) -> Path:
    """The files of a decoder and a corpus without a manifest."""
    folder = tmp_path_factory.mktemp("stranger")
    for file in decoder.iterdir():
        if file.is_file() and file.name not in ("manifest.json", "run.yaml"):
            shutil.copy(file, folder)
    shutil.copy(corpus_folder / "layouts.json", folder)
    Results("decode", summary="x", scores=[{"method": "a", "metric": "b", "value": 1.0}]).save(
        folder)
    return folder


@pytest.mark.parametrize("name", consumers())
def test_hostile_json_of_artifacts(name, stranger):
    path = stranger / name
    whole = path.read_bytes()
    content, do = json.loads(whole), consumers()[name]

    @cases(0.3 / len(consumers()) if name != "config.json" else 0.02)
    @given(hostile.changes())
    def one(edits):
        path.write_text(json.dumps(hostile.changed(content, edits)))
        check(lambda: do(stranger), stranger.name if name == "config.json" else name)

    try:
        one()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", models.INDEX)
def test_hostile_configs_of_models(name):
    """config.json of every model and tokenizer."""
    kind = models.find(name).config_class
    content = json.loads(kind().to_json_string(use_diff=False)) if name != "decoder" else {}

    @cases(0.05 / len(models.INDEX))
    @given(hostile.changes())
    def one(edits):
        fields = hostile.changed(content, edits)
        if isinstance(fields, dict):
            check(lambda: kind.from_dict(fields), "")

    one()


def test_hostile_ledger_on_a_card(stranger):
    """The front of a card stays YAML, whatever the names."""
    model = load(stranger)
    content = json.loads((stranger / repository.LEDGER).read_text())
    path = stranger / repository.LEDGER
    whole = path.read_bytes()

    @cases(0.02)
    @given(hostile.changes())
    def one(edits):
        path.write_text(json.dumps(hostile.changed(content, edits)))
        try:
            ledger = repository.read_ledger(stranger)
        except ValueError:
            return
        written = card(model, ledger, {}, About(license="mit"), "a/b")
        assert yaml.safe_load(written.split("---\n")[1])["library_name"] == "neurofm"

    try:
        one()
    finally:
        path.write_bytes(whole)


COMMANDS = ("ingest", "pair", "simulate", "pretrain", "tokenize", "import", "finetune", "decode",
            "stream", "embed", "explain", "generate", "synthesize", "export", "federate", "publish",
            "show", "verify", "federate join", "plan", "consolidate")
QUESTIONS = ("decoding", "reconstruction", "hidden-regions", "next-token", "generation", "bold")


def config_of(name: str) -> type:
    group = "neurofm.benchmarks" if name in QUESTIONS else "neurofm.commands"
    (point,) = entry_points(group=group, name=name)
    found = point.load()
    return getattr(found, "config", None) or getattr(
        import_module(found.__module__), f"{name.title()}Config")


def test_every_command_and_question_is_here():
    assert {*COMMANDS, "evaluate", "list", "demo"} >= entry_points(group="neurofm.commands").names
    assert {*QUESTIONS} == entry_points(group="neurofm.benchmarks").names


@pytest.mark.parametrize("name", [*COMMANDS, *QUESTIONS])
def test_hostile_settings(name, tmp_path, capsys):
    """YAML of every command: what is not refused is a config; no command is run."""
    from neurofm import config

    kind = config_of(name)
    usual = {"out": "o", **config.defaults(kind)}
    path = tmp_path / "run.yaml"

    @cases(0.4 / (len(COMMANDS) + len(QUESTIONS)))
    @given(hostile.changes())
    def one(edits):
        path.write_text(yaml.safe_dump(hostile.changed(usual, edits)))
        check(lambda: config.parse(kind, [f"--config={path}"], command=name), "")
        capsys.readouterr()

    one()
