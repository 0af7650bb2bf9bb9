"""`neurofm evaluate bold` on simulated scans whose alpha amplitude drives some regions, not others.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import butter, lfilter, sosfiltfilt
from scipy.special import gamma
from sklearn.linear_model import Ridge

from neurofm import artifacts, checkpoints, cli
from neurofm.data import pairs as pairs_format
from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.pairs import Pairs
from neurofm.data.sensors import KINDS, Sensors
from neurofm.data.windows import SplitLeakError
from neurofm.downstream.benchmarks.bold import channels, hrf, ridge
from neurofm.downstream.protocol import scans as protocol
from neurofm.downstream.scoring import series as metrics
from neurofm.downstream.scoring import statistics, surrogates
from neurofm.downstream.scoring.series import Series
from neurofm.results import Results

SFREQ = 100.0
CONTRACT = InputContract(sfreq=SFREQ, highpass_hz=0.5, lowpass_hz=45.0, notch_hz=(), kinds=("eeg",),
                         scale="recording_std")
BOLD = FMRIContract(highpass_hz=None, lowpass_hz=0.15)
# Unit vectors of electrodes, roughly: right, front, up.
PLACES = {"Fp1": (-0.3, 0.95, 0.1), "Fp2": (0.3, 0.95, 0.1), "C3": (-0.7, 0.0, 0.7),
          "C4": (0.7, 0.0, 0.7), "P3": (-0.5, -0.6, 0.6), "P4": (0.5, -0.6, 0.6),
          "O1": (-0.3, -0.95, 0.1), "O2": (0.3, -0.95, 0.1)}
WEIGHTS = {"cuneus": -1.0, "thalamus": 0.8, "insula": 0.0, "putamen": 0.0, "caudate": 0.0}
DRIVEN = [name for name, weight in WEIGHTS.items() if weight]
SPLITS = ("train",) * 5 + ("validation",) * 2 + ("test",) * 3


def layout(names: list[str]) -> Sensors:
    place = np.array([PLACES[name] for name in names])
    place = place / np.linalg.norm(place, axis=1, keepdims=True) * 0.09 + [0, 0, 0.04]
    return Sensors(tuple(names), np.full(len(names), KINDS.index("eeg")), place,
                   np.zeros((len(names), 3)))


def slow(rng: np.random.Generator, n: int, fs: float, top_hz: float = 0.08) -> np.ndarray:
    """Noise below `top_hz`, of variance 1."""
    made = sosfiltfilt(butter(2, top_hz, fs=fs, output="sos"), rng.standard_normal(n + 4000))
    return (made[2000:-2000] - made.mean()) / made.std()


def scan(seed: int, names: list[str], t_r: float, seconds: float, first_s: float, noise: float
         ) -> tuple[np.ndarray, np.ndarray]:
    """EEG [channel, time] whose posterior alpha waxes slowly, and regions [roi, volume]."""
    rng = np.random.default_rng(seed)
    n = round(seconds * SFREQ)
    waxing = slow(rng, n, SFREQ)
    alpha = sosfiltfilt(butter(3, (9, 11), "bandpass", fs=SFREQ, output="sos"),
                        rng.standard_normal(n))
    alpha *= np.exp(0.6 * waxing) / alpha.std()
    back = np.array([np.exp(-2 * (1 + np.array(PLACES[name])[1])) for name in names])
    floor = lfilter([1], [1, -0.9], rng.standard_normal((len(names), n)), axis=1)
    eeg = 1.5 * back[:, None] * alpha + 0.6 * floor
    eeg = eeg / eeg.std(axis=1, keepdims=True)

    lag_s = np.arange(0, 30, 1 / SFREQ)
    response = lag_s**5 * np.exp(-lag_s) / gamma(6) - lag_s**14 * np.exp(-lag_s) / gamma(15) / 6
    clean = np.convolve(waxing, response)[:n] / SFREQ
    n_volumes = int((seconds - first_s) / t_r)
    middle = np.round((first_s + (np.arange(n_volumes) + 0.5) * t_r) * SFREQ).astype(int)
    clean = (clean - clean.mean()) / clean.std()
    bold = [100 + weight * clean[middle] + (noise if weight else 1.0)
            * slow(rng, n_volumes, 1 / t_r, 0.12) for weight in WEIGHTS.values()]
    return eeg.astype(np.float32), np.array(bold, dtype=np.float32)


def make_pairs(
    folder: Path, *, splits: tuple[str, ...] = SPLITS, seconds: float = 300.0, noise: float = 0.5,
    related: bool = True, montages: dict[int, list[str]] | None = None,
) -> Pairs:
    """Sealed pairs of a scan a person; two repetition times. related: False = regions of other
    minutes. montages: person → names of channels."""
    rows, layouts = [], {}
    for number, split in enumerate(splits):
        names = (montages or {}).get(number, [*PLACES])
        t_r, first_s = (2.0, 1.5)[number % 2], 5.0
        eeg, bold = scan(number, names, t_r, seconds, first_s, noise)
        if not related:
            bold = scan(1000 + number, names, t_r, seconds, first_s, noise)[1]
        name, sensors = f"sub-{number:02d}", layout(names)
        layouts[sensors.fingerprint] = sensors
        digests = pairs_format.write_scan(folder, name, eeg, bold)
        rows.append({
            "recording": name, "dataset": "simulated", "subject": f"{number:02d}", "session": None,
            "task": "rest", "run": None, "split": split, "layout": sensors.fingerprint,
            "n_channels": len(names), "n_times": eeg.shape[1], "duration_s": seconds,
            "sfreq_original": SFREQ, "t_r": t_r, "n_volumes": bold.shape[1],
            "first_volume_s": first_s, "gradient_residue": np.nan, "quality": "{}",
            "attributes": "{}", "source": f"{name}/eeg/{name}_eeg.fif",
            "bold_source": f"{name}/func/{name}_timeseries.tsv", "sha256_eeg": digests[0],
            "sha256_bold": digests[1],
        })
    n = len(WEIGHTS)
    rois = Sensors(tuple(WEIGHTS), np.full(n, KINDS.index("roi")),
                   np.random.default_rng(0).normal(0, 0.04, (n, 3)), np.zeros((n, 3)))
    pairs_format.seal(folder, CONTRACT, BOLD, pd.DataFrame(rows), layouts, rois,
                      pd.DataFrame(columns=["source", "reason"]), config={})
    return Pairs.open(folder)


def evaluate(pairs: Pairs, out: Path, *words: str) -> int:
    return cli.main(["evaluate", "bold", f"--data={pairs.folder}", f"--out={out}",
                     "--permutations=2000", *words])


TRAIN = ("--train_cnn.steps=60", "--train_cnn.batch_windows=5", '--architecture={"n_sources": 6}')


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Pairs:
    return make_pairs(tmp_path_factory.mktemp("pairs") / "pairs")


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Pairs:
    """Three scans, long enough to be cut."""
    folder = tmp_path_factory.mktemp("long") / "pairs"
    return make_pairs(folder, splits=("train",) * 3, seconds=900)


@pytest.fixture(scope="module")
def judged(pairs, tmp_path_factory) -> Path:
    """Results of all methods, with ceilings."""
    folder = tmp_path_factory.mktemp("judged")
    ceilings = pd.DataFrame([{"file": f"sub-{k:02d}/func/sub-{k:02d}_timeseries.tsv",
                              "region": name, "ceiling": 0.9, "ceiling_eeg": 0.8}
                             for k in range(len(SPLITS)) for name in WEIGHTS])
    ceilings.to_csv(folder / "ceiling.tsv", sep="\t", index=False)
    assert evaluate(pairs, folder / "out", *TRAIN, f"--ceiling={folder / 'ceiling.tsv'}") == 0
    return folder / "out"


@pytest.fixture(scope="module")
def regions(judged) -> pd.DataFrame:
    return pd.read_csv(judged / "regions.tsv", sep="\t").set_index(["method", "region"])


@pytest.mark.parametrize("method", ["band_power_fir", "band_power_hrf", "alpha_hrf", "ours"])
def test_driven_regions_are_found_and_others_are_not(regions, method):
    own = regions.loc[method]
    assert (own.loc[DRIVEN, "r"] > (0.4 if method == "ours" else 0.6)).all()
    assert (own.loc[DRIVEN, "p_moved_holm"] < 0.05).all()
    rest = own.drop(index=DRIVEN)
    assert (rest["r"].abs() < 0.35).all()
    assert (rest["p_moved_holm"] > 0.05).all()
    assert own["p_others"].to_numpy()[0] < 0.2  # 8 ways to pair three people with others


@pytest.mark.long
def test_one_model_of_all_regions_is_as_good_as_one_of_each(pairs, tmp_path):
    assert evaluate(pairs, tmp_path / "out", "--methods=[ours,ours_one_by_one]",
                    "--permutations=200") == 0
    found = pd.read_csv(tmp_path / "out" / "regions.tsv", sep="\t")
    regions = found.set_index(["method", "region"])
    joint, single = (regions.loc[name]["r"][DRIVEN] for name in ("ours", "ours_one_by_one"))
    assert single.min() > 0.4
    assert joint.mean() > single.mean() - 0.01


def test_tables_predictions_and_page_hold_what_was_found(judged, regions):
    table = pd.read_csv(judged / "table.tsv", sep="\t").set_index("method")
    assert table.index.tolist() == ["ours", "band_power_fir", "band_power_hrf", "alpha_hrf", "cnn"]
    assert (table.drop(index="cnn")["significant_moved"] == 2).all()
    assert table["significant_others"].isna().all()  # with 8 surrogates nothing can be
    assert table.loc["alpha_hrf", "coherence"] > table.loc["alpha_hrf", "coherence_unrelated"]
    for method, row in table.iterrows():
        assert row["r"] == pytest.approx(regions.loc[method]["r"].mean(), abs=1e-4)
        assert row["low"] <= row["r"] <= row["high"]
        assert row["of_ceiling"] == pytest.approx(row["r"] / 0.9, abs=1e-4)
    predictions = pd.read_parquet(judged / "predictions.parquet")
    one = predictions[(predictions["scan"] == "sub-08") & (predictions["region"] == "cuneus")]
    scans = pd.read_csv(judged / "scans.tsv", sep="\t").set_index(["method", "scan", "region"])
    for method in table.index:
        r = np.corrcoef(one["measured"], one[method])[0, 1]
        assert r == pytest.approx(scans.loc[(method, "sub-08", "cuneus"), "r"], abs=1e-4)
    assert one["volume"].tolist() == list(range(len(one)))
    assert np.diff(one["time_s"]) == pytest.approx(2.0)
    page = (judged / "report.html").read_text()
    assert page.count("<img") == 5
    assert "LEAK" not in page
    assert " is better" not in page  # three people cannot say so: p is at least 0.25
    assert "inter-subject: test subjects are not training subjects" in page
    assert artifacts.open_sealed(judged, "results", hashes=True)


def test_a_finished_evaluation_does_nothing(pairs, judged, capsys):
    ceiling = f"--ceiling={judged.parent / 'ceiling.tsv'}"
    assert evaluate(pairs, judged, *TRAIN, ceiling) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_our_model_is_a_checkpoint_and_its_people_are_known(pairs, judged, tmp_path, capsys):
    """What was trained here is judged the same as a given checkpoint; on whom it has seen: LEAK."""
    model = judged / "models" / "ours"
    entries = checkpoints.read_ledger(model)["recordings"]
    assert {(entry["subject"], entry["role"]) for entry in entries} == {
        (f"simulated/{k:02d}", split) for k, split in enumerate(SPLITS) if split == "train"}
    again = tmp_path / "again"
    assert evaluate(pairs, again, f"--model={model}", "--methods=[ours]") == 0
    assert "LEAK" not in capsys.readouterr().out
    one, two = (pd.read_parquet(folder / "predictions.parquet")["ours"] for folder in
                (judged, again))
    assert np.allclose(one, two, atol=1e-4)
    known = make_pairs(tmp_path / "known", splits=("test", "train", "validation"), seconds=120)
    assert evaluate(known, tmp_path / "leak", f"--model={model}", "--methods=[ours]") == 0
    said = "LEAK: model: 1 of 1 subject judged here is in its training data"
    assert said in capsys.readouterr().out
    assert said in (tmp_path / "leak/report.html").read_text()
    (flag,) = Results.load(tmp_path / "leak").flags
    assert (flag.kind, flag.subjects) == ("LEAK", ("simulated/00",))


def test_imported_weights_of_the_same_data_set_are_in_doubt(pairs, judged, tmp_path, capsys):
    """Whether anybody judged was in their training is unknown: on terminal, in results, on page."""
    out = tmp_path / "out"
    shutil.copytree(judged / "models" / "ours", tmp_path / "ours")
    for name in (artifacts.FILE_NAME, "run.yaml"):
        (tmp_path / "ours" / name).unlink()  # as others publish: no manifest
    published = {"weights": "w", "licence": "MIT", "paper": "p", "datasets": ["simulated"]}
    (tmp_path / "ours" / "training_data.json").write_text(
        json.dumps({"recordings": [], "published": [published]}))
    assert evaluate(pairs, out, f"--model={tmp_path / 'ours'}", "--methods=[ours]") == 0
    said = "DOUBT: model: its training data included data set simulated; it is not known"
    assert said in capsys.readouterr().out
    assert said in (out / "report.html").read_text()
    (flag,) = Results.load(out).flags
    assert (flag.kind, flag.model) == ("DOUBT", "model")


def test_another_option_on_finished_results_is_refused_by_name(pairs, judged, capsys):
    ceiling = f"--ceiling={judged.parent / 'ceiling.tsv'}"
    assert evaluate(pairs, judged, *TRAIN, ceiling, "--seed=3") == 1
    assert "seed: 0, wanted 3" in capsys.readouterr().err


def test_an_interrupted_training_goes_on_from_its_state(pairs, judged, tmp_path, monkeypatch):
    """Stopped after 40 steps and begun again: the same predictions as never having stopped."""
    from neurofm.downstream.benchmarks.bold import trained
    from neurofm.training.loop import train

    words = [*TRAIN, "--methods=[cnn,alpha_hrf]"]
    stop = {"after": 40}
    monkeypatch.setattr(trained, "train",
                        lambda *a, **k: train(*a, **k, stop_after=stop["after"]))
    assert evaluate(pairs, tmp_path / "out", *words) == 85
    assert not artifacts.is_sealed(tmp_path / "out")
    stop["after"] = None
    assert evaluate(pairs, tmp_path / "out", *words) == 0
    one, two = (pd.read_parquet(folder / "predictions.parquet")["cnn"]
                for folder in (judged, tmp_path / "out"))
    assert np.allclose(one, two, atol=1e-5)


def test_unrelated_eeg_predicts_nothing(tmp_path):
    null = make_pairs(tmp_path / "pairs", related=False)
    assert evaluate(null, tmp_path / "out", *TRAIN,
                    "--methods=[ours,band_power_fir,band_power_hrf,alpha_hrf]") == 0
    table = pd.read_csv(tmp_path / "out" / "table.tsv", sep="\t")
    assert (table["significant_moved"] == 0).all()
    assert (table["r"].abs() < 0.15).all()


def test_intra_parts_keep_their_distance(long):
    for n_volumes, t_r in ((571, 2.1), (147, 2.0), (300, 1.5)):
        parts = protocol.cut(n_volumes, t_r)
        (_, a), (b, c), (d, end) = (parts[role] for role in protocol.SPLITS)
        assert a == n_volumes * 8 // 10
        assert (b - a) * t_r >= 20
        assert (d - c) * t_r >= 20
        assert (b - a - 1) * t_r < 20  # no more than is needed
        assert end == n_volumes
    assert protocol.cut(571, 2.1)["test"] == (523, 571)
    roles = protocol.roles(long, "intra")
    for scan in roles.scans.tolist():
        counted = [np.isfinite(getattr(roles, role).data.target(scan)).any(axis=0)
                   for role in protocol.SPLITS]
        assert np.sum(counted, axis=0).max() == 1


def test_a_part_is_cleaned_without_the_others(long):
    """Whatever happens before the cut, the judged targets are the same to the bit."""
    for scan in (0, 1):
        bold = np.array(long.bold(scan))
        begin, end = protocol.cut(bold.shape[1], long.t_r(scan))["test"]
        assert (begin, end) == protocol.roles(long, "intra").test.bounds(scan)
        other = bold.copy()
        other[:, :begin] = 5 * other[:, :begin] + 100 * np.arange(begin)
        parts = []
        for series in (bold, other):
            alone = Pairs.open(long.folder)
            object.__setattr__(alone, "bold_reader", Changed(alone.bold_reader, scan, series))
            parts.append(protocol.roles(alone, "intra").test.target(scan))
        assert np.array_equal(*parts, equal_nan=True)
        assert np.isfinite(parts[0]).all()


class Changed:
    """Reads one scan's regions as they were changed."""

    def __init__(self, reader, scan: int, series: np.ndarray):
        self.reader, self.name, self.series = reader, f"sub-{scan:02d}.arrow", series

    def read(self, name: str, row: int) -> np.ndarray:
        return self.series.ravel() if name == self.name else self.reader.read(name, row)


def test_intra_finds_driven_regions_and_says_what_it_cannot(long, tmp_path, capsys):
    assert evaluate(long, tmp_path / "out", "--protocol=intra",
                    "--methods=[band_power_fir,alpha_hrf]") == 0
    said = capsys.readouterr().out
    own = pd.read_csv(tmp_path / "out" / "regions.tsv", sep="\t").set_index(["method", "region"])
    for method in ("band_power_fir", "alpha_hrf"):
        assert (own.loc[method].loc[DRIVEN, "r"] > 0.5).all()
    assert "intervals from 3 subjects are rough" in said
    volumes = pd.read_parquet(tmp_path / "out" / "predictions.parquet").groupby("scan")["volume"]
    assert volumes.min()["sub-00"] == 447 * 9 // 10 + 10


# ------------------------------------------------------------------- closed forms


def wave(n: int, t_r: float, later_s: float = 0.0, seed: int = 0) -> np.ndarray:
    """A sum of slow cosines at random phases, `later_s` later."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(n)[:, None] * t_r - later_s
    return np.cos(2 * np.pi * rng.uniform(0.02, 0.09, 12) * time_s
                  + rng.uniform(0, 6.3, 12)).sum(axis=1)


@pytest.mark.parametrize("t_r", [0.8, 2.1])
@pytest.mark.parametrize("later_s", [-4, 0, 3])
def test_lag_is_found_whatever_the_repetition_time(t_r, later_s):
    predicted, measured = wave(400, t_r), wave(400, t_r, later_s)
    found = metrics.lagged(predicted[:, None], measured[:, None], t_r)[:, 0]
    assert metrics.LAGS_S[int(np.argmax(found))] == later_s
    assert found.max() > 0.999
    r = metrics.pearson(predicted[:, None], measured[:, None])[0]
    assert found[6] == pytest.approx(r)
    assert r == pytest.approx(np.corrcoef(predicted, measured)[0, 1])


def test_coherence_of_the_same_is_one_and_of_others_is_small():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 600, 3))
    assert metrics.coherence(x, x, 2.0) == pytest.approx(1)
    assert metrics.coherence(-3 * x, x, 2.0) == pytest.approx(1)
    assert (metrics.coherence(x, y, 2.0) < 0.25).all()
    assert np.isnan(metrics.coherence(x[:20], y[:20], 2.0)).all()
    mixed = metrics.coherence(x, x + y, 2.0)  # half of the power is common
    assert mixed.mean() == pytest.approx(0.5, abs=0.12)


def test_connectivity_knows_which_region_is_which():
    rng = np.random.default_rng(1)
    series = rng.standard_normal((300, 8)) @ rng.standard_normal((8, 8))
    matrix = metrics.connectivity(series)
    assert matrix == pytest.approx(np.corrcoef(series.T))
    assert metrics.similarity(matrix, metrics.connectivity(2 * series + 5)) == pytest.approx(1)
    order = np.array([3, 0, 7, 1, 6, 2, 5, 4])
    assert abs(metrics.similarity(matrix, matrix[np.ix_(order, order)])) < 0.6
    back = matrix[np.ix_(order, order)][np.ix_(np.argsort(order), np.argsort(order))]
    assert metrics.similarity(matrix, back) == pytest.approx(1)


def test_unmeasured_volumes_do_not_count():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 100, 2))
    y[10:30, 0] = np.nan
    known = np.isfinite(y[:, 0])
    assert metrics.pearson(x, y)[0] == pytest.approx(np.corrcoef(x[known, 0], y[known, 0])[0, 1])
    assert metrics.pearson(np.ones((100, 2)), y).tolist() == [0, 0]  # says nothing
    every = surrogates.r_of_shifts(x, y)
    for shift in (0, 7, 93):
        assert every[shift] == pytest.approx(metrics.pearson(np.roll(x, shift, axis=0), y))


def series_of(subject: str, x: np.ndarray, y: np.ndarray, t_r: float = 2.0) -> Series:
    return Series(f"{subject}-scan", subject, t_r, 0, np.arange(len(x)) * t_r, y, {"m": [x]})


def test_surrogates_are_fair_and_do_find():
    """Of slow unrelated series one in twenty is below 0.05; related ones all are."""
    rng = np.random.default_rng(3)
    x, y = (np.stack([slow(rng, 150, 0.5) for _ in range(4 * 40)]).reshape(4, 40, 150)
            .transpose(0, 2, 1) for _ in range(2))
    scans = [series_of(f"p{k}", x[k], y[k]) for k in range(4)]
    for null in (surrogates.moved(scans, "m", 500, 0), surrogates.others(scans, "m", 500, 0)):
        assert (null.p < 0.05).mean() < 0.15
        assert null.p.mean() == pytest.approx(0.5, abs=0.13)
        assert (null.holm < 0.05).sum() == 0
        each = [metrics.pearson(one, other) for one, other in zip(x, y, strict=True)]
        assert null.r == pytest.approx(np.mean(each, axis=0))
    alike = [series_of(f"p{k}", x[k], x[k] + y[k]) for k in range(4)]
    assert (surrogates.moved(alike, "m", 2000, 0).holm < 0.05).all()
    assert surrogates.others(alike, "m", 2000, 0).p.max() <= 2 / 82  # of 3⁴ ways none is better


def test_what_all_people_share_is_not_ones_own():
    """A drift that every scan has: moved predictions do not explain it, other people's scans do."""
    rng = np.random.default_rng(4)
    drift = np.exp(-np.arange(150) / 20)[:, None]
    scans = [series_of(f"p{k}", drift + 0 * drift, drift + 0.1 * rng.standard_normal((150, 1)))
             for k in range(5)]
    assert surrogates.moved(scans, "m", 1000, 0).p[0] < 0.01
    assert surrogates.others(scans, "m", 1000, 0).p[0] > 0.05


def test_one_subject_or_short_parts_have_no_surrogates():
    x = np.random.default_rng(5).standard_normal((18, 2))
    scans = [series_of("p", x, x), series_of("p", x, x)]
    null = surrogates.others(scans, "m", 100, 0)
    assert "one subject is judged" in null.why
    assert np.isnan(null.p).all()
    assert "too short to be moved by 20 s" in surrogates.moved(scans, "m", 100, 0).why


def test_corrections():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    assert statistics.benjamini_hochberg(p) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    null = surrogates.Null(np.array([np.nan, 0.5]), np.zeros((99, 2)))
    assert np.isnan(null.holm[0])
    assert null.holm[1] == pytest.approx(0.01)  # the region without a value does not count


def test_response_is_the_canonical_one():
    lag_s = np.arange(-1, 40, 0.01)
    response = hrf.canonical(lag_s)
    assert response.sum() * 0.01 == pytest.approx(1, abs=1e-3)
    assert lag_s[response.argmax()] == pytest.approx(5.0, abs=0.05)
    assert response[lag_s < 0].max() == 0
    assert -0.2 < response.min() / response.max() < -0.05
    frames = np.zeros((80, 1))
    frames[20] = 1  # at 10 s
    found = hrf.convolved(frames, np.arange(80) * 0.5, 0.5, np.array([5.0, 15.0]))[:, 0]
    assert found == pytest.approx([0, 0.5 * hrf.canonical(np.array([5.0]))[0]])


def test_ridge_is_least_squares_where_it_may_and_shrinks_where_it_must():
    rng = np.random.default_rng(6)
    x, weight = rng.standard_normal((400, 5)), rng.standard_normal((5, 3))
    y = x @ weight + 0.01 * rng.standard_normal((400, 3))
    y[:50, 1] = np.nan
    found = ridge.fit(x[:300], y[:300], x[300:], y[300:])
    assert found.weight / found.scale[:, None] == pytest.approx(weight, abs=0.01)
    for n_features in (20, 500):  # more volumes than features, and fewer: the other Gram matrix
        wide, noise = rng.standard_normal((640, n_features)), rng.standard_normal((640, 2))
        shrunk = ridge.fit(wide[:40], noise[:40], wide[40:], noise[40:])
        assert shrunk.predict(wide[40:]).std() < 0.3  # there is nothing to be said
        for roi, penalty in enumerate(shrunk.penalty):
            scaled = (wide[:40] - wide[:40].mean(axis=0)) / wide[:40].std(axis=0)
            same = Ridge(alpha=penalty * 40, fit_intercept=False).fit(
                scaled, noise[:40, roi] - noise[:40, roi].mean())
            assert shrunk.weight[:, roi] == pytest.approx(same.coef_, abs=1e-8)


# -------------------------------------------------------------------------- errors


def test_too_few_common_channels(tmp_path, capsys):
    odd = make_pairs(tmp_path / "pairs", splits=("train", "validation", "test"), seconds=60,
                     montages={2: ["C3", "C4", "O1"]})
    assert evaluate(odd, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "at least 4 that all 3 scans have, got 3 (C3, C4, O1; sub-02 has" in said
    assert "--methods '[ours]'" in said
    assert not (tmp_path / "out").exists()
    names = channels.common(odd, np.array([0, 1]))
    assert channels.posterior(odd, 0, names) == ["O1", "O2"]
    assert channels.posterior(odd, 0, ["C3", "C4"]) == ["C3", "C4"]


def test_short_scans_are_left_out_with_their_reason(tmp_path):
    short = make_pairs(tmp_path / "pairs", splits=("train", "validation", "test"), seconds=60)
    with pytest.raises(ValueError, match=r"wanted scans to learn from .*sub-00 left out: 0 volumes "
                                         r"to choose .* pair scans of 420 s or more"):
        protocol.roles(short, "intra")


def test_a_scan_under_two_names_is_refused(tmp_path, pairs):
    twice = Pairs.open(pairs.folder)
    twice.recordings.loc[9, "sha256_bold"] = twice.recordings.loc[0, "sha256_bold"]
    with pytest.raises(SplitLeakError, match=r"sub-00 \(train\) and sub-09 \(test\) hold the same"):
        protocol.roles(twice, "inter")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--methods=[ours,fir]"], "methods wants some of ours, band_power_fir"),
        (["--methods=[]"], "got none"),
        (["--model=x", "--tokenizer=y"], "model brings its own architecture"),
        (["--model=x", "--methods=[cnn]"], "add ours, or leave model out"),
        (["--ceiling=nowhere.tsv"], "there is no file nowhere.tsv"),
        (['--architecture={"n_sources": 0}'], "n_sources must be at least 2, got 0"),
        (['--architecture={"sources": 8}'], "did you mean 'n_sources'?"),
        (["--protocol=other"], "protocol"),
        (["--permutations=0"], "permutations must be at least 1"),
    ],
)
def test_wrong_words_are_explained(tmp_path, capsys, words, told):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "bold", "--data=p", f"--out={tmp_path / 'out'}", *words])
    assert told in capsys.readouterr().err


def test_a_ceiling_without_our_scans(tmp_path, pairs, capsys):
    path = tmp_path / "ceiling.tsv"
    path.write_text("recording\tregion\tceiling\nelse\tcuneus\t0.9\n")
    assert evaluate(pairs, tmp_path / "out", "--methods=[alpha_hrf]", f"--ceiling={path}") == 1
    assert "nothing is said of sub-07" in capsys.readouterr().err
    path.write_text("recording\tr\nelse\t0.9\n")
    assert evaluate(pairs, tmp_path / "out2", "--methods=[alpha_hrf]", f"--ceiling={path}") == 1
    assert "wanted columns region, ceiling and one of recording" in capsys.readouterr().err
