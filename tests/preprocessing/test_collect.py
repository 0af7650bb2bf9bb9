"""Parts of an archive, on one machine or several: the bytes are those of one call."""

import json
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from neurofm import artifacts, parts
from neurofm.parts import Part
from neurofm.preprocessing import archive, corpus_tables, one_recording
from neurofm.preprocessing.records import Records


def _fingerprint(out) -> str:
    return artifacts.open_sealed(out, "corpus", hashes=True).fingerprint


def _done(out) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (out / ".ingest/done").glob("*.json")}


def test_each_recording_is_in_one_part_whatever_else_there_is(lab):
    jobs = archive.find([str(lab)]).jobs
    for total in (1, 2, 5):
        shares = [Part(number, total) for number in range(1, total + 1)]
        assert all(sum(share.holds(job.id) for share in shares) == 1 for job in jobs)
    (lab / "p3_raw.fif").unlink()
    assert {job.id for job in archive.find([str(lab)]).jobs} < {job.id for job in jobs}


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_in_any_order_make_the_same_corpus(lab, ingest, quick, tmp_path, order):
    (lab / "broken_raw.fif").write_text("nothing")
    whole = ingest(lab, *quick, "--out", tmp_path / "whole")
    statuses = []
    for number in order:
        outcome = ingest(lab, *quick, "--part", f"{number}/3")
        statuses.append(outcome.status)
        assert f"part {number}/3 " in outcome.text.splitlines()[-2]
        assert "`neurofm ingest` without --part seals" in outcome.text
        assert not artifacts.is_sealed(outcome.out)
    assert sorted(statuses) == [0, 0, 3]
    before = _done(outcome.out)
    assert len(before) == 6
    last = ingest(lab, *quick)
    assert last.status == whole.status == 3
    assert "not finished" not in last.text  # failed, which is another thing
    assert "6 unchanged" in last.text
    assert "1 failed before and are tried again" in last.text
    assert _done(last.out) == before
    assert last.failures == whole.failures
    assert _fingerprint(last.out) == _fingerprint(whole.out)


def test_the_last_call_does_what_parts_left(lab, ingest, quick, tmp_path):
    whole = ingest(lab, *quick, "--out", tmp_path / "whole")
    first = ingest(lab, *quick, "--part", "1/2")
    done = _done(first.out)
    assert 0 < len(done) < 6
    last = ingest(lab, *quick)
    left = 6 - len(done)
    assert f"parts that are not finished: 2/2 ({left} recording{'s' * (left > 1)})" in last.text
    assert done.items() < _done(last.out).items()
    assert _fingerprint(last.out) == _fingerprint(whole.out)
    again = ingest(lab, *quick, "--part", "1/2")
    assert "part 1/2 is finished: nothing to do" in again.text
    assert artifacts.is_sealed(again.out)


def test_the_last_number_of_parts_is_told(tmp_path):
    """After calls with 4, 8 and 4 parts it is 4, whatever has looked at the locks since."""
    for text in ("1/4", "1/8", "1/4"):
        with parts.at(Part.parse(text), tmp_path / "out", tmp_path, "ingest", lambda _: None):
            pass
    parts.refuse_at_work(tmp_path / "out", tmp_path)
    assert "/4 (" in parts.unfinished(tmp_path, ["a"])


def test_a_part_that_was_killed_is_run_again(lab, ingest, quick, tmp_path):
    whole = ingest(lab, *quick, "--out", tmp_path / "whole")
    out = tmp_path / "corpus"
    running = subprocess.Popen(
        [sys.executable, "-m", "neurofm.cli", "ingest", str(lab), *quick, "--out", str(out),
         "--workers", "1", "--part", "1/1"], stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while not list((out / ".ingest" / "done").glob("*.json")) and time.monotonic() < limit:
        time.sleep(0.02)
    running.kill()
    running.wait()
    done = _done(out)
    assert done
    assert ingest(lab, *quick, "--part", "1/1").status == 0
    assert done.items() <= _done(out).items()
    assert ingest(lab, *quick).status == 0
    assert _fingerprint(out) == _fingerprint(whole.out)


def test_two_at_once_are_told(lab, ingest, quick):
    first = ingest(lab, *quick, "--part", "1/2")
    with FileLock(first.out / ".ingest" / "part-1-of-2.lock"):
        with pytest.raises(ValueError, match="part 1/2 is at work already"):
            ingest(lab, *quick, "--part", "1/2")
        with pytest.raises(ValueError, match="part 1/2 is at work; wait for it"):
            ingest(lab, *quick)
        with pytest.raises(ValueError, match=r"part 1/2 is at work and may share recordings"):
            ingest(lab, *quick, "--part", "2/4")
        with pytest.raises(ValueError, match="made with other settings"):
            ingest(lab, *quick, "--contract.window_s", "2", "--part", "2/2")
        assert ingest(lab, *quick, "--part", "2/2").status == 0
    assert ingest(lab, *quick).status == 0


def test_a_part_is_told_of_a_call_for_the_whole(lab, ingest, quick, monkeypatch):
    monkeypatch.setattr(parts, "_PATIENCE_S", 0.1)
    first = ingest(lab, *quick)
    with FileLock(first.out / ".lock"), pytest.raises(ValueError, match="another neurofm is work"):
        ingest(lab, *quick, "--part", "1/2")


def test_parts_that_begin_at_once_have_one_contract(lab, ingest, quick, monkeypatch):
    """Nothing is finished yet, so the settings that stand there are those of who is at work."""
    first = ingest(lab, *quick, "--part", "1/2")
    for path in (first.out / ".ingest" / "done").iterdir():
        path.unlink()
    settings = (first.out / ".ingest" / "settings.json").read_text()
    with (FileLock(first.out / ".ingest" / "part-1-of-2.lock"),
          pytest.raises(ValueError, match="made with other settings")):
        ingest(lab, *quick, "--contract.window_s", "2", "--part", "2/2")
    assert (first.out / ".ingest" / "settings.json").read_text() == settings
    assert json.loads(settings)["contract"]["window_s"] == 4


def test_a_folder_of_other_things_is_left_as_it_was(lab, ingest, quick, tmp_path):
    with pytest.raises(ValueError, match="holds other things"):
        ingest(lab, *quick, "--part", "1/2", "--out", lab)
    assert not [path for path in lab.iterdir() if path.suffix != ".fif"]
    assert one_recording.Shaping().defaults() == one_recording.Shaping().to_dict()


def _flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damage_of_what_an_unfinished_corpus_keeps_is_made_again(lab, ingest, quick, tmp_path):
    """Where a shard or a note is not what was written, that recording is done again, no other."""
    whole = ingest(lab, *quick, "--out", tmp_path / "whole")
    out = ingest(lab, *quick, "--part", "1/1").out
    notes, shards = sorted((out / ".ingest/done").iterdir()), sorted((out / "windows").iterdir())
    before = _done(out)
    _flip(shards[0])
    swapped = shards[1].read_bytes()
    shards[1].write_bytes(shards[2].read_bytes())
    shards[2].write_bytes(swapped)
    notes[3].write_text(notes[3].read_text().replace('"kind": "eeg"', "").replace("raw", "rAw", 1))
    notes[4].write_text(notes[4].read_text()[:-20])
    last = ingest(lab, *quick)
    assert last.status == 0
    after = _done(out)
    assert [name for name in before if after[name] == before[name]] == [notes[5].stem]
    assert _fingerprint(out) == _fingerprint(whole.out)
    _flip(sorted((out / "windows").iterdir())[3])  # in a finished corpus
    assert "nothing to do" in ingest(lab, *quick).text
    assert "nothing to do" not in ingest(lab, *quick, "--verify=full").text
    assert _fingerprint(out) == _fingerprint(whole.out)


def test_damage_of_layouts_and_settings_of_an_unfinished_corpus(lab, ingest, quick, tmp_path):
    whole = ingest(lab, *quick, "--out", tmp_path / "whole")
    out = ingest(lab, *quick, "--part", "1/1").out
    (layout,) = (out / ".ingest/layouts").iterdir()
    _flip(layout)
    assert ingest(lab, *quick).status == 0
    assert _fingerprint(out) == _fingerprint(whole.out)
    _flip(out / ".ingest/settings.json")
    with pytest.raises(ValueError, match=r"settings\.json: is damaged"):
        ingest(lab, *quick)


def test_damage_of_a_recording_that_is_not_given_again_is_a_failure(lab, ingest, quick):
    """It does not vanish, and is never sealed as it is."""
    out = ingest(lab, *quick, "--part", "1/1").out
    first, second, *_ = sorted((out / "windows").iterdir())
    _flip(first)
    (out / ".ingest/done" / f"{second.stem}.json").write_text("{")
    last = ingest(*sorted(lab.iterdir())[2:], *quick)
    assert last.status == 3
    told = "what was kept of it is damaged"
    assert (out / "failures.tsv").read_text().count(told) == 2
    assert told in last.text
    assert len(last.corpus.recordings) == 4
    again = ingest(lab, *quick)
    assert again.status == 0
    assert len(again.corpus.recordings) == 6


def test_sealing_again_leaves_what_a_person_has_put_there(tmp_path):
    shards = tmp_path / "windows"
    (shards / "figures").mkdir(parents=True)
    for name in ("notes.md", "gone.arrow", ".half.arrow.part"):
        (shards / name).write_text("mine")
    Records(tmp_path, corpus_tables.KIND, None).remove_leftovers()
    assert {each.name for each in shards.iterdir()} == {"figures", "notes.md"}
