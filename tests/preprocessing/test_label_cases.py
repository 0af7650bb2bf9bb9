"""Windows at events longer than a window, labels beside a recording, splits with every label."""

import numpy as np
import pandas as pd
import pytest

from neurofm.data.recording import Events
from neurofm.preprocessing import archive, labels, readers
from neurofm.preprocessing.labels import LabelRule
from neurofm.preprocessing.readers import ReadError
from neurofm.preprocessing.splits import SplitRule, assign
from neurofm.preprocessing.steps.refusal import ContractError

STAGES = {"Sleep stage W": "W", "Sleep stage 1": "N1", "Sleep stage 2": "N2",
          "Sleep stage 3": "N3", "Sleep stage 4": "N3", "Sleep stage R": "R"}


@pytest.fixture(scope="module")
def night(make_raw):
    """A recording of 600 s."""
    return readers.from_raw(make_raw(n_channels=4, seconds=600, sfreq=100))


def _with(recording, *rows):
    """The recording with events (onset, duration, label)."""
    onset, duration, label = zip(*rows, strict=True)
    return recording.with_(events=Events(np.array(onset, float), np.array(duration, float), label))


def test_cases_stages_longer_than_a_window_give_all_windows(night):
    hypnogram = _with(night, *((90 * i, 90, stage) for i, stage in enumerate(STAGES)))
    rule = LabelRule("event", mapping=STAGES)
    cuts = labels.cuts(hypnogram, rule, 30.0)
    assert cuts.onsets_s.tolist() == [30.0 * i for i in range(18)]
    assert cuts.labels == [stage for stage in STAGES.values() for _ in range(3)]
    assert (cuts.n_mixed, cuts.n_long) == (0, 6)
    once = labels.cuts(hypnogram, LabelRule("event", mapping=STAGES, within="onset"), 30.0)
    assert once.onsets_s.tolist() == [90.0 * i for i in range(6)]


def test_cases_other_events_give_one_window_unless_told(night):
    blocks = _with(night, (0, 60, "rest"), (60, 60, "task"))
    names = {"rest": "rest", "task": "task"}
    assert labels.cuts(blocks, LabelRule("event", mapping=names), 20.0).onsets_s.tolist() == [0, 60]
    rule = LabelRule("event", mapping=names, within="every", tmin_s=5.0)
    cuts = labels.cuts(blocks, rule, 20.0, 10.0)
    assert cuts.onsets_s.tolist() == [5, 15, 25, 35, 65, 75, 85, 95]


def test_cases_a_window_holds_one_label(night):
    rule = LabelRule("event", mapping={"rest": "rest", "press": "press"}, within="every")
    inside = _with(night, (0, 60, "rest"), (25, 0, "press"), (100, 0, "press"), (200, 40, "rest"))
    cuts = labels.cuts(inside, rule, 20.0)
    assert cuts.onsets_s.tolist() == [0, 40, 100, 200, 220]  # at 20 and 25 s the label changes
    assert cuts.labels == ["rest", "rest", "press", "rest", "rest"]
    assert cuts.n_mixed == 2
    same = _with(night, (0, 60, "rest"), (25, 0, "rest"))
    assert labels.cuts(same, rule, 20.0).n_mixed == 0
    with pytest.raises(ContractError, match="labels change inside every one"):
        labels.cuts(_with(night, (0, 60, "rest"), (0, 60, "press")), rule, 20.0)


def test_cases_short_epochs_of_one_stage_are_one_stretch(night):
    scored = _with(night, *((20 * i, 20, "Sleep stage 2" if i < 6 else "Sleep stage R")
                            for i in range(12)))
    cuts = labels.cuts(scored, LabelRule("event", mapping=STAGES), 30.0)
    assert cuts.onsets_s.tolist() == [0, 30, 60, 90, 120, 150, 180, 210]
    rounded = _with(night, (0, 89.996, "Sleep stage 1"), (90, 89.996, "Sleep stage 2"))
    assert len(labels.cuts(rounded, LabelRule("event", mapping=STAGES), 30.0).labels) == 6


def test_cases_onsets_that_are_nan_and_negative_durations(night):
    odd = _with(night, (np.nan, 1, "a"), (3, -1, "a"), (9, np.nan, "a"))
    for within in ("onset", "every"):
        rule = LabelRule("event", mapping={"a": "a"}, within=within)
        assert labels.cuts(odd, rule, 2.0).onsets_s.tolist() == [3, 9]


def _hypnogram(folder, suffix, name="SC4001EC-Hypnogram"):
    """Six stages of 90 s as a file of the kind `suffix`."""
    rows = [(90 * i, 90, stage) for i, stage in enumerate(STAGES)]
    file = folder / f"{name}{suffix}"
    if suffix == ".edf":
        edfio = pytest.importorskip("edfio")
        edfio.Edf([], annotations=[edfio.EdfAnnotation(*row) for row in rows]).write(file)
    elif suffix == ".tsv":
        file.write_bytes("\r\n".join(["onset\tduration\tstage", *(
            "\t".join(map(str, row)) for row in rows)]).encode("utf-16"))
    elif suffix == ".csv":
        file.write_text("# MNE-Annotations\n# onset, duration, description\n" + "".join(
            f"{onset}.0,{length}.0,{stage}\n" for onset, length, stage in rows))
    else:
        file.write_text("".join(f"{stage}\n" * 3 for _, _, stage in rows))
    return file


@pytest.mark.parametrize("source", ["event", "sidecar"])
@pytest.mark.parametrize("suffix", [".edf", ".tsv", ".csv", ".txt"])
def test_cases_hypnogram_beside_its_night(tmp_path, make_raw, save, suffix, source, night):
    save(make_raw(n_channels=4, seconds=1, sfreq=100), tmp_path / "SC4001E0-PSG.edf")
    file = _hypnogram(tmp_path, suffix)
    rule = LabelRule(source, mapping=STAGES)
    (job,) = archive.find([str(tmp_path)], beside=rule.beside).jobs
    assert (job.source.split("/")[-1], job.companions[0][0]) == ("SC4001E0-PSG.edf", str(file))
    cuts = labels.cuts(labels.with_sidecar(night, rule, job.path), rule, 30.0)
    assert cuts.onsets_s.tolist() == [30.0 * i for i in range(18)]
    assert cuts.labels == [stage for stage in STAGES.values() for _ in range(3)]


def test_cases_a_pattern_names_the_sidecar(tmp_path, make_raw, save, night):
    path = save(make_raw(n_channels=4, seconds=1, sfreq=100), tmp_path / "p7_eeg.edf")
    _hypnogram(tmp_path, ".txt", "p7_scored")
    rule = LabelRule("sidecar", sidecar={r"(p\d)_eeg": r"\1_scored.txt"}, epoch_s=20.0)
    found = labels.with_sidecar(_with(night, (5, 1, "noise"), (50, 2, "BAD_jump")), rule, str(path))
    assert set(found.events.label) == {*STAGES, "BAD_jump"}
    cuts = labels.cuts(found, rule, 20.0)
    assert cuts.onsets_s.tolist() == [20.0 * i for i in range(18)]
    assert cuts.labels[:4] == [*["Sleep stage W"] * 3, "Sleep stage 1"]


def test_bad_input_annotations_alone_are_no_recording(tmp_path):
    with pytest.raises(ReadError, match=r"holds annotations and no signal"):
        readers.read(_hypnogram(tmp_path, ".edf"))


def test_bad_input_of_sidecars(tmp_path, make_raw, save, night):
    path = str(save(make_raw(n_channels=4, seconds=1, sfreq=100), tmp_path / "p7-PSG.edf"))
    with pytest.raises(ReadError, match="no file with its labels beside it"):
        labels.with_sidecar(night, LabelRule("sidecar"), path)
    (tmp_path / "p7-Hypnogram.tsv").write_text("epoch\tonset\twho\n1\t2\tme\n")
    with pytest.raises(ReadError, match=r"p7-PSG.edf: p7-Hypnogram.tsv: wanted labels"):
        labels.with_sidecar(night, LabelRule("sidecar"), path)
    _hypnogram(tmp_path, ".txt", "p7-Hypnogram")
    with pytest.raises(ReadError, match=r"p7-Hypnogram.tsv, p7-Hypnogram.txt; write label.sidecar"):
        labels.with_sidecar(night, LabelRule("sidecar"), path)
    with pytest.raises(ValueError, match=r"label.within would be ignored"):
        LabelRule("entity", "task", within="every")
    with pytest.raises(ValueError, match="is no regular expression"):
        LabelRule("sidecar", sidecar={"(": "x"})


def _people(n, label):
    """Recordings of n people, and the labels of each."""
    table = pd.DataFrame([{"dataset": "a", "subject": f"{i:02d}", "session": None, "task": "go",
                           "attributes": {}} for i in range(n)])
    return table, [label(i) for i in range(n)]


@pytest.mark.parametrize("seed", range(8))
def test_cases_every_split_has_every_label(seed):
    rule = SplitRule(seed=seed)
    table, said = _people(12, lambda i: {"patient" if i % 2 else "control"})
    split = assign(table, rule, said)
    for name in ("train", "validation", "test"):
        assert set().union(*(one for one, at in zip(said, split, strict=True) if at == name)) == {
            "patient", "control"}
    back = assign(table[::-1].reset_index(drop=True), rule, said[::-1])
    assert back[::-1] == split


def test_cases_splits_move_only_where_a_label_is_missing():
    table, said = _people(300, lambda i: {"patient" if i % 2 else "control"})
    assert assign(table, SplitRule(), said) == assign(table, SplitRule())
    ages = [{str(20 + i)} for i in range(300)]
    assert assign(table, SplitRule(), ages) == assign(table, SplitRule())
    two, rare = _people(9, lambda i: {"a"} if i < 2 else {"b"})  # two people: no three splits
    split = assign(two, SplitRule(), rare)
    assert split[:2] == assign(two, SplitRule())[:2]
    half = assign(*_people(6, lambda i: {"a", "b"})[:1], SplitRule(fractions=(0.5, 0.0, 0.5)),
                  [{"a", "b"}] * 6)
    assert set(half) == {"train", "test"}


def test_cases_ingest_says_how_windows_lie_in_events(tmp_path, make_raw, save, ingest, quick):
    import mne

    raw = make_raw(seconds=60)
    raw.set_annotations(mne.Annotations([0, 20], [20, 20], ["Sleep stage W", "Sleep stage 2"]))
    save(raw, tmp_path / "lab" / "a_raw.fif")
    words = ("--label.source", "event", "--label.mapping", "{Sleep stage W: W, Sleep stage 2: N2}",
             *quick)
    every = ingest(tmp_path / "lab", *words)
    assert "windows     all that lie in an event of one label" in every.text
    assert every.corpus.windows["label"].tolist() == ["W"] * 5 + ["N2"] * 5
    once = ingest(tmp_path / "lab", *words, "--label.within", "onset", "--out", tmp_path / "once")
    assert "2 events last two windows or longer and give one each" in once.text
    assert once.corpus.windows["start_s"].tolist() == [0, 20]


def test_cases_an_event_that_the_mapping_does_not_name_has_no_label(night):
    """Also where the mapping names an event "None"."""
    events = _with(night, (10, 0, "None"), (20, 0, "button"))
    cuts = labels.cuts(events, LabelRule("event", mapping={"None": "rest"}), 2.0)
    assert (cuts.onsets_s.tolist(), cuts.labels) == ([10.0], ["rest"])
