"""Sites of unlike montages share what stands on, or in, one pretrained encoder."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from flwr.app import Context, RecordDict
from safetensors.numpy import load_file

import neurofm
from neurofm import checkpoints, cli
from neurofm.downstream.federated import rounds, server_app
from neurofm.downstream.federated.client_app import client_app
from neurofm.downstream.federated.in_process import InProcess
from neurofm.downstream.federated.site import Site
from tests.support import planted as planted_module
from tests.support.one_person import save_raw


@pytest.fixture(scope="module")
def sites(tmp_path_factory) -> dict[str, str]:
    """Two sites, of 16 and of 10 electrodes."""
    folder = tmp_path_factory.mktemp("sites")
    for k, n in enumerate((16, 10)):
        planted_module.make_corpus(folder / f"c{n}", caps=(n,), split=["train"] * 5,
                                   n_windows=16, seed=k)
    return {f"site{n}": str(folder / f"c{n}") for n in (16, 10)}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return planted_module.make_backbone(tmp_path_factory.mktemp("encoder") / "backbone",
                                        geometry="centred")


def federate(sites, encoder, out, *words: str) -> int:
    return cli.main(["federate", f"--sites={json.dumps(sites)}", f"--out={out}",
                     f"--learning.model={encoder}", "--learning.train.batch_windows=16",
                     "--learning.rounds=2", "--folds=[0]", *words])


def shared_after(out) -> dict[str, np.ndarray]:
    work = out / "work" / "federated" / "server" / "federated-0-0"
    return load_file(sorted(work.glob("*.safetensors"))[-1])


def test_a_classifier_on_an_encoder_is_shared(sites, encoder, tmp_path):
    """By default: a message of a few numbers, and a decoder of both montages."""
    out = tmp_path / "out"
    assert federate(sites, encoder, out, "--learning.rounds=8", "--learning.train.lr=2e-2") == 0
    shared = shared_after(out)
    assert {name: value.shape for name, value in shared.items()} == {
        "layers.1.weight": (2, 36), "layers.1.bias": (2,)}  # 8 sources: 36 covariances
    rounds = pd.read_csv(out / "rounds.tsv", sep="\t")
    assert rounds["bytes_up"].max() < 1_000
    table = pd.read_csv(out / "sites.tsv", sep="\t").set_index(["site", "method"])
    for method in ("federated", "local", "pooled"):
        assert table.loc[("all sites", method), "balanced_accuracy"] > 0.7, method
    for name in sites:
        decoder = neurofm.load(out / "work" / "federated" / name / "fold-0-seed-0" / "checkpoint")
        assert decoder.contract.kinds == ("eeg",)  # and not all that the corpus might have held
        assert decoder.contract.geometry == "centred"  # as the encoder was trained
        assert decoder.head.mean.abs().max() > 0  # by which it sees features: of its own people
    kept = [neurofm.load(out / "work" / "federated" / name / "fold-0-seed-0" / "checkpoint")
            .head.mean for name in sites]
    assert not np.allclose(*kept)


def test_people_are_compared_with_themselves(sites, encoder, tmp_path):
    """Re-centered by each person's mean; the checkpoint decodes a recording of another montage."""
    out = tmp_path / "out"
    assert federate(sites, encoder, out, "--learning.architecture={recentered: true}",
                    "--learning.rounds=8", "--learning.train.lr=2e-2",
                    "--methods=[federated]") == 0
    folder = out / "work" / "federated" / "site10" / "fold-0-seed-0" / "checkpoint"
    decoder = neurofm.load(folder)
    assert decoder.recentered
    assert "except their own mean over all their trials" in (out / "report.html").read_text()
    assert decoder.head.centre.abs().max() > 0
    raw = save_raw(tmp_path / "new_raw.fif", labels=["left", "right"] * 8)  # 16 electrodes
    assert cli.main(["decode", str(raw), f"--model={folder}", f"--out={tmp_path / 'decoded'}"]) == 0
    found = pd.read_csv(tmp_path / "decoded" / "predictions.tsv", sep="\t")["predicted"]
    assert (found == ["left", "right"] * 8).mean() > 0.7
    assert federate(sites, encoder, tmp_path / "no", "--learning.architecture={recentered: true}",
                    "--learning.adapt=lora", "--methods=[federated]") != 0


def test_adapters_or_all_weights_travel_with_the_classifier(sites, encoder, tmp_path):
    words = ["--learning.train.lr=1e-3", "--methods=[federated]"]
    out = tmp_path / "lora"
    assert federate(sites, encoder, out, *words, "--learning.adapt=lora") == 0
    shared = shared_after(out)
    assert {name for name in shared if "lora_" not in name} == {"head.layers.1.weight",
                                                                "head.layers.1.bias"}
    assert any(np.abs(value).max() > 0 for name, value in shared.items() if "lora_B" in name)
    rounds = pd.read_csv(out / "rounds.tsv", sep="\t")
    assert rounds["bytes_up"].max() < 200_000
    folder = out / "work" / "federated" / "site10" / "fold-0-seed-0" / "checkpoint"
    decoder = neurofm.load(folder)
    assert type(decoder).__name__ == "Decoder"
    assert not any("lora" in name for name in decoder.state_dict())
    others = checkpoints.read_ledger(folder)["published"][0]
    assert "other sites" in others["note"]
    assert others["paper"] == "arXiv 1602.05629"  # of the average; nothing here is of FLEEG's
    full = tmp_path / "full"
    assert federate(sites, encoder, full, *words, "--learning.adapt=full") == 0
    more = pd.read_csv(full / "rounds.tsv", sep="\t")["bytes_up"].max()
    assert more > 2 * rounds["bytes_up"].max()


def test_another_encoder_is_refused(sites, encoder, tmp_path, capsys):
    other = planted_module.make_backbone(tmp_path / "other", {"recordings": [
        {"recording": "x", "role": "train", "subject": "d/x", "hours": 1.0}]})
    status = federate(sites, encoder, tmp_path / "out",
                      f"--models={json.dumps({'site10': str(other)})}", "--methods=[federated]")
    assert status == 3
    told = capsys.readouterr().err
    assert "is not the server's" in told
    assert "site10: ValueError; the site's log says why" in told


def test_a_deployments_server_says_which_encoder_it_has(sites, encoder, tmp_path):
    """As behind a SuperLink: a site with other weights does not count, and the file says why."""
    other = planted_module.make_backbone(tmp_path / "other", {"recordings": [
        {"recording": "x", "role": "train", "subject": "d/x", "hours": 1.0}]})
    settings = {"learning": {"model": str(encoder), "classes": ["left", "right"], "rounds": 1,
                             "protocol": {"kind": "kfold"}},
                "averaging": {"min_sites": 1, "timeout_s": 5}}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    own = [Site(name, folder, str(tmp_path / "work" / name), str(model)) for (name, folder), model
           in zip(sites.items(), (encoder, other), strict=True)]
    out = tmp_path / "out"
    context = Context(1, 0, {}, RecordDict(), {"settings": str(tmp_path / "settings.yaml"),
                                               "sites": 2, "out": str(out)})
    server_app.app(InProcess(client_app(own), 2), context)
    line = rounds.lines(out)[0]
    assert line["sites"] == ["site16"]
    assert line["rejected"] == [["site10", "ValueError; the site's log says why"]]
