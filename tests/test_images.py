"""What goes into images, read from their recipes: pinned, hashed, from one index, no data."""

import re
from pathlib import Path

import pytest

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


def test_only_what_is_listed_is_sent_to_be_built():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {name for path in RECIPES[:2] for line in path.read_text().splitlines()
              if line.startswith("COPY") for name in line.split()[1:-1]}
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied
