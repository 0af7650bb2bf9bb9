"""The runs in `configs/preprocessing` make of the real recordings what their comments say."""

import numpy as np
import pytest

from neurofm.data.corpus import Corpus


def _counts(corpus: Corpus, windows=None) -> dict[str, int]:
    labels = corpus.labels(np.arange(len(corpus)) if windows is None else windows)
    return {label: int((labels == label).sum()) for label in sorted(set(labels))}


def _made(ingest, repo, path, name) -> Corpus:
    outcome = ingest(path, "--config", repo / "configs" / "preprocessing" / f"{name}.yaml")
    assert outcome.status == 0, outcome.text
    return outcome.corpus


def test_eyes(data, ingest, repo):
    corpus = _made(ingest, repo, data / "eegmmidb", "eegmmidb_eyes")
    assert _counts(corpus) == {"closed": 15, "open": 16}  # R02 lasts 60 s, R01 61
    assert set(corpus.recordings["run"]) == {"01", "02"}


def test_words(data, ingest, repo):
    corpus = _made(ingest, repo, data / "meg_readers" / "subject04-epo.fif", "n400")
    assert _counts(corpus) == {"related": 100, "unrelated": 100}
    # A window is an epoch, to the sample, and nothing was filtered again.
    assert np.allclose(corpus.windows["start_s"], 1.2 * np.arange(200))
    assert {corpus.signal(i).shape for i in range(200)} == {(32, 60)}
    assert corpus.recordings["subject"].tolist() == ["04"]
    # The file says a low-pass at 15 Hz; the open band of the contract ends at 20 Hz.
    assert '"band_missing_hz": [[15.0, 20.0]]' in corpus.recordings["quality"][0]


def test_directions_of_a_hand(data, ingest, repo):
    corpus = _made(ingest, repo, data / "meg_hand_direction", "meg_hand_direction")
    assert _counts(corpus) == {"direction 0": 54, "direction 1": 70, "direction 2": 55,
                               "direction 3": 55}
    for run, part in (("1", "train"), ("2", "test")):
        windows = corpus.select(run=run)
        wanted = np.load(data / f"meg_hand_direction/y_{part}.npy")
        assert corpus.labels(windows).tolist() == [f"direction {k}" for k in wanted]
        assert np.allclose(corpus.windows["start_s"][windows], np.arange(len(wanted)))
    assert set(corpus.recordings["subject"]) == {"1"}
    assert np.isfinite(corpus.signal(0)).all()
    (layout,) = corpus.layouts.values()
    assert np.isnan(layout.position).all()


@pytest.mark.parametrize("name", ["sex", "age"])
def test_people(data, ingest, repo, name):
    corpus = _made(ingest, repo, data / "eegmat", f"eegmat_{name}")
    assert len(corpus) == 400
    if name == "age":
        assert _counts(corpus)["17"] == 180
        return
    assert _counts(corpus) == {"F": 320, "M": 80}
    people = {split: {label: len(set(corpus.subjects(found[corpus.labels(found) == label])))
                      for label in ("F", "M")}
              for split in ("train", "validation", "test")
              for found in [corpus.select(split)]}
    assert people == {"train": {"F": 10, "M": 2}, "validation": {"F": 3, "M": 1},
                      "test": {"F": 3, "M": 1}}
