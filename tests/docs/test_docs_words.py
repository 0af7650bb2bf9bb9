"""Spelling and words of what people read: the site and the files at the root."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "configs").rglob("*.md"),
                                 *(ROOT / "docs").rglob("*.md"),
                                 *(ROOT / "docs" / "examples").glob("*.py")]
               if not {"_build", "auto_examples", "commands", "generated"}
               & set(path.relative_to(ROOT).parts))
# What first readers stumbled over → what to write.
ODD = {
    r"\bwhom it has seen\b": "its training subjects",
    r"\bhas been seen by nobody\b": "is used by no model",
    r"\bwhat is said of\b": "name the thing",
    r"\bgrown-ups\b": "adults",
    r"\bunlike numbers\b": "different numbers",
    r"\bis told apart\b.*\bnor from itself\b": "no significant difference",
    r"\b(?:learnt|dreamt|spoilt)\b": "learned, dreamed, spoiled",
    r"\bnameless\b": "without a name",
    r"\bwhat came of\b": "the result",
    r"\bby oneself\b": "alone",
    r"\bthe wire\b": "the network",
    r"\bbesides\b": "also",
    r"\bsimply\b|\bjust\b|\beasily\b|\bobviously\b": "leave it out",
    r"\bleverag\w+|\bseamless\w*|\bstate-of-the-art\b|\bcutting-edge\b": "leave it out",
    r"\butili[sz]e\w*": "use",
}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_spelling():
    """American, by codespell; words that it does not know are in pyproject.toml."""
    done = subprocess.run([sys.executable, "-m", "codespell_lib", *map(str, FILES)], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [path for path in FILES
                                  if path.parent != ROOT or path.name == "README.md"], ids=named)
def test_no_odd_phrases(path):
    text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(), flags=re.DOTALL)
    found = [f"{match[0]!r}: write {better}" for odd, better in ODD.items()
             for match in re.finditer(odd, text, re.IGNORECASE)]
    assert not found, "\n".join(found)
