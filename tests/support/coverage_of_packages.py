"""One line a package, from the data that pytest-cov leaves in .coverage."""

import io
import json
import sys
from collections import defaultdict
from pathlib import Path

import coverage


def lines_of(report: dict) -> dict[str, tuple[int, int]]:
    """Package → (lines run, lines)."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, file in report["files"].items():
        folders = Path(name).parts[:-1]
        for package in {".".join(folders[:2]), folders[0]}:
            found[package][0] += file["summary"]["covered_lines"]
            found[package][1] += file["summary"]["num_statements"]
    return {name: (run, n) for name, (run, n) in found.items()}


def main() -> int:
    data = coverage.Coverage()
    data.load()
    path = Path(".coverage.json")
    silent, sys.stdout = sys.stdout, io.StringIO()
    try:
        data.json_report(outfile=str(path))
    finally:
        sys.stdout = silent
    for package, (run, n) in sorted(lines_of(json.loads(path.read_text())).items()):
        print(f"{package:32} {run / max(n, 1):6.1%} of {n:6,} lines")
    path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
