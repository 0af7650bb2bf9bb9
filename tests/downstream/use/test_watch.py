"""Several recordings and a watched folder: each as if alone, failures listed, only what is new."""

import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from neurofm import artifacts, cli
from neurofm.downstream.decode import main
from tests.support.one_person import decode, save_raw


def table(out) -> pd.DataFrame:
    found = pd.read_csv(out / "summary.tsv", sep="\t", keep_default_na=False)
    return found.set_index(found["recording"].str.rsplit("/", n=1).str[-1])


@pytest.fixture(scope="module")
def several(decoder, tmp_path_factory):
    """(folder of two good recordings and a bad one, folder of results)."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "in" / "deep").mkdir(parents=True)
    save_raw(folder / "in" / "a_raw.fif", seed=1)
    save_raw(folder / "in" / "deep" / "b_raw.fif", seed=2)
    (folder / "in" / "c.edf").write_bytes(b"0" * 300)
    (folder / "in" / "notes.txt").write_text("hello")
    assert main([str(folder / "in"), f"--model={decoder}", f"--out={folder / 'out'}"]) == 3
    return folder / "in", folder / "out"


def test_a_folder_gives_each_as_if_alone(several, decoder, tmp_path):
    recordings, out = several
    rows = table(out)
    assert rows["status"].to_dict() == {"a_raw.fif": "done", "b_raw.fif": "done", "c.edf": "failed"}
    assert rows.loc["c.edf", "reason"]
    assert rows.loc["c.edf", "reason"] not in ("", "nan")
    assert decode(recordings / "a_raw.fif", decoder, tmp_path / "alone") == 0
    for name in ("predictions.tsv", "quality.json"):
        assert (out / "a_raw" / name).read_text() == (tmp_path / "alone" / name).read_text()
    each = pd.read_csv(out / "b_raw" / "predictions.tsv", sep="\t")
    assert float(rows.loc["b_raw.fif", "p_left"]) == pytest.approx(each["p_left"].mean(), abs=1e-3)
    assert float(rows.loc["b_raw.fif", "share_left"]) == (each["predicted"] == "left").mean()
    assert artifacts.is_sealed(out / "b_raw")
    # What a batch made, `neurofm decode` of the one recording takes for its own.
    assert decode(recordings / "a_raw.fif", decoder, out / "a_raw") == 0


def test_again_does_only_what_is_missing_failed_or_changed(several, decoder, capsys, tmp_path):
    recordings, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(several[0], recordings)
    words = [str(recordings), f"--model={decoder}", f"--out={out}"]
    assert main(words) == 3
    made = {name: (out / name / "manifest.json").stat().st_mtime_ns for name in ("a_raw", "b_raw")}
    capsys.readouterr()
    save_raw(recordings / "c_raw.fif", seed=3)
    (recordings / "c.edf").unlink()
    save_raw(recordings / "a_raw.fif", seed=4)
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "1 of 3 recordings are decoded already" in said
    assert (out / "b_raw" / "manifest.json").stat().st_mtime_ns == made["b_raw"]
    assert (out / "a_raw" / "manifest.json").stat().st_mtime_ns > made["a_raw"]
    assert set(table(out).index) == {"a_raw.fif", "b_raw.fif", "c_raw.fif"}
    assert main(words) == 0
    shutil.rmtree(out / "c_raw")
    assert main(words) == 0
    assert artifacts.is_sealed(out / "c_raw")
    with pytest.raises(ValueError, match="made with other settings"):
        main([*words, "--abstain_below=0.9"])


def test_alike_names_and_missing_paths(several, decoder, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        shutil.copy(several[0] / "a_raw.fif", tmp_path / folder / "same_raw.fif")
    words = [f"--model={decoder}", f"--out={tmp_path / 'out'}"]
    paths = [str(tmp_path / name) for name in ("x/same_raw.fif", "y", "none.edf")]
    assert main([*paths, *words]) == 3
    rows = pd.read_csv(tmp_path / "out" / "summary.tsv", sep="\t", keep_default_na=False)
    assert sorted(rows["status"]) == ["done", "done", "failed"]
    done = rows.loc[rows["status"] == "done", "folder"]
    assert done.nunique() == 2
    assert all(artifacts.is_sealed(tmp_path / "out" / name) for name in done)
    assert main([*paths[:2], *words]) == 0


def test_results_among_the_recordings_and_nothing_to_do(several, decoder, tmp_path, capsys):
    shutil.copy(several[0] / "a_raw.fif", tmp_path / "a_raw.fif")
    words = [str(tmp_path), f"--model={decoder}", f"--out={tmp_path / 'results'}"]
    assert main(words) == 0
    assert main(words) == 0
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), *words[1:2], f"--out={tmp_path / 'o'}"]) == 3
    assert "no recording was found" in capsys.readouterr().out


def test_bad_input_out_is_one_result(several, decoder, tmp_path, capsys):
    assert cli.main(["decode", str(several[0]), f"--model={decoder}",
                     f"--out={several[1] / 'a_raw'}"]) == 1
    assert "this is one result" in capsys.readouterr().err
    for words, said in [(["--stop_after=2"], "for --watch true"), (["--poll_s=0"], "poll_s"),
                        (["--abstain_below=-1"], "abstain_below")]:
        with pytest.raises(SystemExit):
            main(["x.edf", f"--model={decoder}", f"--out={tmp_path}", *words])
        assert said in capsys.readouterr().err
    with pytest.raises(ValueError, match="no such folder to be watched"):
        main([str(tmp_path / "none"), f"--model={decoder}", f"--out={tmp_path / 'o'}",
              "--watch=true"])


def test_watch_waits_until_a_file_is_whole_and_stops_cleanly(several, decoder, tmp_path):
    (tmp_path / "in").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "neurofm.cli", "decode",
         str(tmp_path / "in"), f"--model={decoder}",
         f"--out={tmp_path / 'out'}", "--watch=true", "--poll_s=0.3"],
        stdout=subprocess.PIPE, text=True)
    assert "watching" in process.stdout.readline()
    content = (several[0] / "a_raw.fif").read_bytes()
    with open(tmp_path / "in" / "slow_raw.fif", "wb") as file:
        for part in range(6):  # a copy over a slow network: longer than two looks
            file.write(content[part * len(content) // 6:(part + 1) * len(content) // 6])
            file.flush()
            time.sleep(0.15)
            assert not (tmp_path / "out" / "summary.tsv").exists()
    (tmp_path / "in" / "bad.edf").write_bytes(b"1" * 500)
    said = [process.stdout.readline() for _ in range(4)]
    assert any(line.startswith("The decoder names") for line in said), said
    assert "slow_raw:\n" in said
    assert any("bad.edf" in line for line in said)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 3
    assert "1 recordings decoded, 1 failed" in said
    rows = table(tmp_path / "out")
    assert rows["status"].to_dict() == {"slow_raw.fif": "done", "bad.edf": "failed"}
    whole = pd.read_csv(several[1] / "a_raw" / "predictions.tsv", sep="\t")
    assert pd.read_csv(tmp_path / "out" / "slow_raw" / "predictions.tsv", sep="\t").equals(whole)


def test_watch_goes_on_where_a_batch_ended_and_retries_what_changed(several, decoder, tmp_path):
    recordings, out = tmp_path / "in", tmp_path / "out"
    recordings.mkdir()
    shutil.copy(several[0] / "a_raw.fif", recordings)
    (recordings / "b_raw.fif").write_bytes(b"cut short")
    words = [str(recordings), f"--model={decoder}", f"--out={out}"]
    assert main(words) == 3
    made = (out / "a_raw" / "manifest.json").stat().st_mtime_ns
    shutil.copy(several[0] / "deep" / "b_raw.fif", recordings)
    assert main([*words, "--watch=true", "--poll_s=0.1", "--stop_after=1"]) == 0
    assert (out / "a_raw" / "manifest.json").stat().st_mtime_ns == made
    assert set(table(out)["status"]) == {"done"}
