"""What of an artifact its fingerprint is of: what was made, not when, where or how fast.

Of a checkpoint: weights, config and contract. Of any other artifact: every file but logs, settings,
cards, pages, figures and lists of failures. Those lie beside: the manifest lists them with their
hashes, so damage is found there too, but they are no part of the fingerprint. Of results.json, and
of tables with seconds in them, the rest counts.
"""

import csv
import hashlib
import io
import json
from pathlib import Path

# Files of a checkpoint that its fingerprint is of; parts of weights, model-….safetensors, are too.
OF_CHECKPOINT = ("config.json", "preprocessor_config.json", "model.safetensors",
                 "model.safetensors.index.json")
# An exported program holds the places of its sources; its answers are in golden.safetensors.
_BESIDE = {".html", ".jsonl", ".md", ".png", ".pt2", ".svg", ".yaml"}
_BESIDE_NAMES = {"failures.tsv"}  # a reason may be of the machine: memory, a path, a broken link
# End of a name → keys of JSON, or columns of a table, that tell where, with what and how fast.
_APART = {
    "results.json": {"data", "model", "command", "versions"},
    "_timeseries.json": {"GeneratedBy"},
    "predictions.tsv": {"latency_ms"},
    "summary.json": {"latency_median_ms", "latency_p99_ms", "latency_max_ms", "real_time_factor",
                     "late", "kept_up", "threads"},
    "rounds.tsv": {"took_s"},
    "recordings.tsv": {"problem"},  # words of an error, such as a path
    "dropped.tsv": {"reason"},
}


def is_beside(kind: str, name: str) -> bool:
    """Whether a file of an artifact of this kind tells of its making, wholly or in part.

    Parameters
    ----------
    kind
        Kind of the artifact.
    name
        Path of the file, relative to the artifact.
    """
    if kind == "checkpoint":
        return name not in OF_CHECKPOINT and not (
            name.startswith("model") and name.endswith(".safetensors"))
    path = Path(name)
    return (path.suffix in _BESIDE or path.name in _BESIDE_NAMES
            or is_parted(kind, name))


def is_parted(kind: str, name: str) -> bool:
    """Whether a part of a file tells of its making, and the rest belongs to the fingerprint.

    Parameters
    ----------
    kind
        Kind of the artifact.
    name
        Path of the file, relative to the artifact.
    """
    return kind == "results" and name.endswith(tuple(_APART))


def rest(kind: str, file: Path) -> str | None:
    """What counts of a file that lies beside.

    Parameters
    ----------
    kind
        Kind of the artifact.
    file
        The file.

    Returns
    -------
    str or None
        sha256 of its content without places, words and seconds; None where nothing counts.

    Raises
    ------
    ValueError
        It is no such table or JSON.
    """
    apart = next((words for end, words in _APART.items() if file.name.endswith(end)), None)
    if apart is None or not is_parted(kind, file.name):
        return None
    try:
        held = file.read_bytes().decode()
        content = json.loads(held) if file.suffix == ".json" else {}
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{file}: no text or no JSON ({problem}); make it again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file}: wanted names and values, found a {type(content).__name__}")
    if file.suffix == ".json":
        text = json.dumps({key: value for key, value in content.items() if key not in apart})
    else:
        rows = _rows(held)
        kept = [k for k, name in enumerate(rows[0] if rows else []) if name not in apart]
        text = json.dumps([[row[k] for k in kept if k < len(row)] for row in rows])
    return hashlib.sha256(text.encode()).hexdigest()


def _rows(table: str) -> list[list[str]]:
    """Cells of a table, in which a text may hold the end of a line."""
    try:
        return [*csv.reader(io.StringIO(table, newline=""), delimiter="\t")]
    except csv.Error:  # a text of more than 128 kB
        return [line.split("\t") for line in table.split("\n")]
