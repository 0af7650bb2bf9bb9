"""Checkpoints that others made: nothing that stands in them is run, fetched or believed unseen."""

import builtins
import json
import shutil

import pytest
import torch
from transformers import AutoModel

from neurofm import artifacts, checkpoints, repository
from neurofm.checkpoints.robustness import Robustness
from neurofm.hub import show

WRITTEN = "written.txt"


@pytest.fixture
def copy(decoder, tmp_path, monkeypatch):
    """A decoder in a folder without a manifest, as a stranger's; no question is ever asked."""
    folder = tmp_path / "decoder"
    shutil.copytree(decoder, folder)
    for name in (artifacts.FILE_NAME, "run.yaml"):
        (folder / name).unlink()
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("a question was asked"))
    monkeypatch.chdir(tmp_path)
    return folder


def change(folder, name="config.json", **fields):
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | fields))


@pytest.mark.parametrize("kind", ["neurofm_decoder", "someones_model"])
def test_code_that_a_config_names_is_not_run(copy, tmp_path, kind):
    (copy / "evil.py").write_text(f"open({str(tmp_path / WRITTEN)!r}, 'w')\nclass Config: ...\n"
                                  f"class Model: ...\n")
    own = json.loads((copy / "config.json").read_text())["model_type"]
    change(copy, model_type=own if kind == "neurofm_decoder" else kind,
           auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})
    with pytest.raises(ValueError, match=r"names Python code to be run \(auto_map\)"):
        show.said(str(copy))
    if kind == "neurofm_decoder":
        with pytest.raises(ValueError, match="auto_map"):
            AutoModel.from_pretrained(copy)
    assert not (tmp_path / WRITTEN).exists()


@pytest.mark.parametrize(("key", "value"), [
    ("attn_implementation", "somebody/kernel"), ("_attn_implementation", "somebody/kernel@v1:run"),
    ("_attn_implementation_internal", "somebody/kernel"), ("experts_implementation", "somebody/x"),
    ("quantization_config", {"quant_method": "bitsandbytes"}), ("use_kernels", True),
    ("transformers_weights", "adapter_model.bin"), ("custom_pipelines", {"x": {"impl": "e.X"}})])
@pytest.mark.parametrize("inside", [False, True], ids=["", "inside"])
def test_a_config_names_no_kernel_and_no_file(copy, key, value, inside):
    config = json.loads((copy / "config.json").read_text())
    part = next((v for v in config.values() if isinstance(v, dict) and "model_type" in v), config) \
        if inside else config
    part[key] = value
    (copy / "config.json").write_text(json.dumps(config))
    for load in (checkpoints.load, AutoModel.from_pretrained):
        with pytest.raises(ValueError, match=key):
            load(copy)


def test_what_a_caller_asks_for_is_not_refused(copy):
    assert AutoModel.from_pretrained(copy, attn_implementation="eager")


@pytest.mark.parametrize(("fields", "words"), [
    ({"dtype": "load"}, "wanted dtype in config.json"), ({"model_type": "bert"}, "model_type"),
    ({"model_type": ["a"]}, "model_type"), ({"n_heads_": 2}, "unknown key"),
    ({"model_type": None}, "model_type")])
def test_a_config_is_of_a_model_of_ours(copy, fields, words):
    change(copy, **fields)
    with pytest.raises(ValueError, match=words):
        checkpoints.load(copy)


def test_a_config_of_another_size_than_the_weights(copy):
    """Random weights are never drawn for what a config describes and a file does not hold."""
    config = json.loads((copy / "config.json").read_text())
    config["backbone"] |= {"dim": 2**14}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"describes a model of \d+ MB"):
        checkpoints.load(copy)


def test_only_safetensors_are_read(copy, tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / WRITTEN), "w")

    weights = next(copy.glob("*.safetensors"))
    weights.unlink()
    for name in ("pytorch_model.bin", "model.pt", "adapter_model.bin"):
        torch.save({"x": Evil()}, copy / name)
    with pytest.raises(ValueError, match="safetensors"):
        checkpoints.load(copy)
    assert not (tmp_path / WRITTEN).exists()


def test_an_adapter_is_not_loaded(copy):
    (copy / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else"}')
    with pytest.raises(ValueError, match="adapter"):
        checkpoints.load(copy)


@pytest.mark.parametrize("content", [
    b"", b"[]", b"{", b"\xff\xfe", b"[" * 10**5, b'{"recordings": [{}]}', b'{"recordings": 3}',
    b'{"recordings": [{"recording": "a", "role": "train", "subject": 3, "hours": 1}]}',
    b'{"recordings": [], "datasets": []}', b'{"recordings": [], "published": [{"weights": 1}]}',
    b'{"recordings": [], "datasets": {"a": []}}', b'{"recordings": {}}',
    b'{"recordings": [], "published": {}}', b'{"recordings": [], "legs": {"a": 1}}',
    b'{"recordings": [], "published": [{"datasets": ["a"], "remarks": [3]}]}',
    b'{"recordings": [], "published": [{"datasets": "abc"}]}'])
def test_a_ledger_of_another_shape(copy, content):
    (copy / repository.LEDGER).write_bytes(content)
    with pytest.raises(ValueError, match=repository.LEDGER):
        checkpoints.read_ledger(copy)


@pytest.mark.parametrize("content", [
    "{}", '{"version": 1}', '{"version": 1, "conditions": [{}]}', '{"version": [1]}',
    '{"version": 1, "metric": "mae", "chance": 0, "n_channels": 1, "windows": 1, "seed": 0, '
    '"conditions": [{"lowpass_hz": 1, "channels": "many", "artifacts": 0, "score": "x", '
    '"low": 0, "high": 0, "subjects": {}}]}'])
def test_scores_of_another_shape(copy, content):
    (copy / "robustness.json").write_text(content)
    with pytest.raises(ValueError, match=r"robustness\.json"):
        Robustness.read(copy)


def test_names_in_a_ledger_are_shown_as_text(copy, capsys):
    """What `show` prints holds no command to the terminal."""
    from neurofm import cli

    change(copy, repository.LEDGER, recordings=[{
        "recording": "a", "role": "train", "subject": "\x1b[2Jx/1", "hours": 0}], datasets={})
    assert cli.main(["show", str(copy)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"\x1b[2Jx" in out


def test_the_fingerprint_of_a_repository_is_of_its_files(decoder, tmp_path, monkeypatch):
    """What its manifest says of itself is not quoted."""
    folder = tmp_path / "snapshot"
    shutil.copytree(decoder, folder)
    monkeypatch.setattr(repository, "find", lambda place, name, revision=None: next(
        (file for file in [folder / name] if file.exists()), None))
    known = checkpoints.fingerprint(decoder)
    assert repository.fingerprint("somebody/decoder") == known
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert repository.fingerprint("somebody/decoder") != known
    weights.unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors is missing"):
        repository.fingerprint("somebody/decoder")


def test_weights_beside_those_of_the_manifest_are_not_a_repositorys(decoder, tmp_path, monkeypatch):
    folder = tmp_path / "snapshot"
    shutil.copytree(decoder, folder)
    (folder / "model.safetensors.index.json").write_text("{}")
    for module in (repository, checkpoints.store):
        monkeypatch.setattr(module, "find", lambda place, name, revision=None: next(
            (file for file in [folder / name] if file.exists()), None))
    with pytest.raises(ValueError, match=r"index\.json is not in its manifest"):
        repository.fingerprint("somebody/decoder")
    with pytest.raises(ValueError, match=r"index\.json is not in its manifest"):
        checkpoints.load("somebody/decoder")


def test_a_fetched_repository_is_whole_without_network(decoder, tmp_path, monkeypatch):
    """As `hf download` leaves it, for computers without network: what its manifest does not list
    does not exist, what it lists and was not fetched is missing."""
    folder = tmp_path / "models--somebody--decoder"
    snapshot = folder / "snapshots" / ("0" * 40)
    shutil.copytree(decoder, snapshot)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    place = "somebody/decoder"
    assert repository.find(place, "adapter_config.json") is None
    assert repository.find(place, "config.json") == snapshot / "config.json"
    assert repository.fingerprint(place) == checkpoints.fingerprint(decoder)
    (snapshot / repository.LEDGER).unlink()
    with pytest.raises(ValueError, match="is not in the cache, and the Hub was not reached"):
        repository.find(place, repository.LEDGER)
