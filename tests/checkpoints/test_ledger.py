"""Whom a checkpoint has seen: people by name, and data sets of which nobody listed the people."""

import numpy as np
import pandas as pd
import pytest

from neurofm import checkpoints
from neurofm.data.corpus import Corpus
from tests.support import planted

PUBLISHED = {
    "weights": "org/model", "licence": "MIT", "paper": "arXiv 0",
    "datasets": ["ds000117", "Cam-CAN"],
    "note": "recordings are not listed",
}


@pytest.mark.parametrize(("dataset", "known"), [
    ("ds000117", True), ("ds000117-1.0.6", True), ("DS000117-download", True),
    ("camcan", True), ("Cam_CAN", True), ("cam-can-1.2", True),
    ("ds0001170", False), ("ds000118", False), ("camcan1630", False), ("", False), (None, False),
])
def test_a_data_set_is_known_however_its_folder_is_spelled(dataset, known):
    said = checkpoints.doubt({"recordings": [], "published": [PUBLISHED]}, [dataset, "mine"])
    assert (said is not None) == known
    if known:
        name = "Cam-CAN" if "am" in dataset else "ds000117"
        assert f"its training data included data set {name}; " in said
        assert "not known" in said


def test_several_data_sets_and_ledgers_without_any():
    said = checkpoints.doubt({"recordings": [], "published": [PUBLISHED]}, ["camcan", "ds000117"])
    assert "data sets Cam-CAN, ds000117;" in said
    assert checkpoints.doubt(None, ["ds000117"]) is None
    assert checkpoints.doubt({"recordings": []}, ["ds000117"]) is None


def test_nobody_is_said_to_have_been_seen_who_is_only_in_doubt():
    recordings = pd.DataFrame({"recording": ["a"], "dataset": ["ds000117"], "subject": ["01"]})
    assert len(checkpoints.seen({"recordings": [], "published": [PUBLISHED]}, recordings)) == 0


def test_what_is_trained_on_published_weights_keeps_the_doubt(tmp_path):
    corpus = Corpus.open(planted.make_corpus(tmp_path / "corpus", n_windows=2))
    parent = {"recordings": [], "published": [PUBLISHED]}
    ledger = checkpoints.training_ledger(corpus, {"train": np.arange(2)}, parent)
    assert ledger["published"] == [PUBLISHED]
    assert len(ledger["recordings"]) == 1
    folder = planted.make_backbone(tmp_path / "model", ledger)
    assert checkpoints.doubt(checkpoints.read_ledger(folder), ["ds000117"])
    card = (folder / "README.md").read_text()
    assert "org/model (MIT; arXiv 0), trained on ds000117, Cam-CAN" in card
    assert "license:" not in card  # trained further: not for us to say
    own = checkpoints.training_ledger(corpus, {"train": np.arange(2)})
    assert set(own) == {"recordings", "datasets"}
    assert own["datasets"] == {"planted": {}}  # nothing was stated of its terms
