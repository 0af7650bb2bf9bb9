"""The public names of `neurofm`: complete, lazy, and nothing else."""

import subprocess
import sys

import pytest

import neurofm
from neurofm import models


@pytest.mark.parametrize("name", dir(neurofm))
def test_every_name_is_there(name):
    assert getattr(neurofm, name).__name__ == name


def test_every_model_and_tokenizer_is_named():
    for name in models.INDEX:
        model = models.find(name)
        assert getattr(neurofm, model.__name__) is model
        assert getattr(neurofm, model.config_class.__name__) is model.config_class


def test_nothing_else_is_shown_and_nothing_is_loaded():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, neurofm; names = "
         "dir(neurofm); print(*names); print({'torch', 'mne', 'pandas', 'numpy'} & "
         "set(sys.modules))"], capture_output=True, text=True, check=True)
    names, loaded = done.stdout.splitlines()
    assert {"load", "embed", "BrainOmni", "Sensors"} <= set(names.split())
    assert not {"cache", "import_module", "when_imported", "annotations"} & set(names.split())
    assert not [name for name in names.split() if name.startswith("_")]
    assert loaded == "set()"


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'BrainOmnia'"):
        _ = neurofm.BrainOmnia
