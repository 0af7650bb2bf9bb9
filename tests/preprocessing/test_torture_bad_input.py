"""The torture archive (tests/support/torture): every file is in the corpus with the right content,
or named with its reason. One ingest of each modality; a test a kind."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurofm.data.corpus import Corpus
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import KINDS, Sensors
from neurofm.preprocessing import readers
from neurofm.preprocessing.standardize import standardize
from tests.support.torture import (
    EITHER,
    FAILS,
    GOOD,
    PASSED,
    Kind,
    Kinds,
    arrays,
    damage,
    recordings,
    scans,
    signals,
    studies,
)

EEG = Kinds({**recordings.KINDS, **arrays.KINDS, **studies.KINDS, **damage.EEG})
FMRI = Kinds({**scans.KINDS, **damage.FMRI})
CONTRACT = ("--contract.sfreq", "100", "--contract.lowpass_hz", "40", "--contract.window_s", "4")


@dataclass
class Outcome:
    """An ingest of an archive. Files are called by their path from the archive's folder on."""

    folder: Path

    def __post_init__(self):
        said = json.loads((self.folder / "said.json").read_text())
        self.files: dict[str, str] = said["files"]
        self.status: int = said["status"]
        self.out: str = said["out"]
        self.err: str = said["err"]
        self.corpus = Corpus.open(self.folder / "corpus")
        self.sources = [_from_archive(source) for source in self.corpus.recordings["source"]]
        self.failures = self._table("failures.tsv")
        self.aside = self._table(".ingest/passed_over.tsv")

    def _table(self, name: str) -> dict[str, str]:
        table = pd.read_csv(self.folder / "corpus" / name, sep="\t")
        return {_from_archive(file): why for file, why in table.itertuples(index=False)}


def _from_archive(source: str) -> str:
    return source.removeprefix("archive/")


def _ingested(folder: Path, kinds: Kinds, *words: str) -> None:
    archive = folder / "archive"
    files = kinds.make(archive)
    done = subprocess.run(
        [sys.executable, "-m", "neurofm.cli", "ingest", str(archive), "--out",
         str(folder / "corpus"), "--workers", "2", *words],
        capture_output=True, text=True, cwd=folder, timeout=300)
    (folder / "said.json").write_text(json.dumps(
        {"files": files, "status": done.returncode, "out": done.stdout, "err": done.stderr}))


@pytest.fixture(scope="session")
def lab(once) -> Outcome:
    return Outcome(once("torture_lab", lambda folder: _ingested(
        folder, EEG, *CONTRACT, *arrays.OPTIONS)))


@pytest.fixture(scope="session")
def scanner(once) -> Outcome:
    def make(folder: Path) -> None:
        folder.mkdir()
        _ingested(folder, FMRI, "--modality", "fmri", "--images.atlas",
                  str(scans.atlas(folder / "atlas.nii.gz")), "--arrays.kind", "roi",
                  "--arrays.t_r", "2.0", "--arrays.unit", "1", "--arrays.channels",
                  str(scans.centers(folder / "centers.tsv")))

    return Outcome(once("torture_scanner", make))


def _each(becomes: str):
    kinds = {("lab", name): kind for name, kind in EEG.items()}
    kinds |= {("scanner", name): kind for name, kind in FMRI.items()}
    chosen = [(place, kind) for (place, _), kind in kinds.items() if kind.becomes == becomes]
    return pytest.mark.parametrize(("place", "kind"), chosen, ids=[kind.name for _, kind in chosen])


def _place(request, place: str) -> Outcome:
    return request.getfixturevalue(place)


@_each(GOOD)
def test_bad_input_that_is_usable_is_in_the_corpus(request, place: str, kind: Kind):
    outcome = _place(request, place)
    source = outcome.files[kind.name]
    assert source in outcome.sources, outcome.failures.get(source)
    windows, names = _in_the_corpus(outcome.corpus, outcome.sources.index(source))
    wanted, of = _truth(kind.truth, outcome.corpus.contract)
    if place == "lab":  # tables of regions have names of their own
        assert set(names) == set(of)
        windows = windows[:, [names.index(name) for name in of]]
    got = windows
    assert got.shape == wanted.shape
    held = np.isfinite(wanted)
    assert np.array_equal(np.isfinite(got), held)
    assert np.sqrt(np.square(got - wanted)[held].mean()) < 0.02 * wanted[held].std()


@_each(FAILS)
def test_bad_input_is_named_with_its_reason(request, place: str, kind: Kind):
    outcome = _place(request, place)
    source = outcome.files[kind.name]
    assert kind.words in outcome.failures.get(source, f"none: {outcome.aside.get(source)}")
    assert source not in outcome.sources
    assert outcome.failures[source] in outcome.out


@_each(PASSED)
def test_bad_input_that_is_no_recording_is_listed(request, place: str, kind: Kind):
    outcome = _place(request, place)
    assert kind.words in outcome.aside[outcome.files[kind.name]]


@pytest.mark.parametrize("place", ["lab", "scanner"])
def test_bad_input_every_file_has_its_place_and_nothing_else_is_said(request, place: str):
    outcome = _place(request, place)
    archive = outcome.folder / "archive"
    there = {(Path(folder) / name).relative_to(archive).as_posix()
             for folder, _, names in os.walk(archive) for name in names}
    aside = {file for file in there if any(
        file == other or (other.endswith("/") and file.startswith(other))
        for other in outcome.aside)}
    done, failed = set(outcome.sources), set(outcome.failures)
    assert there - done - failed - aside == set()
    assert len(done) == len(outcome.sources)
    assert not done & failed | done & aside | failed & aside
    assert outcome.status == 3
    assert outcome.err == ""
    for word in ("unexpected", "(at ", "Traceback", "Warning", "site-packages"):
        assert word not in outcome.out + "".join(outcome.failures.values()), word
    assert all("; " in why or ": " in why for why in outcome.failures.values())


def test_bad_input_has_sixty_kinds_and_more():
    assert len(EEG) + len(FMRI) > 200


def _in_the_corpus(corpus: Corpus, number: int) -> tuple[np.ndarray, list[str]]:
    """Windows [window, channel, time] of a recording, and its channels."""
    rows = np.flatnonzero(corpus.windows["recording"] == number)
    layout = corpus.layouts[corpus.recordings["layout"].iat[number]]
    return np.stack([corpus.signal(int(row)) for row in rows]), list(layout.names)


def _truth(name: str, contract) -> tuple[np.ndarray, list[str]]:
    """The same of what was written into the file."""
    if isinstance(contract, FMRIContract):
        signal = scans.truth().astype(np.float32)
        signal[:, {"gap": [7], "five gaps": range(5)}.get(name, [])] = np.nan
        place = np.full((2, 3), 0.01)
        recording = Recording(signal, 1 / scans.T_R, Sensors(
            ("1", "2"), np.full(2, KINDS.index("roi")), place, np.zeros((2, 3))))
    else:
        names = {"seven": signals.NAMES[:7], "one": signals.NAMES[:1]}.get(name, signals.NAMES)
        make = {"epochs": signals.epochs, "joint": signals.joint,
                "slow": signals.slow}.get(name, signals.raw)
        made = make().pick([*names])
        recording = readers.from_raw(made)
    done = standardize(recording, contract, lacking="accept")  # as ingest
    return np.stack(list(done)), list(done.sensors.names)


def test_bad_input_failures_outlive_an_interruption(tmp_path, ingest, monkeypatch):
    """Stopped after the second failure: the next call does the rest, and the tables are those of a
    call that was never stopped."""
    from neurofm.preprocessing import records

    chosen = ("edf_plain", "edf_text", "edf_truncated", "fif_flat", "npy_empty", "vhdr_plain")
    some = Kinds({name: EEG[name] for name in chosen})
    some.make(tmp_path / "archive")
    words = (tmp_path / "archive", *CONTRACT, *arrays.OPTIONS, "--workers", 1)
    whole = ingest(*words, "--out", tmp_path / "whole")
    real, told = records.Records.fail, []

    def fail(self, *about):
        real(self, *about)
        told.append(about)
        if len(told) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records.Records, "fail", fail)
        stopped = ingest(*words)
    assert stopped.status == 130
    assert len([*(stopped.out / ".ingest/failed").iterdir()]) == 2
    done = ingest(*words)
    assert "2 failed before and are tried again" in done.text
    assert (done.status, done.failures) == (3, whole.failures)
    assert len(done.failures) == 4 - (done.failures.get("rec.edf") is not None)
    assert done.corpus.fingerprint == whole.corpus.fingerprint


@_each(EITHER)
def test_bad_input_a_bit_that_turned(request, place: str, kind: Kind):
    """Of formats with a checksum never other content."""
    outcome = _place(request, place)
    files = [file for file in (*outcome.sources, *outcome.failures)
             if file.startswith(kind.name + "/")]
    assert len(files) == damage.PLACES
    if kind.name.removeprefix("bit_in_") not in damage.CHECKED:
        return
    wanted, _ = _truth(kind.truth, outcome.corpus.contract)
    for number, source in enumerate(outcome.sources):
        if source in files:
            got, _ = _in_the_corpus(outcome.corpus, number)
            assert np.square(got - wanted).mean() < 1e-3, source
