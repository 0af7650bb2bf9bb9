"""What goes into images, read from their recipes: pinned, hashed, from one index, no data.

Nothing here builds an image: there is no Docker where these tests run.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
RECIPES = [ROOT / "docker" / name for name in ("cpu.Dockerfile", "cuda.Dockerfile", "neurofm.def")]
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    return {re.sub("[-_.]+", "-", name).lower(): version
            for name, version in PINNED.findall(path.read_text())}


def test_all_have_the_same_base_by_its_digest():
    bases = [re.findall(r"^(?:FROM|From:) (\S+)$", path.read_text(), re.MULTILINE)
             for path in RECIPES]
    assert bases == [bases[0]] * 3
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", bases[0][0])
    assert "tag=python:3.11-slim-bookworm\n" in (ROOT / "docker/pin").read_text()


def test_everything_that_is_installed_has_hashes_and_the_version_of_the_tests():
    lock, tested = ROOT / "docker/requirements.txt", pins(ROOT / "constraints.txt")
    found = pins(lock)
    assert len(found) > 80
    assert {"numpy", "transformers", "mne", "flwr"} <= set(found)
    assert not {"torch", "ray"} & set(found)
    other = {name for name, version in found.items() if tested.get(name, version) != version}
    assert not other, "make lock"
    assert set(found) - set(tested) <= {"setuptools"}
    entries = re.split(r"\n(?=\S)", lock.read_text())
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)


def test_nothing_that_is_needed_is_missing_in_images():
    """`pip check` ends the build otherwise: dependencies, and theirs, of what images hold."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.search(r"^LOCKED := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    wanted = [(Requirement(each), "") for each in [*project["dependencies"], *(
        each for name in extras.split() for each in project["optional-dependencies"][name])]]
    names, seen = set(), set()
    while wanted:
        need, extra = wanted.pop()
        name = re.sub("[-_.]+", "-", need.name).lower()
        if name == "torch" or (need.marker and not need.marker.evaluate({"extra": extra})):
            continue
        names.add(name)
        for one in {"", *need.extras} - {each for key, each in seen if key == name}:
            seen.add((name, one))
            wanted += [(Requirement(each), one)
                       for each in importlib.metadata.requires(need.name) or ()]
    assert not names - pins(ROOT / "docker/requirements.txt").keys() - {"setuptools"}, "make lock"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_one_index_at_a_time(path):
    text = path.read_text()
    assert "--extra-index-url" not in text
    assert "--require-hashes" in text
    installs = re.findall(r"pip install (.*?)(?: &&|\n|\\)", text)
    assert len(installs) == 3
    assert all("--index-url" not in line or "^torch==" in line for line in installs)


@pytest.mark.parametrize("path", RECIPES[:2], ids=lambda path: path.name)
def test_it_runs_as_an_ordinary_user(path):
    lines = path.read_text().splitlines()
    assert lines.index("USER 1000:1000") > max(
        k for k, line in enumerate(lines) if line.startswith(("RUN", "COPY")))


def instructions(path: Path) -> list[tuple[str, str]]:
    """(word, rest) of each instruction of a Dockerfile, lines joined, without comments."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in
            (line.partition(" ") for line in joined.splitlines() if line)]


@pytest.mark.parametrize("path", RECIPES[:2], ids=lambda path: path.name)
def test_a_linter_would_find_nothing(path):
    """Of hadolint's rules those that this file could break; hadolint itself: docs/guides."""
    found = instructions(path)
    words = [word for word, _ in found]
    assert words[0] == "FROM"
    assert words.count("ENTRYPOINT") == words.count("USER") == words.count("FROM") == 1
    assert {*words} <= {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT"}
    for word, rest in found:
        if word == "RUN":
            subprocess.run(["bash", "-n", "-c", rest], check=True)
            assert not re.search(r"\bsudo\b|curl|wget|\bcd\b|chmod 777|pip install --upgrade", rest)
            if "apt-get install" in rest:
                assert "apt-get update && apt-get install -y --no-install-recommends" in rest
                assert "rm -rf /var/lib/apt/lists/*" in rest
            for line in re.findall(r"pip install[^&]*", rest):
                assert "-r requirements.txt" in line or "^torch==" in line or line.endswith(" . ")
        if word == "WORKDIR":
            assert rest.startswith("/")
        if word == "ENTRYPOINT":
            assert rest.startswith('["')
        if word in ("ARG", "ENV"):
            assert not re.search("token|password|secret|key", rest, re.IGNORECASE)
        if word == "COPY":
            *sources, target = rest.split()
            assert all((ROOT / name).exists() for name in sources)
            assert len(sources) == 1 or target.endswith("/")


def test_recipes_of_apptainer_and_scripts_can_be_read():
    text = RECIPES[2].read_text()
    files = re.search(r"%files\n(.*?)\n%", text, re.DOTALL)[1].splitlines()
    assert all((ROOT / line.split()[0]).exists() for line in files if line)
    script = re.search(r"%post\n(.*?)\n%", text, re.DOTALL)[1]
    subprocess.run(["bash", "-n", "-c", script], check=True)
    subprocess.run(["bash", "-n", ROOT / "docker" / "pin"], check=True)
    assert os.access(ROOT / "docker" / "pin", os.X_OK)


def listed(rules: list[str], names: list[str]) -> set[str]:
    """Those of some paths that Docker sends, by .dockerignore: the last rule counts that is of the
    path or of a folder above it."""
    patterns = [(not rule.startswith("!"), pattern(rule.removeprefix("!"))) for rule in rules]
    found = set()
    for name in names:
        above = [name, *(str(each) for each in Path(name).parents)][:-1]
        out = False
        for exclude, each in patterns:
            if any(each.fullmatch(part) for part in above):
                out = exclude
        if not out:
            found.add(name)
    return found


def pattern(rule: str) -> re.Pattern:
    """A rule of .dockerignore: ** is any folders, * and ? stay within a name."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", rule)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(
        words.get(each, each if each.startswith("[") else re.escape(each)) for each in pieces))


DECOYS = (
    ".env", ".git/config", "id_rsa", "runs/decoder/model.safetensors", "data/sub-01/eeg.edf",
    "docker/site/clinic.key", "tests/conftest.py", "neurofm/.env", "neurofm/nn/.netrc",
    "neurofm/__pycache__/cli.pyc", "preprocessing/sub-01_eeg.edf", "pretrain/id_ed25519",
    "configs/site.pem", "configs/federated/agreed.key", "downstream/runs/manifest.json",
    "downstream/participants.tsv", "pretrain/run/log.jsonl", "neurofm.egg-info/PKG-INFO",
    "downstream/.ipynb_checkpoints/a.py", "neurofm/.git/config", "configs/a/training_data.json",
)


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Path:
    """What Docker would be sent of this checkout, in which more was left: packed and unpacked."""
    folder = tmp_path_factory.mktemp("image")
    asked = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                           cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in asked.stdout.splitlines() if os.path.lexists(ROOT / name)]
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines()
             if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = listed(rules, [*names, *DECOYS])
    assert not sent & {*DECOYS}
    copied = {name for path in RECIPES[:2] for word, rest in instructions(path) if word == "COPY"
              for name in rest.split()[:-1]}
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert sent == {name for name in names  # nothing that is tracked is left out
                    if {name, *map(str, Path(name).parents)} & copied}
    with tarfile.open(folder / "context.tar", "w") as tar:
        for name in sorted(sent):
            tar.add(ROOT / name, name, recursive=False)
    with tarfile.open(folder / "context.tar") as tar:
        tar.extractall(folder / "sent", filter="data")  # which refuses links that lead out
    return folder / "sent"


def test_only_what_is_listed_is_sent_to_be_built(context):
    links = [path for path in context.rglob("*") if path.is_symlink()]
    assert {path.name for path in links} == {"preprocessing", "pretrain", "downstream"}
    assert all(path.resolve().is_relative_to(context) for path in links)
    size = sum(path.stat().st_size for path in context.rglob("*") if path.is_file())
    assert size < 10 * 10**6


@pytest.mark.long
@pytest.mark.parametrize("follows", [False, True], ids=["docker", "apptainer"])
def test_what_is_sent_is_all_that_is_installed(context, tmp_path, follows):
    """Docker keeps links between the folders, Apptainer may copy what they name: one wheel."""
    source = tmp_path / "neurofm"
    shutil.copytree(context, source, symlinks=not follows)
    words = ["--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={tmp_path}", str(source)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *words], check=True, timeout=300,
                   capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as found:
        inside = {name for name in found.namelist() if ".dist-info/" not in name}
    stages = ("preprocessing", "pretrain", "downstream")
    wanted = {path.relative_to(context).as_posix() for part in ("neurofm", *stages)
              for path in (context / part).rglob("*.py")}
    assert {name for name in inside if name.endswith(".py")} == {
        f"neurofm/{name}" if name.startswith(stages) else name for name in wanted}
    env = {**os.environ, "PYTHONPATH": str(wheel)}  # a wheel can be imported as it is
    asked = subprocess.run([sys.executable, "-c", "import neurofm; print(neurofm.__file__)"],
                           env=env, cwd=tmp_path / "neurofm" / "configs", capture_output=True,
                           text=True, check=True)
    assert asked.stdout.startswith(str(wheel))
