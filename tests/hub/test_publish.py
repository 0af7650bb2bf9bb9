"""From a trained decoder to the Hub and back: published, loaded by name, the same to the byte."""

import json
import traceback

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants
from safetensors.torch import load_file, save_file

import neurofm
from neurofm import artifacts, checkpoints, cli
from neurofm.checkpoints import golden
from neurofm.data import tables
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.hub.staging import check_in_fresh_process
from tests.support import corpora
from tests.support.loopback_hub import check_card
from tests.support.one_person import save_raw
from tests.support.stranger import fresh

REPO = "tester/decoder"


def publish(source, *words: str) -> int:
    return cli.main(["publish", str(source), REPO, "--license=cc-by-4.0", *words])


def files_of(server, repo: str = REPO, kind: str = "model", revision: str = "main") -> dict:
    return {path: file.data for path, file in
            server.repos[kind, repo].find(revision).files.items()}


@pytest.mark.long
def test_published_loaded_by_name_and_decoding(server, decoder, tmp_path, capsys):
    """The way of a decoder: to the Hub, and by its name into a process that knows nothing else."""
    assert publish(decoder) == 0
    told = capsys.readouterr().out
    assert "checked in a fresh process" in told
    assert f"{REPO} v1" in told
    there = files_of(server, revision="v1")
    for name in ("model.safetensors", "config.json", "preprocessor_config.json",
                 "training_data.json"):
        assert there[name] == (decoder / name).read_bytes()
    recording = save_raw(tmp_path / "somebody_raw.fif")
    words = ("decode", str(recording), f"--model={REPO}@v1", f"--out={tmp_path / 'out'}")
    done = fresh(server, tmp_path, "-m", "neurofm.cli", *words)
    assert done.returncode == 0, done.stderr
    assert cli.main(["decode", str(recording), f"--model={decoder}",
                     f"--out={tmp_path / 'own'}"]) == 0
    one, two = ((tmp_path / name / "predictions.tsv").read_text() for name in ("out", "own"))
    assert one == two
    # Once more without network, from the cache; and as transformers' own class does it.
    code = (f"import neurofm; from transformers import AutoModel; a = neurofm.load('{REPO}');"
            f"b = AutoModel.from_pretrained('{REPO}'); print(type(a) is type(b), a.contract.sfreq)")
    assert fresh(server, tmp_path, "-c", code).returncode == 0  # main was never asked for, v1 was
    server.requests.clear()
    done = fresh(server, tmp_path, "-c", code, HF_HUB_OFFLINE="1")
    assert done.stdout.split() == ["True", "128.0"], done.stderr
    assert not server.requests


@pytest.mark.usefixtures("checked_here")
def test_one_commit_a_tag_and_nothing_twice(server, decoder, capsys):
    assert publish(decoder) == 0
    repo = server.repos["model", REPO]
    commits = len([each for each in server.requests if each.path.endswith("/commit/main")])
    assert commits == 1
    sent = len([each for each in server.requests if "/storage/" in each.path])
    assert sent == 2  # weights and golden outputs
    assert publish(decoder, "--revision=paper") == 0
    assert len([each for each in server.requests if "/storage/" in each.path]) == sent
    assert {"v1", "paper"} <= set(repo.tags)
    assert publish(decoder, "--revision=paper") != 0
    assert "has a version paper already" in capsys.readouterr().err


@pytest.mark.usefixtures("checked_here")
def test_private_stays_private_and_public_is_not_taken_for_it(server, decoder, capsys):
    assert publish(decoder, "--private=true") == 0
    assert server.repos["model", REPO].private
    server.repos["model", REPO].private = False
    assert publish(decoder, "--private=true") != 0
    assert "is public already" in capsys.readouterr().err
    assert set(server.repos["model", REPO].tags) == {"v1"}


@pytest.mark.usefixtures("checked_here")
def test_a_broken_upload_leaves_nothing_half_and_goes_on(server, decoder, capsys):
    server.fail(after_bytes=1000, times=20)  # more often than the client tries
    assert publish(decoder) != 0
    assert "run the same command again to go on" in capsys.readouterr().err
    assert "model.safetensors" not in files_of(server)
    server.cuts.clear()
    assert publish(decoder) == 0
    assert files_of(server)["model.safetensors"] == (decoder / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("checked_here")
@pytest.mark.parametrize(("token", "full", "told"), [
    ("hf_wrongwrongwrongwrong", 0, "the Hub does not know who you are"),
    ("hf_test_read", 0, "your token may not write there"),
    ("hf_test_write", 507, "the Hub has no room for it"),
])
def test_refusals_are_told_without_the_token(
    server, decoder, monkeypatch, capsys, token, full, told
):
    monkeypatch.setenv("HF_TOKEN", token)
    server.full = full
    assert publish(decoder) != 0
    out = capsys.readouterr()
    assert told in out.err
    assert token not in out.err + out.out
    assert "Traceback" not in out.err


@pytest.mark.usefixtures("checked_here")
def test_no_traceback_holds_a_token(server, decoder, tmp_path, monkeypatch):
    from neurofm.hub import sending

    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuv")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody is there
    staged = tmp_path / "staged"
    assert publish(decoder, "--dry-run", f"--staged={staged}") == 0
    try:
        sending.send(staged, ["README.md"], REPO, "model", private=False, tag="")
    except ValueError:
        told = traceback.format_exc()
    assert "the Hub did not take it" in told
    assert "hf_abc" not in told
    for path in staged.rglob("*"):
        assert path.is_dir() or b"hf_abc" not in path.read_bytes()


@pytest.mark.usefixtures("checked_here")
def test_evaluations_of_this_checkpoint_are_told_with_their_baselines(
    server, planted, tmp_path, capsys
):
    results = tmp_path / "results"
    assert cli.main([
        "evaluate", "decoding", f"--data={planted.corpus}", f"--model={planted.backbone}",
        f"--out={results}",
        "--methods=[frozen,csp_lda]", "--seeds=1", "--tuning=1", "--train.steps=5"]) == 0
    staged = tmp_path / "staged"
    words = ["--dry-run", f"--staged={staged}", f"--evaluations={{'{results}': frozen}}"]
    assert publish(planted.backbone, *words) == 0
    card = ModelCard((staged / "README.md").read_text())
    table = pd.read_csv(results / "table.tsv", sep="\t").set_index("method")
    assert [each.metric_value for each in card.data.eval_results] == [
        pytest.approx(table.loc["frozen", "balanced_accuracy"], abs=1e-3)]
    for name in ("frozen", "csp_lda"):
        assert f"{table.loc[name, 'balanced_accuracy']:.3f}" in card.content
    assert publish(planted.backbone, "--dry-run", f"--evaluations={{'{results}': lora}}") != 0
    assert "judged frozen, csp_lda, and no lora" in capsys.readouterr().err
    from tests.support import planted as module

    other = module.make_backbone(tmp_path / "other", seed=101)  # other weights
    assert publish(other, "--dry-run", f"--evaluations={{'{results}': frozen}}") != 0
    assert "is of another checkpoint" in capsys.readouterr().err


@pytest.mark.usefixtures("checked_here")
def test_what_cannot_be_had_is_told(server, decoder, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match="the Hub does not give it"):
        checkpoints.load("tester/nothing")
    assert publish(decoder) == 0
    with pytest.raises(ValueError, match="the Hub does not give it"):
        checkpoints.load(f"{REPO}@v7")
    # Offline, what is not in the cache is unknown: not a repository without a manifest or a ledger.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for ask in (neurofm.repository.fingerprint, neurofm.repository.read_ledger):
        with pytest.raises(ValueError, match="the Hub does not give it"):
            ask("tester/nothing")


@pytest.mark.usefixtures("checked_here")
def test_a_damaged_or_newer_download_is_refused(server, decoder, tmp_path, monkeypatch):
    import transformers.utils.hub as transformers_hub

    for module in (constants, transformers_hub):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path / "cache"), raising=False)
    monkeypatch.setattr(transformers_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert publish(decoder) == 0
    server.corrupt("model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged.*delete .* and load"):
        checkpoints.load(REPO)
    repo = server.repos["model", REPO]
    manifest = json.loads(files_of(server)["manifest.json"])
    from tests.support.loopback_hub import File

    newer = json.dumps({**manifest, "format_version": 99}).encode()
    repo.add("main", {**repo.find("main").files, "manifest.json": File(newer)}, "newer")
    with pytest.raises(ValueError, match=r"format version 99.*install a newer neurofm"):
        checkpoints.load(REPO)


@pytest.mark.usefixtures("checked_here")
def test_the_card_is_one_that_the_hub_takes(server, decoder, tmp_path):
    staged = tmp_path / "staged"
    assert publish(decoder, "--dry-run", f"--staged={staged}", "--citation=Me, 2026",
                   "--limits=Sixteen electrodes.") == 0
    assert not server.repos
    text = (staged / "README.md").read_text()
    assert check_card(text) == []
    card = ModelCard(text)
    result = card.data.eval_results[0]
    assert result.metric_type == "balanced_accuracy"
    assert result.metric_value == pytest.approx(
        json.loads((decoder / "test" / "metrics.json").read_text())["balanced_accuracy"], abs=1e-4)
    assert "95 %" in result.metric_name
    for words in ("Takes", "| planted | 8 train, 2 validation |", "not stated", "Sixteen electr",
                  "not a medical device", 'neurofm.load("tester/decoder")', "Me, 2026"):
        assert words in text, words


@pytest.mark.usefixtures("checked_here")
def test_a_license_that_the_hub_does_not_know_stops_before_anything_is_made(server, decoder,
                                                                             capsys):
    assert cli.main(["publish", str(decoder), REPO, "--license=my-own-rules"]) != 0
    assert "license" in capsys.readouterr().err
    assert not server.repos
    assert cli.main(["publish", str(decoder), REPO]) != 0
    assert "say under which license" in capsys.readouterr().err


@pytest.mark.usefixtures("checked_here")
def test_paths_are_cut_and_secrets_refused(server, decoder, tmp_path, capsys):
    staged = tmp_path / "staged"
    assert publish(decoder, "--dry_run=true", f"--staged={staged}") == 0
    settings = yaml.safe_load((staged / "run.yaml").read_text())
    assert settings["data"] == "planted"  # the folder alone
    assert str(tmp_path.parent) not in (staged / "manifest.json").read_text()
    capsys.readouterr()
    for text, told in (("see hf_abcdefghijklmnopqrst", "a token or key"),
                       ("made in /home/somebody/runs", "a path of a machine")):
        assert publish(decoder, f"--limits={text}") != 0
        said = capsys.readouterr().err
        assert told in said
        assert "hf_abc" not in said
        assert not server.repos


@pytest.mark.usefixtures("checked_here")
def test_what_is_staged_can_be_changed_without_changing_the_source(server, decoder, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert publish(decoder, "--dry-run", f"--staged={first}") == 0
    (first / "config.json").open("a").write(" ")  # in place, as some editors write
    artifacts.open_sealed(decoder, "checkpoint", hashes=True)
    (first / "config.json").write_bytes((decoder / "config.json").read_bytes())
    (first / "golden.safetensors").open("ab").write(b" ")
    written = (first / "golden.safetensors").read_bytes()
    files = [path.name for path in first.iterdir() if path.name != artifacts.FILE_NAME]
    artifacts.seal(first, "checkpoint", config={}, files=files)
    assert publish(first, "--dry-run", f"--staged={second}") == 0  # published again, golden anew
    assert (first / "golden.safetensors").read_bytes() == written


@pytest.mark.usefixtures("checked_here")
def test_show_says_what_it_is_and_whom_it_has_seen(decoder, tmp_path, capsys):
    assert cli.main(["show", str(decoder)]) == 0
    told = capsys.readouterr().out
    for words in ("tensors matched in name and shape", "train: 8 people of planted (terms not",
                  "validation: 2 people", "no stored answers", "Takes", "task labels",
                  "classes left, right", "held-out score: On 4 subjects not in its training data"):
        assert words in told
    staged = tmp_path / "staged"
    assert publish(decoder, "--dry_run=true", f"--staged={staged}") == 0
    assert cli.main(["show", str(staged)]) == 0
    told = capsys.readouterr().out
    assert "answers as it did when it was published" in told
    assert "held-out score: On 4 subjects" in told
    assert "/" not in json.loads((staged / "results.json").read_text())["data"]


def test_other_weights_do_not_pass_for_these(decoder, tmp_path):
    """Golden outputs tell; so do tensors that are missing, renamed or of another shape."""
    model = neurofm.load(decoder)
    model.save_pretrained(tmp_path / "copy")
    golden.save(model, tmp_path / "copy")
    golden.check(neurofm.load(tmp_path / "copy"), tmp_path / "copy")
    path = tmp_path / "copy" / "model.safetensors"
    weights = load_file(path)
    name = next(key for key in weights if key.startswith("head.layers") and "weight" in key)
    save_file({**weights, name: weights[name] + torch.randn(weights[name].shape)}, path)
    with pytest.raises(ValueError, match="predicted is off by"):
        check_in_fresh_process(tmp_path / "copy")
    for change, told in (
        ({key: value for key, value in weights.items() if key != name}, "missing"),
        ({("x." + key if key == name else key): value for key, value in weights.items()}, "x."),
        ({**weights, name: torch.zeros(3, 3)}, "shape"),
    ):
        save_file(change, path)
        with pytest.raises(ValueError, match=f"(?s){told}.*|.*{told}") as problem:
            neurofm.load(tmp_path / "copy")
        assert name in str(problem.value)


def test_corpora_are_published_under_the_terms_of_their_sources(
    server, planted, tmp_path, capsys, monkeypatch
):
    # Of an earlier run of this test the same shards may be in the cache of this machine.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    def as_data(folder, *words):
        return cli.main(["publish", str(folder), "tester/windows", "--license=odc-by", *words])

    assert as_data(planted.corpus) != 0
    assert "planted: its terms were not stated" in capsys.readouterr().err
    from tests.support import planted as module

    def with_terms(name: str, license: str):
        folder = module.make_corpus(tmp_path / name, n_windows=2)
        artifacts.unseal(folder)
        manifest = {"planted": {"licence": license, "name": "Planted", "acknowledge": "Us 2026"}}
        artifacts.write_json(folder / "datasets.json", manifest)
        files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        artifacts.seal(folder, "corpus", config={"paths": ["/data/planted"]}, files=files)
        return folder

    assert as_data(with_terms("closed", "CC BY-NC-ND 4.0")) != 0
    assert "forbid passing on" in capsys.readouterr().err
    assert as_data(with_terms("odd", "ask Bob")) != 0
    assert "it is not known whether its terms (ask Bob) allow" in capsys.readouterr().err
    assert not server.repos
    named = with_terms("named", "ODC-By-1.0")
    table = tables.read(named / "recordings.arrow")
    tables.write(table.assign(source="/home/somebody/eeg.fif"), named / "recordings.arrow")
    artifacts.seal(named, "corpus", config={}, files=[
        str(path.relative_to(named)) for path in named.rglob("*")
        if path.is_file() and path.name != artifacts.FILE_NAME])
    assert as_data(named) != 0
    assert "recordings.parquet" in capsys.readouterr().err
    source = with_terms("open", "ODC-By-1.0")
    assert as_data(source) == 0
    there = files_of(server, "tester/windows", "dataset")
    for name, data in there.items():
        path = tmp_path / "back" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    back = Corpus.open(tmp_path / "back")
    assert artifacts.open_sealed(tmp_path / "back", hashes=True).parents["source"] == (
        Corpus.open(source).fingerprint)
    assert np.array_equal(back.signal(3), Corpus.open(source).signal(3))
    streamed(server, there)
    words = ["pretrain", "--data", "hf://tester/windows", "--model", "brain_tokenizer",
             "--out", str(tmp_path / "trained"), "--train.steps=2", "--train.batch_windows=2",
             "--train.workers=0", f"--architecture={json.dumps(corpora.TOKENIZER)}"]
    assert cli.main(words) == 0  # verified, and a parent like any other
    assert shards_asked(server) == shards_of(there) - {"windows/test-00000.arrow"}
    assert artifacts.read_manifest(tmp_path / "trained").parents["data"] == back.fingerprint
    assert cli.main([*words[:2], "hf://tester/none", *words[3:-3], *words[-3:-1],
                     f"--out={tmp_path / 'none'}"]) == 1
    assert "hf://tester/none: there is no such folder here, and as a repository" in (
        capsys.readouterr().err)
    assert cli.main([*words, "--verify=full", f"--out={tmp_path / 'full'}"]) == 0
    assert shards_asked(server) == shards_of(there)
    card = there["README.md"].decode()
    assert check_card(card, "dataset") == []
    assert "| Planted | 14 | 14 |" in card
    assert "ODC-By-1.0 | Us 2026" in card
    assert "/data/planted" not in there["manifest.json"].decode()


def shards_of(files: dict) -> set[str]:
    return {name for name in files if name.endswith(".arrow")}


def shards_asked(server) -> set[str]:
    """Shards that were downloaded, each once."""
    found = [each.path.partition("/resolve/")[2].partition("/")[2] for each in server.requests
             if each.method == "GET" and "/resolve/" in each.path]
    shards = [name for name in found if name.endswith(".arrow")]
    assert len(set(shards)) == len(shards)
    return {*shards}


def streamed(server, there: dict) -> None:
    """A shard is downloaded when its first window is read, and not again."""
    from neurofm import repository

    corpus = Corpus.open(repository.data_folder("hf://tester/windows"))
    assert shards_asked(server) == set()
    assert len(shards_of(there)) == 3
    window, other = corpus.select("train")[0], corpus.select("test")[0]
    first = corpus.signal(window)
    assert shards_asked(server) == {"windows/train-00000.arrow"}
    assert np.array_equal(corpus.signal(window), first)
    again = Corpus.open(repository.data_folder("hf://tester/windows"))
    assert np.array_equal(again.signal(window), first)
    assert len(shards_asked(server)) == 1
    gone = server.repos.pop(("dataset", "tester/windows"))
    with pytest.raises(artifacts.ArtifactError, match=r"hf://tester/windows: windows/.*arrow could "
                                                      r"not be downloaded: .*run the same command"):
        corpus.signal(other)
    server.repos["dataset", "tester/windows"] = gone


def test_token_sets_are_published_with_their_corpus_terms(server, planted, tmp_path, capsys):
    """What is made of a data set is under its terms, too; the Hub's copy reads like the source."""
    from neurofm.pretrain.tokenize import main as tokenize
    from tests.support import planted as module

    def tokens(name: str, license: str):
        corpus = module.make_corpus(tmp_path / name, n_windows=2)
        artifacts.unseal(corpus)
        artifacts.write_json(corpus / "datasets.json", {"planted": {"licence": license}})
        files = [str(path.relative_to(corpus)) for path in corpus.rglob("*") if path.is_file()]
        artifacts.seal(corpus, "corpus", config={"paths": ["/data/planted"]}, files=files)
        assert tokenize([f"--data={corpus}", f"--model={tokenizer}",
                         f"--out={tmp_path / name / 'tokens'}"]) == 0
        return tmp_path / name / "tokens"

    tokenizer, model = tmp_path / "tokenizer", checkpoints.load(planted.backbone).tokenizer
    model.contract = module.CONTRACT
    checkpoints.save_checkpoint(model, tokenizer, config={}, parents={}, ledger={"recordings": []},
                        metrics={})
    words = ["tester/codes", "--license=odc-by"]
    assert cli.main(["publish", str(tokens("closed", "CC BY-ND 4.0")), *words]) != 0
    assert "forbid passing on" in capsys.readouterr().err
    source = tokens("open", "ODC-By-1.0")
    assert cli.main(["publish", str(source), *words]) == 0
    there = files_of(server, "tester/codes", "dataset")
    for name, data in there.items():
        path = tmp_path / "back" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    back, original = TokenSet.open(tmp_path / "back"), TokenSet.open(source)
    assert artifacts.open_sealed(tmp_path / "back", hashes=True).parents == {
        "corpus": original.corpus, "tokenizer": original.tokenizer,
        "source": original.fingerprint}
    wanted = np.array([0, 3])
    assert torch.equal(back.batch(wanted).ids, original.batch(wanted).ids)
    card = there["README.md"].decode()
    assert check_card(card, "dataset") == []
    assert "Codes of a tokenizer" in card
    assert str(tmp_path) not in there["manifest.json"].decode()
