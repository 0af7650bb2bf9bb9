"""`neurofm demo`: people are split, commands run in this process, the last screen is read from
results."""

import json

import pandas as pd
import pytest

from neurofm.downstream import demo
from neurofm.results import Results, score


def archive_of(folder, n):
    for k in range(n):
        path = folder / f"sub-{k:02d}" / "eeg" / f"sub-{k:02d}_task-rest_eeg.edf"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"0" * 300)
    return demo.DemoConfig(data=str(folder))


@pytest.mark.parametrize(("n", "validation", "test"), [
    (2, [], ["01"]), (3, ["01"], ["02"]), (9, ["07"], ["08"])])
def test_of_few_people_one_is_kept_for_each_purpose(tmp_path, n, validation, test):
    assert demo.splits(archive_of(tmp_path, n)) == [
        f"--splits.validation={json.dumps(validation)}", f"--splits.test={json.dumps(test)}"]


def test_many_people_are_split_by_shares_and_one_is_refused(tmp_path):
    assert demo.splits(archive_of(tmp_path / "many", 10)) == []
    with pytest.raises(ValueError, match=r"two people or more, .* found 1"):
        demo.splits(archive_of(tmp_path / "one", 1))


def test_splits_that_are_given_are_passed_on(tmp_path):
    run = archive_of(tmp_path, 3)
    run.splits.test = ["00"]
    assert demo.splits(run) == ['--splits.test=["00"]']


def test_people_are_known_by_names_of_files(tmp_path):
    """Two files a person, which are no BIDS names."""
    for name in ("P1_rest", "P1_calc", "P2_rest", "P2_calc"):
        (tmp_path / f"{name}.edf").write_bytes(b"0" * 300)
    run = demo.DemoConfig(data=str(tmp_path), files=[{"pattern": r"(?P<subject>P\d)_"}])
    assert demo.splits(run) == ["--splits.validation=[]", '--splits.test=["P2"]']


def test_a_step_that_fails_stops_the_demo(tmp_path, capsys):
    with pytest.raises(SystemExit, match="neurofm verify ended with status 1"):
        demo.step("verify", tmp_path / "nothing")
    with pytest.raises(SystemExit, match="status 2"):
        demo.step("ingest", "--no_such_option=1")
    assert "$ neurofm verify" in capsys.readouterr().out


def test_the_last_screen_has_the_numbers_of_the_results(tmp_path):
    (tmp_path / "corpus").mkdir()
    pd.DataFrame({"subject": ["a", "a", "b"]}).to_feather(tmp_path / "corpus/recordings.arrow")
    for folder, value in (("reconstruction", 0.81), ("unseen_device/reconstruction", 0.72)):
        (tmp_path / folder).mkdir(parents=True)
        Results("reconstruction", scores=[
            score("model", "pearson", value - 0.5, n=1, sensors="19 eeg"),
            score("pca16", "pearson", 0.99, n=4, sensors="64 eeg"),
            {**score("model", "pearson", value, n=4, sensors="64 eeg"), "low": 0.7, "high": 0.9},
        ]).save(tmp_path / folder)
    (tmp_path / "evaluation").mkdir()
    Results("decoding", scores=[
        {**score(method, "balanced_accuracy", value, n=4), "low": 0.55, "high": 0.85,
         "chance": 0.5, "chance_high": 0.6}
        for method, value in (("frozen_recentered", 0.66), ("csp_lda", 0.64))],
    ).save(tmp_path / "evaluation")
    said = demo.ending(demo.DemoConfig(out=str(tmp_path)), 252)
    assert "3 recordings of 2 people" in said
    assert "in 4:12 min" in said
    rows = [line for line in said.splitlines() if " to 0." in line]
    assert len(rows) == 4
    for row, text in zip(rows, ("0.810  0.700 to 0.900   0", "0.720  0.700 to 0.900   0",
                                "0.660  0.550 to 0.850   0.50, up to 0.60",
                                "0.640  0.550 to 0.850   0.50, up to 0.60"), strict=True):
        assert row.endswith(text)
    assert "64 eeg" in rows[0]  # the device with most people
    assert said.splitlines()[-5:-3] == ["", "Try next, with a file of your own (EDF, FIF, "
                                        "BrainVision, …)"]
    assert max(map(len, said.splitlines())) <= 140
