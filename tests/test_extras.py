"""Packages of extras: what wants one that is not installed names the extra."""

import ast
import sys
import tomllib

import h5py
import pytest

from neurofm import extras
from neurofm.downstream import baselines
from neurofm.preprocessing import readers


@pytest.fixture
def without(monkeypatch):
    """without(name): as if that package were not installed."""

    def hide(package: str) -> None:
        names = [name for name in sys.modules if name.partition(".")[0] == package]
        for name in {package, *names}:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def test_every_package_is_in_the_extra_it_names(repo):
    listed = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    brought = listed["optional-dependencies"]
    for package, extra in extras.EXTRAS.items():
        name = {"ray": "flwr[simulation]"}.get(package, package.replace("_", "-"))
        assert any(each.startswith(name) for each in brought[extra]), package
        assert not any(each.startswith(name) for each in listed["dependencies"]), package
    assert extras.EXTRAS.keys() >= {"flwr", "moabb", "mne_lsl"}


def test_only_extras_imports_them_where_modules_are_loaded(repo):
    """Elsewhere they are imported inside functions, or by `extras.need`, or by a module that is
    loaded for that purpose alone."""
    alone = {"downstream/federated": {"flwr"}, "downstream/baselines": {"pyriemann"}}
    for folder in ("neurofm", "preprocessing", "pretrain", "downstream"):
        for path in (repo / folder).rglob("*.py"):
            place = path.parent.relative_to(repo).as_posix()
            allowed = next((names for room, names in alone.items() if place.startswith(room)),
                           set())
            for node in ast.parse(path.read_text()).body:
                names = ([node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level
                         else [each.name for each in getattr(node, "names", ())]
                         if isinstance(node, ast.Import) else [])
                found = {name.partition(".")[0] for name in names} & extras.EXTRAS.keys()
                assert found <= allowed, f"{path} imports {found} when it is loaded"


def test_bad_input_a_baseline_without_its_package(without, monkeypatch):
    without("pyriemann")
    for name in [name for name in sys.modules if name.startswith(f"{baselines.__name__}.csp")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ValueError, match=r"csp_lda: needs pyriemann.*neurofm\[evaluate\]"):
        baselines.find("csp_lda")


@pytest.mark.parametrize(("suffix", "package"), [(".h5", "h5py"), (".mat", "pymatreader")])
def test_bad_input_a_file_whose_reader_is_an_extra(suffix, package, without, tmp_path, monkeypatch):
    path = tmp_path / f"signal{suffix}"
    matlab_73(path, signal=[[0.0] * 300] * 2)
    without(package)
    monkeypatch.setattr(readers.apart, "is_wanted", lambda path: False)  # another process has it
    table = readers.ArrayTable(sfreq=100.0, axes="channel,time", names=("Fz", "Cz"))
    with pytest.raises(readers.ReadError, match=rf"needs {package}.*neurofm\[formats\]"):
        readers.read(path, arrays=table)


def matlab_73(path, **content):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content.items():
            file[name] = value
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def test_bad_input_mne_says_it_wants_one(without, tmp_path, monkeypatch):
    """EEGLAB's files of MATLAB 7.3: MNE imports pymatreader itself, and fails in its own words."""
    path = tmp_path / "one.set"
    matlab_73(path, **{"EEG/srate": 100.0})
    without("pymatreader")
    monkeypatch.setattr(readers.apart, "is_wanted", lambda path: False)  # another process has it
    with pytest.raises(readers.ReadError, match=r"needs pymatreader.*neurofm\[formats\]"):
        readers.read(path)


def test_bad_input_features_as_xarray_without_it(without):
    import numpy as np

    import neurofm

    features = neurofm.Features(np.zeros((1, 1, 1, 1), np.float32), np.zeros((1, 2)),
                                np.array([-1]), np.array(["a"], dtype=object), ("Cz",), np.zeros(1))
    without("xarray")
    with pytest.raises(ValueError, match=r"to_xarray needs xarray.*neurofm\[features\]"):
        features.to_xarray()
