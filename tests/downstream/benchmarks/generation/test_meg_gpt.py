"""`neurofm evaluate generation` on simulated people of known spectra, bursts and shared sources."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from neurofm import artifacts, cli
from neurofm.data import corpus as corpora_format
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.data.sensors import Sensors
from neurofm.downstream.benchmarks.generation import linear
from neurofm.downstream.benchmarks.generation.signals import Compared
from neurofm.downstream.generate import write_fif
from neurofm.downstream.scoring import bursts, covariances, envelopes, fingerprint, spectra
from neurofm.repository import LEDGER
from neurofm.results import Results
from tests.support import flagged
from tests.support.corpora import layout

SFREQ = 100.0
WINDOW = 500  # samples
CONTRACT = InputContract(sfreq=SFREQ, lowpass_hz=45.0, window_s=WINDOW / SFREQ, notch_hz=())


@dataclass
class Person:
    """Three resonant sources in all channels, with frequencies and a mixing of the person's own."""

    number: int
    n_channels: int

    def draw(self, seconds: float, seed: int) -> np.ndarray:
        """float32 [channel, time]; equal people, other seed: the same process once more."""
        own = np.random.default_rng(1000 + self.number)
        frequency = np.array([8.5, 12.0, 20.0]) + own.uniform(-1.5, 1.5, 3)
        mixing = own.standard_normal((self.n_channels, 3)) * own.uniform(0.3, 1.5, 3)
        rng = np.random.default_rng([self.number, seed])
        n = round(seconds * SFREQ)
        sources = np.stack([resonance(rng.standard_normal(n + 500), f)[500:] for f in frequency])
        floor = lfilter([1.0], [1.0, -0.8], rng.standard_normal((self.n_channels, n)), axis=1)
        return (mixing @ sources + 0.5 * floor).astype(np.float32)


def resonance(noise: np.ndarray, frequency_hz: float) -> np.ndarray:
    """An AR(2) of unit variance."""
    radius, angle = 0.97, 2 * np.pi * frequency_hz / SFREQ
    made = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], noise)
    return made / made.std()


def alone(signal: np.ndarray, seed: int) -> np.ndarray:
    """The same spectrum in every channel, phases of each drawn by themselves."""
    spectrum = np.fft.rfft(signal, axis=1)
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, spectrum.shape)
    return np.fft.irfft(np.abs(spectrum) * np.exp(1j * phase), signal.shape[1], axis=1)


def make_corpus(folder: Path, signals: list[np.ndarray], starts: list[int] | None = None) -> Path:
    """A sealed corpus of a recording a person, cut into windows that begin at `starts` (samples;
    None: one after the other, the last one moved back into the recording)."""
    sensors = layout(len(signals[0]))
    recordings, windows = [], []
    for number, signal in enumerate(signals):
        n = signal.shape[1]
        begin = starts or [*range(0, n - WINDOW, WINDOW), n - WINDOW]
        name = f"sub-{number:02d}"
        recordings.append({
            "recording": name, "dataset": "simulated", "subject": f"{number:02d}", "session": None,
            "task": "rest", "run": None, "split": "test", "layout": sensors.fingerprint,
            "n_channels": len(sensors), "n_windows": len(begin), "duration_s": n / SFREQ,
            "sfreq_original": SFREQ, "bads": "", "quality": "{}", "attributes": "{}",
            "source": f"/archive/{name}.edf",
            "sha256": corpora_format.write_shard(
                folder, name, [signal[:, start : start + WINDOW] for start in begin]),
        })
        windows += [{"recording": number, "row": row, "start_s": start / SFREQ, "label": None}
                    for row, start in enumerate(begin)]
    corpora_format.seal(folder, CONTRACT, pd.DataFrame(recordings), pd.DataFrame(windows),
                        {sensors.fingerprint: sensors},
                        pd.DataFrame(columns=["source", "reason"]), config={})
    return folder


def make_generated(
    folder: Path, corpus: Path, signals: dict[int, np.ndarray], *, order: np.ndarray | None = None,
    n_channels: int | None = None, data: str | None = None, sfreq: float = SFREQ,
    ledger: dict | None = None,
) -> Path:
    """A folder as `neurofm generate` seals it. order: of the channels in the files. ledger: of the
    model."""
    sensors = layout(len(next(iter(signals.values()))))
    order = np.arange(len(sensors)) if order is None else order
    order = order[:n_channels]
    shown = Sensors(tuple(sensors.names[k] for k in order), np.zeros(len(order)),
                    sensors.position[order], np.zeros((len(order), 3)))
    files = [f"simulated_{number:02d}_raw.fif" for number in signals]
    for name, signal in zip(files, signals.values(), strict=True):
        write_fif(folder / name, signal[order], shown, sfreq)
    parents = {"data": data or Corpus.open(corpus).fingerprint, "model": "0"}
    if ledger is not None:
        artifacts.write_json(folder / LEDGER, ledger)
        files.append(LEDGER)
    artifacts.seal(folder, "results", config={"seconds": 40}, parents=parents, files=files)
    return folder


def judge(corpus: Path, out: Path, *words: str, **generated: Path) -> int:
    said = ", ".join(f'"{name}": "{folder}"' for name, folder in generated.items())
    return cli.main(["evaluate", "generation", f"--data={corpus}", f"--generated={{{said}}}",
                     f"--out={out}",
                     "--ar_order=30", "--mvar_order=8", *words])


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Results of three sources: the people drawn once more, their channels alone, other people."""
    folder = tmp_path_factory.mktemp("judged")
    people = [Person(number, 6) for number in range(6)]
    corpus = make_corpus(folder / "corpus", [one.draw(93.0, seed=0) for one in people])
    again = [one.draw(40.0, seed=1) for one in people]
    mixed = np.random.default_rng(0).permutation(6)
    twins = make_generated(folder / "twins", corpus, dict(enumerate(again)), order=mixed)
    single = make_generated(folder / "alone", corpus,
                            {k: alone(signal, k) for k, signal in enumerate(again)})
    swapped = make_generated(folder / "swapped", corpus,
                             {k: again[(k + 1) % 6] for k in range(6)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bursts, "FIT_ROWS", 20_000)
        assert judge(corpus, folder / "out", twins=twins, alone=single, swapped=swapped) == 0
    return folder


@pytest.fixture(scope="module")
def table(judged):
    return pd.read_csv(judged / "out" / "table.tsv", sep="\t").set_index("source")


def test_every_source_has_a_row(table):
    assert table.index.tolist() == ["real", "twins", "alone", "swapped", "AR(30)", "MVAR(8)",
                                    "real, other half"]
    assert (table["people"] == 6).all()
    assert (table["chance_top1"] - 1 / 6).abs().max() < 1e-4
    made = table.drop(index="real")
    assert made["seconds"].to_numpy() == pytest.approx(40, abs=0.1)  # all as long as the generated


def test_another_draw_of_a_person_is_theirs(table):
    twins, ceiling = table.loc["twins"], table.loc["real, other half"]
    assert twins["psd_l2_p"] < 0.01
    assert twins["psd_l2_difference_low"] > 0
    assert twins["psd_l2"] < 1.3 * ceiling["psd_l2"]
    assert twins["fingerprint_top1"] == 1
    assert twins["fingerprint_p"] < 0.01
    assert twins["fingerprint"] < 0.2 * twins["fingerprint_others"]
    for band in ("alpha", "beta"):  # the file's channels are in another order: matched by name
        assert twins[f"envelope_{band}"] > 0.6
        assert twins[f"envelope_{band}"] == pytest.approx(ceiling[f"envelope_{band}"], abs=0.2)


def test_channels_alone_have_spectra_but_no_envelopes(table):
    single, twins = table.loc["alone"], table.loc["twins"]
    assert single["psd_l2"] < 1.2 * twins["psd_l2"]
    assert single["psd_l2_p"] < 0.01
    assert single["fingerprint_single_top1"] == 1
    assert single["fingerprint"] > 3 * twins["fingerprint"]
    for band in ("alpha", "beta"):
        assert abs(single[f"envelope_{band}"]) < 0.35
        assert abs(single[f"envelope_{band}_mean"]) < 0.06
        assert table.loc["real", f"envelope_{band}_mean"] > 0.2


def test_linear_models_know_what_they_can(table):
    single, joint = table.loc["AR(30)"], table.loc["MVAR(8)"]
    assert single["psd_l2"] < 1.3 * table.loc["twins", "psd_l2"]
    assert single["psd_l2_p"] < 0.01
    assert abs(single["envelope_alpha"]) < 0.35
    assert joint["envelope_alpha"] > 0.6
    assert joint["fingerprint_top1"] == 1


def test_other_people_are_not_recognised(table):
    swapped, twins = table.loc["swapped"], table.loc["twins"]
    assert swapped["psd_l2_p"] > 0.3
    assert swapped["psd_l2"] > 1.5 * twins["psd_l2"]
    assert swapped["fingerprint_top1"] == 0
    assert swapped["fingerprint_p"] > 0.3
    assert swapped["envelope_alpha"] < twins["envelope_alpha"] - 0.3


def test_values_of_people_and_page(judged, table, capsys):
    values = pd.read_csv(judged / "out" / "subjects.tsv", sep="\t")
    assert values.columns.tolist() == ["source", "subject", "judge", "value"]
    own = values[(values["source"] == "twins") & (values["judge"] == "psd_l2")]
    assert own["subject"].tolist() == [f"simulated/{k:02d}" for k in range(6)]
    assert own["value"].mean() == pytest.approx(table.loc["twins", "psd_l2"], rel=1e-3)
    page = (judged / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64") == 7
    assert "http" not in page
    assert "swapped beside AR(30): worse than it on" in page
    assert judge(judged / "corpus", judged / "out", twins=judged / "twins",
                 alone=judged / "alone", swapped=judged / "swapped") == 0
    assert "nothing to do" in capsys.readouterr().out


def test_two_people_of_two_channels_are_judged_as_far_as_they_go(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bursts, "FIT_ROWS", 4000)
    people = [Person(number, 2) for number in range(2)]
    corpus = make_corpus(tmp_path / "corpus", [one.draw(30.0, seed=0) for one in people])
    twins = make_generated(tmp_path / "twins", corpus,
                           {k: one.draw(10.0, seed=1) for k, one in enumerate(people)})
    assert judge(corpus, tmp_path / "out", twins=twins) == 0
    told = capsys.readouterr().out
    assert "2 of the at least 3 people" in told
    assert "2 channel(s)" in told
    assert "does not say whom its model was trained on" in told
    table = pd.read_csv(tmp_path / "out" / "table.tsv", sep="\t").set_index("source")
    assert np.isfinite(table.loc["twins", ["psd_l2", "fingerprint", "burst_rate_error"]]).all()
    assert table.loc["twins", ["psd_l2_others", "fingerprint_top1"]].isna().all()
    assert not any(name.startswith("envelope") for name in table.columns)


@pytest.mark.parametrize(("ledger", "kind", "subjects"), [
    ({"recordings": [{"recording": "x", "role": "train", "subject": "simulated/01", "hours": 1.0}]},
     "LEAK", ("simulated/01",)),
    ({"recordings": [], "published": [{"name": "theirs", "datasets": ["simulated"]}]}, "DOUBT", ()),
])
def test_the_ledger_of_the_model_that_generated_is_asked(
    tmp_path, monkeypatch, capsys, ledger, kind, subjects
):
    monkeypatch.setattr(bursts, "FIT_ROWS", 4000)
    people = [Person(number, 2) for number in range(2)]
    corpus = make_corpus(tmp_path / "corpus", [one.draw(30.0, seed=0) for one in people])
    made = {k: one.draw(10.0, seed=1) for k, one in enumerate(people)}
    known = make_generated(tmp_path / "known", corpus, made, ledger=ledger)
    strangers = make_generated(tmp_path / "strangers", corpus, made, ledger={"recordings": []})
    assert judge(corpus, tmp_path / "out", strangers=strangers, known=known) == 0
    said = capsys.readouterr().out
    flagged.check(tmp_path / "out", said, kind, "generated known", subjects)
    assert "does not say whom" not in said


def test_results_name_every_source_and_compare_with_linear_models(judged, table):
    found = Results.load(judged / "out")
    assert found.question == "generation"
    assert found.methods == table.index.tolist()
    assert found.summary.startswith("Closest to the real second halves")
    (own,) = [row for row in found.scores if (row["method"], row["metric"]) == ("twins", "psd_l2")]
    assert (own["value"], own["low"], own["high"]) == pytest.approx(
        tuple(table.loc["twins", ["psd_l2", "psd_l2_low", "psd_l2_high"]]), rel=1e-3)
    assert (own["unit"], own["n"]) == ("dB", 6)
    (gain,) = [row for row in found.comparisons
               if (row["a"], row["b"], row["metric"]) == ("swapped", "AR(30)", "psd_l2")]
    assert gain["low"] < gain["difference"] < gain["high"]
    assert gain["difference"] == pytest.approx(
        table.loc["swapped", "psd_l2"] - table.loc["AR(30)", "psd_l2"], rel=1e-3)


def test_planted_bursts_are_found():
    rng, sfreq = np.random.default_rng(0), 250.0

    def planted(n: int) -> tuple[np.ndarray, float, float, float]:
        """A trace with bursts of 20 Hz; their true rate, mean interval (s) and lifetime (ms)."""
        trace, t, lengths, gaps = 0.3 * rng.standard_normal(n), 0, [], []
        while True:
            gap, length = (int(rng.uniform(*range_s) * sfreq) for range_s in
                           ((0.8, 1.6), (0.3, 0.5)))
            if t + gap + length >= n:
                return (trace, len(lengths) / (n / sfreq), np.mean(gaps[1:]) / sfreq,
                        1000 * np.mean(lengths) / sfreq)
            t += gap
            trace[t : t + length] += 2 * np.sin(2 * np.pi * 20 * np.arange(length) / sfreq)
            t, lengths, gaps = t + length, [*lengths, length], [*gaps, gap]

    fitted = bursts.draw([np.stack([planted(15_000)[0] for _ in range(4)])], 15, sfreq, 45.0, rng)
    model = bursts.fit(fitted, sfreq, 45.0)
    trace, rate, interval, lifetime = planted(50_000)
    found = model.of([trace[None]])
    assert found["rate"] == pytest.approx(rate, rel=0.05)
    assert found["lifetime"] == pytest.approx(lifetime, rel=0.2)  # edges count in part
    assert found["interval"] == pytest.approx(interval, rel=0.08)
    frequency, power = model.state_spectra()
    assert abs(frequency[power[model.burst].argmax()] - 20) <= 2
    quiet = model.of([0.3 * rng.standard_normal((1, 50_000))])
    assert quiet["rate"] < 0.2 * rate


def test_runs_cut_by_the_ends_have_no_length():
    on = np.array([1, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1], bool)
    assert bursts.runs(on) == (3, [2, 3], [3, 1, 2])
    assert bursts.runs(np.ones(5, bool)) == (0, [], [])


def test_halves_count_nothing_twice_and_part_at_gaps(tmp_path):
    signal = Person(0, 3).draw(28.0, seed=0)
    whole = make_corpus(tmp_path / "whole", [signal])  # the last window begins at 23 s
    generated = make_generated(tmp_path / "made", whole, {0: signal})
    first, second = Compared.open(Corpus.open(whole), {"x": generated}).real("simulated/00")
    assert [part.shape for part in (*first, *second)] == [(3, 1400), (3, 1400)]
    for half, true in ((first[0], signal[:, :1400]), (second[0], signal[:, 1400:])):
        wanted = (true - true.mean(axis=1, keepdims=True)) / true.std(axis=1, keepdims=True)
        assert np.abs(half - wanted).max() < 1e-4
    gap = make_corpus(tmp_path / "gap", [signal], starts=[0, 500, 1200, 1700, 2200])
    generated = make_generated(tmp_path / "made_gap", gap, {0: signal})
    first, second = Compared.open(Corpus.open(gap), {"x": generated}).real("simulated/00")
    assert [part.shape[1] for part in first] == [1000, 250]
    assert [part.shape[1] for part in second] == [1250]


def test_autoregressions_recover_what_made_the_signal():
    rng = np.random.default_rng(0)
    true = np.array([1.6, -0.8])
    signal = lfilter([1.0], [1.0, *-true], rng.standard_normal((1, 30_000)), axis=1)
    weights, new = linear.fit_single(covariances.lagged_single([signal], 3))
    assert weights[0] == pytest.approx(true, abs=0.02)
    assert new[0] == pytest.approx(1.0, abs=0.03)
    assert linear.draw_single(weights, new, 30_000, SFREQ, 0).std() == pytest.approx(
        signal.std(), rel=0.05)
    coupling = np.array([[0.6, 0.3, -0.4, 0.3], [-0.2, 0.5, -0.1, -0.3]])  # of 1, of 2 ago
    signal, noise = np.zeros((2, 30_000)), rng.standard_normal((2, 30_000))
    for t in range(2, 30_000):
        signal[:, t] = coupling @ signal[:, [t - 1, t - 2]].T.ravel() + noise[:, t]
    weights, new = linear.fit_joint(covariances.lagged([signal], 4), ridge=1e-6)
    assert weights[:, :4] == pytest.approx(coupling, abs=0.03)
    assert weights[:, 4:] == pytest.approx(np.zeros((2, 2)), abs=0.03)
    assert new == pytest.approx(np.eye(2), abs=0.04)
    drawn = linear.draw_joint(weights, new, 30_000, SFREQ, 0)
    assert np.cov(drawn) == pytest.approx(np.cov(signal), rel=0.1, abs=0.05)
    with pytest.raises(ValueError, match="not stable"):
        linear.fit_single(np.array([[1.0, 1.2]]))
    with pytest.raises(ValueError, match="not stable"):
        linear.fit_joint(np.stack([np.eye(2), 1.2 * np.eye(2)]), ridge=0.0)


def test_distances_ignore_units_and_know_their_own():
    rng = np.random.default_rng(0)
    power = rng.standard_normal((3, 2, 40))
    far, turned = spectra.distances(power + 7.0, power)
    assert np.diagonal(far) == pytest.approx(7.0)
    assert np.diagonal(turned) == pytest.approx(0.0, abs=1e-9)  # the level is not the shape
    assert far.shape == turned.shape == (3, 3)
    assert turned[0, 1] > 0.5
    distance = np.array([[0.1, 1, 1, 1], [1, 0.1, 1, 1], [1, 1, 0.1, 1], [1, 1, 1, 0.1]])
    assert fingerprint.p_of_exchange(-distance, 10, 0) == pytest.approx(1 / 24)
    same = np.tile([0.1, 1.0, 1.0, 1.0], (4, 1))  # everybody looks like the first
    assert fingerprint.p_of_exchange(fingerprint.hits(same), 10, 0) == 1
    many = 1 - np.eye(9)
    assert fingerprint.p_of_exchange(-many, 199, 0) == pytest.approx(1 / 200)


def test_envelopes_of_one_modulation_go_together():
    rng = np.random.default_rng(0)
    slow = 1 + 0.9 * np.sin(2 * np.pi * 0.4 * np.arange(6000) / SFREQ)
    carriers = np.stack([resonance(rng.standard_normal(6000), 10.0) for _ in range(4)])
    carriers[:2] *= slow  # independent carriers, one modulation
    found = envelopes.matrix([carriers[:, :2500], carriers[:, 2500:]], SFREQ, [8.0, 13.0])
    assert found[0, 1] > 0.3
    assert np.abs(found[2, [0, 1, 3]]).max() < 0.25
    assert np.diagonal(found) == pytest.approx(1.0)
    assert np.isnan(envelopes.matrix([carriers[:, :120]], SFREQ, [8.0, 13.0])).all()
    kept, told = envelopes.bands_within({"beta": [13, 30], "gamma": [40, 80]}, 25.0)
    assert kept == {"beta": [13, 25.0]}
    assert len(told) == 2


def test_bad_input_is_explained(judged, tmp_path, capsys):
    corpus, out = judged / "corpus", tmp_path / "out"
    again = {k: Person(k, 6).draw(8.0, seed=2) for k in range(6)}

    def refused(*words: str, **generated: Path) -> str:
        assert judge(corpus, out, *words, **generated) == 1
        assert not out.exists()
        return capsys.readouterr().err

    other = make_generated(tmp_path / "other", corpus, again, data="0123456789abcdef")
    assert "these are from another (0123456789abcdef)" in refused(x=other)
    fewer = make_generated(tmp_path / "fewer", corpus, {k: again[k] for k in range(5)})
    assert "has no simulated_05_raw.fif" in refused(twins=judged / "twins", fewer=fewer)
    stranger = make_generated(tmp_path / "stranger", corpus, {**again, 9: again[0]})
    assert "simulated_09_raw.fif is of nobody" in refused(x=stranger)
    lacking = make_generated(tmp_path / "lacking", corpus, again, n_channels=5)
    assert "lacks 1 of 6 channels of the corpus (E5)" in refused(x=lacking)
    slower = make_generated(tmp_path / "slower", corpus, again, sfreq=80.0)
    assert "wanted the corpus's 100 Hz, came 80 Hz" in refused(x=slower)
    again[3][2, 5] = np.nan
    spoilt = make_generated(tmp_path / "spoilt", corpus, again)
    assert "not finite" in refused(x=spoilt)
    with pytest.raises(SystemExit):
        judge(corpus, out, "--bands={alpha: [13, 8]}", x=other)
    assert "ascending" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        judge(corpus, out, real=other)
    assert "choose another" in capsys.readouterr().err
