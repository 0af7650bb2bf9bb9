"""report.html of a training, and its curves."""

import json
import re

import pytest

from neurofm import artifacts, checkpoints
from neurofm.checkpoints import sweeps
from neurofm.hub.log_hours import hours_of
from neurofm.pages import words
from neurofm.pages.curves import curves, traces
from neurofm.pretrain import report
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


def test_numbers_have_no_powers_of_ten():
    """Nor is the last number of an axis cut."""
    assert [words.digits(each) for each in (30714.2, 0.123449, -2e6, 512.0, 1e-5, 1e12)] == [
        "30,714", "0.1234", "−2,000,000", "512", "1e−05", "1e+12"]
    assert words.digits(float("nan")) == words.DASH
    html = curves({"a": [(0, 1.0), (200000, 123456.0)]}, "step", "y")
    assert "e+" not in html
    width = float(re.search('viewBox="0 0 ([0-9]+)', html)[1])
    ends = [float(x) + 2.8 * len(text) for x, text in
            re.findall('<text x="([0-9.]+)" y="[0-9]+" text-anchor="middle">([0-9,]+)<', html)]
    assert "200,000" in html
    assert max(ends) <= width + 0.1


def test_losses_that_are_no_numbers_are_never_the_lowest(out, tmp_path):
    lines = [{"step": step, "loss": 1.0, "val/loss": value}
             for step, value in ((1, float("nan")), (2, 3.0), (3, 2.0), (4, float("nan")))]
    model = checkpoints.load(out)
    assert "– at the end; lowest 2 at step 3" in report._summary(model, lines, out)
    assert "lowest –" in report._summary(model, lines[:1], out)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    artifacts.write_json(tmp_path / sweeps.FILE_NAME, {"runs": [
        {"number": 1, "name": "run", "settings": {"train.lr": 1.0}}]})
    assert sweeps.compared(tmp_path)["val/loss"].tolist() == [2.0]


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
