"""The examples of the site: each runs by itself, tells what it does, and ends in a figure."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("plot_*.py"))
# Runs a script as it is, and saves each figure where it would be shown.
_SHOWN = """
import runpy, sys
import matplotlib.pyplot as plt

def show(saved=[]):
    for number in plt.get_fignums():
        saved.append(number)
        plt.figure(number).savefig(f"{sys.argv[2]}/{len(saved)}.png")
        plt.close(number)

plt.show = show
runpy.run_path(sys.argv[1], run_name="__main__")
"""
each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def test_there_are_twelve():
    assert [path.stem[5:7] for path in EXAMPLES] == [f"{number:02d}" for number in range(1, 13)]


@each
def test_title_text_and_a_figure_at_the_end(path):
    source = path.read_text()
    title, rule, *_ = (ast.get_docstring(ast.parse(source)) or "").splitlines()
    assert title.startswith(f"{path.stem[5:7]}. ")
    assert set(rule) == {"="}
    assert len(rule) >= len(title)
    blocks = source.split("\n# %%\n")
    texts = [block for block in blocks[1:] if block.startswith("# ")]
    assert len(texts) >= 4
    drawn = [number for number, block in enumerate(blocks) if "plt.show()" in block]
    assert drawn
    assert drawn[-1] >= len(blocks) - 2  # at most a closing remark follows
    assert "set_xlabel(" in source or "xlabel=" in source


@each
@pytest.mark.long
def test_it_runs_and_draws(path, tmp_path):
    figures = tmp_path / "figures"
    figures.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _SHOWN, path, figures], cwd=tmp_path, capture_output=True,
        text=True, timeout=600, check=False,
        env={**os.environ, "MPLBACKEND": "Agg", "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.strip()
    drawn = list(figures.iterdir())
    assert drawn
    assert min(figure.stat().st_size for figure in drawn) > 20_000  # an empty one has 5 kB
