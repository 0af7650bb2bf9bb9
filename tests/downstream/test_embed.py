"""`neurofm embed`: what it writes of each recording is what `neurofm.embed` gives."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import neurofm
from neurofm import artifacts, cli
from tests.support.one_person import save_raw


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings of 16 s and of 8 s, and one that is broken."""
    folder = tmp_path_factory.mktemp("people")
    save_raw(folder / "long_raw.fif", n_windows=8)
    save_raw(folder / "short_raw.fif", n_windows=4, seed=1)
    (folder / "torn_raw.fif").write_bytes((folder / "long_raw.fif").read_bytes()[:2000])
    return folder


@pytest.fixture(scope="module")
def embedded(folder, planted):
    out = folder.parent / "features"
    assert cli.main(["embed", str(folder), f"--model={planted.backbone}", f"--out={out}",
                     "--batch_windows=3"]) == 3
    return out


def test_a_row_each_recording(embedded):
    table = pd.read_csv(embedded / "recordings.tsv", sep="\t", keep_default_na=False)
    rows = {row.recording.rpartition("/")[2]: row for row in table.itertuples()}
    assert rows.keys() == {"long_raw.fif", "short_raw.fif", "torn_raw.fif"}
    assert rows["long_raw.fif"].windows == 8
    assert rows["short_raw.fif"].windows == 4
    assert rows["torn_raw.fif"].windows == 0
    assert not rows["torn_raw.fif"].folder
    assert "torn_raw.fif" in rows["torn_raw.fif"].problem
    made = artifacts.open_sealed(embedded, "results", hashes=True)
    assert made.files.keys() == {"recordings.tsv"} | {
        f"{row.folder}/{name}" for row in rows.values() if row.folder
        for name in ("features.safetensors", "windows.parquet")}


@pytest.mark.parametrize(("name", "n_windows"), [("long", 8), ("short", 4)])
def test_features_are_those_of_the_python_function(embedded, folder, planted, name, n_windows):
    table = pd.read_csv(embedded / "recordings.tsv", sep="\t").set_index("recording")
    (at,) = [row["folder"] for path, row in table.iterrows() if path.endswith(f"{name}_raw.fif")]
    found = load_file(embedded / at / "features.safetensors")
    assert found.keys() == {"features"}
    features, wanted = found["features"], neurofm.embed(folder / f"{name}_raw.fif",
                                                        str(planted.backbone))
    assert features.shape == (n_windows, 8, 3 * 16, 32)  # window, source, frame, dim
    assert features.dtype == torch.float32
    assert np.allclose(features, wanted, atol=1e-5)  # in batches of other sizes
    assert features.std(dim=0).min() > 0  # windows differ
    times = pd.read_parquet(embedded / at / "windows.parquet")
    assert times["start_s"].tolist() == [2.0 * k for k in range(n_windows)]
    assert (times["stop_s"] - times["start_s"] == 2.0).all()


def test_again_does_nothing(embedded, folder, planted, capsys):
    words = ["embed", str(folder), f"--model={planted.backbone}", f"--out={embedded}"]
    assert cli.main(words) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_bad_input_nothing_that_can_be_embedded(folder, planted, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["embed", f"--model={planted.backbone}", f"--out={out}"]
    assert cli.main([*words, str(folder / "torn_raw.fif")]) == 1
    assert "no recording could be embedded" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli.main([*words, str(tmp_path / "empty")]) == 1
    assert "no recording was found there" in capsys.readouterr().err
    assert not artifacts.is_sealed(out)
