"""Records of pairing in its out folder: what is finished, and with which settings.

    pairs/.pair/settings.json     what shapes the scans; another needs another folder
    pairs/.pair/done/ID.json      a finished scan: its row, its layout, its regions

They stay after the pairs are sealed, so that a later run knows what is new. What failed is tried
again by every run.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from neurofm import artifacts
from neurofm.data import pairs
from neurofm.data.sensors import Sensors
from neurofm.data.windows import read_table

from ..archive import Job
from ..splits import SplitRule, assign

FOLDER = ".pair"


@dataclass(frozen=True)
class Done:
    """Done.

    Parameters
    ----------
    row
        Of the table of scans, without its split.
    layout, rois
        `Sensors.to_dict`.
    """

    row: dict
    layout: dict
    rois: dict


class Records:
    """finished: id → record; files: of the EEG and of the fMRI, as they were."""

    def __init__(self, folder: Path):
        self.folder = folder
        paths = sorted((folder / FOLDER / "done").glob("*.json"))
        self.finished = {path.stem: json.loads(path.read_text()) for path in paths}

    @classmethod
    def open(cls, out: str | Path, settings: dict) -> "Records":
        """Refuses a folder that holds other things, or scans shaped by other settings."""
        folder = Path(out)
        records = cls(folder)
        note, wanted = folder / FOLDER / "settings.json", json.loads(json.dumps(settings))
        found = json.loads(note.read_text()) if note.is_file() and records.finished else wanted
        changed = [f"{name}: {found.get(name)} there, {wanted.get(name)} now"
                   for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
        if changed:
            raise ValueError(f"--out {folder}: its scans were made with other settings "
                             f"({'; '.join(changed)}): choose another --out, or give the settings "
                             f"it was made with")
        artifacts.write_json(note, wanted)
        return records

    def is_current(self, job: Job, stamp: list) -> bool:
        """Whether the scan was made of these very files, and is there whole."""
        record = self.finished.get(job.id)
        return (record is not None and record["files"] == _files(job, stamp)
                and record["bytes"] == self._bytes(job.id))

    def keep(self, job: Job, stamp: list, done: Done) -> None:
        record = {**asdict(done), "files": _files(job, stamp), "bytes": self._bytes(job.id)}
        artifacts.write_json(self.folder / FOLDER / "done" / f"{job.id}.json", record)
        self.finished[job.id] = record

    def forget(self, scan: str) -> None:
        """What the scan says is no longer true of its files."""
        if self.finished.pop(scan, None):
            artifacts.unseal(self.folder)
        (self.folder / FOLDER / "done" / f"{scan}.json").unlink(missing_ok=True)

    def rois(self) -> tuple[Sensors, str] | None:
        """The regions that all scans have, and a scan that has them; None before the first."""
        if not self.finished:
            return None
        first = self.finished[min(self.finished)]
        return Sensors.from_dict(first["rois"]), first["row"]["source"]

    def scans(self, rule: SplitRule) -> pd.DataFrame:
        """The table of all finished scans, ordered by id."""
        table = pd.DataFrame([self.finished[name]["row"] for name in sorted(self.finished)])
        table["split"] = assign(table, rule)
        table["attributes"] = table["attributes"].map(
            lambda attributes: json.dumps(attributes, sort_keys=True, ensure_ascii=False))
        for name in ("dataset", "subject", "session", "task", "run"):
            table[name] = table[name].astype(object).where(table[name].notna(), None)
        return table[list(pairs.SCAN_COLUMNS)]

    def seal(self, scans: pd.DataFrame, failures: list[tuple[str, str]], contract, bold_contract,
             config: dict) -> bool:
        """Seal the pairs, unless they stand sealed with the very same tables."""
        failed = pd.DataFrame(sorted(failures), columns=["source", "reason"])
        if self._stands(scans, failed):
            return False
        artifacts.unseal(self.folder)
        for file in (file for room in ("eeg", "bold") for file in (self.folder / room).iterdir()):
            if file.name.removesuffix(".arrow") not in self.finished:
                file.unlink()  # of a scan that has changed and now fails, or half written
        layouts = {record["row"]["layout"]: Sensors.from_dict(record["layout"])
                   for _, record in sorted(self.finished.items())}
        pairs.seal(self.folder, contract, bold_contract, scans, layouts, self.rois()[0], failed,
                   config)
        return True

    def _stands(self, scans: pd.DataFrame, failed: pd.DataFrame) -> bool:
        try:
            artifacts.open_sealed(self.folder, "pairs")
        except artifacts.ArtifactError:
            return False
        there = read_table(self.folder / "scans.parquet")
        told = (self.folder / "failures.tsv").read_text(encoding="utf-8")
        return there.to_json() == scans.to_json() and told == failed.to_csv(sep="\t", index=False)

    def _bytes(self, scan: str) -> list[int]:
        files = [self.folder / room / f"{scan}.arrow" for room in ("eeg", "bold")]
        return [file.stat().st_size if file.is_file() else -1 for file in files]


def stamp(*files: Path) -> list:
    """What tells that files have changed: name, size and time of change of those that are there."""
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns]
            for file in files if file.is_file()]


def _files(job: Job, stamp: list) -> list:
    return [job.path, job.size, job.mtime_ns, job.identity(), job.attributes, stamp]


@contextlib.contextmanager
def alone(out: str | Path):
    """Two runs into one folder at once would spoil each other's tables."""
    from filelock import FileLock, Timeout

    folder, kept = Path(out), Path(out) / FOLDER
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not kept.is_dir())
    ):
        raise ValueError(f"--out {folder}: wanted a new folder or one that pair made, but it holds "
                         f"other things; choose another --out")
    (kept / "done").mkdir(parents=True, exist_ok=True)
    lock = FileLock(kept / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"--out {out}: another run is pairing into this folder; wait for it, or "
                         f"choose another --out") from None
    try:
        yield
    finally:
        lock.release()
