"""Fuzzing of what commands leave and federations send: tables, features, settings of sites. As
`test_hostile_fuzz`, which see."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given

from neurofm import artifacts, fingerprinted
from neurofm.downstream.decoder import feature_files
from neurofm.downstream.decoder.feature_array import Features
from neurofm.downstream.federated import agreed
from neurofm.downstream.federated.declared import Declared
from neurofm.downstream.federated.learning import Learning
from neurofm.downstream.federated.rounds import Federation
from neurofm.downstream.scoring import ceiling
from neurofm.downstream.scoring.series import Series
from neurofm.downstream.stream import read_table
from neurofm.downstream.use import many
from neurofm.hub import staging
from neurofm.hub.people import Pseudonyms
from tests.support import hostile
from tests.support.hostile import cases, check
from tests.support.resealed import resealed

CLASSES = ("go", "=stop")


def features(n: int, name: str) -> Features:
    rng = np.random.default_rng(n)
    times = np.stack([np.arange(n), np.arange(n) + 1.0], axis=1)
    return Features(rng.normal(size=(n, 2, 3, 4)).astype(np.float32), times, np.full(n, -1),
                    np.full(n, name, dtype=object), ("C3", "C4"), np.array([0.2, 0.5, 0.8]))


@pytest.fixture(scope="module", params=["safetensors", "parquet"])
def embedded(request, tmp_path_factory) -> Path:
    """What `neurofm embed` leaves, of two recordings."""
    folder = tmp_path_factory.mktemp("embedded") / "features"
    files, tables = [], []
    for n, name in ((3, "a"), (2, "b")):
        one = features(n, name)
        (folder / name).mkdir(parents=True)
        files += [f"{name}/{file}" for file in
                  feature_files.write(one, folder / name, request.param)]
        tables.append(one.rows.assign(folder=name))
    lost = pd.DataFrame([["a", "channel", "EOG", np.nan, np.nan, "no EEG"]],
                        columns=[*feature_files.DROPPED])
    files += feature_files.write_tables(folder, tables, [lost])
    artifacts.seal(folder, "results", config={"format": request.param}, parents={}, files=files)
    assert Features.load(folder).shape == (5, 2, 3, 4)
    return folder


def test_hostile_features(embedded):
    """Files changed by somebody who sealed them again."""
    files = {file: file.read_bytes() for file in sorted(embedded.rglob("*"))
             if file.is_file() and file.name != "manifest.json"}

    @cases(0.02)
    @given(hostile.edits())
    def one(edits):
        which = sorted(files)[edits[0][2] % len(files)]
        which.write_bytes(hostile.edited(files[which], edits))
        with pytest.MonkeyPatch.context() as patch:  # no hash that needs a table of text
            patch.setattr(fingerprinted, "rest", lambda kind, file: (
                "0" * 64 if fingerprinted.is_parted(kind, file.name) else None))
            resealed(embedded)
        try:
            check(lambda: Features.load(embedded), embedded.name)
        finally:
            which.write_bytes(files[which])

    one()
    resealed(embedded)


@pytest.mark.parametrize("name", ["../other", "/etc", "a/../../other", "c"])
def test_hostile_features_elsewhere(embedded, name):
    """A table leads to no file that the manifest does not list."""
    path = embedded / feature_files.WINDOWS
    whole = path.read_bytes()
    pd.read_parquet(path).assign(folder=name).to_parquet(path, index=False)
    resealed(embedded)
    try:
        with pytest.raises(ValueError, match="no file of these results"):
            Features.load(embedded)
    finally:
        path.write_bytes(whole)
        resealed(embedded)


def one_summary(folder: Path) -> bytes:
    return (b"recording\tstatus\tfolder\twindows\tfinding\treason\tsize\tmtime_ns\n"
            b"/data/a.edf\tdone\ta\t12\tmost windows: go\t\t1000\t1700000000000000000\n"
            b"/data/b.edf\tfailed\t\t0\t\tthe file is empty\t0\t1700000000000000000\n")


def one_prediction(folder: Path) -> bytes:
    return (b"start_s\tstop_s\tpredicted\tp_go\tp_'=stop\tconfidence\tentropy\tabstained\t"
            b"latency_ms\tbads\tnote\n0\t1\tgo\t0.7\t0.3\t0.7\t0.2\tFalse\t3\tC3, C4\t\n"
            b"1\t2\t\t\t\t\t\tTrue\t\t\tflat\n")


def one_ceiling(folder: Path) -> bytes:
    return (b"recording\tsubject\tregion\tceiling\tceiling_eeg\n"
            b"scan\t01\tV1\t0.8\t0.4\nscan\t01\tM1\t0.7\tn/a\n")


def one_failure(folder: Path) -> bytes:
    return b"source\treason\nsub-01/a.edf\t'=1+1 the file is empty\n/x/Anna.edf\t\n"


def ceilings(path: Path) -> object:
    scan = Series("scan", "01", 2.0, 0, np.arange(4.0), np.zeros((4, 2)), {})
    about = pd.DataFrame([{"recording": "scan", "bold_source": "a.nii", "source": "a.edf",
                           "subject": "01"}])
    return ceiling.read(path, [scan], about, ["V1", "M1"])


TABLES = {
    "summary.tsv": (one_summary, many.listed), "predictions.tsv": (one_prediction, read_table),
    "ceiling_bold.tsv": (one_ceiling, ceilings),
    "failures.tsv": (one_failure, lambda path: staging._write_failures(
        path, path.with_name("published.tsv"), Pseudonyms())),
}


@pytest.mark.parametrize("name", TABLES)
def test_hostile_tables_of_results(name, tmp_path):
    make, read = TABLES[name]
    path = tmp_path / name
    content = make(tmp_path)
    path.write_bytes(content)
    read(path)

    @cases(0.02)
    @given(hostile.edits())
    def one(edits):
        path.write_bytes(hostile.edited(content, edits))
        check(lambda: read(path), name)

    one()


@pytest.mark.parametrize("folder", ["../a", "/etc", "..", ".", "", "a/b", "a\\b"])
def test_hostile_summary_names_folders_beside_it_alone(tmp_path, folder):
    """A folder of results that are out of date is taken away, and is one beside the table."""
    path = tmp_path / "summary.tsv"
    path.write_bytes(one_summary(tmp_path).replace(b"\tdone\ta\t", f"\tdone\t{folder}\t".encode()))
    with pytest.raises(ValueError, match=r"summary\.tsv: wanted the name of a folder"):
        many.listed(path)


def test_hostile_settings_that_sites_have_agreed_on(tmp_path):
    """The YAML of `neurofm federate join --settings`."""
    usual = json.loads(json.dumps(asdict(Federation())))
    for name in ("steps", "validate_every", "save_every", "keep"):
        del usual["learning"]["train"][name]
    path = tmp_path / "agreed.yaml"
    path.write_text(yaml.safe_dump(usual))
    agreed.read(path)

    @cases(0.02)
    @given(hostile.changes())
    def one(edits):
        path.write_text(yaml.safe_dump(hostile.changed(usual, edits)))
        check(lambda: agreed.read(path), path.name)

    one()


@cases(0.05)
@given(edits=hostile.changes())
def test_hostile_settings_that_a_server_sends(edits):
    """What is not refused is settings; a site then compares them with those that were agreed."""
    asked = hostile.changed(json.loads(Learning().to_json()), edits)
    check(lambda: Learning.from_json(json.dumps(asked)).schedule(100), "")


def test_hostile_numbers_of_trials_that_a_server_keeps(tmp_path):
    path = tmp_path / "declared.json"

    @cases(0.02)
    @given(hostile.changes())
    def one(edits):
        path.write_text(json.dumps(hostile.changed({"north": 100, "south": 50}, edits)))
        check(lambda: Declared(path, {}).checked("north", 10), path.name)

    one()
