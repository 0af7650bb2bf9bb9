"""Tables of a corpus out of the records of its recordings, and its seal."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neurofm import artifacts
from neurofm.data import corpus, packing
from neurofm.data.sensors import Sensors
from neurofm.data.storage import Storage
from neurofm.data.tables import find
from neurofm.data.windows import DATASETS

from .archive import Job
from .records import Kind, Records
from .splits import SplitRule
from .training_statistics import completed

KIND = Kind("ingest", "corpus", ".ingest", ("windows",), "recording", "corpus")


@dataclass
class Tables:
    """What becomes the corpus."""

    recordings: pd.DataFrame
    windows: pd.DataFrame
    layouts: dict[str, Sensors]
    packs: packing.Packs
    storage: Storage = "float32"

    def pieces(self, records: Records) -> list[packing.Piece]:
        """What is to be put into shards."""
        sizes = [records.finished[name].get("bytes", -1) for name in self.recordings["recording"]]
        return [packing.Piece(name, digest, size, n) for name, digest, size, n in zip(
            self.recordings["recording"], self.recordings["sha256"], sizes,
            self.recordings["n_windows"].tolist(), strict=True)]


def write(
    out: Path, job: Job, row: dict, sensors: Sensors, start_s: list[float], labels: list[str | None]
) -> None:
    """Record a finished recording (called by the process that has finished it)."""
    layout = out / KIND.folder / "layouts" / f"{sensors.fingerprint}.json"
    if not layout.exists():
        artifacts.write_json(layout, sensors.to_dict(), checked=True)
    KIND.write(out, job, row=row, start_s=start_s, labels=labels)


def assemble(records: Records, rule: SplitRule) -> Tables:
    """The tables of all finished recordings, ordered by id."""
    recordings = records.table(rule, corpus.RECORDING_COLUMNS)
    windows = pd.concat([
        pd.DataFrame({"recording": number, "row": range(len(record["start_s"])),
                      "start_s": record["start_s"],
                      "label": pd.Series(record["labels"], dtype=object)})
        for number, record in enumerate(records.finished.values())
    ], ignore_index=True)
    kept = records.folder / KIND.folder / "layouts"
    layouts = {name: Sensors.from_dict(artifacts.read_json(kept / f"{name}.json"))
               for name in sorted(set(recordings["layout"]))}
    return Tables(recordings, windows, layouts, records.packs, records.shaping.storage)


def seal(
    records: Records, tables: Tables, settings: dict, datasets: dict[str, dict],
    shard_mb: int | None = None,
) -> bool:
    """Seal the corpus, unless it stands sealed with the very same tables and shards. The tables
    then say in which shard each recording is. datasets: see `terms.of`."""
    folder, failures = records.folder, records.failure_table()
    kept = set(tables.recordings["dataset"].fillna(""))
    datasets = {name: terms for name, terms in {**_stated(folder), **datasets}.items()
                if name in kept}
    if (_stated(folder) == (datasets if any(datasets.values()) else {})
            and records.stand_sealed("recordings", tables.recordings)
            and _stand(folder, tables, packing.groups(tables.pieces(records), shard_mb))):
        return False
    artifacts.unseal(folder)
    records.remove_leftovers()
    contract = completed(records.shaping.contract, records, tables)
    files = _packed(records, tables, shard_mb)
    corpus.seal(folder, contract, tables.recordings, tables.windows, tables.layouts, failures,
                settings, datasets, files)
    return True


def _packed(records: Records, tables: Tables, shard_mb: int | None) -> dict[str, str]:
    """Put recordings into shards, and say in the tables where they are."""
    found = packing.arrange(records.folder / "windows", records.packs.notes,
                            tables.pieces(records), shard_mb)
    if found.shard != tables.recordings["recording"].tolist():
        tables.recordings["shard"] = found.shard
        tables.windows["row"] += np.array(found.first_row)[tables.windows["recording"]]
    return found.files


def _stand(folder: Path, tables: Tables, groups: list[tuple[str, list[packing.Piece]]]) -> bool:
    """Whether the sealed corpus has these shards. Then `tables` say where recordings are, too."""
    sealed = find(folder, "recordings").frame
    wanted = [shard for shard, pieces in groups for _ in pieces]
    if "shard" not in sealed:
        return wanted == sealed["recording"].tolist()
    if same := wanted == sealed["shard"].tolist():
        tables.recordings["shard"] = wanted
        tables.windows["row"] = find(folder, "windows").numbers("row").copy()
    return same


def _stated(folder: Path) -> dict[str, dict]:
    """Terms of data sets that an earlier call has sealed."""
    path = folder / DATASETS
    return json.loads(path.read_text()) if path.exists() else {}
