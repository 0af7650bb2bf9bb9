"""Records of an ingest in its out folder: what is finished, what failed, with which settings.

    corpus/.ingest/settings.json        what shapes the windows; another needs another folder
    corpus/.ingest/done/ID.json         a finished recording: its rows for the tables
    corpus/.ingest/failed/ID.json       a failed one, with the reason
    corpus/.ingest/layouts/HASH.json    each sensor layout once

They stay after the corpus is sealed, beside it and no part of it, so that a later ingest knows what
is new. `assemble` makes the corpus's tables out of them.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from neurofm import artifacts
from neurofm.data import corpus
from neurofm.data.sensors import Sensors
from neurofm.data.windows import DATASETS, read_table

from .archive import Job
from .region_statistics import training_iqr
from .splits import SplitRule, assign

FOLDER = ".ingest"


@dataclass
class Tables:
    """What becomes the corpus."""

    recordings: pd.DataFrame
    windows: pd.DataFrame
    layouts: dict[str, Sensors]


@dataclass
class Records:
    """finished: id → record of a recording; failures: id → {source, reason, …}."""

    folder: Path
    shaping: object
    finished: dict[str, dict] = field(default_factory=dict)
    failures: dict[str, dict] = field(default_factory=dict)

    @classmethod
    def open(cls, out: str | Path, shaping) -> "Records":
        """Records in `out`, as `prepare` left it and with its lock held.

        Refuses a folder whose windows were shaped by other settings.
        """
        folder, kept = Path(out), Path(out) / FOLDER
        _check_settings(folder, kept / "settings.json", shaping.to_dict(),
                        type(shaping)(contract=type(shaping.contract)()).to_dict())
        records = cls(folder, shaping)
        for name, target in (("done", records.finished), ("failed", records.failures)):
            for path in sorted((kept / name).glob("*.json")):
                target[path.stem] = json.loads(path.read_text())
        return records

    def what_to_do(self, jobs: list[Job]) -> tuple[list[Job], int, int]:
        """(jobs to be done, number unchanged and finished, number that failed before)."""
        todo, unchanged, retried = [], 0, 0
        names = {job.path: job.id for job in jobs}
        for name, record in list(self.finished.items()):
            if names.get(record["job"]["path"], name) != name:
                self.forget(name)  # the same file under another identity (a changed table)
        for job in jobs:
            done = self.finished.get(job.id)
            if done is not None and self._is_current(done, job):
                unchanged += 1
                continue
            retried += job.id in self.failures
            # What the shard says is no longer true of the file, so it leaves the corpus first.
            self.forget(job.id)
            todo.append(job)
        return todo, unchanged, retried

    def _is_current(self, done: dict, job: Job) -> bool:
        same = all(done["job"][name] == getattr(job, name)
                   for name in ("size", "mtime_ns", "label", "attributes", *job.identity()))
        shard = self.folder / "windows" / f"{job.id}.arrow"
        # Of a copy that broke off, or after a power cut, a shard may be there in part.
        return same and shard.is_file() and shard.stat().st_size == done.get("bytes")

    def clear_up(self, is_excluded) -> None:
        """Forget failures of files that are gone, and whatever is excluded by now."""
        for name, record in list(self.failures.items()):
            if is_excluded(record["source"]) or not Path(record["path"]).exists():
                self.forget(name)
        for name, record in list(self.finished.items()):
            if is_excluded(record["job"]["source"]):
                self.forget(name)

    def forget(self, recording: str) -> None:
        for name, table in (("done", self.finished), ("failed", self.failures)):
            table.pop(recording, None)
            (self.folder / FOLDER / name / f"{recording}.json").unlink(missing_ok=True)

    def add_failure(self, job: Job, reason: str) -> None:
        record = {"recording": job.id, "source": job.source, "path": job.path, "reason": reason}
        artifacts.write_json(self.folder / FOLDER / "failed" / f"{job.id}.json", record)
        self.failures[job.id] = record

    def add_missing(self, path: str, reason: str) -> None:
        """A given path at which nothing is: said in this run, forgotten by the next."""
        self.failures[path] = {"recording": "", "source": path, "path": path, "reason": reason}

    def seal(self, tables: Tables, settings: dict, datasets: dict[str, dict]) -> bool:
        """Seal the corpus, unless it stands sealed with the very same tables. datasets: see
        `terms.of`."""
        failures = pd.DataFrame(
            [{"source": f["source"], "reason": f["reason"]} for f in self.failures.values()],
            columns=["source", "reason"],
        ).sort_values("source")
        kept = set(tables.recordings["dataset"].fillna(""))
        datasets = {name: terms for name, terms in {**self._stated(), **datasets}.items()
                    if name in kept}
        if artifacts.is_sealed(self.folder) and self._stands(tables, failures, datasets):
            return False
        artifacts.unseal(self.folder)
        wanted = {f"{name}.arrow" for name in tables.recordings["recording"]}
        for shard in (self.folder / "windows").iterdir():
            if shard.name not in wanted:
                shard.unlink()  # of a recording that has changed and now fails, or half written
        contract = self.shaping.contract
        if contract.scale == "training_iqr" and not contract.statistics:
            contract = contract.with_(statistics=training_iqr(self.folder, tables))
        rule = getattr(contract, "parcels", None)
        if rule and not rule.signs:
            contract = contract.with_(parcels=self._aligned(tables, rule))
        corpus.seal(self.folder, contract, tables.recordings, tables.windows,
                    tables.layouts, failures, settings, datasets)
        return True

    def _aligned(self, tables: Tables, rule):
        """Turn parcels so that recordings agree; the rule with what they agree on."""
        from .sources import sign_alignment

        template = sign_alignment.align(self.folder, tables, rule.lags)
        for name, digest in zip(tables.recordings["recording"], tables.recordings["sha256"],
                                strict=True):
            if self.finished[name]["row"]["sha256"] != digest:
                self.finished[name]["row"]["sha256"] = digest
                artifacts.write_json(self.folder / FOLDER / "done" / f"{name}.json",
                                     self.finished[name])
        return replace(rule, signs=tuple(tuple(tuple(round(float(x), 4) for x in row)
                                               for row in table) for table in template))

    def _stated(self) -> dict[str, dict]:
        """Terms of data sets that an earlier call has sealed."""
        path = self.folder / DATASETS
        return json.loads(path.read_text()) if path.exists() else {}

    def _stands(self, tables: Tables, failures: pd.DataFrame, datasets: dict) -> bool:
        try:
            artifacts.open_sealed(self.folder, "corpus")
        except artifacts.ArtifactError:
            return False
        there = read_table(self.folder / "recordings.parquet")
        told = (self.folder / "failures.tsv").read_text(encoding="utf-8")
        return (self._stated() == (datasets if any(datasets.values()) else {})
                and there.to_json() == tables.recordings.to_json()
                and told == failures.to_csv(sep="\t", index=False))


def prepare(out: str | Path) -> None:
    """Make the folders of the records in `out`; refuses a folder that holds other things."""
    folder, kept = Path(out), Path(out) / FOLDER
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder}: wanted a folder, but it is a file")
    if folder.is_dir() and any(folder.iterdir()) and not kept.is_dir():
        raise ValueError(f"--out {folder}: wanted a new folder or one that ingest made, but it "
                         f"holds other things; choose another --out")
    try:
        for name in ("done", "failed", "layouts"):
            (kept / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out {folder}: cannot be written: {error}") from error


def write(
    out: Path, job: Job, row: dict, sensors: Sensors, start_s: list[float], labels: list[str | None]
) -> None:
    """Record a finished recording (called by the worker that finished it)."""
    layout = out / FOLDER / "layouts" / f"{sensors.fingerprint}.json"
    if not layout.exists():
        artifacts.write_json(layout, sensors.to_dict())
    size = (out / "windows" / f"{job.id}.arrow").stat().st_size
    record = {"job": job.to_dict(), "row": row, "bytes": size, "start_s": start_s,
              "labels": labels}
    artifacts.write_json(out / FOLDER / "done" / f"{job.id}.json", record)


def assemble(records: Records, rule: SplitRule) -> Tables | None:
    """The tables of all finished recordings, ordered by id; None where there is none."""
    kept = records.folder / FOLDER
    finished = {path.stem: json.loads(path.read_text())
                for path in sorted((kept / "done").glob("*.json"))}
    records.finished = finished
    if not finished:
        return None
    recordings = pd.DataFrame([record["row"] for record in finished.values()])
    recordings["split"] = assign(recordings, rule)
    recordings["attributes"] = recordings["attributes"].map(
        lambda attributes: json.dumps(attributes, sort_keys=True, ensure_ascii=False))
    for name in ("dataset", "subject", "session", "task", "run"):
        recordings[name] = recordings[name].astype(object).where(recordings[name].notna(), None)
    windows = pd.concat([
        pd.DataFrame({"recording": number, "row": range(len(record["start_s"])),
                      "start_s": record["start_s"],
                      "label": pd.Series(record["labels"], dtype=object)})
        for number, record in enumerate(finished.values())
    ], ignore_index=True)
    layouts = {
        name: Sensors.from_dict(json.loads((kept / "layouts" / f"{name}.json").read_text()))
        for name in sorted(set(recordings["layout"]))
    }
    return Tables(recordings[list(corpus.RECORDING_COLUMNS)], windows, layouts)


def _check_settings(folder: Path, path: Path, settings: dict, defaults: dict) -> None:
    """A setting that was not yet there when the folder was begun counts as its default."""
    settings = json.loads(json.dumps(settings))  # tuples to lists, as they come back
    defaults = json.loads(json.dumps(defaults))
    if not path.exists() or not any((path.parent / "done").glob("*.json")):
        artifacts.write_json(path, settings)  # also where all failed: they are being mended
        return
    before = json.loads(path.read_text())
    for name, value in defaults.items():
        known = before.setdefault(name, value)
        if isinstance(value, dict):
            before[name] = {**value, **known}
    changed = [name for name in settings if settings[name] != before.get(name)]
    if not changed:
        return
    lines = []
    for name in changed:
        old, new = before.get(name), settings[name]
        if isinstance(old, dict) and isinstance(new, dict):
            lines += [f"{name}.{key}: {old.get(key)} there, {new.get(key)} now"
                      for key in {**old, **new} if old.get(key) != new.get(key)]
        else:
            lines.append(f"{name}: {old} there, {new} now")
    raise ValueError(
        f"--out {folder}: its windows were made with other settings ({'; '.join(lines)}); one "
        f"corpus has one contract: choose another --out, or give the settings it was made with"
    )
