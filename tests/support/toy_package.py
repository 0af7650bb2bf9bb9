"""A package of somebody else, made in a folder and registered by entry point, as pip would.

    toy = toy_package(tmp_path, "toy", {"reader": SOURCE}, {"neurofm.readers": {"tab": "reader"}})
    done = toy.neurofm("ingest", ...)      # a subprocess that has the package installed

No file of neurofm is touched: what works then works for everybody's package.
"""

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class ToyPackage:
    """A package that lies in `folder`, with its dist-info beside it."""

    folder: Path
    name: str

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process in which the package is installed."""
        path = os.pathsep.join(map(str, (self.folder, ROOT)))
        return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}

    def python(self, *words: str | Path, timeout_s: float = 300) -> subprocess.CompletedProcess:
        """Run `python WORDS…` with the package installed."""
        return subprocess.run([sys.executable, *map(str, words)], env=self.environment, text=True,
                              capture_output=True, timeout=timeout_s, cwd=self.folder)

    def neurofm(self, *words: str | Path, timeout_s: float = 300) -> subprocess.CompletedProcess:
        """Run `neurofm WORDS…` with the package installed."""
        return self.python("-m", "neurofm.cli", *words, timeout_s=timeout_s)


def toy_package(
    folder: Path, name: str, modules: dict[str, str], points: dict[str, dict[str, str]]
) -> ToyPackage:
    """Write the package.

    Parameters
    ----------
    modules
        Name of a module → its source (indented as it stands in a test).
    points
        Group → name → "module" or "module:Object", without the package's name.
    """
    package, info = folder / name, folder / f"{name}-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text("")
    for module, source in modules.items():
        (package / f"{module}.py").write_text(textwrap.dedent(source))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(
        line for group, named in points.items()
        for line in (f"[{group}]", *(f"{key} = {name}.{value}" for key, value in named.items()))
    ) + "\n")
    return ToyPackage(folder, name)
