"""Attribution maps: they lie over the sources that differ, on physics and on planted rhythms, and
mark nothing where labels mean nothing."""

import json

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurofm import checkpoints
from neurofm.data import corpus as corpora
from neurofm.data.corpus import Corpus
from neurofm.downstream.baselines import spectra
from neurofm.downstream.explain import in_words
from neurofm.downstream.explain import main as explain
from neurofm.downstream.finetune import main as finetune
from neurofm.downstream.scoring import attribution, attribution_figure
from neurofm.downstream.scoring.attribution_figure import flattened
from neurofm.preprocessing.ingest import main as ingest
from neurofm.preprocessing.simulate import main as simulate
from neurofm.preprocessing.simulation import DEVICES, brain, seed_of
from tests.support import planted as planted_module

CLASSES = ("left", "right")
PEOPLE = 10  # simulated; the last four judge


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """(archive, labeled corpus) of ten people who imagine moving a hand, 32 electrodes."""
    folder = tmp_path_factory.mktemp("simulated")
    archive, trials = folder / "archive", folder / "trials"
    assert simulate([f"--out={archive}", f"--subjects={PEOPLE}", "--always=[eeg32]", "--devices=[]",
                     "--devices_per_subject=0"]) == 0
    assert ingest([str(archive), f"--out={trials}", "--contract.window_s=4",
                   "--label.source=event", '--label.mapping={"left": "left", "right": "right"}',
                   "--splits.fractions=[0,0,1]", "--workers=1"]) == 0
    return archive, Corpus.open(trials)


def truth(archive, number: int) -> tuple[np.ndarray, np.ndarray]:
    """What a simulated person's 8 to 30 Hz do, [channel]: log power in right minus left trials, as
    expected from lead field, couplings, reactions and the sensors' noise; and the amplitude of
    what drives it, right hemisphere minus left."""
    known = np.load(archive / f"truth/sub-{number:03d}_ses-eeg32_task-imagery_run-01.npz")
    generators = brain(seed_of(0, "brain", number)).generators
    assert [each.name for each in generators] == known["generator"].tolist()
    amplitude = known["lead_field"] @ known["coupling"]
    power = np.square(amplitude - amplitude.mean(axis=0))  # average reference; independent, so sums
    hz = np.arange(0.1, 200, 0.05)
    inside = (hz >= 8) & (hz < 30)
    plan = DEVICES["eeg32"]
    noise = plan.noise_density**2 * (1 + plan.noise_corner_hz / hz)[inside].sum() * 0.05
    total = {label: np.full(len(power), noise) for label in CLASSES}
    driving = {side: np.zeros(len(power)) for side in CLASSES}
    for column, each in zip(power.T, generators, strict=True):
        if each.name == "blink":
            continue  # below 8 Hz
        if each.peak_hz is None:
            density = (hz**2 + each.knee_hz**2) ** (-each.exponent / 2)
        else:
            density = np.exp(-0.5 * ((hz - each.peak_hz) / each.width_hz) ** 2)
        here = column * density[inside].sum() / density.sum()
        for label in CLASSES:
            depth = each.ipsilateral if each.side == label else each.contralateral
            # Amplitude falls from 0.45 s on, by more or less (40 %) from trial to trial.
            left_over = 0.11 + 0.89 * ((1 - depth) ** 2 + (0.4 * depth) ** 2)
            total[label] += here * (left_over if each.side else 1.0)
        if each.side:
            driving[each.side] += here
    return (np.log(total["right"] / total["left"]),
            np.sqrt(driving["right"]) - np.sqrt(driving["left"]))


def chosen(corpus: Corpus, split: str = "test") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(windows, class indices, subjects) of a split."""
    windows = corpus.select(split)
    return (windows, np.array([CLASSES.index(label) for label in corpus.labels(windows)]),
            corpus.subjects(windows))


def by_person(corpus: Corpus, windows: np.ndarray) -> list[np.ndarray]:
    subjects = corpus.subjects(windows)
    return [np.flatnonzero(subjects == each) for each in np.unique(subjects)]


def log_power(corpus: Corpus, window: int) -> np.ndarray:
    power = spectra.covariances(corpus.signal(window), corpus.contract.sfreq)
    return np.log(np.diagonal(power, axis1=1, axis2=2)).ravel()


def sides(sensors) -> np.ndarray:
    """Log power at 8 to 13 Hz in planted windows "right" minus "left", as expected, [channel]."""
    n_times = round(planted_module.SFREQ * planted_module.WINDOW_S)
    hz = np.fft.rfftfreq(n_times, 1 / planted_module.SFREQ)
    alpha = hz[(hz >= 8) & (hz < 13)]
    background = 8 * np.sum(4 / alpha**2) / n_times**2  # eight 1/f sources, mixed by unit weights
    place = sensors.position / 0.09
    rhythm = np.array([np.exp(-np.square(place - [0.6 * side, 0, 1.1]).sum(1) / 0.3)
                       for side in (-1, 1)])
    left, right = 0.5 * np.square(0.6 * (rhythm - rhythm.mean(axis=1, keepdims=True)))
    weak = (1 - 0.9) ** 2
    return np.log((weak * left + right + background) / (left + weak * right + background))


def log_odds_of_side(corpus: Corpus, windows: np.ndarray) -> np.ndarray:
    """Probabilities [window, 2] of one who compares alpha on the two planted sides."""
    weight = sides(corpus.layout(windows[0]))
    odds = np.array([weight @ log_power(corpus, w).reshape(5, -1)[2] for w in windows.tolist()])
    p = 1 / (1 + np.exp(-odds))
    return np.stack([1 - p, p], axis=1)


def rewritten(corpus: Corpus, folder, *, turned=False, lacks=None, task_each=False):
    """A copy in which every second recording has its channels in another order, or lacks one; or in
    which two recordings are of one person and keep the windows of one label each."""
    recordings, windows = corpus.recordings.copy(), corpus.windows
    layouts, kept = {}, []
    for number in range(len(recordings)):
        odd = number % 2 == 1
        layout = corpus.layouts[recordings["layout"][number]]
        rows = np.arange(len(layout))
        if turned and odd:
            rows = np.random.default_rng(number).permutation(len(rows))
        if lacks and odd:
            rows = rows[[layout.names[row] != lacks for row in rows]]
        mine = windows.index[windows["recording"] == number]
        if task_each:
            mine = mine[windows["label"][mine] == CLASSES[odd]]
            recordings.loc[number, ["subject", "split"]] = [f"{number // 2:02d}", "test"]
        layouts[layout[rows].fingerprint] = layout[rows]
        recordings.loc[number, ["layout", "n_channels", "n_windows", "sha256"]] = [
            layout[rows].fingerprint, len(rows), len(mine),
            corpora.write_shard(folder, recordings["recording"][number],
                                [corpus.signal(w)[rows] for w in mine]),
        ]
        kept += [(number, row, windows["start_s"][w], windows["label"][w])
                 for row, w in enumerate(mine)]
    corpora.seal(folder, corpus.contract, recordings,
                 pd.DataFrame(kept, columns=["recording", "row", "start_s", "label"]), layouts,
                 pd.DataFrame(columns=["source", "reason"]), {})
    return folder


def test_patterns_of_a_baseline_lie_over_the_sources_that_the_simulation_drives(simulated):
    folder, corpus = simulated
    windows, target, subjects = chosen(corpus)
    x = np.stack([log_power(corpus, window) for window in windows])
    judged = np.isin(subjects, sorted(set(subjects))[-4:])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3)).fit(
        x[~judged], target[~judged])
    found, = attribution.of_answers(model.predict_proba(x[judged]), CLASSES, corpus,
                                    windows[judged], target[judged], draws=200)
    truths = [truth(folder, number) for number in range(PEOPLE - 3, PEOPLE + 1)]
    contrast, projection = (sum(each[k] for each in truths) for k in (0, 1))
    bands = list(found.bands)
    seen = found.pattern[0][:, [bands.index("alpha"), bands.index("beta")]].sum(axis=1)
    names = np.array(found.sensors.names)
    order = [found.sensors.names.index(name) for name in DEVICES["eeg32"].make_info()["ch_names"]]
    assert np.corrcoef(seen[order], contrast)[0, 1] > 0.8
    assert np.corrcoef(seen[order], projection)[0, 1] > 0.8
    assert (names[seen.argmin()], names[seen.argmax()]) == ("C3", "C4")
    assert found.p_labels[0] < 0.05
    assert "C3" in names[found.above[0].any(axis=1)]
    peak_hz = found.edges_hz[found.spectrum[0].argmax()]
    assert 8 <= peak_hz < 14  # mu, not the posterior rhythm's neighbors or the 1/f


def test_pattern_of_a_decoder_peaks_where_and_when_the_planted_rhythm_changes(planted, decoder):
    corpus = Corpus.open(planted.corpus)
    windows, target, _ = chosen(corpus, "test")
    found, = attribution.maps(checkpoints.load(decoder), corpus, windows, target, draws=200)
    alpha = found.pattern[0, :, list(found.bands).index("alpha")]
    assert np.corrcoef(alpha, sides(found.sensors))[0, 1] > 0.6
    assert np.abs(alpha).max() == np.abs(found.pattern[0]).max()
    assert found.above[0].any()
    assert found.edges_hz[found.spectrum[0].argmax()] in (9.0, 10.0)
    assert found.outputs == ("right",)


def test_labels_without_meaning_leave_nothing_marked(planted, tmp_path):
    folder = planted_module.make_corpus(tmp_path / "corpus", shuffled=True, seed=3)
    words = [f"--data={folder}", f"--model={planted.backbone}", f"--out={tmp_path / 'decoder'}"]
    assert finetune([*words, "--decoder=network", "--train.steps=40", "--train.lr=1e-3"]) == 0
    corpus = Corpus.open(folder)
    windows, target, _ = chosen(corpus, "test")
    model = checkpoints.load(tmp_path / "decoder")
    found, = attribution.maps(model, corpus, windows, target, draws=200)
    assert found.p_labels[0] > 0.05
    assert not found.above.any()


def test_outputs_that_follow_no_signal_are_seldom_above_chance(planted):
    corpus = Corpus.open(planted.corpus)
    windows, target, _ = chosen(corpus, "test")
    rng, hits = np.random.default_rng(0), 0
    for _ in range(40):
        rng.shuffle(target)  # told apart perfectly, by something that is not in the signal
        p = np.clip(0.5 + 0.3 * (target - 0.5) + 0.1 * rng.standard_normal(len(target)), 0.05, 0.95)
        found, = attribution.of_answers(np.stack([1 - p, p], axis=1), CLASSES, corpus, windows,
                                        target, draws=200)
        assert found.p_labels[0] < 0.05
        hits += bool(found.above.any())
    assert hits <= 6  # 2 are expected


def test_number_that_is_the_power_of_one_channel_is_found_there(planted):
    corpus = Corpus.open(planted.corpus)
    windows, _, _ = chosen(corpus, "test")
    names, sfreq = corpus.layout(windows[0]).names, corpus.contract.sfreq
    number = np.array([attribution._db(corpus.signal(w), sfreq, [(4.0, 8.0)])[5, 0]
                       for w in windows.tolist()])
    found, = attribution.of_answers(number[:, None], (), corpus, windows, number, draws=100)
    channel, band = np.unravel_index(np.abs(found.pattern[0]).argmax(), found.pattern[0].shape)
    assert (found.sensors.names[channel], list(found.bands)[band]) == (names[5], "theta")
    # A deviation of the output is a deviation of that power: the unit is dB.
    within = np.concatenate([number[rows] - number[rows].mean() for rows in by_person(
        corpus, windows)]).reshape(4, -1)
    assert found.pattern[0, channel, band] == pytest.approx(within.std(axis=1).mean(), rel=1e-3)
    assert found.above[0, channel, band]
    assert found.outputs == ("number",)


def test_order_of_channels_and_of_windows_makes_no_difference(planted, tmp_path):
    corpus = Corpus.open(planted.corpus)
    turned = Corpus.open(rewritten(corpus, tmp_path / "turned", turned=True))
    windows, target, _ = chosen(corpus, "test")
    p = log_odds_of_side(corpus, windows)
    found, = attribution.of_answers(p, CLASSES, corpus, windows, target, draws=50)
    other, = attribution.of_answers(p, CLASSES, turned, windows, target, draws=50)
    back, = attribution.of_answers(p[::-1], CLASSES, corpus, windows[::-1], target[::-1], draws=50)
    for each in (other, back):
        assert each.sensors.names == found.sensors.names
        np.testing.assert_allclose(each.pattern, found.pattern, atol=1e-4)
        np.testing.assert_allclose(each.threshold, found.threshold, atol=1e-4)
        np.testing.assert_array_equal(each.above, found.above)


def test_channel_that_a_recording_lacks_is_mapped_from_the_others(planted, tmp_path):
    corpus = Corpus.open(planted.corpus)
    windows, target, _ = chosen(corpus, "test")
    fewer = Corpus.open(rewritten(corpus, tmp_path / "fewer", lacks="E3"))
    p = log_odds_of_side(corpus, windows)
    found, = attribution.of_answers(p, CLASSES, fewer, windows, target, draws=50)
    whole, = attribution.of_answers(p, CLASSES, corpus, windows, target, draws=50)
    assert np.isfinite(found.pattern).all()
    assert found.sensors.names == whole.sensors.names
    row = found.sensors.names.index("E3")
    others = np.delete(np.arange(16), row)
    np.testing.assert_allclose(found.pattern[0, others], whole.pattern[0, others], atol=1e-5)
    assert np.corrcoef(found.pattern[0, row], whole.pattern[0, row])[0, 1] > 0.5


def test_tasks_are_compared_between_recordings_of_a_person(planted, tmp_path):
    corpus = Corpus.open(planted.corpus)
    two = Corpus.open(rewritten(corpus, tmp_path / "tasks", task_each=True))
    windows = np.arange(len(two))
    target = np.array([CLASSES.index(label) for label in two.labels(windows)])
    p = np.where(target == 1, 0.8, 0.2)  # the same in all of a recording
    found, = attribution.of_answers(np.stack([1 - p, p], axis=1), CLASSES, two, windows, target,
                                    draws=100)
    assert found.exchanged == "recordings of a subject"
    assert found.subjects == 7
    assert found.p_labels[0] == found.least_p[0] == pytest.approx(1 / 2**7)
    assert found.why_none(0) == ""
    alpha = found.pattern[0, :, list(found.bands).index("alpha")]
    assert np.corrcoef(alpha, sides(found.sensors))[0, 1] > 0.6


def test_why_nothing_is_marked_is_said(planted, tmp_path):
    """Two people with a recording of each task: labels change places in four ways only. And the
    same recordings cut in blocks of time: in none."""
    corpus = Corpus.open(planted.corpus)
    two = Corpus.open(rewritten(corpus, tmp_path / "tasks", task_each=True))
    few = np.unique(two.subjects(np.arange(len(two))))[:2]
    windows = np.flatnonzero(np.isin(two.subjects(np.arange(len(two))), few))
    target = np.array([CLASSES.index(label) for label in two.labels(windows)])
    p = np.where(target == 1, 0.8, 0.2)
    answers = np.stack([1 - p, p], axis=1)
    found, = attribution.of_answers(answers, CLASSES, two, windows, target, draws=50)
    assert found.p_labels[0] == found.least_p[0] == 1 / 4
    assert "no p can fall below 0.25, as labels can be exchanged" in found.why_none(0)
    assert in_words([found])[0].endswith(f"none counted: {found.why_none(0)}")
    assert found.table()["least_p"].eq(0.25).all()
    blocks = two.windows["row"].to_numpy()[windows] // 4
    cut, = attribution.of_answers(answers, CLASSES, two, windows, target, draws=50, folds=blocks)
    assert np.isnan([cut.p_labels[0], cut.least_p[0]]).all()
    assert "were trained on as well as judged" in cut.why_none(0)
    assert not cut.above.any()
    for each in (found, cut):
        attribution_figure.draw(tmp_path / "map.png", [each], CLASSES, "test")
    # With enough ways to exchange, p is about the labels and that is what is said.
    everybody = np.arange(len(two))
    shuffled = np.random.default_rng(0).permutation(len(two)) % 2
    answers = np.full((len(two), 2), 0.5)
    other, = attribution.of_answers(answers, CLASSES, two, everybody, shuffled, draws=50)
    assert other.least_p[0] < 0.05
    assert other.why_none(0) == "held-out labels are not told apart (p = 1)"


def test_places_are_flattened_with_the_nose_up_and_the_left_on_the_left():
    sensors = planted_module.cap()
    flat = flattened(sensors)
    off = sensors.position - [0, 0, 0.04]
    assert np.isfinite(flat).all()
    np.testing.assert_array_equal(np.sign(flat), np.sign(off[:, :2]))
    higher = off[:, 2].argsort()[::-1]
    assert (np.diff(np.linalg.norm(flat, axis=1)[higher]) > -1e-6).all()


def test_explain_writes_table_and_figure_once(planted, decoder, tmp_path, capsys):
    out = tmp_path / "maps"
    words = [f"--data={planted.corpus}", f"--model={decoder}", f"--out={out}", "--permutations=50"]
    assert explain(words) == 0
    said = capsys.readouterr().out
    table = pd.read_csv(out / "attribution.tsv", sep="\t")
    assert len(table) == 16 * 5
    assert table["subjects"].eq(4).all()
    most = table.loc[table["pattern_db"].abs().idxmax()]
    assert f"{most['channel']} {most['band']} {most['pattern_db']:+.2f} dB" in said
    assert "LEAK" not in said
    picture = matplotlib.image.imread(out / "attribution.png")
    assert picture.std() > 0.05
    assert json.loads((out / "manifest.json").read_text())["kind"] == "results"
    assert explain(words) == 0
    assert "nothing to do" in capsys.readouterr().out
    trained = [f"--out={tmp_path / 'trained'}", "--split=train", *words[:2], "--permutations=50"]
    assert explain(trained) == 0
    assert "LEAK: model: 8 of 8 subjects judged here are in its training data" in (
        capsys.readouterr().out)


def test_what_cannot_be_explained_says_why(planted, decoder, tmp_path, capsys):
    corpus = Corpus.open(planted.corpus)
    windows, target, _ = chosen(corpus, "test")
    p = np.full((len(windows), 2), 0.5)
    for answers, labels, why in (
        (np.where(np.arange(len(p))[:, None] == 4, np.nan, p), target, "NaN or Inf"),
        (p, np.where(np.arange(len(p)) == 7, -1, target), "1 of 64 windows have no label"),
        (p[:, :1], target, "wanted answers"), (p[:2], target[:2], "wanted answers"),
    ):
        with pytest.raises(ValueError, match=why):
            attribution.of_answers(answers, CLASSES, corpus, windows, labels)
    with pytest.raises(ValueError, match="at least 3 windows, got 0"):
        attribution.maps(checkpoints.load(decoder), corpus, windows[:0], target[:0])
    mixed = Corpus.open(planted_module.make_corpus(tmp_path / "mixed", caps=(16, 12), n_windows=4))
    windows, target, _ = chosen(mixed, "test")
    with pytest.raises(ValueError, match="at different places"):
        attribution.of_answers(np.full((len(windows), 2), 0.5), CLASSES, mixed, windows, target)
    with pytest.raises(ValueError, match="wanted a decoder"):
        explain([f"--data={planted.corpus}", f"--model={planted.backbone}",
                 f"--out={tmp_path / 'none'}"])
    with pytest.raises(SystemExit):
        explain([f"--data={planted.corpus}", f"--model={decoder}", f"--out={tmp_path / 'none'}",
                 "--permutations=3"])
    assert "permutations must be at least 20" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_output_that_never_changes_has_no_pattern(planted):
    corpus = Corpus.open(planted.corpus)
    windows, target, _ = chosen(corpus, "test")
    found, = attribution.of_answers(np.full((len(windows), 2), 0.5), CLASSES, corpus, windows,
                                    target, draws=50)
    assert not found.pattern.any()
    assert not found.above.any()
    assert found.p_labels[0] == 1.0
