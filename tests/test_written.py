"""What stands where text is wanted keeps its spelling: YAML, JSON and the command line."""

import json

import pytest

from neurofm import config
from neurofm.preprocessing.ingest import IngestConfig


def _parsed(*words):
    return config.parse(IngestConfig, ["a.edf", "--out", "o", *map(str, words)], command="ingest",
                        positional="paths")


@pytest.mark.parametrize("glue", [False, True])
def test_cases_numbers_in_yaml_are_text_where_text_is_wanted(tmp_path, glue):
    file = tmp_path / "a run.yaml"
    file.write_text("label:\n  source: event\n  mapping: {1: left, 02: 0, off: yes}\n"
                    "splits:\n  test: [020, 21, 1e3, sub-7]\n  seed: 3\nrename: {1: Fp1}\n"
                    "dataset: 007\ncontract: {window_s: 2}\n"
                    "files:\n- {pattern: abc, subject: 03, run: 1}\n")
    run = _parsed(f"--config={file}") if glue else _parsed("--config", file)
    assert run.label.mapping == {"1": "left", "02": "0", "off": "yes"}
    assert (run.splits.test, run.splits.seed) == (["020", "21", "1e3", "sub-7"], 3)
    assert (run.rename, run.dataset) == ({"1": "Fp1"}, "007")
    assert run.contract.window_s == 2
    assert run.files == [{"pattern": "abc", "subject": "03", "run": "1"}]


def test_cases_numbers_on_the_command_line_and_in_json(tmp_path):
    run = _parsed("--label.source=event", "--label.mapping", "{1: left, 2: 5}",
                  "--splits.test=[01, 20]", "--rename={1: Fp1}", "--splits.fractions",
                  "[.5, .2, .3]")
    assert run.label.mapping == {"1": "left", "2": "5"}
    assert (run.splits.test, run.splits.fractions) == (["01", "20"], (0.5, 0.2, 0.3))
    assert run.rename == {"1": "Fp1"}
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"label": {"source": "event", "mapping": {"1": 0}},
                                "splits": {"test": [20, 21]}}))
    run = _parsed("--config", file)
    assert (run.label.mapping, run.splits.test) == ({"1": "0"}, ["20", "21"])


def test_bad_input_a_mapping_without_a_label(tmp_path, capsys):
    file = tmp_path / "run.yaml"
    file.write_text("label:\n  source: event\n  mapping: {1: }\n")
    with pytest.raises(SystemExit):
        _parsed("--config", file)
    assert "label.mapping: wanted a text, got None" in capsys.readouterr().err
