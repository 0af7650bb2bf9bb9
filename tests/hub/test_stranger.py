"""What is published is of use to a stranger: by transformers, datasets and the cards' own lines."""

import json
import re

import numpy as np
import pytest
from huggingface_hub import DatasetCard, ModelCard

from neurofm import artifacts, checkpoints, cli, models
from neurofm.checkpoints import golden
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.hub import staging
from tests.support import small_checkpoints
from tests.support.loopback_hub import check_card
from tests.support.stranger import fresh, hub_here

# Runs every snippet in a namespace of its own; what fails is told with its repository.
RUN = """
import json, sys, traceback
failed = []
for repo, code in json.load(open(sys.argv[1])):
    try:
        exec(compile(code, repo, "exec"), {"__name__": "__main__"})
        print("ran", repo)
    except BaseException:
        failed.append(repo)
        traceback.print_exc()
sys.exit(", ".join(failed) or 0)
"""


def with_terms(folder, kind: str, **config):
    """The same folder, with terms that allow its publication."""
    artifacts.unseal(folder)
    artifacts.write_json(folder / "datasets.json", {"planted": {
        "licence": "CC0", "name": "Planted", "doi": "10.18112/openneuro.ds000117.v1.0.5"}})
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    return artifacts.seal(folder, kind, config=config, files=files)


@pytest.fixture(scope="module")
def hub(tmp_path_factory, planted):
    """A Hub with a checkpoint of every kind, a corpus of two montages and its tokens."""
    from neurofm.pretrain.tokenize import main as tokenize
    from tests.support import planted as module

    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch, hub_here(patch) as server:
        patch.setattr(staging, "check_in_fresh_process",
                      lambda folder: golden.check(checkpoints.load(folder), folder))
        for name in models.INDEX:
            source = small_checkpoints.make(name, folder / name)
            assert cli.main(["publish", str(source), f"tester/{name}", "--license=mit",
                             "--base_model=lab/base"]) == 0
        corpus = module.make_corpus(folder / "corpus", n_windows=2, caps=(16, 12))
        with_terms(corpus, "corpus", paths=["/data/planted"])
        tokenizer = checkpoints.load(planted.backbone).tokenizer
        tokenizer.contract = module.CONTRACT
        checkpoints.save_checkpoint(tokenizer, folder / "tokenizer", config={}, parents={},
                                    ledger={"recordings": []}, metrics={})
        assert tokenize([f"--data={corpus}", f"--model={folder / 'tokenizer'}",
                         f"--out={folder / 'tokens'}"]) == 0
        for name in ("corpus", "tokens"):
            assert cli.main(["publish", str(folder / name), f"tester/{name}",
                             "--license=cc0-1.0"]) == 0
        yield server, folder


def cards(server, kind: str) -> dict[str, str]:
    return {name: repo.find("main").files["README.md"].data.decode()
            for (what, name), repo in server.repos.items() if what == kind}


def test_every_snippet_of_every_card_runs_as_it_stands(hub, tmp_path):
    server, _ = hub
    found = cards(server, "model") | cards(server, "dataset")
    assert len(found) == len(models.INDEX) + 2
    snippets = [(repo, code) for repo, text in found.items()
                for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    assert len(snippets) == 2 * len(found)
    (tmp_path / "snippets.json").write_text(json.dumps(snippets))
    done = fresh(server, tmp_path, "-c", RUN, str(tmp_path / "snippets.json"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("ran tester/") == len(snippets)
    assert "float32 (16, 256) " in done.stdout


def test_every_card_is_one_that_the_hub_takes(hub):
    server, _ = hub
    for repo, text in cards(server, "model").items():
        assert check_card(text) == []
        said = ModelCard(text).data
        assert said.library_name == "neurofm"
        assert said.pipeline_tag in ("feature-extraction", "other")
        assert said.base_model == "lab/base"
        assert said.datasets == ["ds000117"]
        head = text.split("---")[2][:300]
        assert "pip install neurofm" in head, repo
        assert "```bibtex\n@misc{tester_" in text
    for text in cards(server, "dataset").values():
        assert check_card(text, "dataset") == []
        said = DatasetCard(text).data.to_dict()
        assert [each["split"] for each in said["configs"][0]["data_files"]] == [
            "train", "validation", "test"]
        assert said["source_datasets"] == ["extended|ds000117"]


STREAM = """
import json, numpy as np
from datasets import load_dataset

said = {}
for name, column in (("corpus", "signal"), ("tokens", "ids")):
    whole = load_dataset(f"tester/{name}")
    flow = load_dataset(f"tester/{name}", streaming=True)
    assert [*whole] == [*flow] == ["train", "validation", "test"]
    sums = []
    for split in whole:
        rows, streamed = whole[split].with_format("numpy"), flow[split].with_format("numpy")
        n = 0
        for one, two in zip(rows, streamed, strict=True):
            assert np.array_equal(one[column], two[column]) and one["start_s"] == two["start_s"]
            assert one[column].dtype == two[column].dtype
            sums.append([str(one["recording"]), float(one["start_s"]), str(one["label"]),
                         str(one["subject"]), split, list(one[column].shape),
                         float(one[column].astype("float64").sum()),
                         len(one["ch_names"]) if column == "signal" else 0])
            n += 1
        assert n == len(rows)
    said[name] = [str(rows.features[column]), sums]
torch = load_dataset("tester/corpus", split="train").with_format("torch")[0]
assert str(torch["signal"].dtype) == "torch.float32"
print(json.dumps(said))
"""


def test_datasets_reads_rows_of_use(hub, tmp_path):
    server, folder = hub
    done = fresh(server, tmp_path, "-c", STREAM)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    corpus = Corpus.open(folder / "corpus")
    (signal, rows), (ids, codes) = said["corpus"], said["tokens"]
    assert "Array2D(shape=(None, 256), dtype='float32'" in signal
    assert "Array3D" in ids
    assert "int16" in ids
    assert len(rows) == len(codes) == len(corpus)
    by_place = {(row[0], row[1]): row for row in rows}
    tokens = TokenSet.open(folder / "tokens")
    of_codes = {(row[0], row[1]): row for row in codes}
    for window in range(len(corpus)):
        record = corpus.recordings.iloc[corpus.windows["recording"][window]]
        place = record["recording"], float(corpus.windows["start_s"][window])
        _, _, label, subject, split, shape, total, n_names = by_place[place]
        assert (label, subject, split) == (corpus.windows["label"][window], record["subject"],
                                           record["split"])
        assert shape == [*corpus.signal(window).shape]
        assert total == corpus.signal(window).astype(float).sum()
        assert n_names == len(corpus.layout(window))
        assert of_codes[place][5] == [*tokens.shape]
        assert of_codes[place][6] == tokens.ids(window).sum()


def test_published_data_opens_as_what_it_was(hub, tmp_path, monkeypatch):
    from huggingface_hub import constants

    import neurofm

    _, folder = hub
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    one, two = Corpus.open(folder / "corpus"), neurofm.load_windows("tester/corpus@v1")
    assert isinstance(two, Corpus)
    assert artifacts.open_sealed(two.folder).parents["source"] == one.fingerprint
    for window in range(len(one)):
        assert np.array_equal(one.signal(window), two.signal(window))
        assert one.layout(window).names == two.layout(window).names
    assert two.windows["label"].tolist() == one.windows["label"].tolist()
    assert two.recordings["split"].tolist() == one.recordings["split"].tolist()
    one, two = TokenSet.open(folder / "tokens"), neurofm.load_windows("tester/tokens")
    assert isinstance(two, TokenSet)
    assert (two.corpus, two.tokenizer) == (one.corpus, one.tokenizer)
    windows = np.arange(len(one))
    assert np.array_equal(one.batch(windows).ids, two.batch(windows).ids)
    with pytest.raises(ValueError, match="the Hub does not give it: it has no such version"):
        neurofm.load_windows("tester/corpus@v9")


WITHOUT = """
import sys
sys.modules["neurofm"] = None  # as where it is not installed
from transformers import AutoModel
AutoModel.from_pretrained("tester/decoder")
"""


def test_without_neurofm_transformers_fails_and_the_card_says_what_to_install(hub, tmp_path):
    server, _ = hub
    done = fresh(server, tmp_path, "-c", WITHOUT)
    assert done.returncode != 0
    assert "neurofm_decoder" in done.stderr
    text = cards(server, "model")["tester/decoder"]
    first = text.split("---\n", 2)[2].strip().splitlines()[:9]
    assert "pip install neurofm" in first
    assert any("import neurofm" in line for line in first)


def test_push_to_hub_names_the_command_that_publishes(hub, tmp_path):
    server, folder = hub
    model, n = checkpoints.load(folder / "decoder"), len(server.requests)
    for push in (lambda: model.push_to_hub("tester/mine"),
                 lambda: model.save_pretrained(tmp_path / "mine", push_to_hub=True,
                                               repo_id="tester/mine")):
        with pytest.raises(ValueError, match="neurofm publish FOLDER tester/mine --license"):
            push()
    assert len(server.requests) == n
    assert not (tmp_path / "mine").exists()
