"""What a collection has done so far, in a folder beside the artifact and no part of it.

    corpus/.ingest/settings.json        what shapes the recordings; other settings, another folder
    corpus/.ingest/done/ID.json         a finished recording: its job, its rows for the tables
    corpus/.ingest/failed/ID.json       a failed one, with the reason
    corpus/.ingest/layouts/HASH.json    each sensor layout once
    corpus/.ingest/passed_over.tsv      all other files of the archive, and what they are

They stay after the artifact is sealed, so that a later call knows what is new.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from neurofm import artifacts, integrity, lock, progress, tsv
from neurofm.data import packing, tables
from neurofm.pages import words
from neurofm.seen import subject_keys

from .archive import Job
from .splits import SplitRule, assign
from .steps.refusal import some

logger = logging.getLogger("neurofm.preprocessing")
_SHOWN_BYTES = 2**30  # verified in about a second: less shows no progress
_OF_RECORDS = {"job", "bytes", "row", "start_s", "labels", "layout", "rois", "files", "recording",
               "source", "path", "reason"}
_OF_SENSORS = {"names", "kind", "position", "orientation", "unit"}
_IDENTITY = ("dataset", "subject", "session", "task", "run")
_STAMP = ("size", "mtime_ns", "label", "attributes", "companions", *_IDENTITY)


@dataclass(frozen=True)
class Kind:
    """What a command makes of an archive."""

    command: str  # command, makes: "ingest" makes a "corpus"
    makes: str
    folder: str  # where the records lie: ".ingest"
    stores: tuple[str, ...]  # folders with a shard a recording: "windows"
    what: str  # what, one: words for messages: "EEG recording", "corpus"
    one: str

    def sizes(self, out: Path, recording: str) -> int | list[int]:
        """Bytes of the shards of a recording; -1 where there is none."""
        files = [out / store / f"{recording}.arrow" for store in self.stores]
        found = [file.stat().st_size if file.is_file() else -1 for file in files]
        return found[0] if len(found) == 1 else found

    def refuse_foreign(self, out: Path) -> None:
        """Raise ValueError where the folder holds what this command has not made."""
        inside = {each.name for each in out.iterdir()} - {lock.NAME} if out.is_dir() else set()
        if inside and self.folder not in inside:
            raise ValueError(f"--out {out}: wanted a new folder or one that {self.command} made, "
                             f"but it holds other things; choose another --out")

    def write(self, out: Path, job: Job, **content: object) -> None:
        """Record a finished recording (called by the process that has finished it)."""
        record = {"job": job.to_dict(), "bytes": self.sizes(out, job.id), **content}
        artifacts.write_json(out / self.folder / "done" / f"{job.id}.json", record, checked=True)

    def files(self, record: dict) -> dict[str, list]:
        """Shards of a finished recording, as a manifest lists them."""
        row, sizes = record["row"], record.get("bytes", -1)
        columns = ["sha256"] if len(self.stores) == 1 else [f"sha256_{s}" for s in self.stores]
        return {f"{store}/{row['recording']}.arrow": [size, row[column]]
                for store, column, size in zip(
                    self.stores, columns, sizes if isinstance(sizes, list) else [sizes],
                    strict=False)}


@dataclass
class Records:
    """finished: id → record of a recording; failures: id → {source, reason, …}."""

    folder: Path
    kind: Kind
    shaping: Any  # has `to_dict` and `defaults`
    finished: dict[str, dict] = field(default_factory=dict)
    failures: dict[str, dict] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)  # ids whose record or shard is to be made again

    @cached_property
    def packs(self) -> packing.Packs:
        """The shards of several recordings that an earlier call has left."""
        return packing.Packs(self.folder / self.kind.stores[0],
                             self.folder / self.kind.folder / "shards")

    def _packed(self, name: str) -> str | None:
        """The shard of several recordings that a finished one is in."""
        return self.packs.shard(name, self.finished[name]["row"].get("sha256"))

    @classmethod
    def open(cls, kind: Kind, out: str | Path, shaping, *, begun: bool = False) -> "Records":
        """Records in `out`, whose lock is held.

        shaping: has `to_dict` and `defaults`. begun: other processes work with the settings that
        stand there, though nothing may be finished. Refuses a folder that holds other things, or
        recordings shaped by other settings.
        """
        folder = Path(out)
        records = cls(folder, kind, shaping)
        kept = folder / kind.folder
        kind.refuse_foreign(folder)
        for name in ("done", "failed", "layouts"):
            (kept / name).mkdir(parents=True, exist_ok=True)
        records.reload()
        note, settings = kept / "settings.json", artifacts.as_json(shaping.to_dict())
        if note.is_file() and (records.finished or begun):
            _check_same(records, artifacts.read_json(note), settings)
        else:  # also where all failed: they are being mended
            artifacts.write_json(note, settings, checked=True)
        return records

    def reload(self) -> None:
        """Read what processes have written."""
        for name, table in (("done", self.finished), ("failed", self.failures)):
            for path in sorted((self.folder / self.kind.folder / name).glob("*.json")):
                try:
                    table[path.stem] = _record(path)
                except artifacts.ArtifactError as problem:
                    logger.warning("%s", problem)
                    self.damaged.add(path.stem)
        self.finished = dict(sorted(self.finished.items()))

    def what_to_do(self, jobs: list[Job], others: bool = True) -> tuple[list[Job], int, int]:
        """(jobs to be done, number unchanged and finished, number that failed before). others:
        whether recordings that are not among the jobs are this call's, too."""
        wanted = {job.id for job in jobs}
        again = {job.id for job in jobs if not self._is_current(job)}
        if again or not self._stands():
            kept = self.finished.keys() - again
            self._look_through(sorted(kept if others else kept & wanted))
        todo = [job for job in jobs if job.id in again | self.damaged]
        retried = 0
        for job in todo:
            retried += job.id in self.failures
            # What the shard says is no longer true of the file, so it leaves the artifact first.
            self.forget(job.id)
        for name in sorted(self.damaged - wanted) if others else ():
            job = self.finished.get(name, {"job": {"source": name, "path": ""}})["job"]
            self.fail(name, job["source"], job["path"], "what was kept of it is damaged, and its "
                      "file was not given to this call: ingest it again")
        self.damaged.clear()
        return todo, len(jobs) - len(todo), retried

    def _look_through(self, names: list[str]) -> None:
        """Find the finished recordings of which a shard, or the layout, is not what was written."""
        if integrity.level() == "off":
            return
        layouts = self._sound_layouts()
        self._unpack(names)
        listed = {name: self.kind.files(self.finished[name]) for name in names
                  if not self._packed(name) and name not in self.damaged}
        n_bytes = sum(size for files in listed.values() for size, _ in files.values())
        shown = [*listed] if n_bytes < _SHOWN_BYTES else progress.each(
            [*listed], len(listed), "verify what is kept")
        for name in shown:
            record, files = self.finished[name], integrity.Files(self.folder, listed[name])
            problem = next(filter(None, (
                files.problem(each, anew=integrity.level() == "full") for each in files.files)), "")
            if not problem and "layout" not in record and record["row"]["layout"] not in layouts:
                problem = f"{self.folder}: the sensors of {name} are damaged"
            if problem:
                logger.warning("%s; it is done again", problem)
                self.damaged.add(name)

    def _unpack(self, names: list[str]) -> None:
        """Take damaged shards of several recordings apart: the sound ones are kept."""
        for shard in sorted({shard for name in names if (shard := self._packed(name))}):
            file = f"{self.kind.stores[0]}/{shard}.arrow"
            files = integrity.Files(self.folder, {file: self.packs.listed(shard)})
            if problem := files.problem(file, anew=integrity.level() == "full"):
                lost = self.packs.unpack(shard) & self.finished.keys()
                logger.warning("%s; %d of its recordings are done again", problem, len(lost))
                self.damaged |= lost

    def _sound_layouts(self) -> set[str]:
        """Names of the layouts that are what was written; others are removed."""
        found = set()
        for path in (self.folder / self.kind.folder / "layouts").glob("*.json"):
            try:
                if artifacts.read_json(path).keys() == _OF_SENSORS:
                    found.add(path.stem)
                    continue
            except artifacts.ArtifactError:
                pass
            path.unlink()
        return found

    def _stands(self) -> bool:
        """Whether the artifact is sealed and whole, as far as `--verify` says."""
        try:
            artifacts.open_sealed(self.folder, self.kind.makes)
        except artifacts.ArtifactError:
            return False
        return True

    def _is_current(self, job: Job) -> bool:
        done, wanted = self.finished.get(job.id), artifacts.as_json(job.to_dict())
        if done is None:
            return False
        # Of a copy that broke off, or after a power cut, a shard may be there in part.
        return (all(done["job"].get(name) == wanted[name] for name in _STAMP
                    if name in done["job"] or wanted[name])
                and (done.get("bytes") == self.kind.sizes(self.folder, job.id)
                     or self._packed(job.id) is not None))

    def clear_up(self, jobs: Iterable[Job], is_excluded: Callable[[str], bool]) -> None:
        """Forget failures of files that are gone, whatever is excluded by now, and files that are
        another recording by now (a changed table)."""
        names = {job.path: job.id for job in jobs}
        for name, record in list(self.failures.items()):
            if is_excluded(record["source"]) or not Path(record["path"]).exists():
                self.forget(name)
        for name, record in list(self.finished.items()):
            job = record["job"]
            if is_excluded(job["source"]) or names.get(job["path"], name) != name:
                self.forget(name)

    def forget(self, recording: str) -> None:
        if self.finished.pop(recording, None):
            artifacts.unseal(self.folder)
        self.failures.pop(recording, None)
        for name in ("done", "failed"):
            (self.folder / self.kind.folder / name / f"{recording}.json").unlink(missing_ok=True)

    def note_sha256(self, recording: str, digest: str) -> None:
        """The shard of a finished recording was written again."""
        record = self.finished[recording]
        if record["row"]["sha256"] != digest:
            record["row"]["sha256"] = digest
            artifacts.write_json(self.folder / self.kind.folder / "done" / f"{recording}.json",
                                 record, checked=True)

    def fail(self, recording: str, source: str, path: str, reason: str) -> None:
        """Note why a recording is not in the artifact, whether it was before or not."""
        self.forget(recording)
        record = {"recording": recording, "source": source, "path": path, "reason": reason}
        artifacts.write_json(self.folder / self.kind.folder / "failed" / f"{recording}.json",
                             record, checked=True)
        self.failures[recording] = record

    @property
    def aside_file(self) -> Path:
        return self.folder / self.kind.folder / "passed_over.tsv"

    def note_aside(self, aside: dict[str, str]) -> None:
        """List the files of the archive that are no recordings; aside: file → what it is."""
        temporary = self.aside_file.with_name(f".{self.aside_file.name}.{os.getpid()}")
        table = pd.DataFrame(sorted(aside.items()), columns=["file", "what"])
        tsv.write(table, temporary)
        temporary.replace(self.aside_file)

    def add_missing(self, path: str, reason: str) -> None:
        """A given path at which nothing is: said in this call, forgotten by the next."""
        self.failures[path] = {"recording": "", "source": path, "path": path, "reason": reason}

    def table(self, rule: SplitRule, columns: Iterable[str]) -> pd.DataFrame:
        """A row a finished recording, ordered by id, with its split."""
        table = pd.DataFrame([record["row"] for record in self.finished.values()])
        labels = [{label for label in record.get("labels", ()) if label is not None}
                  for record in self.finished.values()]
        table["split"] = assign(table, rule, labels)
        table["attributes"] = table["attributes"].map(
            lambda attributes: json.dumps(attributes, sort_keys=True, ensure_ascii=False))
        for name in _IDENTITY:
            table[name] = table[name].astype(object).where(table[name].notna(), None)
        return table[list(columns)]

    def failure_table(self) -> pd.DataFrame:
        """A row a failure, ordered by source."""
        rows = [{"source": f["source"], "reason": f["reason"]} for f in self.failures.values()]
        return pd.DataFrame(rows, columns=["source", "reason"]).sort_values(["source", "reason"])

    def stand_sealed(self, name: str, table: pd.DataFrame) -> bool:
        """Whether the artifact stands sealed with this very table (`name`) and failures."""
        if not self._stands():
            return False
        told = (self.folder / "failures.tsv").read_text(encoding="utf-8")
        return (_as_text(tables.find(self.folder, name).frame, table) == table.to_json()
                and told == tsv.text(self.failure_table()))

    def moved(self, name: str, table: pd.DataFrame) -> str:
        """Which subjects of the sealed table `name` are in another split now, in a sentence; ""
        where none is."""
        if not tables.path_of(self.folder, name).is_file():
            return ""
        before, after = (rows.groupby(subject_keys(rows))["split"].first()
                         for rows in (tables.find(self.folder, name).frame, table))
        both = before.index.intersection(after.index)
        changed = both[(before[both] != after[both]).to_numpy()]
        if not len(changed):
            return ""
        return (f"{words.count(len(changed), 'subject')} moved to another split ({some(changed, 4)}"
                f"): a model trained on this data before may have been trained on what are test "
                f"subjects now")

    def remove_leftovers(self) -> None:
        """Remove shards of what has changed and now fails, and half written ones."""
        for store in self.kind.stores:
            for shard in (self.folder / store).iterdir():
                if shard.name.endswith(".arrow.part") or (
                        shard.suffix == ".arrow" and shard.stem not in self.finished
                        and shard.stem not in self.packs.known):
                    shard.unlink()


def _as_text(sealed: pd.DataFrame, table: pd.DataFrame) -> str:
    """The columns of `table` in a sealed one, which also says where recordings lie."""
    return sealed.reindex(columns=table.columns).to_json()


def _record(path: Path) -> dict:
    """Of a recording; raises ArtifactError where it is damaged."""
    record = artifacts.read_json(path)
    if odd := record.keys() - _OF_RECORDS:
        raise artifacts.ArtifactError(f"{path}: is damaged (unknown keys: {', '.join(odd)})")
    return _with_job(record) if "files" in record else record


def _with_job(record: dict) -> dict:
    """A record of pairs made when their records had another form."""
    path, size, mtime_ns, identity, attributes, companions = record.pop("files")
    job = {"path": path, "source": record["row"]["source"], "size": size, "mtime_ns": mtime_ns,
           **identity, "attributes": attributes, "companions": companions}
    return {**record, "job": job}


def _check_same(records: Records, before: dict, settings: dict) -> None:
    """A setting that was not yet there when the folder was begun counts as its default."""
    for name, value in artifacts.as_json(records.shaping.defaults()).items():
        known = before.setdefault(name, value)
        if isinstance(value, dict):
            before[name] = {**value, **known}
    lines = []
    for name in {**before, **settings}:
        old, new = before.get(name), settings.get(name)
        if old != new and isinstance(old, dict) and isinstance(new, dict):
            lines += [f"{name}.{key}: {old.get(key)} there, {new.get(key)} now"
                      for key in {**old, **new} if old.get(key) != new.get(key)]
        elif old != new:
            lines.append(f"{name}: {old} there, {new} now")
    if lines:
        raise ValueError(
            f"--out {records.folder}: its recordings were made with other settings "
            f"({'; '.join(lines)}); one {records.kind.one} has one contract: choose another --out, "
            f"or give the settings it was made with")
