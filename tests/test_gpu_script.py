"""The script for the day a GPU is lent runs, in small, on a CPU."""

import subprocess
import sys

from tests.benchmarks import gpu

BARE = """
import sys
for name in ("mne", "nilearn", "nibabel", "datasets", "pandas", "pyarrow", "scipy", "sklearn",
             "rich", "jsonargparse", "tensorboard"):
    sys.modules[name] = None
import tests.benchmarks.gpu
"""


def test_gpu_script_runs_on_a_cpu(capsys):
    found = gpu.main(["--device", "cpu", "--quick"])
    assert [row["what"] for row in found] == [
        "BrainOmni small", "BrainTokenizer attention", "BrainTokenizer leadfield"]
    assert found[0]["waits"] == "0"
    assert all(float(row["windows/s"]) > 0 for row in found)
    assert found[0]["of peak"].endswith("%")
    assert "BrainOmni small" in capsys.readouterr().out


def test_gpu_script_needs_little():
    """It imports where nothing but torch, transformers, accelerate, safetensors, einops and
    jaxtyping is installed."""
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
