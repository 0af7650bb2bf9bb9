"""Pages, figures and tables of recordings whose names are markup: from files to the report, by the
commands. Nothing on a page but text comes from data."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import mne
import numpy as np
import pytest

from neurofm import cli, tsv
from neurofm.data.corpus import Corpus
from tests.support.planted import cap, windows_of

DATASET = "<zz-data zz=1>&amp;'\"><img src=x onerror=alert(7)>"
SUBJECT = "<zz-sub>\"onload=alert(7) &lt;"
CHANNELS = ("<zz-ch>", "\"><img src=x onerror=zz()>", "a&b;&zz", "'--><!--zz",
            "</title><script>zz()",
            "\x1b[2Jzz", "x\x01y", "$\\frac{zz")
LABELS = ("<script>alert(7)</script>", "]]></style><zz-label onclick='alert(7)'>&")


def recording(folder: Path, person: int) -> Path:
    """16 windows of 2 s, labels in turn."""
    rng = np.random.default_rng(person)
    sensors = cap(16)
    names = [*CHANNELS, *(f"E{k}" for k in range(len(CHANNELS), 16))]
    labels = ["left", "right"] * 8
    signal = np.concatenate(list(windows_of(rng, sensors, labels, 0.9)), axis=1) * 1e-5
    info = mne.create_info([*names, "<zz-eog>"], 128.0, ["eeg"] * 16 + ["eog"])
    raw = mne.io.RawArray(np.concatenate([signal, signal[:1]]), info, verbose="ERROR")
    raw.set_montage(mne.channels.make_dig_montage(
        dict(zip(names, sensors.position, strict=True)), coord_frame="head"), verbose="ERROR")
    raw.set_annotations(mne.Annotations(
        2.0 * np.arange(16), 2.0, [LABELS[label == "right"] for label in labels]))
    path = folder / f"{SUBJECT}{person}_raw.fif"
    raw.save(path, verbose="ERROR")
    return path


@pytest.fixture(scope="module")
def pages(planted, tmp_path_factory) -> Path:
    """Folder of what all commands have left."""
    out = tmp_path_factory.mktemp("out")
    folder = tmp_path_factory.mktemp("in") / DATASET
    folder.mkdir()
    files = [recording(folder, person) for person in range(6)]
    (folder / "<zz-empty>.edf").write_bytes(b"")
    (folder / "dataset_description.json").write_text(
        '{"Name": "<zz-name>", "BIDSVersion": "1.8.0", "License": "<zz-license onload=zz()>"}')

    def run(*words, status: int = 0) -> None:
        assert cli.main([*map(str, words)]) == status

    run("ingest", folder, f"--out={out / 'corpus'}", "--contract.sfreq=128",
        "--contract.lowpass_hz=45", "--contract.window_s=2", "--contract.notch_hz=[]",
        "--label.source=event", f"--label.mapping={json.dumps({name: name for name in LABELS})}",
        "--splits.fractions=[0.5,0.2,0.3]", status=3)
    run("finetune", f"--data={out / 'corpus'}", f"--model={planted.backbone}",
        f"--out={out / 'decoder'}", "--decoder=network", "--train.steps=3")
    run("decode", files[0], f"--model={out / 'decoder'}", f"--out={out / 'decoded'}")
    run("decode", *files[:2], f"--model={out / 'decoder'}", f"--out={out / 'many'}")
    run("explain", f"--data={out / 'corpus'}", f"--model={out / 'decoder'}",
        f"--out={out / 'explained'}")
    run("evaluate", "decoding", f"--data={out / 'corpus'}", f"--out={out / 'report'}",
        "--methods=[band_power_lr,csp_lda]", "--seeds=1")
    return out


class Elements(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        assert "zz" not in data

    def handle_decl(self, decl):
        assert decl.lower() == "doctype html"


USUAL = {"html", "head", "meta", "title", "style", "link", "body", "main", "header", "footer",
         "nav", "section", "h1", "h2", "h3",
         "p", "div", "span", "table", "thead", "tbody", "tr", "th",
         "td", "ul", "ol", "li", "a", "img", "figure", "figcaption", "details", "summary", "code",
         "pre", "b", "strong", "em", "i", "small", "sub", "sup", "br", "hr", "caption", "dl", "dt",
         "dd", "time", "mark", "colgroup", "col", "svg", "g", "path", "rect", "circle", "line",
         "polyline", "text", "tspan", "defs", "use", "clippath", "polygon", "ellipse"}


def test_hostile_names_are_text_on_every_page(pages):
    found = sorted(pages.rglob("*.html"))
    assert {page.parent.name for page in found} >= {"corpus", "decoded", "report", "explained"}
    seen = ""
    for page in found:
        content = page.read_text(encoding="utf-8")
        parsed = Elements()
        parsed.feed(content)
        parsed.close()
        for tag, attributes in parsed.found:
            assert tag in USUAL, (page, tag)
            for name, value in attributes.items():
                assert not name.startswith(("on", "zz")), (page, tag, name)
                assert re.fullmatch(r"[a-z][a-z0-9-]*", name), (page, tag, name)
                if name in ("src", "href"):
                    assert not re.match(r"\s*(javascript|x$|vbscript|data:text)", value or ""), (
                        page, tag, value)
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]", content), page
        seen += parsed.text
    for word in ("<zz-ch>", "<zz-sub>", "<script>alert(7)</script>", "<zz-label", "<zz-empty>"):
        assert word in seen, f"{word} is on no page, so nothing was tested"


def test_hostile_names_are_text_in_figures_and_tables(pages):
    figures = sorted(pages.rglob("*.svg"))
    assert figures
    for figure in figures:
        for element in ElementTree.parse(figure).iter():
            assert "zz" not in str(element.tag), figure
            assert "script" not in str(element.tag).lower(), figure
            assert not any(name.lower().startswith(("on", "zz")) for name in element.attrib), figure
    tables = sorted(pages.rglob("*.tsv"))
    assert tables
    for each in tables:
        for cell in re.split(r"[\t\n]", each.read_text("utf-8")):
            assert tsv.guarded(cell) == cell, (each, cell)


def test_hostile_names_are_kept_as_they_are(pages):
    """Escaping is of pages: the corpus holds what the files say."""
    corpus = Corpus.open(pages / "corpus")
    assert set(corpus.recordings["dataset"]) == {DATASET}
    assert any(name.startswith(SUBJECT) for name in corpus.recordings["subject"])
    assert set(corpus.windows["label"].dropna()) == set(LABELS)
