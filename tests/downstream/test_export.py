"""A decoder as one file that runs with torch alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from neurofm import checkpoints, cli
from neurofm.data.batch import collate
from neurofm.data.corpus import Corpus
from neurofm.models.fleeg import FLEEG, FLEEGConfig
from neurofm.nn import example
from tests.support import planted as plants


@pytest.mark.slow
def test_a_decoder_runs_without_neurofm_and_answers_the_same(decoder, planted, tmp_path, capsys):
    out = tmp_path / "deployed"
    assert cli.main(["export", str(decoder), f"--out={out}"]) == 0
    assert "compared with 2, 19, 64 channels: off by" in capsys.readouterr().out
    about = json.loads((out / "export.json").read_text())
    assert about["outputs"] == ["left", "right"]
    assert about["sfreq"] == 128
    # Real windows of the corpus, of a montage of 16, against the model.
    model, corpus = checkpoints.load(decoder), Corpus.open(planted.corpus)
    batch = corpus.batch(np.array([5]), geometry=model.contract.geometry)
    expected = model.predict(batch)
    torch.save([batch.signal, batch.geometry, batch.kind, batch.valid], tmp_path / "in.pt")
    code = (f"import sys; sys.modules['neurofm'] = None; import torch;"
            f"model = torch.export.load(r'{out / 'model.pt2'}').module();"
            f"print(model(*torch.load(r'{tmp_path / 'in.pt'}')).tolist())")
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert torch.allclose(torch.tensor(json.loads(done.stdout)), expected, atol=1e-5)
    kept = load_file(out / "golden.safetensors")
    loaded = torch.export.load(out / "model.pt2").module()
    inputs = [kept[f"input.{name}"] for name in ("signal", "geometry", "kind", "valid")]
    assert torch.allclose(loaded(*inputs), kept["output"], atol=1e-5)
    assert cli.main(["export", str(decoder), f"--out={out}"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_published_spatial_part_is_exported(tmp_path, capsys):
    """BrainTokenizer's own encodes what is visible, checks kinds and runs in chunks: ways that
    depend on data, which a program cannot take."""
    backbone = plants.make_backbone(tmp_path / "attention", spatial="attention")
    assert cli.main(["export", str(backbone), f"--out={tmp_path / 'out'}"]) == 0
    assert "compared with 2, 19, 64 channels: off by" in capsys.readouterr().out


def test_a_fleeg_has_the_channels_of_its_site(tmp_path, planted):
    torch.manual_seed(0)
    model = FLEEG(FLEEGConfig(ch_names=["C3", "Cz", "C4"], n_times=256, sfreq=128.0,
                              classes=["left", "right"])).eval()
    model.contract = Corpus.open(planted.corpus).contract
    with torch.no_grad():
        model.classifier.weight *= 50  # beyond what it may be: bounded once, before the export
    checkpoints.save_checkpoint(model, tmp_path / "fleeg", config={}, parents={},
                        ledger={"recordings": []}, metrics={})
    assert cli.main(["export", str(tmp_path / "fleeg"), f"--out={tmp_path / 'out'}"]) == 0
    batch = collate([np.random.default_rng(0).standard_normal((3, 256))],
                    [example.layout("eeg", ("C3", "Cz", "C4"))], "head")
    loaded = torch.export.load(tmp_path / "out" / "model.pt2").module()
    answer = loaded(batch.signal, batch.geometry, batch.kind, batch.valid)
    assert torch.allclose(answer, model.predict(batch), atol=1e-5)
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    assert about["channels"] == ["C3", "Cz", "C4"]
    assert about["outputs"] == ["left", "right"]


def test_what_cannot_be_exported_says_so(tmp_path, planted, capsys):
    assert cli.main(["export", str(planted.corpus), f"--out={tmp_path / 'a'}"]) != 0
    assert "wanted" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["export", "x", f"--out={tmp_path / 'a'}", "--max_channels=3"])
    assert "max_channels must be at least 64, got 3" in capsys.readouterr().err
