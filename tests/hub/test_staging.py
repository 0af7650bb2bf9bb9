"""What is staged: only files of the folder, nothing of the source changed, no names of people."""

import json
import shutil

import numpy as np
import pytest
import yaml
from huggingface_hub import constants

import neurofm
from neurofm import artifacts, checkpoints, cli
from neurofm.data import tables
from neurofm.data.corpus import Corpus
from neurofm.hub import publish as publishing
from neurofm.hub import sending, staging
from neurofm.hub import windows as shards
from neurofm.hub.people import Pseudonyms
from tests.support import planted as module
from tests.support import small_checkpoints
from tests.support.loopback_hub import File

REPO = "tester/mine"
PEOPLE = {"00": "maria_muster", "01": "Anna Weber", "02": "19850312", "03": "JS"}


def publish(source, *words: str, license: str = "cc-by-4.0") -> int:
    return cli.main(["publish", str(source), REPO, f"--license={license}", *words])


def reseal(folder, kind: str, **config) -> None:
    artifacts.unseal(folder)
    artifacts.seal(folder, kind, config=config, files=[
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()])


@pytest.fixture
def small(tmp_path, checked_here):
    """A small checkpoint of one's own."""
    return small_checkpoints.make("brainomni", tmp_path / "small")


@pytest.fixture
def windows(tmp_path):
    """A corpus that may be published, whose people are named, some by their names."""
    folder = module.make_corpus(tmp_path / "windows", n_windows=2)
    table = tables.read(folder / "recordings.arrow")
    for number, (old, new) in enumerate(PEOPLE.items()):
        row = int(np.flatnonzero(table["subject"] == old)[0])
        name = f"planted-{new.replace(' ', '-')}-imagery-{number}"
        (folder / "windows" / f"{table['recording'][row]}.arrow").rename(
            folder / "windows" / f"{name}.arrow")
        table.loc[row, ["recording", "subject", "source"]] = [
            name, new, f"planted/{new}/{new}_raw.fif"]
    table.loc[0, "attributes"] = json.dumps({"age": "40", "birth_date": "1985-03-12"})
    tables.write(table, folder / "recordings.arrow")
    (folder / "failures.tsv").write_text(
        "source\treason\nplanted/peter_pan/peter_pan_raw.fif\tpeter_pan_raw.fif: is cut short\n")
    (folder / "quality.html").write_text("<p>Quality of maria_muster</p>")
    artifacts.write_json(folder / "datasets.json", {"planted": {"licence": "CC0"}})
    reseal(folder, "corpus", paths=["/data/planted"], splits={"test": ["maria_muster"]})
    return folder


def test_staged_files_are_those_of_the_folder(small, tmp_path, capsys, server):
    """A manifest that names a file elsewhere once made --dry-run delete that file."""
    victim = tmp_path / "thesis.safetensors"
    victim.write_text("years of work")
    path = small / artifacts.FILE_NAME
    whole = path.read_text()
    for name in (str(victim), "../thesis.safetensors"):
        manifest = artifacts.read_manifest(small)
        manifest.files[name] = [victim.stat().st_size, artifacts.sha256(victim)]
        fields = {**json.loads(whole), "files": manifest.files, "fingerprint": manifest.fingerprint}
        fields.pop("checksum", None)
        fields["format_version"] = 1
        path.write_text(json.dumps(fields))
        assert publish(small, "--dry-run") != 0
        assert victim.read_text() == "years of work"
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        with pytest.raises(staging.NotPublishable, match="not in the folder"):
            staging.copied(small, name, out)
        path.write_text(whole)
    (small / "model.safetensors").rename(tmp_path / "weights")
    (small / "model.safetensors").symlink_to(tmp_path / "weights")
    assert publish(small, "--dry-run") != 0
    assert "link" in capsys.readouterr().err
    with pytest.raises(staging.NotPublishable, match="is a link"):
        staging.copied(small, "model.safetensors", out)
    assert not server.repos


def test_nothing_is_staged_over_anything(small, tmp_path, capsys):
    held = tmp_path / "held"
    held.mkdir()
    (held / "README.md").write_text("mine")
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path / "elsewhere")
    for out in (held, small, linked, held / "README.md"):
        assert publish(small, "--dry-run", f"--staged={out}") != 0
        assert "name a new folder" in capsys.readouterr().err
    assert publish(small, "--dry-run", f"--staged={small / 'look'}") != 0
    assert "name a new folder elsewhere" in capsys.readouterr().err
    assert (held / "README.md").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    assert not (small / "look").exists()
    for table in (small / "people.tsv", small):
        assert publish(small, "--dry-run", f"--pseudonyms={table}") != 0
        assert "name a file elsewhere" in capsys.readouterr().err
    artifacts.open_sealed(small, "checkpoint", hashes=True)


def test_what_was_refused_is_not_left_staged(small, tmp_path, capsys):
    out = tmp_path / "look"
    assert publish(small, "--dry-run", f"--staged={out}", "--limits=ask me@lab.org") != 0
    assert "README.md, line" in (told := capsys.readouterr().err)
    assert "an e-mail address (me@lab.org)" in told
    assert """--allow '["me@lab.org"]' lets it pass""" in told  # and so it does
    assert not out.exists()
    assert publish(small, "--dry-run", f"--staged={out}", "--limits=ask me@lab.org", "--allow",
                   '["me@lab.org"]') == 0


def test_shards_that_are_staged_can_be_changed(windows, tmp_path, capsys):
    out, names = tmp_path / "look", tmp_path / "home" / "people.tsv"
    assert publish(windows, "--dry-run", f"--staged={out}", f"--pseudonyms={names}") == 0
    said = capsys.readouterr().out
    assert f"dry run: {names} is not written; it would say that\n  planted/" in said
    assert "planted/maria_muster is sub-0" in said
    assert not names.exists()
    with open(out / "windows" / "train-00000.arrow", "r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    artifacts.open_sealed(windows, "corpus", hashes=True)


def test_secrets_names_of_people_are_not_published(server, windows, tmp_path, capsys):
    assert publish(windows) != 0
    told = capsys.readouterr().err
    for words in ("maria_muster (a name)", "Anna Weber (a name)", "19850312 (a date)",
                  "JS (initials)", "birth_date", "--pseudonyms FILE"):
        assert words in told
    assert not server.repos
    names = tmp_path / "home" / "people.tsv"
    assert publish(windows, f"--pseudonyms={names}") == 0
    assert f"{names} says who 4 pseudonyms are" in capsys.readouterr().out
    table = Pseudonyms.read(names).of
    assert sorted(label for _, label in table) == sorted(PEOPLE.values())
    assert sorted(table.values()) == [f"sub-{n:04d}" for n in range(1, 5)]
    there = {path: file.data for path, file in
             server.repos["dataset", REPO].find("main").files.items()}
    assert "quality.html" not in there  # it names people and files
    out = tmp_path / "back"
    for name, data in there.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    one, two = Corpus.open(windows), neurofm.load_windows(out)
    assert two.recordings["subject"].tolist() == [
        table.get(("planted", label), label) for label in one.recordings["subject"]]
    for window in range(len(one)):
        assert np.array_equal(one.signal(window), two.signal(window))
    everything = b"".join(there.values()).lower() + two.recordings.to_csv().lower().encode()
    for word in ("maria", "muster", "anna", "weber", "19850312", "1985-03-12", "peter"):
        assert word.encode() not in everything
        assert word.encode("utf-16-le") not in everything
    assert there["failures.tsv"].decode().splitlines()[1] == "recording 1\tFILE: is cut short"
    assert json.loads(there["manifest.json"])["config"]["splits"] == {
        "test": [table["planted", "maria_muster"]]}


def test_secrets_names_of_people_in_checkpoints(server, tmp_path, checked_here, capsys):
    """Ledger, scores, results, settings and what the model itself knows of people; it answers as
    before."""
    folder = small_checkpoints.make("decoder", tmp_path / "decoder")
    ledger = json.loads((folder / "training_data.json").read_text())
    ledger["recordings"].append({"recording": "lab-anna-weber-01", "role": "train",
                                 "subject": "lab/anna_weber", "hours": 1.0})
    artifacts.write_json(folder / "training_data.json", ledger)
    robust = {"version": 1, "metric": "balanced_accuracy", "chance": 0.5, "n_channels": 19,
              "windows": 2, "seed": 0, "conditions": [
                  {"lowpass_hz": None, "channels": None, "artifacts": 0.0, "score": 0.7,
                   "low": None, "high": None, "subjects": {"lab/anna_weber": 0.7}}]}
    artifacts.write_json(folder / "robustness.json", robust)
    neurofm.Results(question="decoding", data="/data/lab", model="runs/x",
                    notes=["anna_weber: few"]).save(folder)
    (folder / "run.yaml").write_text(yaml.safe_dump(
        {"data": "/data/lab", "protocol": {"test": ["anna_weber"]}}))
    reseal(folder, "checkpoint", data="/data/lab", protocol={"test": ["anna_weber"]})
    assert publish(folder, "--dry-run") != 0
    assert "anna_weber (a name)" in capsys.readouterr().err
    out, names = tmp_path / "look", tmp_path / "home" / "people.tsv"
    assert publish(folder, "--dry-run", f"--staged={out}", f"--pseudonyms={names}") == 0
    text = "".join(path.read_text() for path in out.iterdir() if path.suffix != ".safetensors")
    assert "anna" not in text.lower()
    assert "weber" not in text.lower()
    ledger = json.loads((out / "training_data.json").read_text())
    assert ledger["recordings"][1]["subject"] == "lab/sub-0001"
    assert ledger["recordings"][1]["recording"] == "lab-sub-0001-01"
    assert ledger["recordings"][0]["subject"] == "ds000117/01"
    assert json.loads((out / "robustness.json").read_text())["conditions"][0]["subjects"] == {
        "lab/sub-0001": 0.7}
    assert json.loads((out / "results.json").read_text())["notes"] == ["sub-0001: few"]
    artifacts.open_sealed(out, "checkpoint", hashes=True)
    checkpoints.golden.check(neurofm.load(out), out)


@pytest.mark.usefixtures("checked_here")
@pytest.mark.parametrize(("token", "expired", "told"), [
    ("", False, "there is no token here; log in with `hf auth login`"),
    ("hf_wrongwrongwrongwrong", False, "your token is not valid, or was revoked"),
    ("hf_wrongwrongwrongwrong", True, "your token has expired"),
    ("hf_test_read", False, "your token may not write there: it is one for reading"),
])
def test_a_token_that_will_not_do_is_told_before_anything_is_staged(
    server, small, monkeypatch, capsys, token, expired, told
):
    def stage(*args):
        raise AssertionError("staged")

    monkeypatch.setattr(staging, "stage_checkpoint", stage)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent")
    monkeypatch.setenv("HF_TOKEN", token)
    if expired:
        server.refusal = 'User Access Token "laptop" is expired'
    assert publish(small) != 0
    out = capsys.readouterr()
    assert told in out.err
    assert not token or token not in out.err + out.out


def test_somebody_elses_namespace_is_told_first(server, small, capsys):
    assert cli.main(["publish", str(small), "stranger/mine", "--license=mit"]) != 0
    assert "tester is not a member of stranger" in capsys.readouterr().err


@pytest.mark.parametrize(("state", "token", "told"), [
    ("gated", "", r"it is gated: ask for access on its page, then log in"),
    ("gated", "hf_other", r"it is gated, and your token has no access"),
    ("private", "", r"there is none of that name, or it is private: to those who may see it"),
    ("private", "hf_other", r"there is none of that name, or it is private and your token may not"),
    ("missing", "hf_test_read", r"there is none of that name, or it is private and your token"),
    ("expired", "hf_old", r"your token has expired; log in again"),
    ("invalid", "hf_old", r"your token is not valid; log in again"),
    ("revision", "hf_test_read", r"it has no such version"),
    ("unreached", "hf_test_read", r"it is not in the cache, and the Hub was not reached"),
])
def test_why_the_hub_does_not_give_a_repository(server, tmp_path, monkeypatch, state, token, told):
    from huggingface_hub import HfApi

    HfApi().create_repo(REPO)
    repo = server.repos["model", REPO]
    repo.add("main", {"config.json": File(b"{}"), "manifest.json": File(b"{}")}, "x")
    server.tokens["hf_other"] = "other"
    repo.gated, repo.private = state == "gated", state == "private"
    if state == "expired":
        server.refusal = 'User Access Token "laptop" is expired'
    if state == "unreached":
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE",
                            "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent")
    monkeypatch.setenv("HF_TOKEN", token)
    place = {"missing": "tester/other", "revision": f"{REPO}@v9"}.get(state, REPO)
    with pytest.raises(ValueError, match=f"the Hub does not give it: {told}"):
        neurofm.load(place)


def test_other_licenses_are_named(small, tmp_path, capsys):
    assert publish(small, "--dry-run", license="other") != 0
    assert "other needs --license_name and --license_link" in capsys.readouterr().err
    out = tmp_path / "look"
    assert publish(small, "--dry-run", f"--staged={out}", "--license_name=lab-terms",
                   "--license_link=https://lab.example.org/terms", "--base_model=org/base",
                   "--citation=@article{x, title = {A}}", license="other") == 0
    front = yaml.safe_load((out / "README.md").read_text().split("---")[1])
    assert front["license_name"] == "lab-terms"
    assert front["license_link"] == "https://lab.example.org/terms"
    assert front["base_model"] == "org/base"
    assert "```bibtex\n@article{x, title = {A}}\n```" in (out / "README.md").read_text()


def test_a_full_disk_is_told_before_it_is_filled(windows, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(9, 9, 0))
    assert publish(windows, "--dry-run", f"--pseudonyms={tmp_path / 'people.tsv'}") != 0
    assert "name a folder on another disk with --staged" in capsys.readouterr().err


def test_the_same_command_goes_on_after_an_upload_that_failed(
    server, windows, tmp_path, monkeypatch, capsys
):
    words = f"--staged={tmp_path / 'look'}", f"--pseudonyms={tmp_path / 'people.tsv'}"
    with monkeypatch.context() as patch:
        def cut(*args, **kwargs):
            raise sending.NotSent("the line is down")

        patch.setattr(sending, "send", cut)
        assert publish(windows, *words) != 0
    assert "the line is down" in capsys.readouterr().err
    assert publish(windows, *words) == 0
    assert (tmp_path / "look" / "README.md").exists()


def test_a_folder_is_no_repository_that_a_model_was_trained_from(tmp_path, monkeypatch):
    """Not once it has been deleted either: only what was fetched from the Hub is one."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models--lab--base").mkdir(parents=True)
    for place in ("runs/base", "/data/runs/base", "runs/2024/base", "../base"):
        assert publishing._trained_from({"model": place}) == ("", place)
    assert publishing._trained_from({"model": "lab/base@v1"}) == ("lab/base", "")
    assert publishing._trained_from({"model": "brainomni", "init": "lab/base"}) == ("lab/base", "")
    assert publishing._trained_from({"model": "brainomni"}) == ("", "")


def test_a_parent_that_is_unknown_is_said(small, capsys):
    assert publish(small, "--dry-run") == 0
    assert "the card names no base_model: lab/base, from which" in capsys.readouterr().out


def test_recordings_without_a_split_are_in_train(windows, tmp_path):
    data = Corpus.open(windows)
    files = shards.write(data, tmp_path / "out", data.recordings.assign(split=None))
    assert files[0] == "windows/train-00000.arrow"
    assert shards.card_config(files)[0]["data_files"][0]["split"] == "train"
