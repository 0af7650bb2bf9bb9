"""`neurofm list`: every name there is, with a line that says something."""

import pytest

from neurofm import cli, models
from neurofm.downstream import baselines, tasks
from neurofm.downstream.list import LISTS
from neurofm.preprocessing import steps


@pytest.mark.parametrize("kind", LISTS)
def test_a_line_each(kind, capsys):
    assert cli.main(["list", kind]) == 0
    rows = [line.partition("  ") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(LISTS[kind]()) >= 4
    for name, _, line in rows:
        assert len(line.split()) >= 3, f"{name} has no line of its own"
        assert "et al." not in line


def test_nothing_is_forgotten():
    assert set(LISTS["models"]()) | set(LISTS["tokenizers"]()) == set(models.names())
    assert set(models.OF_LABELS) == {
        name for name in models.names() if models.find(name).needs_labels}
    assert set(LISTS["tasks"]()) == set(tasks.names())
    assert {name for name in baselines.names() if not name.endswith("_recentered")} == set(
        LISTS["baselines"]())
    assert [step.name for step in steps.ORDER] == list(LISTS["steps"]())
    assert {"ingest", "evaluate", "list"} <= set(LISTS["commands"]())


def test_without_a_kind_it_says_what_can_be_listed(capsys):
    assert cli.main(["list"]) == 0
    said = capsys.readouterr().out
    assert all(f"neurofm list {kind}" in said for kind in LISTS)


def test_bad_input_an_unknown_kind_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["list", "model"])
    assert stopped.value.code == 2
    assert "did you mean 'models'?" in capsys.readouterr().err
