"""`neurofm import`: what others published becomes a checkpoint, whole or not at all."""

import json
import tomllib

import pytest
import torch
from safetensors.torch import load_file, save_file

import neurofm
from neurofm import artifacts, checkpoints, cli, config, published
from neurofm.models.brainomni import BrainOmni
from neurofm.published.command import ImportConfig, main
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer

FAMILY = "--family=brainomni"


@pytest.fixture
def weights(released) -> dict[str, torch.Tensor]:
    return load_file(released("brainomni") / "weights.safetensors")


@pytest.fixture
def as_on_the_hub(released, tmp_path, weights):
    """A folder of variants, each model_cfg.json beside a .pt state dict."""
    folder = tmp_path / "BrainOmni"
    (folder / "tiny").mkdir(parents=True)
    settings = (released("brainomni") / "config.json").read_text()
    (folder / "tiny" / "model_cfg.json").write_text(settings)
    torch.save(weights, folder / "tiny" / "BrainOmni.pt")
    return folder


@pytest.fixture
def command(monkeypatch):
    """`neurofm import …` → exit status, as the command line gives it, installed anew or not."""
    from importlib.metadata import EntryPoint

    point = EntryPoint("import", "neurofm.published.command:main", "neurofm.commands")
    monkeypatch.setattr(cli, "entry_points", lambda group: [point])
    return lambda *words: cli.main(["import", *map(str, words)])


def test_it_is_a_command(repo):
    """Of the project file: what is installed may be older."""
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    commands = project["entry-points"]["neurofm.commands"]
    assert commands["import"] == "neurofm.published.command:main"


def test_help_says_what_each_key_means(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.partition("keys:")[2].split())
    _, meanings = config.meanings_of(ImportConfig)
    assert set(meanings) == {"source", "family", "out", "variant", "revision", "rotary",
                             "datasets"}
    for name, meaning in meanings.items():
        assert len(meaning.split()) > 3, name
        assert meaning in said, name


def test_a_sealed_checkpoint_with_contract_and_origin(released, tmp_path, capsys):
    out = tmp_path / "out"
    words = [str(released("brainomni")), FAMILY, f"--out={out}"]
    assert main(words) == 0
    said = capsys.readouterr().out
    manifest = artifacts.open_sealed(out, "checkpoint", hashes=True)
    assert f"checkpoint in {out}" in said
    assert manifest.config["source"] == str(released("brainomni"))
    assert set(manifest.parents) == {"published"}
    model = neurofm.load(out)
    assert isinstance(model, BrainOmni)
    contract = model.contract.to_dict()
    assert contract["corpus"] == ""
    for name, value in {
        "sfreq": 256.0, "highpass_hz": 0.1, "lowpass_hz": 96.0, "notch_hz": [50.0, 60.0],
        "kinds": ["eeg", "mag", "planar_grad", "axial_grad"], "reference": "average",
        "scale": "kind_std", "geometry": "centred", "window_s": 30.0,
    }.items():
        assert contract[name] == value, name
    (entry,) = checkpoints.read_ledger(out)["published"]
    assert (entry["licence"], entry["paper"]) == ("MIT", "arXiv 2505.18185")
    assert {"ds000117", "Cam-CAN"} <= set(entry["datasets"])
    assert "ds005697" not in entry["datasets"]  # the authors kept it for testing
    assert "recordings are not listed" in entry["note"]
    card = (out / "README.md").read_text()
    assert "license: mit" in card
    assert "read as weights of OpenTSLab/BrainOmni (MIT; arXiv 2505.18185)" in card
    assert main(words) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_state_dict_and_safetensors_give_the_same(released, as_on_the_hub, tmp_path):
    assert main([str(released("brainomni")), FAMILY, f"--out={tmp_path / 'one'}"]) == 0
    assert main([str(as_on_the_hub), "--variant=tiny", FAMILY, f"--out={tmp_path / 'two'}"]) == 0
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_a_tokenizer_alone(released, tmp_path, weights):
    settings = json.loads((released("brainomni") / "config.json").read_text())
    settings = {key: value for key, value in settings.items()
                if not key.startswith("lm_") and key not in ("mask_ratio", "num_quantizers_used")}
    folder = tmp_path / "braintokenizer"
    folder.mkdir()
    (folder / "model_cfg.json").write_text(json.dumps(settings))
    torch.save({name.removeprefix("tokenizer."): value for name, value in weights.items()
                if name.startswith("tokenizer.")}, folder / "BrainTokenizer.pt")
    assert main([str(folder), FAMILY, f"--out={tmp_path / 'out'}"]) == 0
    tokenizer = neurofm.load(tmp_path / "out")
    assert isinstance(tokenizer, BrainTokenizer)
    assert tokenizer.contract.window_s == 10.0


def test_from_the_hub(released, as_on_the_hub, tmp_path, monkeypatch):
    """huggingface_hub's own code, over a cache such as it leaves, without a connection."""
    from huggingface_hub import constants

    cache, commit = tmp_path / "cache" / "models--OpenTSLab--BrainOmni", "0" * 40
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(commit)
    (cache / "snapshots").mkdir()
    as_on_the_hub.rename(cache / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache.parent))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    words = ["OpenTSLab/BrainOmni", FAMILY, f"--out={tmp_path / 'out'}"]
    assert main([*words, "--variant=tiny"]) == 0
    (entry,) = checkpoints.read_ledger(tmp_path / "out")["published"]
    assert entry["weights"] == "OpenTSLab/BrainOmni/tiny"
    found = neurofm.load(tmp_path / "out").mask_token
    wanted = load_file(released("brainomni") / "weights.safetensors")["mask_token"]
    assert torch.equal(found, wanted)
    with pytest.raises(ValueError, match=r"no folder 'base' in it, found \['tiny'\]"):
        main([*words[:2], f"--out={tmp_path / 'two'}", "--variant=base"])
    with pytest.raises(ValueError, match="variant must be one of"):
        main([*words[:2], f"--out={tmp_path / 'two'}"])
    with pytest.raises(ValueError, match=r"the Hub does not give it.*name that folder"):
        main(["org/other", FAMILY, "--variant=tiny", f"--out={tmp_path / 'two'}"])
    assert not (tmp_path / "two").exists()


def change(weights, name, value):
    """The weights with one more, another or (None) one less."""
    return {**weights, name: value} if value is not None else {
        key: tensor for key, tensor in weights.items() if key != name}


@pytest.mark.parametrize(("name", "value", "said"), [
    ("blocks.1.ff.layer.0.bias", None, "nothing for our blocks.1.feedforward.up.bias"),
    ("stranger", torch.zeros(3), "unexpected stranger"),
    ("mask_token", torch.zeros(31), "mask_token is [31], wanted [32]"),
])
def test_weights_that_do_not_fit_are_named(
    released, tmp_path, weights, command, capsys, name, value, said
):
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "config.json").write_text((released("brainomni") / "config.json").read_text())
    save_file(change(weights, name, value), folder / "weights.safetensors")
    assert command(folder, FAMILY, f"--out={tmp_path / 'out'}") == 1
    told = capsys.readouterr().err
    assert f"{folder / 'weights.safetensors'}: 1 weights do not fit: {said}" in told
    assert not (tmp_path / "out").exists()


class Runs:
    """A pickle that leaves a file when it is read by somebody who runs it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_state_dict_is_not_run(as_on_the_hub, tmp_path, weights, command, capsys):
    file = as_on_the_hub / "tiny" / "BrainOmni.pt"
    torch.save({**weights, "trap": Runs(tmp_path / "it_ran")}, file)
    assert command(as_on_the_hub / "tiny", FAMILY, f"--out={tmp_path / 'out'}") == 1
    assert f"{file}: wanted tensors by name" in capsys.readouterr().err
    assert not (tmp_path / "it_ran").exists()
    torch.load(file, weights_only=False)  # the trap would have worked
    assert (tmp_path / "it_ran").exists()


def test_bad_input_files(as_on_the_hub, tmp_path, weights, command, capsys):
    tiny, out = as_on_the_hub / "tiny", f"--out={tmp_path / 'out'}"
    fine = (tiny / "model_cfg.json").read_text()
    for text, said in (("{", "not valid JSON"), ("[]", "wanted names and values"),
                       (fine.replace('"lm_head": 8', '"lm_head": 7'), "n_heads"),
                       (fine.replace('"lm_head": 8', '"lm_head": "x"'), "describes no network")):
        (tiny / "model_cfg.json").write_text(text)
        assert command(tiny, FAMILY, out) == 1
        told = capsys.readouterr().err
        assert str(tiny / "model_cfg.json") in told
        assert said in told
    (tiny / "model_cfg.json").write_text(fine)
    whole = (tiny / "BrainOmni.pt").read_bytes()
    (tiny / "BrainOmni.pt").write_bytes(whole[: len(whole) // 2])
    assert command(tiny, FAMILY, out) == 1
    assert "it is cut" in capsys.readouterr().err
    torch.save({"epoch": 3, **weights}, tiny / "BrainOmni.pt")
    assert command(tiny, FAMILY, out) == 1
    assert "wanted a state dict" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bad_input_words(released, tmp_path, command, capsys):
    folder, out = released("brainomni"), f"--out={tmp_path / 'out'}"
    for words, said in (
        ([folder, "--family=brainomi", out], "'brainomi' is not among those"),
        ([folder.parent, FAMILY, out], "neither model_cfg.json nor config.json"),
        ([tmp_path / "no", FAMILY, out], "no such folder"),
    ):
        assert command(*words) == 1
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command(folder, folder, FAMILY, out)
    assert "wanted only SOURCE without a --name" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_among_other_things(as_on_the_hub, tmp_path, command, capsys):
    tiny = as_on_the_hub / "tiny"
    before = {path.name: path.read_bytes() for path in tiny.iterdir()}
    assert command(tiny, FAMILY, f"--out={tiny}") == 1
    assert "wanted a new folder, but it holds other things" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tiny.iterdir()} == before
    out = tmp_path / "out"
    assert command(tiny, FAMILY, f"--out={out}") == 0
    assert command(tiny, FAMILY, f"--out={out}", "--datasets=[]") == 1
    assert "made with other settings (datasets" in capsys.readouterr().err


@pytest.mark.parametrize("name", published.INDEX)
def test_every_family_has_what_the_command_asks_for(name):
    family = published.find(name)
    assert isinstance(family.ORIGIN, published.Origin)
    assert family.ORIGIN.license
    assert callable(family.read)
