"""The wheel: all of neurofm and nothing else, unhurt by what lies beside a user's script."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

PACKAGES = ("neurofm", "preprocessing", "pretrain", "downstream")


def build(source: Path) -> Path:
    """The wheel of a checkout, made without network."""
    words = ["--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={source.parent}"]
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", *words, source],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = source.parent.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def tracked(repo) -> list[str]:
    """Files of a checkout, as they would be committed now."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                            cwd=repo, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if os.path.lexists(repo / name)]


def checkout(repo: Path, tracked: list[str], folder: Path, links: bool) -> Path:
    """A copy of what is tracked; without links, a link is a file that holds its target, as git
    writes it where there are none."""
    for name in tracked:
        if name.startswith("tests/"):
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (repo / name).is_symlink() and not links:
            target.write_text(os.readlink(repo / name))
        else:
            shutil.copy(repo / name, target, follow_symlinks=False)
    return folder


@pytest.fixture(scope="session")
def wheel(repo, tracked, tmp_path_factory) -> Path:
    return build(checkout(repo, tracked, tmp_path_factory.mktemp("wheel") / "source", links=True))


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder that takes the place of site-packages."""
    folder = tmp_path_factory.mktemp("installed") / "site"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target",
                    folder, wheel], check=True, capture_output=True, timeout=120)
    return folder


def contents(wheel: Path) -> dict[str, int]:
    """Name → checksum."""
    return {info.filename: info.CRC for info in zipfile.ZipFile(wheel).infolist()}


def test_all_of_neurofm_and_nothing_else(wheel, tracked):
    packed = contents(wheel)
    assert {name.split("/")[0] for name in packed} == {"neurofm", "neurofm-0.1.0.dist-info"}
    inside = {name.removeprefix("neurofm/") for name in tracked
              if name.split("/")[0] in PACKAGES and name.endswith(".py")}
    assert {f"neurofm/{name}" for name in inside} == {n for n in packed if n.endswith(".py")}
    assert "neurofm/py.typed" in packed


def test_the_flower_app_is_in_it(wheel):
    app = "neurofm/downstream/federated/flower-app/pyproject.toml"
    settings = tomllib.loads(zipfile.ZipFile(wheel).read(app).decode())["tool"]["flwr"]["app"]
    for place in settings["components"].values():
        assert place.partition(":")[0].replace(".", "/") + ".py" in contents(wheel)


def test_a_checkout_without_links_makes_the_same(repo, tracked, wheel, tmp_path):
    plain = checkout(repo, tracked, tmp_path / "source", links=False)
    assert (plain / "neurofm" / "pretrain").read_text() == "../pretrain"
    assert contents(build(plain)) == contents(wheel)


SCRIPT = """
import downstream, preprocessing, pretrain
import sys
assert downstream.MINE and preprocessing.MINE and pretrain.MINE
import neurofm
from neurofm.cli import main
if __name__ == "__main__":  # worker processes import this file
    print(neurofm.__file__)
    sys.exit(main(sys.argv[1:]))
"""


def test_what_lies_beside_a_script_harms_nothing(installed, tmp_path):
    """A user's own preprocessing.py, pretrain.py and downstream.py; outside the repository."""
    import mne

    assert {path.name for path in installed.iterdir()} == {"neurofm", "neurofm-0.1.0.dist-info",
                                                           "bin"}
    for name in ("preprocessing", "pretrain", "downstream"):
        (tmp_path / f"{name}.py").write_text("MINE = True\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    signal = 1e-5 * np.random.default_rng(0).standard_normal((4, 4000))
    info = mne.create_info(["C3", "C4", "O1", "O2"], 200.0, "eeg")
    mne.io.RawArray(signal, info, verbose="ERROR").save(tmp_path / "one_raw.fif", verbose="ERROR")
    environment = {**os.environ, "PYTHONPATH": str(installed)}

    def run(*words) -> str:
        done = subprocess.run([sys.executable, *words], env=environment, cwd=tmp_path,
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    ingest = ["ingest", "one_raw.fif", "--workers=2", "--contract.sfreq=100",
              "--contract.lowpass_hz=40", "--contract.window_s=4"]
    said = run("script.py", *ingest, "--out=corpus")
    assert said.splitlines()[0] == str(installed / "neurofm" / "__init__.py")
    assert (tmp_path / "corpus" / "manifest.json").exists()
    # By the command itself, and with the user's folder first on the path.
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(installed)])
    assert "pretrain" in run(installed / "bin" / "neurofm", "--help")
    run("-m", "neurofm.cli", *ingest, "--out=again")
    assert (tmp_path / "again" / "manifest.json").exists()
