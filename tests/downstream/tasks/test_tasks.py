"""Tasks: each is complete, and a corpus without its labels is told what to do."""

import dataclasses

import pytest
import yaml

from neurofm.data.corpus import Corpus
from neurofm.downstream import tasks
from neurofm.downstream.benchmarks.decoding.setup import present
from neurofm.preprocessing.labels import LabelRule


@pytest.mark.parametrize("name", tasks.INDEX)
def test_task_is_whole_and_its_labels_can_be_ingested(name):
    task = tasks.find(name)
    assert task.question.endswith("?")
    assert task.metric == ("mean absolute error" if task.number else "balanced accuracy")
    if task.label:
        rule = LabelRule(**yaml.safe_load(task.label)["label"])
        assert rule.source != "none"
        assert task.trial == ("event" if rule.source == "event" and name != "sleep_stage"
                              else "subject" if rule.source == "participant" else "recording")


def test_bad_input_unknown_task():
    with pytest.raises(ValueError, match="did you mean 'sleep_stage'"):
        tasks.find("sleep_stages")


def test_classes_of_a_task_must_be_there(planted):
    corpus = Corpus.open(planted.corpus)
    assert present(tasks.find("labels"), corpus) == ()
    asked = dataclasses.replace(tasks.find("eyes"), classes=("right", "left"))
    assert present(asked, corpus) == ("right", "left")
    with pytest.raises(ValueError, match="labeled left, right; ingest again"):
        present(tasks.find("sleep_stage"), corpus)
