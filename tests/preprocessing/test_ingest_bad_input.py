"""One bad recording never stops a corpus and never vanishes."""

import numpy as np
import pytest

from neurofm import cli
from neurofm.preprocessing import ingest as ingest_module


def _bad_folder(folder, data, make_raw, save) -> dict[str, str]:
    """Fill `folder` with one good recording and one of each bad kind: name → its reason."""
    save(make_raw(), folder / "good_raw.fif")

    def variant(name, change):
        raw = make_raw()
        save(change(raw) or raw, folder / name)

    def scaled(factor):
        return lambda raw: raw.apply_function(lambda x: x * factor, picks="all", verbose="ERROR")

    variant("microvolts_raw.fif", scaled(1e6))
    variant("millivolts_raw.fif", scaled(1e3))
    variant("tiny_raw.fif", scaled(1e-6))
    variant("flat_raw.fif", scaled(0))
    variant("nan_raw.fif", scaled(np.nan))
    variant("slow_raw.fif", lambda raw: raw.resample(60, verbose="ERROR"))
    variant("short_raw.fif", lambda raw: raw.crop(0, 2))
    variant("noplace_raw.fif", lambda raw: raw.rename_channels(
        {name: f"x{i}" for i, name in enumerate(raw.ch_names)}))
    variant("ecg_raw.fif", lambda raw: raw.pick(["Fp1"]).rename_channels({"Fp1": "ECG"}))
    edf = (data / "eegmmidb/S001R04.edf").read_bytes()
    (folder / "truncated.edf").write_bytes(edf[: len(edf) // 2])
    (folder / "wrong_raw.fif").write_bytes(edf)
    (folder / "text.edf").write_text("hello\n")
    (folder / "empty.bdf").touch()
    (folder / "mean-ave.fif.gz").write_bytes(
        (data / "meg_readers/test-ave.fif.gz").read_bytes())
    (folder / "notes.txt").write_text("not meant as a recording")
    return {
        "microvolts_raw.fif": "1e6 times too large", "millivolts_raw.fif": "1e3 times too large",
        "tiny_raw.fif": "1e6 times too small", "flat_raw.fif": "flat", "nan_raw.fif": "NaN",
        "slow_raw.fif": "ends at 30 Hz", "short_raw.fif": "for one window",
        "noplace_raw.fif": "a position for every sensor", "ecg_raw.fif": "no EEG or MEG channel",
        "truncated.edf": "truncated", "wrong_raw.fif": "another format",
        "text.edf": "has no EDF header", "empty.bdf": "0 bytes", "mean-ave.fif.gz": "an average",
    }


def test_bad_input_each_kind_is_listed_and_the_good_one_goes_on(
    tmp_path, data, make_raw, save, ingest, quick
):
    wanted = _bad_folder(tmp_path / "lab", data, make_raw, save)
    words = (*quick, "--lacking=refuse")  # slow_raw.fif
    outcome = ingest(tmp_path / "lab", *words)
    assert outcome.status == 3
    assert set(outcome.failures) == set(wanted)
    for name, reason in wanted.items():
        assert reason in outcome.failures[name], name
        assert f"failed: lab/{name}: " in outcome.text
    assert outcome.corpus.recordings["source"].tolist() == ["lab/good_raw.fif"]
    assert "1 .txt" in outcome.text
    assert f"{len(wanted)} failed" in outcome.text
    assert "truncated.edf" in (outcome.out / "quality.html").read_text()
    # Again: the good one stays, the others are tried and fail anew.
    again = ingest(tmp_path / "lab", *words)
    assert again.status == 3
    assert "1 unchanged" in again.text
    assert f"{len(wanted)} failed before and are tried again" in again.text
    assert again.failures == outcome.failures
    assert again.corpus.fingerprint == outcome.corpus.fingerprint


def test_bad_input_alone_makes_no_corpus(tmp_path, ingest, quick):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "a.edf").write_text("hello")
    outcome = ingest(tmp_path / "lab", *quick)
    assert outcome.status == 3
    assert "nothing was ingested" in outcome.text
    assert not (outcome.out / "manifest.json").exists()


def test_bad_input_path_that_is_not_there(tmp_path, make_raw, save, ingest, quick):
    good = save(make_raw(), tmp_path / "lab" / "good_raw.fif")
    outcome = ingest(good, tmp_path / "lab" / "gone.edf", *quick)
    assert outcome.status == 3
    assert "there is no such file" in outcome.text
    assert len(outcome.corpus.recordings) == 1
    assert ingest(good, *quick).status == 0
    empty = tmp_path / "empty"
    empty.mkdir()
    nothing = ingest(empty, "--out", tmp_path / "c2", *quick)
    assert nothing.status == 3
    assert "no recording was found" in nothing.text


def test_bad_input_a_killed_worker_is_one_failure(
    tmp_path, make_raw, save, ingest, quick, monkeypatch
):
    """As when the system kills a process for memory: the rest is done, and it is said."""
    for i in range(5):
        save(make_raw(seed=i), tmp_path / "lab" / f"p{i}_raw.fif")
    (tmp_path / "mortal.py").write_text(
        "import os, signal\n"
        "from neurofm.preprocessing.one_recording import ingest_one as real\n"
        "def ingest_one(job, out, shaping):\n"
        "    if 'p2' in job.source:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(job, out, shaping)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import mortal

    with monkeypatch.context() as patch:
        patch.setattr(ingest_module, "ingest_one", mortal.ingest_one)
        outcome = ingest(tmp_path / "lab", *quick)
    assert outcome.status == 3
    assert "signal 9" in outcome.failures["p2_raw.fif"]
    assert len(outcome.corpus.recordings) == 4
    again = ingest(tmp_path / "lab", *quick)
    assert again.status == 0
    assert len(again.corpus.recordings) == 5


def test_bad_input_events_that_no_recording_has(tmp_path, make_raw, save, ingest, quick):
    save(make_raw(), tmp_path / "lab" / "a_raw.fif")
    outcome = ingest(tmp_path / "lab", *quick, "--label.source", "event", "--label.mapping",
                     '{"T1": "left"}')
    assert outcome.status == 3
    assert "events named T1" in outcome.text
    assert "no events" in outcome.text


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--contract.lowpas_hz", "40"], "did you mean 'contract.lowpass_hz'"),
        (["--contract.lowpass_hz", "200"], "half of contract.sfreq"),
        (["--label.source", "event"], "names no event"),
        (["--label.source", "entity", "--label.name", "taks"], "label.name must be one of"),
        (["--workers", "-1"], "workers must be"),
    ],
)
def test_bad_input_on_the_command_line(tmp_path, ingest, capsys, words, match):
    with pytest.raises(SystemExit) as caught:
        ingest(tmp_path, *words)
    assert caught.value.code == 2
    assert match in capsys.readouterr().err


def test_bad_input_out_folder_of_something_else(tmp_path, make_raw, save, ingest, quick):
    good = save(make_raw(), tmp_path / "lab" / "good_raw.fif")
    with pytest.raises(ValueError, match="holds other things"):
        ingest(good, *quick, "--out", good.parent)
    assert [path.name for path in good.parent.iterdir()] == [good.name]
    with pytest.raises(ValueError, match="wanted a folder"):
        ingest(good, *quick, "--out", good)


def test_bad_input_two_ingests_into_one_folder(tmp_path, make_raw, save, ingest, quick):
    from filelock import FileLock

    good = save(make_raw(), tmp_path / "lab" / "good_raw.fif")
    outcome = ingest(good, *quick)
    with (FileLock(outcome.out / ".lock"),
          pytest.raises(ValueError, match="another neurofm is working in this folder")):
        ingest(good, *quick)


def test_tables_beside_recordings_are_passed_over(tmp_path, make_raw, save, ingest, quick):
    save(make_raw(), tmp_path / "lab" / "good_raw.fif")
    (tmp_path / "lab" / "people.csv").write_text("name,age\nann,30\n")
    outcome = ingest(tmp_path / "lab", *quick)
    assert outcome.status == 0
    assert "1 .csv" in outcome.text


def test_bad_input_tables(tmp_path, make_raw, save, ingest, quick):
    good = save(make_raw(), tmp_path / "lab" / "good_raw.fif")
    (tmp_path / "t.csv").write_text("name,subject\nx,1\n")
    with pytest.raises(ValueError, match="wanted a column `file`"):
        ingest(good, *quick, "--table", tmp_path / "t.csv")
    with pytest.raises(ValueError, match="no regular expression"):
        ingest(good, *quick, "--exclude", '["("]')
    with pytest.raises(ValueError, match="did you mean 'standard_1005'"):
        ingest(good, *quick, "--montage", "standart_1005")


def test_bad_input_an_error_of_ours_is_told_with_its_place(monkeypatch):
    from neurofm.preprocessing import one_recording

    def undecodable(*_):
        b"\xff".decode("utf-8")

    monkeypatch.setattr(one_recording, "_ingest", undecodable)
    reason = one_recording.ingest_one(None, "", None)
    assert "can't decode byte 0xff" in reason
    assert "test_ingest_bad_input.py:" in reason


def test_settings_may_be_mended_where_nothing_is_done_yet(tmp_path, capsys):
    """All recordings failed for a wrong setting: the same folder takes the right one."""
    np.save(tmp_path / "one.npy", np.random.default_rng(0).standard_normal((2000, 4)))
    words = ["ingest", str(tmp_path / "one.npy"), f"--out={tmp_path / 'out'}", "--arrays.sfreq=100",
             "--arrays.unit=uV", "--contract.lowpass_hz=40", "--contract.sfreq=100",
             "--contract.notch_hz=[]", "--workers=1"]
    assert cli.main([*words, "--arrays.names=[Fz,Cz]"]) == 3
    assert cli.main([*words, "--arrays.names=[Fz,Cz,Pz,Oz]"]) == 0
    capsys.readouterr()
    assert cli.main([*words, "--arrays.names=[Oz,Cz,Pz,Fz]"]) != 0  # now there is something
    assert "one corpus has one contract" in capsys.readouterr().err
