"""Results of `neurofm evaluate decoding` and `finetune` as a card tells them."""

import json
from pathlib import Path

from pyarrow.parquet import read_table

from .. import artifacts
from ..checkpoints.card import Evaluation
from ..results import Results
from .staging import NotPublishable


def read(folder: Path, method: str, fingerprint: str) -> Evaluation:
    """A comparison in which this checkpoint was judged as `method`.

    Raises NotPublishable where it is of another checkpoint, or has no such method.
    """
    manifest = artifacts.open_sealed(folder, "results")
    if fingerprint not in manifest.parents.values():
        raise NotPublishable(f"{folder}: is of another checkpoint ({manifest.parents.get('model')})"
                             f", not of this one ({fingerprint}): its scores are not to be told "
                             f"here")
    told = Results.load(folder)
    metric = told.scores[0]["metric"]  # the one that is compared
    rows = {row["method"]: row for row in told.scores if row["metric"] == metric}
    if method not in rows:
        raise NotPublishable(f"{folder}: judged {', '.join(rows)}, and no {method}")
    if leaks := [flag for flag in told.flags if flag.kind == "LEAK"]:
        raise NotPublishable(f"{folder}: judged people who were in the training data "
                             f"({', '.join(leaks[0].subjects[:3])}): no score of unseen people")
    return Evaluation(
        task=str(manifest.config.get("task", "labels")).replace("_", " "),
        dataset=str(told.data).rstrip("/").split("/")[-1],
        metric=metric.replace("_", " "), protocol=f"protocol {told.protocol['kind']}",
        rows={name: (_number(row["value"]), _number(row["low"]), _number(row["high"]))
              for name, row in rows.items()},
        ours=(method,), subjects=int(rows[method]["subjects"]),
        chance=rows[method]["chance"])


def of_finetune(source: Path) -> list[Evaluation]:
    """What a decoder was worth on its own test people; none where it is not known."""
    path = source / "test" / "metrics.json"
    if not path.exists():
        return []
    told = json.loads(path.read_text())
    if "balanced_accuracy" not in told or told.get("same_people"):
        return []
    config = artifacts.open_sealed(source, "checkpoint").config
    row = float(told["balanced_accuracy"]), float(told["low"]), float(told["high"])
    return [Evaluation(
        "people held out", _judged_on(source, config),
        "balanced accuracy", f"protocol {(config.get('protocol') or {}).get('kind', 'stored')}",
        {"this decoder": row}, ("this decoder",), int(told["subjects"]), told.get("chance"))]


def _judged_on(source: Path, config: dict) -> str:
    """Name of the corpus; where a checkpoint does not say, of the people's data sets."""
    if corpus := str(config.get("data", "")).rstrip("/"):
        return corpus.split("/")[-1]
    people = read_table(source / "test" / "predictions.parquet", columns=["subject"])["subject"]
    return ", ".join(sorted({each.rpartition("/")[0] for each in people.to_pylist()}))


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
