"""Files of the torture archive given singly to the other commands: what is wrong with the file, and
what to do; no place in the code, nothing left behind."""

import mne
import pandas as pd
import pytest

import neurofm
from neurofm import cli
from tests.support.torture import Kinds, recordings, scans, signals, studies

ALL = {**recordings.KINDS, **studies.KINDS, **scans.KINDS}
# kind → what is said of it beside its name
SAID = {
    "edf_text": "has no EDF header", "edf_truncated": "copy it again from the source",
    "edf_empty": "0 bytes", "edf_zip": "unpack it", "set_without_fdt": "rec.fdt is missing",
    "lfs_pointer": "git lfs pull", "annex_pointer": "datalad get",
    "bids_locked_annex_link": "datalad get", "bids_json_with_trailing_comma": "is no valid JSON",
    "bids_participants_without_ids": "wanted a column participant_id",
    "fif_average_called_raw": "an average (evoked)", "fif_flat": "flat",
    "folder_called_edf": "is an empty folder", "links_in_a_circle": "a link to a file",
}


@pytest.fixture
def files(tmp_path):
    """Kind → its file."""
    kinds = Kinds({name: ALL[name] for name in SAID})
    return {name: tmp_path / "lab" / file for name, file in kinds.make(tmp_path / "lab").items()}


def told(capsys) -> str:
    """What a command has printed; nothing of the code's own places is in it."""
    captured = capsys.readouterr()
    text = captured.out + captured.err
    for word in ("Traceback", "(at ", "site-packages", "unexpected", "preprocessing/"):
        assert word not in text, word
    return text


def test_bad_input_of_decode(files, decoder, tmp_path, capsys):
    for name, path in files.items():
        assert cli.main(["decode", str(path), f"--model={decoder}",
                         f"--out={tmp_path / 'out'}"]) == 1
        said = told(capsys)
        assert str(path) in said
        assert SAID[name] in said
        assert not (tmp_path / "out").exists()


def test_bad_input_of_embed(files, planted, tmp_path, capsys):
    """All at once, beside a good one: each has its row, and is said once."""
    good = neurofm_raw(tmp_path / "lab")
    assert cli.main(["embed", str(tmp_path / "lab"), f"--model={planted.backbone}",
                     f"--out={tmp_path / 'out'}"]) == 3
    said = told(capsys)
    table = pd.read_csv(tmp_path / "out" / "recordings.tsv", sep="\t", keep_default_na=False)
    problem = {row.recording: row.problem for row in table.itertuples()}
    for name, path in files.items():
        (source,) = [one for one in problem if str(path).endswith(one)]
        assert SAID[name] in problem[source]
        (line,) = [line for line in said.splitlines() if line.startswith(f"failed: {source}: ")]
        assert str(tmp_path) not in line
    assert [one for one, why in problem.items() if not why] == [f"lab/{good}"]


def neurofm_raw(folder) -> str:
    from tests.support.one_person import save_raw

    save_raw(folder / "good_raw.fif")
    return "good_raw.fif"


@pytest.mark.parametrize("many", [False, True])
def test_bad_input_an_average_given_to_embed(planted, many):
    average = mne.EvokedArray(1e-6 * signals.microvolts(), signals.raw().info, verbose="ERROR")
    with pytest.raises(ValueError, match=r"got a EvokedArray: an average .*; give the Raw or Epo"):
        neurofm.embed([average] if many else average, str(planted.backbone))


@pytest.mark.parametrize("words", [
    ["show"], ["verify"], ["pretrain", "--model=brain_tokenizer", "--data"]])
def test_bad_input_recordings_where_something_made_is_wanted(files, tmp_path, capsys, words):
    out = [f"--out={tmp_path / 'out'}"] * (words[0] == "pretrain")
    for path in (files["edf_text"], files["edf_text"].parent, tmp_path / "lab"):
        assert cli.main([*words, str(path), *out]) == 1
        said = told(capsys)
        assert f"{path}: wanted a" in said
        assert "neurofm ingest" in said or "run its command again" in said
    assert not (tmp_path / "out").exists()
