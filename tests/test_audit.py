"""`make audit` where no advisory data can be had: it says so and fails, and never looks green."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What pip-audit does where it finds no data, in a stand-in for it: words, exit status.
ENDS = [("No known vulnerabilities found", 0), ("ERROR: pip-audit: torch: no such package", 1)]


@pytest.mark.parametrize(("said", "status"), ENDS)
def test_the_status_of_the_audit_is_that_of_pip_audit(tmp_path, said, status):
    """A Python makes environments whose pip-audit ends so."""
    done = _audit(tmp_path, f"echo '{said}'; exit {status}", "exit 0")
    assert done.returncode == bool(status) * 2


def test_an_audit_that_cannot_be_had_fails_and_says_so(tmp_path):
    done = _audit(tmp_path, "exit 0", "echo 'no pip-audit here' >&2; exit 1")
    assert done.returncode != 0
    assert "nothing was audited" in done.stdout + done.stderr


def _audit(tmp_path: Path, audit: str, pip: str) -> subprocess.CompletedProcess:
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/sh
mkdir -p "$3/bin"
printf '#!/bin/sh\\n%s\\n' "{audit}" > "$3/bin/pip-audit"
printf '#!/bin/sh\\n%s\\n' "{pip}" > "$3/bin/pip"
chmod +x "$3/bin/pip-audit" "$3/bin/pip"
""")
    python.chmod(0o755)
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\n")
    return subprocess.run(["make", "-f", str(ROOT / "Makefile"), "audit", f"PYTHON={python}"],
                          cwd=tmp_path, capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"]})
