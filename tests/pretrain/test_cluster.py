"""What runs on a cluster, but for a Slurm (test_slurm.py): scripts, settings, images."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

from neurofm.pretrain import __main__ as entry
from neurofm.training import ranks

ROOT = Path(__file__).resolve().parents[2]
SLURM = ROOT / "configs" / "slurm"
DOCKER = ROOT / "docker"
SCRIPTS = ("pretrain.sbatch", "array.sbatch")

@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts(script):
    """They parse, ask for the signal, may be requeued, and name files that exist."""
    text = (SLURM / script).read_text()
    assert subprocess.run(["bash", "-n", SLURM / script]).returncode == 0
    assert re.search(r"^#SBATCH --signal=B:USR1@\d+", text, re.M)
    assert re.search(r"^#SBATCH --requeue", text, re.M)
    for path in re.findall(r"(?:configs|docker)/[\w/.]*\w", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", ["cpu.yaml", "ddp.yaml", "fsdp.yaml"])
def test_srun_and_accelerate_launch_give_the_same_settings(name, monkeypatch):
    """Of a file of configs/accelerate/, which under srun each process reads itself."""
    for key in [key for key in os.environ if key.startswith(("FSDP_", "ACCELERATE_"))]:
        monkeypatch.delenv(key)
    words = [f"--config_file={ROOT / 'configs/accelerate' / name}", "--num_processes=2", "x.py"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    launched = {key: value for key, value in prepare_multi_gpu_env(arguments).items()
                if key.startswith(("FSDP_", "ACCELERATE_USE_FSDP"))}
    ours = ranks.settings(ROOT / "configs/accelerate" / name)
    plugins = []
    for environment in (launched, ours):
        with monkeypatch.context() as patch:
            for key, value in environment.items():
                patch.setenv(key, value)
            plugins.append(vars(FullyShardedDataParallelPlugin()))
    assert (ours.get("ACCELERATE_USE_FSDP"), ours["ACCELERATE_USE_CPU"]) == (
        "true" if name == "fsdp.yaml" else None, "true" if name == "cpu.yaml" else "false")
    if name == "fsdp.yaml":
        assert str(plugins[0]) == str(plugins[1])


def test_a_signal_waits_for_the_training():
    """From before the imports on, and in processes that are started meanwhile."""
    code = """
import os, signal, subprocess, sys
from neurofm.training.signals import StopRequest, hold
assert "torch" not in sys.modules
hold()
os.kill(os.getpid(), signal.SIGUSR1)
child = subprocess.Popen(["sleep", "0.2"])
child.send_signal(signal.SIGUSR1)
assert child.wait() == 0
with StopRequest() as asked:
    assert asked.wanted
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(("rank", "there", "status", "told"), [
    ("0", True, 0, "stopped\n"), ("1", True, 0, ""), ("0", False, 85, None), ("1", False, 0, None)])
def test_what_a_batch_script_is_told(rank, there, status, told, tmp_path, monkeypatch):
    """0 and a word in its file, so that srun calls no stop a failure; 85 where it is not seen."""
    file = tmp_path / "stopped"
    if there:
        file.touch()
    for name, value in (("NEUROFM_STOPPED", str(file)), ("RANK", rank)):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(entry, "hold", lambda: None)
    monkeypatch.setattr("neurofm.cli.main", lambda words: 85)
    assert entry.main() == status
    assert (file.read_text() if file.exists() else None) == told
    monkeypatch.setattr("neurofm.cli.main", lambda words: 3)
    assert entry.main() == 3


def test_bad_input_accelerate_config(tmp_path):
    with pytest.raises(ValueError, match="there is no such file; name one of configs/accelerate/"):
        ranks.settings(tmp_path / "gone.yaml")
    (tmp_path / "tpu.yaml").write_text("distributed_type: TPU")
    with pytest.raises(ValueError, match="wanted distributed_type MULTI_GPU or FSDP, got 'TPU'"):
        ranks.settings(tmp_path / "tpu.yaml")


def copied(recipe: str) -> list[str]:
    """What an image takes from the repository."""
    text = (DOCKER / recipe).read_text()
    if recipe.endswith(".def"):
        block = text.partition("%files\n")[2].partition("\n\n")[0]
        return [line.split()[0] for line in block.splitlines()]
    lines = re.findall(r"^COPY (.*) \S+$", text, re.M)
    return [name for line in lines for name in line.split()]


@pytest.mark.parametrize("recipe", ["cpu.Dockerfile", "cuda.Dockerfile", "neurofm.def"])
def test_images(recipe):
    """What the recipes copy is there, what they install is pinned, what they name exists."""
    text = (DOCKER / recipe).read_text()
    names = copied(recipe)
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert {"constraints.txt", "pyproject.toml", "neurofm", "configs"} <= set(names)
    installs = re.findall(r"pip install.*$", text, re.M)
    assert len(installs) == 3  # locked packages by hash, torch at its version, neurofm itself
    assert "--no-deps --require-hashes -r requirements.txt" in installs[0]
    assert '"$(grep ^torch== constraints.txt)"' in installs[1]
    assert "--no-deps --no-build-isolation ." in installs[2]
    for path in re.findall(r"(?:configs|docker)/[\w/]*\.\w+", text):
        assert (ROOT / path).exists(), path


def test_everything_installed_is_pinned():
    """constraints.txt names every requirement, at the version that these tests run with."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): number for name, number in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for name in extras for each in extras[name])]
    for requirement in wanted:
        if requirement.startswith("neurofm["):
            continue
        name = re.split(r"[\[<>=!~ ]", requirement)[0]
        number = pinned.get(re.sub(r"[-_.]+", "-", name).lower())
        assert number is not None, f"{name} is not in constraints.txt"
        assert version(name).partition("+")[0] == number, name


def test_what_is_copied_can_be_installed(tmp_path):
    """`pip install .` in the image, as far as a wheel: every module is in it, and what the entry
    points name."""
    for name in copied("cpu.Dockerfile"):
        source, target = ROOT / name, tmp_path / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, ignore=skip, symlinks=True) if source.is_dir() else (
            shutil.copy(source, target))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         f"--wheel-dir={tmp_path}", tmp_path / "source"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    for package in ("neurofm", "preprocessing", "pretrain", "downstream"):
        for path in (ROOT / package).rglob("*.py"):
            inside = path.relative_to(ROOT / "neurofm" if package == "neurofm" else ROOT)
            assert f"neurofm/{inside}" in packed
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for group in project["entry-points"].values():
        for place in group.values():
            module = place.partition(":")[0].replace(".", "/")
            assert {f"{module}.py", f"{module}/__init__.py"} & packed, place
