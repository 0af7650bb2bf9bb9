"""`neurofm embed`: what it writes of each recording is what `neurofm.embed` gives."""

from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import neurofm
from neurofm import artifacts, cli
from neurofm.downstream.decoder import feature_files
from tests.support.one_person import save_raw
from tests.support.planted import SFREQ


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
    assert made.listed.keys() == {"recordings.tsv", "windows.parquet", "dropped.tsv"} | {
        f"{row.folder}/features.safetensors" for row in rows.values() if row.folder}


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
    times = pd.read_parquet(embedded / "windows.parquet").query("folder == @at")
    assert times["start_s"].tolist() == [2.0 * k for k in range(n_windows)]
    assert (times["stop_s"] - times["start_s"] == 2.0).all()


def test_loaded_back(embedded, folder, planted):
    """All recordings in one, the broken one named."""
    found = neurofm.Features.load(embedded)
    assert found.shape == (12, 8, 48, 32)
    wanted = neurofm.embed([folder / "long_raw.fif", folder / "short_raw.fif"],
                           str(planted.backbone))
    assert np.allclose(found, wanted, atol=1e-5)
    assert found.times.tolist() == wanted.times.tolist()
    assert found.sources == wanted.sources
    assert np.allclose(found.frames, wanted.frames)
    assert [Path(name).name for name in dict.fromkeys(found.recording)] == [
        "long_raw.fif", "short_raw.fif"]
    (lost,) = found.dropped.itertuples()
    assert lost.what == "recording"
    assert "torn_raw.fif" in lost.recording
    with pytest.raises(ValueError, match=r"holds no features|no such|unfinished"):
        neurofm.Features.load(folder)


@pytest.mark.parametrize("written", ["parquet", "zarr"])
def test_formats(written, planted, tmp_path, capsys):
    """Epochs with a channel that is no EEG, as any format gives them back."""
    if written == "zarr":
        pytest.importorskip("zarr")
    raw = mne.io.read_raw(save_raw(tmp_path / "one_raw.fif", n_windows=4), preload=True,
                          verbose="ERROR")
    eog = mne.io.RawArray(np.zeros((1, len(raw.times))), mne.create_info(["EOG"], SFREQ, "eog"),
                          verbose="ERROR")
    raw.add_channels([eog], force_update_info=True)
    events = np.array([[128, 0, 1], [512, 0, 1], [600, 0, 1]])
    epochs = mne.Epochs(raw, events, tmin=-0.5, tmax=1 - 1 / SFREQ, baseline=None, proj=False,
                        preload=True, verbose="ERROR")
    epochs.save(tmp_path / "one-epo.fif", verbose="ERROR")
    assert cli.main(["embed", str(tmp_path / "one-epo.fif"), f"--model={planted.backbone}",
                     f"--out={tmp_path / 'out'}", f"--format={written}", "--layer=blocks.0"]) == 0
    assert "left out, see dropped.tsv: 1 channel (EOG)" in capsys.readouterr().out
    found = neurofm.Features.load(tmp_path / "out")
    wanted = neurofm.embed(tmp_path / "one-epo.fif", str(planted.backbone), layer="blocks.0")
    feature_files.write(wanted[:1], tmp_path, written)  # as a run that was killed left it
    feature_files.write(wanted, tmp_path, written)
    assert np.array_equal(feature_files._READ[written](tmp_path / f"features.{written}")[0], wanted)
    assert np.array_equal(found, wanted)
    assert found.rows.drop(columns="recording").equals(wanted.rows.drop(columns="recording"))
    assert found.epoch.tolist() == [0, 1, 2]
    assert (found.sources, found.frames.tolist()) == (wanted.sources, wanted.frames.tolist())
    assert found.dropped[["what", "name", "reason"]].values.tolist() == [
        ["channel", "EOG", "of type eog in the file"]]
    artifacts.open_sealed(tmp_path / "out", "results", hashes=True)


def test_bad_input_a_layer_that_is_not_there(folder, planted, tmp_path, capsys):
    words = ["embed", str(folder), f"--model={planted.backbone}", f"--out={tmp_path / 'out'}"]
    assert cli.main([*words, "--layer=encoder.3"]) == 1
    assert "a BrainOmni has the layers blocks.0, blocks.1" in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()


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
