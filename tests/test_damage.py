"""Damage of every file of every kind of artifact is found and named, and nothing is read of it.

A cell of the matrix is an artifact, a file of it and a way to damage it, most of which keep its
size and time. What opens the artifact must refuse it, and `neurofm verify` must name the file.
"""

import copy
import dataclasses
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from neurofm import (
    artifacts,
    checkpoints,
    cli,
    hashes,
    integrity,
    json_file,
    manifest,
    models,
    tsv,
    verify,
    weights,
)
from neurofm.data.corpus import Corpus
from neurofm.data.pairs import Pairs
from neurofm.data.tokens import TokenSet
from neurofm.journal import NAME as JOURNAL
from neurofm.manifest import Manifest
from neurofm.progress import Progress
from neurofm.results import Results
from neurofm.training import state
from neurofm.training.loop import TrainConfig, accelerator_for
from tests.support.resealed import resealed


def flip(path: Path, sibling: Path, place: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def zero(path: Path, sibling: Path) -> None:
    """4 kB, where they are not zero already."""
    content = bytearray(path.read_bytes())
    begin = max(0, next(i for i, byte in enumerate(content) if byte) - 7)
    content[begin : begin + 4096] = bytes(len(content[begin : begin + 4096]))
    path.write_bytes(content)


def cut(path: Path, sibling: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def swap(path: Path, sibling: Path) -> None:
    one, other = path.read_bytes(), sibling.read_bytes()
    path.write_bytes(other)
    sibling.write_bytes(one)


def delete(path: Path, sibling: Path) -> None:
    path.unlink()


def edit(path: Path, sibling: Path) -> None:
    """By somebody who knows the format: another number in JSON, another letter in text, one value
    in what is binary."""
    content = path.read_bytes()
    if path.suffix == ".json":
        fields = json.loads(content)
        fields["config" if path.name == artifacts.FILE_NAME else "n_heads"] = {"n_heads": 3}
        path.write_text(json.dumps(fields))
    else:
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 64]) + content[-8:])


DAMAGES = (flip, zero, cut, swap, delete, edit)


def every_window(folder: Path) -> None:
    corpus = Corpus.open(folder)
    for window in range(len(corpus)):
        corpus.signal(window)


def every_code(folder: Path) -> None:
    tokens = TokenSet.open(folder)
    for window in range(len(tokens)):
        tokens.ids(window)


def every_scan(folder: Path) -> None:
    pairs = Pairs.open(folder)
    for scan in range(len(pairs)):
        pairs.eeg(scan), pairs.bold(scan)


def every_recording(folder: Path) -> None:
    from neurofm.preprocessing import archive, readers

    found = archive.find([str(folder)])
    assert len(found.jobs) == 1
    readers.read(found.jobs[0].path)


def newest(folder: Path) -> None:
    """The state that a run goes on from."""
    said: list[str] = []
    accelerator = accelerator_for(TrainConfig(), folder.parent)
    found = state.newest(folder.parent, accelerator, said.append)
    if found is None:
        raise artifacts.ArtifactError("\n".join(said) or "no manifest.json: unfinished")
    state.load(found, *_model(), accelerator)


def results(folder: Path) -> None:
    artifacts.open_sealed(folder, "results")


OPENERS: dict[str, Callable[[Path], object]] = {
    "archive": every_recording, "corpus": every_window, "fmri": every_window, "pairs": every_scan,
    "tokens": every_code, "checkpoint": checkpoints.load, "state": newest, "results": results,
}


def _model() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, torch.optim.AdamW(model.parameters())


@pytest.fixture(scope="module")
def made(once, corpus_folder, tokenizer_folder, tokens_folder, repo, tmp_path_factory):
    """made(kind) → a folder of that kind, whole, that a test may damage."""
    place = tmp_path_factory.mktemp("whole")

    def archive(folder: Path) -> None:
        from neurofm.preprocessing.simulate import SimulateConfig, simulate

        simulate(SimulateConfig(str(folder), subjects=1, minutes=0.4, always=("eeg19",),
                                devices=(), devices_per_subject=0))

    def fmri(folder: Path) -> None:
        from tests.support import fmri

        fmri.make(folder)

    def pairs(folder: Path) -> None:
        from tests.data import test_neurobolt_pairs

        test_neurobolt_pairs._write(folder)

    def state_of(folder: Path) -> None:
        model, optimizer = _model()
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        state.save(folder, 4, model, optimizer, accelerator_for(TrainConfig(), folder.parent),
                   keep=1)

    def copied(source: Path) -> Callable[[Path], object]:
        return lambda folder: shutil.copytree(source, folder, dirs_exist_ok=True)

    def results_of(folder: Path) -> None:
        copied(repo / "tests" / "old_artifacts" / "decoder" / "test")(folder)
        resealed(folder)  # by this version

    makers = {"archive": archive, "fmri": fmri, "pairs": pairs, "state": state_of,
              "corpus": copied(corpus_folder), "tokens": copied(tokens_folder),
              "checkpoint": copied(tokenizer_folder),
              "results": results_of}

    def of(kind: str) -> Path:
        folder = place / kind
        if not folder.exists():
            makers[kind](folder)
        return folder / "step-00000004" if kind == "state" else folder

    return of


@pytest.mark.parametrize("kind", OPENERS)
def test_damage_of_every_file_is_found_and_named(made, kind):
    folder = made(kind)
    OPENERS[kind](folder)  # whole, it opens
    names = [*artifacts.read_manifest(folder).listed, artifacts.FILE_NAME]
    assert len(names) > 2
    missed = []
    for name in names:
        path, sibling = folder / name, folder / _sibling(folder, names, name)
        before = {each: (each.read_bytes(), each.stat()) for each in (path, sibling)}
        for damage in DAMAGES:
            damage(path, sibling)
            for each, (_, stat) in before.items():
                if each.exists():
                    os.utime(each, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            shown = {path.name, sibling.name} if damage is swap else {path.name}
            try:
                OPENERS[kind](folder)
                missed.append((damage.__name__, name, "opened"))
            except artifacts.ArtifactError as refused:
                if not any(each in str(refused) for each in shown):
                    missed.append((damage.__name__, name, str(refused)))
            said = "\n".join(verify.look(folder, Progress(0, "verify"))[0])
            if not any(each in said for each in shown):
                missed.append((damage.__name__, name, f"verify: {said}"))
            for each, (content, _) in before.items():
                each.write_bytes(content)
    assert not missed
    OPENERS[kind](folder)


def _sibling(folder: Path, names: list[str], name: str) -> str:
    """Another file, of other content: of the same suffix and size if there is one."""
    content = (folder / name).read_bytes()
    others = [each for each in names if (folder / each).read_bytes() != content]
    return min(others, key=lambda each: (Path(each).suffix != Path(name).suffix,
                                         abs((folder / each).stat().st_size - len(content))))


@pytest.mark.parametrize("kind", OPENERS)
def test_damage_by_addition_is_refused_where_a_reader_could_take_it(made, kind):
    folder = made(kind)
    # What systems, editors, the Hub's client and a process that was killed leave is nobody's data.
    for name in ("notes.md", ".lock", "plot.png", "README", "Thumbs.db", "ingest.log", ".DS_Store",
                 "._config.json", "._a.edf", ".nfs000000000182ab0400000007", ".config.json.swp",
                 ".config.json.4711", ".a.arrow.part", ".gitattributes",
                 ".model.safetensors.Xa3f9K",
                 ".cache/huggingface/download/a.metadata", ".ipynb_checkpoints/a.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    OPENERS[kind](folder)
    for name in (".config.json", ".model.safetensors", ".a.py", "adapter_config.json",
                 "model-00002.safetensors", "modeling.py", "chat_template.jinja",
                 "tokenizer.model"):
        (folder / name).write_text("{}")
        with pytest.raises(artifacts.ArtifactError, match=rf"{name}: is not in the manifest"):
            OPENERS[kind](folder)
        (folder / name).unlink()
    OPENERS[kind](folder)


def test_damage_by_a_key_that_stands_twice(made, tmp_path):
    """Readers take the first or the last: one folder would be two things."""
    folder = shutil.copytree(made("checkpoint"), tmp_path / "twice")
    path = folder / artifacts.FILE_NAME
    path.write_text(path.read_text().replace("{", '{\n "kind": "results",', 1))
    with pytest.raises(artifacts.ArtifactError, match="'kind' stands twice"):
        artifacts.open_sealed(folder)
    artifacts.write_json(folder / "note.json", {"a": 1}, checked=True)
    (folder / "note.json").write_text((folder / "note.json").read_text().replace("{", '{"a": 2,'))
    with pytest.raises(artifacts.ArtifactError, match="'a' stands twice"):
        artifacts.read_json(folder / "note.json")
    many = ", ".join(f'"{n}": 1' for n in [*range(10**5), 10**5 - 1])  # told at once
    with pytest.raises(ValueError, match="'99999' stands twice"):
        json_file.loads(f"{{{many}}}")


@pytest.fixture(scope="module")
def with_test(made, repo, tmp_path_factory):
    """A checkpoint with results of its own inside, as finetune seals one."""
    folder = shutil.copytree(made("checkpoint"), tmp_path_factory.mktemp("inner") / "decoder")
    shutil.copytree(repo / "tests" / "old_artifacts" / "decoder" / "test", folder / "test")
    resealed(folder / "test")
    before = artifacts.read_manifest(folder).fingerprint
    assert resealed(folder).fingerprint == before  # whenever the results were sealed
    return folder


def _changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"0", b"1"))


def _linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


INNER = {
    "changed": (lambda f: _changed(f / "test" / "metrics.json"), "metrics.json: its sha256"),
    "gone": (lambda f: shutil.rmtree(f / "test"), "test/manifest.json: is missing"),
    "without manifest": (lambda f: (f / "test" / "manifest.json").unlink(),
                         "test/manifest.json: is missing"),
    "another": (lambda f: resealed(f / "test", config={"other": 1}), "test/manifest.json: has"),
    "added": (lambda f: (f / "test" / "x.json").write_text("{}"), "x.json: is not in the manifest"),
    "linked": (lambda f: _linked(f / "test"), "test: is a link"),
}


@pytest.mark.parametrize("how", INNER)
def test_damage_of_results_inside_a_checkpoint(with_test, how, tmp_path, capsys):
    from neurofm import cli

    folder = shutil.copytree(with_test, tmp_path / "decoder")
    assert cli.main(["verify", str(folder)]) == 0
    assert "2 folders checked, 0 damaged" in capsys.readouterr().out
    damage, words = INNER[how]
    damage(folder)
    assert cli.main(["verify", str(folder)]) == 1
    assert words in capsys.readouterr().out


def _to_a_link(manifest: Path) -> None:
    manifest.unlink()
    manifest.symlink_to(manifest.name)


def _to_a_folder(manifest: Path) -> None:
    manifest.unlink()
    manifest.mkdir()


@pytest.mark.parametrize("how", [Path.unlink, _to_a_link, _to_a_folder])
@pytest.mark.parametrize("kind", ["corpus", "tokens", "pairs", "checkpoint", "results"])
def test_damage_a_lost_manifest_is_said(made, with_test, kind, how, tmp_path, capsys):
    """Of the folder that is given, and of one that lies in it beside a whole one."""
    from neurofm import cli

    whole = with_test if kind == "checkpoint" else made(kind)
    folder = shutil.copytree(whole, tmp_path / "all" / "lost")
    shutil.copytree(made("tokens"), tmp_path / "all" / "whole")
    how(folder / artifacts.FILE_NAME)
    for given in (folder, tmp_path / "all"):
        assert cli.main(["verify", str(given)]) == 1
        said = capsys.readouterr().out
        assert any(f"{folder}{words}" in said for words in (
            ": has no manifest.json", "/manifest.json: is a link",
            ": wanted a finished artifact, but it has no manifest.json"))


@pytest.mark.parametrize("kind", ["corpus", "checkpoint", "archive"])
def test_damage_by_links_is_refused(made, kind, tmp_path):
    """Of a file and of a folder, though the bytes are the same."""
    folder = shutil.copytree(made(kind), tmp_path / "linked")
    name = max(artifacts.read_manifest(folder).listed, key=len)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(artifacts.ArtifactError, match=f"{Path(name).name}: is a link"):
        OPENERS[kind](folder)
    if kind == "corpus":
        (folder / name).unlink()
        (tmp_path / "elsewhere").rename(folder / name)
        (folder / "windows").rename(tmp_path / "windows")
        (folder / "windows").symlink_to(tmp_path / "windows")
        with pytest.raises(artifacts.ArtifactError, match="windows: is a link"):
            OPENERS[kind](folder)


def test_damage_the_cache_of_the_hub_is_no_damage(made, tmp_path):
    """Its snapshots are made of links to blobs."""
    source, blobs = made("checkpoint"), tmp_path / "models--org--name" / "blobs"
    folder = blobs.parent / "snapshots" / "abc"
    blobs.mkdir(parents=True), folder.mkdir(parents=True)
    for number, path in enumerate(sorted(each for each in source.iterdir() if each.is_file())):
        shutil.copy(path, blobs / str(number))
        (folder / path.name).symlink_to(f"../../blobs/{number}")
    checkpoints.load(folder)
    weights = (folder / "model.safetensors").resolve()
    flip(weights, weights)
    with pytest.raises(artifacts.ArtifactError, match=r"model.safetensors: its sha256"):
        checkpoints.load(folder)


def test_damage_is_found_by_transformers_too(made, tmp_path):
    folder = shutil.copytree(made("checkpoint"), tmp_path / "checkpoint")
    models.register_auto_classes()
    AutoModel.from_pretrained(folder)
    flip(folder / "model.safetensors", folder, 0.9)
    with pytest.raises(artifacts.ArtifactError, match=r"model.safetensors: its sha256"):
        AutoModel.from_pretrained(folder)


def test_damage_by_a_manifest_that_leaves_weights_out_of_its_fingerprint(made, tmp_path):
    """Or quotes hashes of other weights: neither is a fingerprint of what is there."""
    folder = shutil.copytree(made("checkpoint"), tmp_path / "checkpoint")
    path = folder / artifacts.FILE_NAME
    whole = artifacts.read_manifest(folder)
    for more in ([], ["0" * 64]):
        files = dict(whole.files)
        weights = files.pop("model.safetensors")
        forged = dataclasses.replace(
            whole, files=files, beside={**whole.beside, "model.safetensors": [*weights, *more]})
        path.write_text(json.dumps(forged.to_dict()))
        with pytest.raises(artifacts.ArtifactError, match=r"model\.safetensors.*(beside|wanted)"):
            artifacts.open_sealed(folder)


def test_damage_much_that_is_not_verified_is_said(made, tmp_path, monkeypatch, caplog):
    """Before the first steps of a training wait for hashes; `neurofm verify` does them ahead."""
    monkeypatch.setattr(hashes, "REMEMBERED_BYTES", 1)
    monkeypatch.setattr(hashes, "SETTLED_NS", -(10**18))
    monkeypatch.setattr(integrity, "LONG_BYTES", 1)
    folder = shutil.copytree(made("corpus"), tmp_path / "corpus")
    Corpus.open(folder)
    assert f"`neurofm verify {folder}` does it ahead" in caplog.text
    caplog.clear()
    assert cli.main(["verify", str(folder)]) == 0
    artifacts._say_once.cache_clear()
    Corpus.open(folder)
    assert not caplog.text


BAD_MANIFESTS = {
    "[]": "wanted an object", "3": "wanted an object", "": "Expecting", "[" * 10**5: "nested",
    '{"kind": NaN}': "keys that are missing",
    lambda m: m.pop("parents"): "missing or unknown: 'parents'",
    lambda m: m.update(extra=1): "missing or unknown: 'extra'",
    lambda m: m.update(files=[]): "files must be dict, is list",
    lambda m: m.update(config=None): "config must be dict",
    lambda m: m.update(kind=["corpus"]): "kind must be str",
    lambda m: m.update(kind="a" * 10**6): "kind must be a word",
    lambda m: m.update(format_version="1"): "format_version must be int",
    lambda m: m.update(format_version=0): "format_version 0",
    lambda m: m.update(format_version=True): "format_version must be int",
    lambda m: m.update(format_version=99): "format version 99.*install a newer",
    lambda m: m.update(fingerprint="0" * 16): "fingerprint is '0000",
    lambda m: m.update(parents={"data": 3}): "parents must name texts",
    lambda m: m["files"].update(x=[-1, "0" * 64]): "entry of 'x'",
    lambda m: m["files"].update(x=[float("nan"), "0" * 64]): "entry of 'x'",
    lambda m: m["files"].update(x=[True, "0" * 64]): "entry of 'x'",
    lambda m: m["files"].update(x=[1, "xyz"]): "entry of 'x'",
    lambda m: m["files"].update(x={"a": 1}): "entry of 'x'",
    **{(lambda m, name=name: m["files"].update({name: [1, "0" * 64]})): "inside the folder"
       for name in ("/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "", "..", "C:\\x",
                    "C:/x", "a\\b", "a\nb", "a\0b", "\ud800")},
}


@pytest.mark.parametrize("number", range(len(BAD_MANIFESTS)))
def test_damage_of_a_manifest_is_one_clear_error(made, number, tmp_path):
    spoil, said = list(BAD_MANIFESTS.items())[number]
    (tmp_path / "x").mkdir()
    artifacts.seal(tmp_path, "results", config={}, files=[])
    path = tmp_path / artifacts.FILE_NAME
    if isinstance(spoil, str):
        path.write_text(spoil)
    else:
        fields = json.loads(path.read_text())
        fields.pop("checksum")  # as of version 1, so that it is not the checksum that tells
        fields["format_version"] = 1
        spoil(fields)
        path.write_text(json.dumps(fields))
    with pytest.raises(artifacts.ArtifactError, match=rf"(?s)manifest\.json: .*{said}"):
        artifacts.open_sealed(tmp_path)


def test_damage_of_manifests_at_random(made, tmp_path):
    """NEUROFM_FUZZ manifests, half of them with a checksum that holds: each opens, or is refused by
    an ArtifactError that names it; the bytes that are read are those of a file that is listed."""
    folder = shutil.copytree(made("tokens"), tmp_path / "tokens")
    path, random = folder / artifacts.FILE_NAME, np.random.default_rng(0)
    whole = path.read_bytes()
    values = [None, True, -1, 2**70, 1e308, float("nan"), "", "../x", "a" * 5000, [], {}, [[]] * 9,
              "/etc/passwd", {"a": {"b": []}}, "checkpoint", json.loads("[" * 200 + "]" * 200)]
    opened, said = 0, []
    for case in range(int(os.environ.get("NEUROFM_FUZZ", "600"))):
        if case % 4 == 0:
            content = bytearray(whole)
            for place in random.integers(len(content), size=random.integers(1, 4)):
                content[place] = random.integers(256)
            path.write_bytes(content)
        else:
            fields = json.loads(whole)
            for _ in range(random.integers(1, 3)):
                _replace(fields, values[random.integers(len(values))], random)
            if case % 2:
                fields["checksum"] = manifest.checksum(fields)
            path.write_text(json.dumps(fields))
        try:
            TokenSet.open(folder).ids(0)
            opened += 1
        except artifacts.ArtifactError as refused:
            said.append(str(refused))
    assert all(str(folder) in each and len(each) < 2000 for each in said)
    assert 0 < opened < len(said) / 2


def _replace(fields: dict, value, random) -> None:
    """Put the value somewhere in the JSON, or take something away."""
    while True:
        keys = [*fields] if isinstance(fields, dict) else range(len(fields))
        key = keys[random.integers(len(keys))]
        below = fields[key]
        if not isinstance(below, dict | list) or not below or random.random() < 0.4:
            break
        fields = below
    if random.random() < 0.2:
        del fields[key]
    else:
        fields[key] = copy.deepcopy(value)  # else it may come to hold itself


def test_damage_levels_of_verification(made, tmp_path, monkeypatch, capsys):
    """off compares sizes, lazy reads shards when they are read, full at once."""
    folder = shutil.copytree(made("corpus"), tmp_path / "corpus")
    shard = sorted((folder / "windows").iterdir())[2]
    flip(shard, shard)
    monkeypatch.setenv(integrity.VARIABLE, "off")
    every_window(folder)
    monkeypatch.setenv(integrity.VARIABLE, "lazy")
    corpus = Corpus.open(folder)
    assert corpus.signal(0).size
    with pytest.raises(artifacts.ArtifactError, match=f"{shard.name}: its sha256"):
        every_window(folder)
    monkeypatch.setenv(integrity.VARIABLE, "full")
    with pytest.raises(artifacts.ArtifactError, match=f"{shard.name}: its sha256"):
        Corpus.open(folder)
    monkeypatch.setenv(integrity.VARIABLE, "some")
    with pytest.raises(ValueError, match="NEUROFM_VERIFY: wanted one of off, lazy, full"):
        Corpus.open(folder)
    monkeypatch.delenv(integrity.VARIABLE)
    words = ["evaluate", "reconstruction", f"--data={folder}", f"--model={made('checkpoint')}",
             "--split=train", f"--out={tmp_path / 'out'}"]
    assert cli.main([*words, "--verify=full"]) == 1
    assert shard.name in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli.main(words) == 1  # when the shard is read
    assert shard.name in capsys.readouterr().err
    assert not artifacts.is_sealed(tmp_path / "out")
    assert os.environ.get(integrity.VARIABLE) is None


def test_damage_is_not_hidden_by_what_is_remembered(made, tmp_path, monkeypatch):
    """A file is hashed once; a copy, a change with the old time, and a moved folder are hashed
    again. A cache that cannot be written changes nothing but time."""
    monkeypatch.setattr(hashes, "REMEMBERED_BYTES", 1)
    monkeypatch.setattr(hashes, "SETTLED_NS", -(10**18))
    monkeypatch.setenv("NEUROFM_CACHE", str(tmp_path / "cache"))
    hashes._notes.cache_clear()
    read, sha256 = [], hashes.sha256
    monkeypatch.setattr(hashes, "sha256", lambda path: (read.append(Path(path)), sha256(path))[1])
    folder = shutil.copytree(made("corpus"), tmp_path / "corpus")
    every_window(folder)
    n = len(read)
    assert n == len(artifacts.read_manifest(folder).listed)
    hashes._notes.cache_clear()  # another process
    every_window(folder)
    assert len(read) == n
    shard = sorted((folder / "windows").iterdir())[0]
    stat = shard.stat()
    flip(shard, shard)
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(artifacts.ArtifactError, match=shard.name):
        every_window(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(artifacts.ArtifactError, match=shard.name):
        every_window(copy)
    shutil.rmtree(folder)
    copy.rename(folder)  # to where the notes are of
    with pytest.raises(artifacts.ArtifactError, match=shard.name):
        every_window(folder)
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("NEUROFM_CACHE", str(blocked))
    hashes._notes.cache_clear()
    every_window(made("corpus"))
    hashes._notes.cache_clear()


_MET: dict = {}  # of a process


def _meet(barrier) -> None:
    _MET["barrier"] = barrier


def _read_all(corpus: Corpus) -> int:
    """Files that this process hashes while it reads everything."""
    read, sha256 = [], hashes.sha256
    hashes.sha256 = lambda path: (read.append(path), sha256(path))[1]
    _MET["barrier"].wait(30)
    for window in range(len(corpus)):
        corpus.signal(window)
    return len(read)


def test_damage_is_looked_for_once_by_several_processes(made, tmp_path, monkeypatch):
    """Loader processes and ranks: one hashes a shard, the others wait for it."""
    monkeypatch.setattr(hashes, "REMEMBERED_BYTES", 1)
    monkeypatch.setattr(hashes, "SETTLED_NS", -(10**18))
    corpus = Corpus.open(shutil.copytree(made("corpus"), tmp_path / "corpus"))
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    with context.Pool(3, _meet, (barrier,)) as pool:
        read = pool.map(_read_all, [corpus] * 3, chunksize=1)
    assert sum(read) == len(set(corpus.recordings["recording"]))


def test_damage_verify_names_all_and_says_what_to_make_again(made, tmp_path, capsys):
    good = made("corpus")
    bad = shutil.copytree(good, tmp_path / "bad")
    shards = sorted((bad / "windows").iterdir())
    flip(shards[0], shards[0])
    shards[1].unlink()
    (bad / "extra.json").write_text("{}")
    assert cli.main(["verify", str(good), str(bad)]) == 1
    said = capsys.readouterr().out
    for path in (shards[0], bad / "extra.json"):
        assert str(path) in said
    assert f"{shards[1]}: is missing" in said
    assert "make it again: neurofm ingest" in said
    assert f"{good}: corpus" in said
    assert "2 folders checked, 1 damaged" in said


def test_damage_weights_that_are_no_numbers_are_named(made, tmp_path):
    """Even where the hash is theirs."""
    folder = shutil.copytree(made("checkpoint"), tmp_path / "nan")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name, value in weights.items() if value.is_floating_point())
    weights[name].view(-1)[0] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    resealed(folder)
    with pytest.raises(ValueError, match=rf"1 of its weights are not finite \({name}\)"):
        checkpoints.load(folder)


def test_damage_of_the_weights_that_were_chosen_is_told(tmp_path):
    """`choose` keeps them beside the states, where no manifest lists them."""
    model, _ = _model()
    accelerator, path = accelerator_for(TrainConfig(), tmp_path), tmp_path / "chosen.safetensors"
    state.save_weights(path, model, accelerator)
    state.load_weights(path, model)
    whole = path.read_bytes()
    for place in (0.02, 0.97, 0.999):
        flip(path, path, place)
        with pytest.raises(artifacts.ArtifactError, match=r"chosen\.safetensors"):
            state.load_weights(path, model)
        path.write_bytes(whole)


def test_damage_of_what_an_unfinished_token_set_keeps(
    corpus_folder, tokenizer_folder, tokens_folder, tmp_path, monkeypatch
):
    """The shard is made again, not sealed as it is."""
    words = ["tokenize", f"--data={corpus_folder}", f"--model={tokenizer_folder}",
             f"--out={tmp_path / 'tokens'}"]
    calls, note = [], Progress.advance

    def interrupted(self, n=1):
        note(self, n)
        calls.append(n)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", interrupted)
        assert cli.main(words) == 130
    first, second, third = sorted((tmp_path / "tokens" / "ids").glob("*.arrow"))
    flip(first, first)
    third.write_bytes(second.read_bytes())
    stamp = second.stat().st_mtime_ns
    with open(tmp_path / "tokens" / JOURNAL, "a") as journal:
        journal.write("cut")
    assert cli.main(words) == 0
    assert second.stat().st_mtime_ns == stamp
    made, wanted = (artifacts.open_sealed(each, "tokens", hashes=True)
                    for each in (tmp_path / "tokens", tokens_folder))
    assert made.fingerprint == wanted.fingerprint


@pytest.mark.parametrize("cell", ["two\nlines", "a\u2028b", "a\x85b", 'said "so"', "x" * 200_000])
def test_damage_none_by_text_in_a_table_of_results(tmp_path, cell):
    """A long run ends sealed, whatever stands in its tables; and words are no part of its
    fingerprint."""
    found = set()
    for word in (cell, "plain"):
        table = pd.DataFrame({"recording": ["a", "b"], "problem": [word, ""], "windows": [1, 2]})
        tsv.write(table, tmp_path / "recordings.tsv")
        found.add(artifacts.seal(tmp_path, "results", config={}, files=["recordings.tsv"]
                                 ).fingerprint)
    assert len(found) == 1 or len(cell) > 10**5


@pytest.mark.parametrize("forged", ["0" * 64, None])
def test_damage_of_the_hash_of_scores_is_found_in_full(tmp_path, monkeypatch, forged):
    """A manifest that was made to fit, but for what in results.json its fingerprint is of."""
    Results("decode", summary="x", scores=[{"method": "a", "metric": "b", "value": 1.0}]).save(
        tmp_path)
    artifacts.seal(tmp_path, "results", config={}, files=["results.json"])
    path = tmp_path / "manifest.json"
    monkeypatch.setenv("NEUROFM_VERIFY", "full")
    whole = artifacts.open_sealed(tmp_path).fingerprint
    said = json.loads(path.read_text())
    entry = said["beside"]["results.json"]
    said["beside"]["results.json"] = [*entry[:2], *([forged] if forged else [])]
    told = Manifest(**{key: value for key, value in said.items()
                       if key not in ("fingerprint", "checksum")})
    assert told.fingerprint != whole
    path.write_text(json.dumps(told.to_dict()))
    with pytest.raises(ValueError, match=r"results\.json: what in it belongs to the fingerprint"):
        artifacts.open_sealed(tmp_path)
    monkeypatch.setenv("NEUROFM_VERIFY", "lazy")
    artifacts.open_sealed(tmp_path)


def test_damage_none_is_a_mask_of_attention():
    """−inf beside zeros in a buffer is meant; in weights, or beside other numbers, it is not."""
    model = torch.nn.Linear(2, 2)
    mask = torch.zeros(3, 3).masked_fill(torch.ones(3, 3).triu(1).bool(), -torch.inf)
    model.register_buffer("mask", mask)
    weights.refuse_not_finite(model, "a")
    for name, value in (("mask", torch.nan), ("mask", torch.inf), ("mask", 1.0),
                        ("weight", -torch.inf), ("bias", torch.nan)):
        before = model.state_dict()[name].clone()
        model.state_dict()[name].view(-1)[0] = value
        with pytest.raises(ValueError, match=rf"a: 1 of its weights are not finite \({name}\)"):
            weights.refuse_not_finite(model, "a")
        model.state_dict()[name].copy_(before)
    with torch.no_grad():
        model.weight.zero_()[0, 0] = -torch.inf
    with pytest.raises(ValueError, match="weight"):
        weights.refuse_not_finite(model, "a")


def test_damage_is_remembered_nowhere_without_a_home(tmp_path, monkeypatch):
    """No folder called ~, and what was hashed is known to this process."""
    for name in ("NEUROFM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(hashes, "REMEMBERED_BYTES", 1)
    monkeypatch.setattr(hashes, "SETTLED_NS", -(10**18))
    monkeypatch.chdir(tmp_path)
    hashes._notes.cache_clear()
    (tmp_path / "a").write_bytes(b"abc")
    try:
        for _ in range(2):
            assert hashes.of(str(tmp_path), "a", os.stat("a")) == hashes.sha256("a")
        assert hashes.is_remembered(str(tmp_path), "a")
        assert os.listdir(tmp_path) == ["a"]
    finally:
        hashes._notes.cache_clear()


def test_damage_a_time_to_come_is_not_remembered(tmp_path, monkeypatch):
    """A clock that was wrong: the file may change again within that time."""
    monkeypatch.setenv("NEUROFM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hashes, "REMEMBERED_BYTES", 1)
    hashes._notes.cache_clear()
    path, now = tmp_path / "a", time.time_ns()
    path.write_bytes(b"abc")
    try:
        for later in (10**9, 10**15):
            os.utime(path, ns=(now + later, now + later))
            hashes.of(str(tmp_path), "a", os.stat(path))
            assert not hashes.is_remembered(str(tmp_path), "a")
    finally:
        hashes._notes.cache_clear()
