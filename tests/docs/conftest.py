"""The pages of the site with those that are generated, without building it."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="session")
def generate():
    """The package that writes the reference (docs/generate)."""
    sys.path.insert(0, str(DOCS))
    try:
        import generate
    finally:
        sys.path.remove(str(DOCS))
    return generate


@pytest.fixture(scope="session")
def site(generate, tmp_path_factory) -> Path:
    """A copy of docs/ with all pages."""
    out = tmp_path_factory.mktemp("site") / "docs"
    made = shutil.ignore_patterns("_build", "auto_examples", "generated", "commands")
    shutil.copytree(DOCS, out, ignore=made)
    generate.write(out)
    return out
