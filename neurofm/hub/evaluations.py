"""Results of `neurofm evaluate decoding` and `finetune` as a card tells them."""

import json
from pathlib import Path

from pyarrow.parquet import ParquetFile, read_table

from .. import artifacts
from ..checkpoints import dataset_ids
from ..checkpoints.card import Evaluation
from ..results import Results
from .staging import NotPublishable


def read(folder: Path, method: str, fingerprint: str, terms: dict[str, dict]) -> Evaluation:
    """A comparison in which this checkpoint was judged as `method`.

    terms: what is known of data sets, by the names that corpora call them.

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
        **_judged_on(folder / "predictions.parquet", str(told.data), terms,
                     manifest.parents.get("data", "")),
        metric=metric.replace("_", " "), protocol=f"protocol {told.protocol['kind']}",
        rows={name: (_number(row["value"]), _number(row["low"]), _number(row["high"]))
              for name, row in rows.items()},
        ours=(method,), subjects=int(rows[method]["subjects"]),
        chance=rows[method]["chance"])


def of_finetune(source: Path, terms: dict[str, dict]) -> list[Evaluation]:
    """What a decoder was worth on its own test people; none where it is not known."""
    path = source / "test" / "metrics.json"
    if not path.exists():
        return []
    told = json.loads(path.read_text())
    if "balanced_accuracy" not in told or told.get("same_people"):
        return []
    manifest = artifacts.open_sealed(source, "checkpoint")
    config = manifest.config
    row = float(told["balanced_accuracy"]), float(told["low"]), float(told["high"])
    return [Evaluation(
        task="people held out", metric="balanced accuracy",
        protocol=f"protocol {(config.get('protocol') or {}).get('kind', 'stored')}",
        rows={"this decoder": row}, ours=("this decoder",), subjects=int(told["subjects"]),
        chance=told.get("chance"),
        **_judged_on(source / "test" / "predictions.parquet", str(config.get("data") or ""), terms,
                     manifest.parents.get("data", "")))]


def _judged_on(path: Path, corpus: str, terms: dict[str, dict], fingerprint: str) -> dict:
    """Names of the data sets of the people judged, id and revision of the one there is; where no
    table of predictions says who they were, the name of the corpus."""
    names: list[str] = []
    if path.exists() and "subject" in ParquetFile(path).schema_arrow.names:
        people = read_table(path, columns=["subject"])["subject"].unique().to_pylist()
        names = sorted({each.rpartition("/")[0] for each in people} - {""})
    names = names or [corpus.rstrip("/").split("/")[-1] or "unnamed"]
    shown = ", ".join(terms.get(name, {}).get("name") or name for name in names)
    known, version = dataset_ids.found(names[0], terms.get(names[0], {})) if len(names) == 1 else (
        "", "")
    return {"dataset": shown, "dataset_id": known, "revision": version or (
        f"corpus {fingerprint}" if fingerprint else "")}


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
