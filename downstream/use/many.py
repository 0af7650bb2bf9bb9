"""Decode several recordings: a folder of results each, and one table of them all.

    out/
      summary.tsv          a row a recording: what was found, or why it failed
      NAME/                as `neurofm decode` of that one recording leaves it

A bad recording is listed with its reason and stops no other. Run again, the same command does only
what is missing, has failed or has changed since.
"""

import dataclasses
import os
import re
import shutil
from pathlib import Path

import pandas as pd

from neurofm import artifacts, progress, tsv
from neurofm.preprocessing import archive
from neurofm.preprocessing.archive import Job as Found
from neurofm.run import FAILED, Job, Made

from .centering import Seen
from .one import (
    ONE,
    DecodeConfig,
    Opened,
    check_center_on,
    decode_one,
    open_decoder,
    opened,
    seen_of,
)

SUMMARY = "summary.tsv"
_KEPT_BYTES = 2**30  # of a person's recordings that wait to be decoded; others are read again
_COLUMNS = ["recording", "status", "folder", "windows", "reason", "size", "mtime_ns"]


def decode_many(run: DecodeConfig, job: Job) -> int:
    """Decode all that is found; returns the exit status."""
    many = Many(run, job)
    found = many.look()
    if not found.jobs and not found.missing:
        job.say(f"no recording was found in {', '.join(run.paths)}")
        return FAILED
    for path, reason in found.missing:
        many.fail(path, reason)
    many.together(found.jobs)
    todo = [each for each in found.jobs if not many.is_done(each)]
    if done := len(found.jobs) - len(todo):
        job.say(f"{done} of {len(found.jobs)} recordings are decoded already")
    for each in progress.each(todo, len(todo), "decode"):
        many.do(each)
    return many.tell()



class Many:
    """The folder of several results and its table. Open it with `with`: one process at a time."""

    def __init__(self, run: DecodeConfig, job: Job):
        self.run, self.out, self.say = run, Path(run.out), job.say
        if artifacts.is_sealed(self.out):
            raise ValueError(f"--out {self.out}: wanted a folder for several results, but this is "
                             f"one result; choose another")
        self.decoder = open_decoder(run.model, run.abstain_below)
        check_center_on(run.center_on, self.decoder, run.model)
        self.of_person: dict[str, list[str]] = {}  # path → recordings to be centered on
        self._jobs: set[str] = set()
        # of the person whose turn it is: the recordings, what was seen, what is not yet decoded
        self._person: tuple[str, ...] = ()
        self._seen: dict[str, Seen] = {}
        self._opened: dict[str, Opened] = {}
        table = self.out / SUMMARY
        self.rows = listed(table) if table.exists() else {}

    def look(self) -> archive.Found:
        """What recordings there are now; results are none."""
        found = archive.find(self.run.paths, arrays=self.run.arrays, images=self.run.images,
                             files=self.run.files, table=self.run.table)
        here = Path(os.path.abspath(self.out))
        found.jobs = [job for job in found.jobs if not Path(job.path).is_relative_to(here)]
        return found

    def together(self, jobs: list[Found]) -> None:
        """Take recordings of the same subject for one person's, to be centered on their mean."""
        self._jobs = {job.path for job in jobs}
        if not self.decoder.recentered or self.run.center_on:
            return
        people: dict[tuple, list[str]] = {}
        for job in jobs:
            identity = job.identity()
            if identity.get("subject"):
                who = identity.get("dataset"), identity["subject"]
                people.setdefault(who, []).append(job.path)
        self.of_person = {path: sorted(paths) for paths in people.values() for path in paths}

    def _open(self, run: DecodeConfig) -> tuple[Opened, dict[str, Seen] | None]:
        """The recording; and the person's by the same device, unless others were asked for. What
        cannot be read is told where that is decoded."""
        path = run.paths[0]
        if not self.decoder.recentered:
            return opened(path, run, self.decoder), None
        person = tuple(run.center_on or run.paths)
        if person != self._person:  # people come one after the other: one is enough to keep
            self._seen, self._opened = {}, {}
            for each in person:
                try:
                    if each in self._jobs or each == path:
                        made = opened(each, run, self.decoder)
                        self._seen[each] = made.seen or seen_of(each, run, self.decoder)
                        waiting = [made, *self._opened.values()]
                        if each == path or sum(one.windows.signal.nbytes
                                               for one in waiting) <= _KEPT_BYTES:
                            self._opened[each] = made
                    else:
                        self._seen[each] = seen_of(each, run, self.decoder)
                except (ValueError, OSError):
                    if self.run.center_on or person == (path,):
                        raise
            self._person = person
        own = self._opened.pop(path, None) or opened(path, run, self.decoder)
        if self.run.center_on:
            return own, self._seen
        return own, {each: one for each, one in self._seen.items()
                     if one.sensors.resembles(own.windows.sensors)}

    def is_done(self, job: Found) -> bool:
        """Whether its results are there, of this decoder and settings, and it has not changed."""
        row = self.rows.get(job.path)
        if row is None or [row["size"], row["mtime_ns"]] != [str(job.size), str(job.mtime_ns)]:
            return False
        one = self._one(job, row["folder"])
        if self._is_of(row["folder"], job) and one.center_on != artifacts.open_sealed(
                self.out / row["folder"]).config.get("center_on", []):
            return False  # the person has other recordings now, and with them another average
        return ONE.is_finished(one)

    def do(self, job: Found) -> bool:
        """Decode one and say how it went; False where it failed."""
        name = self._name(job)
        row = {"recording": job.path, "size": str(job.size), "mtime_ns": str(job.mtime_ns)}
        try:
            if self._is_of(name, job):  # as it was before the file changed
                shutil.rmtree(self.out / name)
                self._person = ()
            one = self._one(job, name)
            made = self._decoded(one)
        except (ValueError, OSError) as error:
            return self.fail(job.path, str(error), row)
        except MemoryError:
            return self.fail(job.path, "memory ran out: lower batch_windows", row)
        except Exception as error:  # ours to mend, but it must not stop the other recordings
            return self.fail(job.path, f"unexpected {type(error).__name__}: {error}", row)
        results = made.results
        assert results is not None, "decode judges"
        self.rows[job.path] = {
            **row, "status": "done", "folder": name, "windows": made.facts["windows"],
            "reason": "", **_answer(results.scores),
            **{each["metric"]: each["value"] for each in results.scores},
            "finding": results.summary, "flags": "; ".join(map(str, results.flags)),
            "notes": "; ".join(results.notes)}
        self._write()
        return True

    def _decoded(self, one: DecodeConfig) -> Made:
        """Through the frame, as `neurofm decode` of this recording alone."""
        made = []

        def body(run: DecodeConfig, job: Job) -> Made:
            made.append(decode_one(run, job, self.decoder, *self._open(run)))
            made[0].said.append(f"{job.out.name}:")
            return made[0]

        words = [*one.paths, f"--model={one.model}", f"--out={one.out}"]
        dataclasses.replace(ONE, body=body).run(one, words)
        return made[0]

    def fail(self, path: str, reason: str, row: dict | None = None) -> bool:
        """Note a recording that could not be decoded; False, as `do` of it would be."""
        reason = " ".join(reason.removeprefix(f"{path}: ").split())
        self.rows[path] = {**(row or {}), "recording": path, "status": "failed", "folder": "",
                           "windows": 0, "reason": reason}
        self.say(f"failed: {path}: {reason}")
        self._write()
        return False

    def tell(self) -> int:
        """Say how it stands; the exit status."""
        failed = [row for row in self.rows.values() if row["status"] == "failed"]
        self._write()
        self.say(f"{len(self.rows) - len(failed)} recordings decoded, {len(failed)} failed; table: "
                 f"{self.out / SUMMARY}")
        for row in failed:
            self.say(f"  failed: {row['recording']}: {row['reason']}")
        return FAILED if failed else 0

    def _one(self, job: Found, name: str) -> DecodeConfig:
        """The settings of `neurofm decode` of this recording alone."""
        center_on = self.run.center_on or self.of_person.get(job.path, [])
        return dataclasses.replace(
            self.run, paths=[job.path], out=str(self.out / name), center_on=center_on,
            watch=False, poll_s=DecodeConfig.poll_s, stop_after=0)

    def _name(self, job: Found) -> str:
        """The file's name without its extension; where another recording has that, a longer one."""
        row = self.rows.get(job.path)
        if row and row["folder"]:
            return row["folder"]
        stem = Path(job.path).name.removesuffix(".gz").rsplit(".", 1)[0]
        return stem if not (self.out / stem).exists() or self._is_of(stem, job) else job.id

    def _is_of(self, name: str, job: Found) -> bool:
        """Whether a folder holds results of this recording, which the table may not know, or the
        beginning of them."""
        folder = self.out / name
        if artifacts.is_sealed(folder):
            return artifacts.open_sealed(folder).config.get("paths") == [job.path]
        begun = folder / artifacts.CLAIM
        return begun.exists() and artifacts.read_json(begun).get("paths") == [job.path]

    def _write(self) -> None:
        """The table, replaced as a whole: a crash leaves the one before."""
        rows = [self.rows[path] for path in sorted(self.rows)]
        table = pd.DataFrame(rows, dtype=object)  # counts stay whole beside empty cells
        others = [name for name in table if name not in _COLUMNS]
        table = table.reindex(columns=[*_COLUMNS[:4], *others, *_COLUMNS[4:]])
        unfinished = self.out / f".{SUMMARY}.part"
        tsv.write(table, unfinished)
        unfinished.replace(self.out / SUMMARY)


def listed(path: Path) -> dict[str, dict]:
    """Recording → row of the table, of those that are done. Raises ValueError for a damaged one,
    and where a folder is no name beside the table: what is there may be taken away."""
    rows = tsv.read(path, _COLUMNS, dtype=object).to_dict("records")
    done = {row["recording"]: row for row in rows if row["status"] == "done"}
    for row in done.values():
        name = str(row["folder"])
        if name in ("", ".", "..") or re.search(r"[/\\\0]", name):
            raise ValueError(f"{path}: wanted the name of a folder beside it, got {name!r}; choose "
                             f"another --out, or take the row out")
    return done


def _answer(scores: list[dict]) -> dict[str, str]:
    """The class that most windows are named, "" where two are named equally often; nothing of a
    decoder of numbers."""
    shares = {each["metric"].removeprefix("share_"): each["value"] for each in scores
              if each["metric"].startswith("share_")}
    most = [name for name, share in shares.items() if share == max(shares.values())]
    return {"answer": most[0] if len(most) == 1 else ""} if shares else {}
