"""report.html of a training, and its curves."""

import re

import pytest

from neurofm import artifacts
from neurofm.hub.log_hours import hours_of
from neurofm.pages.curves import curves, traces
from neurofm.pretrain.train import main
from tests.support import corpora
from tests.support.corpora import write_yaml


@pytest.fixture(scope="module")
def out(corpus_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "run"
    settings = {"data": str(corpus_folder), "model": "brain_tokenizer",
                "architecture": corpora.TOKENIZER,
                "train": {"steps": 8, "batch_windows": 8, "log_every": 1, "validate_every": 4}}
    assert main([f"--config={write_yaml(out, settings)}", f"--out={out}"]) == 0
    return out


def test_the_page_of_a_training(out):
    """Curves, reconstructions, people without their names, settings; no part of the fingerprint."""
    html = (out / "report.html").read_text()
    headings = re.findall("<h2>(.*?)</h2>", html)
    assert headings == ["Loss", "Reconstructions", "Metrics", "Optimization", "Throughput", "Legs",
                        "Trained on", "Settings", "Versions"]
    assert html.count("A window of a validation subject, 2 s") == 3
    assert "<td>simulated</td><td>train</td><td class=number>4</td>" in html
    assert "sub-00" not in html  # no recording and no person is named
    assert "train.batch_windows" in html
    assert "not measured" in html or " Wh" in html
    assert "perplexity_1" in html
    assert "5 channels" not in html  # the validation split has one layout
    manifest = artifacts.open_sealed(out)
    assert "report.html" in manifest.beside
    assert hours_of(out / "log.jsonl") is not None


def test_curves():
    """Points that are not finite are left out, and nothing is drawn of none."""
    nan = float("nan")
    assert curves({"loss": [(1, nan)]}, "step", "loss") == ""
    assert curves({}, "step", "loss") == ""
    html = curves({"a <b>": [(1, 2.0), (2, nan), (3, 4.0)], "one": [(2, 3.0)]}, "step", "loss",
                  marks=[(2, "leg"), (9, "outside")])
    assert html.count("<polyline") == html.count("<circle") == 1
    assert re.search(r'points="[\d.]+,[\d.]+ [\d.]+,[\d.]+"', html)
    assert "a &lt;b&gt;" in html
    assert "<title>leg</title>" in html
    assert "outside" not in html
    assert "1e-05" not in curves({"a": [(0, 1e-5), (1, 3e-5)]}, "x", "y").replace("1e−05", "")
    assert "<polyline" in curves({"flat": [(0, 1.0), (1, 1.0)]}, "x", "y")
    long = curves({"a": [(k, k % 7) for k in range(5000)]}, "x", "y")
    assert len(re.search(r'points="(.*?)"', long)[1].split()) <= 420
    assert traces([("E1", [0.0, 1.0], [0.0, nan])], ("a", "b"), "c").count("<polyline") == 2
