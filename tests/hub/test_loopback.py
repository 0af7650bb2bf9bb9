"""The Hub on this machine that other tests publish to, asked by huggingface_hub's own client."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    HfApi,
    ModelCard,
    constants,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

from tests.support.loopback_hub import LoopbackHub

REPO = "tester/model"
SIZE = 11 * 2**20


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # read whenever it uploads
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client's pauses between tries
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    disable_progress_bars()
    with LoopbackHub() as hub:
        yield hub
    enable_progress_bars()
    assert not [request for request in hub.requests if "hf_test" in request.path]
    assert not hub.unknown


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.endpoint, token="hf_test_write")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    (folder / "sub").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    (folder / "sub" / "notes.txt").write_text("small\n")
    (folder / "weights.safetensors").write_bytes(b"few bytes")  # large by its name
    (folder / "signal.dat").write_bytes(os.urandom(SIZE))  # large by its size
    return folder


def paths(hub, method, part):
    return [r.path for r in hub.requests if r.method == method and part in r.path]


def test_hub_publishes_and_loads(hub, api, folder, tmp_path):
    assert api.create_repo(REPO, private=True).repo_id == REPO
    api.create_repo(REPO, private=True, exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(REPO)
    done = api.upload_folder(repo_id=REPO, folder_path=folder, commit_message="run")
    assert [c.title for c in hub.repos["model", REPO].commits.values()] == ["initial commit", "run"]
    api.create_tag(REPO, tag="v1")
    api.create_branch(REPO, branch="dev", revision="v1")
    api.upload_file(repo_id=REPO, path_or_fileobj=b"later", path_in_repo="sub/more.txt")
    refs = api.list_repo_refs(REPO)
    assert {ref.name: ref.target_commit for ref in refs.branches}["dev"] == done.oid
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", done.oid)]
    files = {"README.md", "sub/notes.txt", "weights.safetensors", "signal.dat", ".gitattributes"}
    assert set(api.list_repo_files(REPO, revision="v1")) == files
    assert set(api.list_repo_files(REPO)) == files | {"sub/more.txt"}
    info = api.model_info(REPO, revision="v1", files_metadata=True)
    assert info.private
    assert info.sha == done.oid
    assert {s.rfilename for s in info.siblings if s.lfs} == {"weights.safetensors", "signal.dat"}
    for revision in ("v1", done.oid):
        got = snapshot_download(REPO, revision=revision, endpoint=hub.endpoint,
                                token="hf_test_read", cache_dir=tmp_path / revision)
        for path in files - {".gitattributes"}:
            assert (tmp_path / revision / got / path).read_bytes() == (folder / path).read_bytes()
    assert not [r for r in hub.requests if r.authorized and re.match("/(storage|cdn)/", r.path)]


def test_hub_serves_data_sets_and_deletes(hub, api, folder):
    api.create_repo("lab/data", repo_type="dataset")
    api.upload_folder(repo_id="lab/data", folder_path=folder / "sub", repo_type="dataset",
                      path_in_repo="a/b")
    api.upload_folder(repo_id="lab/data", folder_path=folder, repo_type="dataset",
                      allow_patterns="*.md", delete_patterns="a/*")
    assert set(api.list_repo_files("lab/data", repo_type="dataset")) == {
        "README.md", ".gitattributes"}
    assert not api.dataset_info("lab/data").private
    assert api.repo_exists("lab/data", repo_type="dataset")
    assert not api.repo_exists("lab/data")


def test_hub_refuses_by_name_and_right(hub, api, tmp_path):
    api.create_repo(REPO, private=True)
    assert api.whoami()["name"] == "tester"
    read, wrong = (HfApi(endpoint=hub.endpoint, token=t) for t in ("hf_test_read", "hf_nobody"))
    assert read.model_info(REPO).private
    for call in (lambda: read.create_repo("tester/other"), lambda: read.create_tag(REPO, tag="x"),
                 lambda: read.upload_file(repo_id=REPO, path_or_fileobj=b"", path_in_repo="x"),
                 lambda: api.create_repo("stranger/other")):
        with pytest.raises(HfHubHTTPError, match="403"):
            call()
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        wrong.whoami()
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        wrong.model_info(REPO)
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=hub.endpoint, token=False).model_info(REPO)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("tester/missing")
    with pytest.raises(RepositoryNotFoundError):
        api.upload_file(repo_id="tester/missing", path_or_fileobj=b"", path_in_repo="x")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="missing")
    with pytest.raises(RevisionNotFoundError):
        api.upload_file(repo_id=REPO, path_or_fileobj=b"", path_in_repo="x", revision="missing")
    load = {"endpoint": hub.endpoint, "cache_dir": tmp_path, "token": "hf_test_read"}
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(REPO, "missing.json", **load)
    with pytest.raises(RevisionNotFoundError):
        snapshot_download(REPO, revision="v9", **load)
    hub.repos["model", REPO].private, hub.repos["model", REPO].gated = False, True
    with pytest.raises(GatedRepoError):
        hf_hub_download(REPO, ".gitattributes", **load | {"token": False})
    head = api.model_info(REPO).sha
    for error in (None, "412"):
        add = [CommitOperationAdd("x", os.urandom(4))]
        if not error:
            api.create_commit(REPO, add, commit_message="m", parent_commit=head)
        else:
            with pytest.raises(HfHubHTTPError, match=error):
                api.create_commit(REPO, add, commit_message="m", parent_commit=head)


def test_hub_upload_that_breaks_goes_on_where_it_was(hub, api, folder):
    api.create_repo(REPO)
    hub.fail(after_bytes=2**20, on="/storage/")  # the client tries again by itself
    hub.fail(on="/commit/")  # but not this
    with pytest.raises(Exception, match=r"disconnected|reset|closed|Broken pipe"):
        api.upload_folder(repo_id=REPO, folder_path=folder)
    assert len(hub.repos["model", REPO].commits) == 1
    assert len(paths(hub, "PUT", "/storage/")) == 3  # two objects, one of them twice
    hub.requests.clear()
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert not paths(hub, "PUT", "/storage/")
    assert len(paths(hub, "POST", "/commit/")) == 1
    hub.requests.clear()
    api.upload_folder(repo_id=REPO, folder_path=folder)  # nothing has changed: no commit
    assert not paths(hub, "POST", "/commit/")
    assert len(hub.repos["model", REPO].commits) == 2


@pytest.mark.parametrize("status", [507, 413])
def test_hub_that_is_full(hub, api, folder, status):
    api.create_repo(REPO)
    hub.full = status
    with pytest.raises(RuntimeError, match="Error while uploading") as raised:
        api.upload_folder(repo_id=REPO, folder_path=folder)
    assert raised.value.__cause__.response.status_code == status
    assert len(hub.repos["model", REPO].commits) == 1


def test_hub_upload_in_parts(hub, api, folder):
    api.create_repo(REPO)
    hub.part_size = 4 * 2**20
    hub.fail(after_bytes=2**20, on="/1")  # the second part
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert len(paths(hub, "PUT", "/storage/")) == 1 + 3 + 1
    file = hub.repos["model", REPO].find("main").files["signal.dat"]
    assert file.data == (folder / "signal.dat").read_bytes()


def test_hub_download_that_breaks_or_is_corrupted(hub, api, folder, tmp_path):
    """The client checks the size only; `verify_repo_checksums`, which it never calls, the rest."""
    api.create_repo(REPO)
    api.upload_folder(repo_id=REPO, folder_path=folder)
    expected = (folder / "signal.dat").read_bytes()
    load = {"endpoint": hub.endpoint, "token": False}
    hub.fail(after_bytes=2**20, on="/cdn/")
    got = hf_hub_download(REPO, "signal.dat", cache_dir=tmp_path / "a", **load)
    assert Path(got).read_bytes() == expected
    hub.corrupt("signal.dat")
    got = hf_hub_download(REPO, "signal.dat", cache_dir=tmp_path / "b", **load)
    bad = Path(got).read_bytes()
    assert len(bad) == len(expected)
    assert sum(a != b for a, b in zip(bad[SIZE // 2 - 9:SIZE // 2 + 9],
                                      expected[SIZE // 2 - 9:SIZE // 2 + 9], strict=True)) == 1
    found = api.verify_repo_checksums(REPO, cache_dir=tmp_path / "b")
    assert [mismatch["path"] for mismatch in found.mismatches] == ["signal.dat"]


def test_hub_checks_cards(hub, api, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    result = ("model-index:\n- name: m\n  results:\n  - task: {type: other}\n    dataset: {type: d,"
              " name: d}\n    metrics:\n    - {type: accuracy, value: 0.5}\n")
    ModelCard(f"---\nlicense: cc-by-nc-4.0\ntags: [eeg]\n{result}---\ntext").validate()
    with pytest.raises(ValueError, match="mine"):
        ModelCard("---\nlicense: mine\n---\ntext").validate()
    api.create_repo(REPO)
    for bad in ("license: [", "license: mine", result.replace("type: d,", "")):
        with pytest.raises(ValueError, match="Invalid metadata"):
            api.upload_file(repo_id=REPO, path_in_repo="README.md",
                            path_or_fileobj=f"---\n{bad}\n---\ntext".encode())


def test_hub_is_what_transformers_loads_from(hub, api, tmp_path):
    """Another process, which knows of the hub only by its environment."""
    from transformers import BertConfig, BertModel
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                        intermediate_size=8, max_position_embeddings=9)
    BertModel(config).save_pretrained(tmp_path / "model")
    api.create_repo(REPO, private=True)
    api.upload_folder(repo_id=REPO, folder_path=tmp_path / "model")
    api.create_tag(REPO, tag="v1")
    code = ("from transformers import AutoModel;"
            f"print(type(AutoModel.from_pretrained({REPO!r}, revision='v1')).__name__)")
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"),
                                "HF_TOKEN": "hf_test_read", "HF_HUB_DISABLE_TELEMETRY": "1"}
    hub.requests.clear()
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True,
                         text=True, check=False, timeout=120)
    assert ran.stdout.strip() == "BertModel", ran.stderr
    assert "hf_test" not in ran.stdout + ran.stderr
    assert (tmp_path / "home" / "hub").is_dir()
    asked = [(r.method, r.path.split("/")[-1]) for r in hub.requests if "cdn" not in r.path]
    assert asked[0] == ("GET", "v1")  # the revision is looked up once, then it is the commit
    assert ("GET", "config.json") in asked
    assert ("HEAD", "model.safetensors") in asked
