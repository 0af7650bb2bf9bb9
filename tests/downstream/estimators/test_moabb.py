"""MOABB: its evaluations take our pipelines, and its data sets become our corpora."""

import sys

import mne
import numpy as np
import pytest
import yaml

from neurofm.data.corpus import Corpus
from neurofm.downstream.estimators.moabb_adapter import MOABBClassifier, band_of, pipelines
from neurofm.downstream.finetune import main as finetune
from neurofm.preprocessing.ingest import main as ingest

CHANNELS = ("F3", "Fz", "F4", "C3", "Cz", "C4", "P3", "Pz", "P4", "O1")
HANDS = {"left_hand": "C4 F4 P4", "right_hand": "C3 F3 P3"}  # where their rhythm goes
QUICK = {"n_steps": 40, "random_state": 0}


@pytest.fixture(scope="module")
def moabb(tmp_path_factory):
    """The package, its configuration in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("_MNE_FAKE_HOME_DIR", str(home))
        patch.setenv("MNE_DATA", str(home))
        yield pytest.importorskip("moabb", reason="pip install 'neurofm[moabb]'", exc_type=
                                  ImportError)


@pytest.fixture(scope="module")
def fake(moabb):
    """MOABB's fake data set (white noise of 6 people), with a 10 Hz rhythm that the hand moves."""
    from moabb.datasets.fake import FakeDataset

    class PlantedDataset(FakeDataset):
        def __init__(self, n_subjects=6, n_sessions=1):
            super().__init__(
                event_list=tuple(HANDS), n_subjects=n_subjects, n_sessions=n_sessions, n_runs=1,
                channels=CHANNELS, duration=100, n_events=30, seed=3, code="Planted",
            )

        def _generate_raw(self, n_events, duration):
            raw = super()._generate_raw(n_events, duration)
            events = mne.find_events(raw, shortest_event=0, verbose="ERROR")
            time = np.arange(3 * self.sfreq) / self.sfreq
            for onset, _, code in events:
                for number, names in enumerate(HANDS.values(), start=1):
                    rhythm = (number != code) * 6e-5 * np.sin(2 * np.pi * 10 * time)
                    rows = [raw.ch_names.index(name) for name in names.split()]
                    raw._data[rows, onset : onset + len(time)] += rhythm
            return raw

    return PlantedDataset


def evaluate(kind, dataset, model, out, pipes=None, **how):
    from moabb.paradigms import LeftRightImagery

    paradigm = LeftRightImagery(tmin=0, tmax=2, **band_of(model))
    evaluation = kind(paradigm, [dataset], return_epochs=True, hdf5_path=str(out), overwrite=True,
                      random_state=0, **how)
    return evaluation.process(pipes or pipelines(str(model), **QUICK))


def test_evaluation_within_a_session(moabb, fake, planted, tmp_path):
    from moabb.evaluations import WithinSessionEvaluation

    pipes = pipelines(str(planted.backbone), **QUICK)
    pipes["neurofm_auto"].set_params(model=None, views=("power", "spatial_patterns"))
    table = evaluate(WithinSessionEvaluation, fake(n_subjects=1), planted.backbone, tmp_path, pipes,
                     n_splits=3)
    assert set(table["pipeline"]) == {"neurofm_auto", "neurofm", "neurofm_embedding_lr"}
    assert len(table) == 3
    assert table["score"].min() > 0.75, table[["pipeline", "score"]]


def test_evaluation_of_people_never_seen(moabb, fake, planted, tmp_path):
    from moabb.evaluations import CrossSubjectEvaluation

    pipes = {"neurofm": pipelines(str(planted.backbone), **QUICK)["neurofm"]}
    table = evaluate(CrossSubjectEvaluation, fake(n_subjects=3), planted.backbone, tmp_path, pipes)
    assert sorted(table["subject"]) == ["1", "2", "3"]
    assert table["score"].mean() > 0.8, table["score"].tolist()


def test_evaluation_pipeline_knows_whose_epochs_are_whose(moabb, fake, planted, monkeypatch):
    from moabb.paradigms import LeftRightImagery

    from neurofm.downstream.estimators import sklearn_face as estimators

    paradigm = LeftRightImagery(tmin=0, tmax=2, **band_of(planted.backbone))
    x, y, metadata = paradigm.get_data(fake(n_subjects=4), return_epochs=True)
    seen = []

    def watched(classes, groups, *rest):
        seen.append(groups)
        return held_out(classes, groups, *rest)

    held_out = estimators.held_out
    monkeypatch.setattr(estimators, "held_out", watched)
    model = MOABBClassifier(str(planted.backbone), n_steps=10, random_state=0)
    model.fit(x, y)
    assert (seen[0] == metadata["subject"].astype(str)).all()
    model.fit(x[:60], y[:60])  # two people: one of them would be half of all
    assert seen[1] is None


def test_evaluation_data_become_a_corpus(moabb, fake, planted, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(moabb.datasets, "PlantedDataset", fake, raising=False)
    contract = planted.backbone / "preprocessor_config.json"
    words = ["--moabb=PlantedDataset", f"--out={tmp_path / 'corpus'}", "--workers=1",
             "--moabb_options.paradigm_args.tmax=2", f"--contract={contract}",
             "--splits.validation=['004']", "--splits.test=['005','006']"]
    assert ingest(words) == 0
    assert "6 recordings written" in capsys.readouterr().out
    assert ingest(words) == 0
    said = capsys.readouterr().out
    assert "0 recordings written, 6 were there already" in said
    assert "nothing is new: nothing to do" in said
    files = sorted(path.name for path in (tmp_path / "corpus" / ".ingest/moabb").glob("*.fif"))
    assert files[0] == "sub-001_ses-0_task-imagery_run-0_eeg.fif"

    corpus = Corpus.open(tmp_path / "corpus")
    assert corpus.windows["label"].value_counts().to_dict() == {name: 90 for name in HANDS}
    assert sorted(corpus.recordings["subject"]) == [f"{i:03d}" for i in range(1, 7)]
    assert set(corpus.recordings["dataset"]) == {"PlantedDataset"}
    assert corpus.contract.window_s == 2

    out = tmp_path / "decoder"
    assert finetune([f"--data={tmp_path / 'corpus'}", f"--model={planted.backbone}",
                     f"--out={out}", "--decoder=network", "--train.steps=60"]) == 0
    metrics = yaml.safe_load((out / "test" / "metrics.json").read_text())
    assert metrics["balanced_accuracy"] > 0.8


def test_evaluation_data_that_do_not_fit_are_refused(
    moabb, fake, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(moabb.datasets, "PlantedDataset", fake, raising=False)
    cases = {
        ("PlantedDatset",): "did you mean 'PlantedDataset'",
        ("PlantedDataset", "paradigm=P300"): "has the events left_hand, right_hand",
        ("PlantedDataset", "paradigm=LeftHandImagery"): "did you mean 'LeftRightImagery'",
        ("PlantedDataset", "subjects=[1,17]"): r"no subjects \[17\]; it has 1 to 6",
        ("PlantedDataset", "dataset_args.subjcts=3"): "subjcts",
    }
    for (name, *options), said in cases.items():
        words = [f"--moabb={name}", *(f"--moabb_options.{option}" for option in options)]
        with pytest.raises(ValueError, match=said):
            ingest([*words, f"--out={tmp_path / 'archive'}"])
        assert not (tmp_path / "archive").exists()
    with pytest.raises(SystemExit):
        ingest(["--moabb=PlantedDataset", "folder", f"--out={tmp_path / 'archive'}"])
    assert "is ingested alone" in capsys.readouterr().err


def test_evaluation_without_moabb_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "moabb.datasets", None)
    with pytest.raises(ValueError, match=r"pip install \"neurofm\[moabb\]\""):
        ingest(["--moabb=FakeDataset", f"--out={tmp_path / 'archive'}"])
