"""The comparison of methods: what is told apart, what is written, what the page must say."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as reference

from neurofm.downstream.benchmarks.decoding import comparison_page
from neurofm.downstream.benchmarks.decoding.comparison import compare
from neurofm.downstream.benchmarks.decoding.comparison_page import About
from neurofm.downstream.benchmarks.decoding.question import EvaluateConfig
from neurofm.downstream.benchmarks.decoding.written import results, to_text, write
from neurofm.pages.figure import with_svg


def page_of(found, out) -> str:
    """The page as the frame writes it, with its notes."""
    write(out, found, About("x"))
    return comparison_page.page(found, About("x"), out).with_warnings(found.notes).html()


def named(
    skills: dict[str, float], n_subjects: int = 8, n_windows: int = 30, n_classes: int = 2,
    seeds: int = 3, by_subject: bool = False, seed: int = 0,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Predictions of methods of known skill (0: chance). Baselines (base_…) have one seed. Each
    subject has a leaning of their own that methods share."""
    rng = np.random.default_rng(seed)
    classes = tuple("abcdef"[:n_classes])
    n = n_subjects * n_windows
    subject = np.repeat(np.arange(n_subjects), n_windows)
    target = subject % n_classes if by_subject else rng.integers(n_classes, size=n)
    leaning, tables = rng.normal(0, 0.4, (n_subjects, n_classes)), []
    for name, skill in skills.items():
        for k in range(1 if name.startswith("base") else seeds):
            logits = rng.normal(size=(n, n_classes)) + leaning[subject]
            logits[np.arange(n), target] += skill
            p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            tables.append(pd.DataFrame({
                "fold": "stored", "method": name, "seed": k, "window": np.arange(n),
                "subject": [f"sub-{s:02d}" for s in subject],
                "recording": [f"rec-{s:02d}" for s in subject], "start_s": np.arange(n) * 2.0,
                "label": np.array(classes)[target],
                "predicted": np.array(classes)[p.argmax(axis=1)],
                **{f"p_{c}": p[:, i] for i, c in enumerate(classes)},
                "seen_in_pretraining": False, "setting": "",
            }))
    return pd.concat(tables, ignore_index=True), classes


def aged(
    slopes: dict[str, float], n_subjects: int = 30, n_windows: int = 10, noise: float = 8.0
) -> pd.DataFrame:
    """Predicted ages: 50 + slope × (age − 50) + noise a subject + noise a window."""
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 80, n_subjects)
    subject = np.repeat(np.arange(n_subjects), n_windows)
    return pd.concat([pd.DataFrame({
        "method": name, "seed": k, "window": np.arange(len(subject)),
        "subject": [f"s{i}" for i in subject], "recording": [f"r{i}" for i in subject],
        "label": age[subject],
        "predicted": 50 + slope * (age[subject] - 50) + rng.normal(0, noise, n_subjects)[subject]
        + rng.normal(0, 5, len(subject)), "seen_in_pretraining": False,
    }) for name, slope in slopes.items() for k in range(2)], ignore_index=True)


SKILLS = {"frozen": 1.8, "random": 0.0, "base_csp": 0.5, "base_tangent_recentered": 0.8}
BASELINES = {"base_csp", "base_tangent_recentered"}


@pytest.fixture(scope="module")
def result():
    table, classes = named(SKILLS)
    return compare(table, classes, list(SKILLS), BASELINES)


def test_best_is_found_and_told_apart(result):
    assert (result.best, result.best_network) == ("frozen", "frozen")
    assert result.best_baseline == "base_tangent_recentered"
    table = result.table.set_index("method")
    assert list(table.index) == list(SKILLS)
    assert table["seeds"].tolist() == [3, 3, 1, 1]
    assert table.loc["frozen", "difference_low"] > 0
    assert table.loc["frozen", "p_holm"] < 0.05
    assert table.loc["frozen", "p_chance"] < 0.01 < table.loc["random", "p_chance"]
    assert np.isnan(table.loc["base_tangent_recentered", "difference"])
    said = comparison_page.finding(result)
    assert said.startswith("Best is frozen (network): balanced accuracy 0.")
    assert "the difference is significant" in said
    assert "the difference is significant" in to_text(result)


def test_whatever_wins_is_said_to_win():
    skills = {"frozen": 0.2, "base_csp": 1.2}
    table, classes = named(skills)
    found = compare(table, classes, list(skills), {"base_csp"})
    said = comparison_page.finding(found)
    assert said.startswith("Best is base_csp (baseline)")
    assert re.search(r"from the best network, frozen, is \+0\.\d+ \[\+", said)


def test_secondary_metrics_are_means_over_subjects_of_scikit_learns(result):
    table, _ = named(SKILLS)
    part = table[table["method"] == "frozen"]
    wanted = {"auroc": [], "auprc": [], "kappa": [], "macro_f1": [], "log_loss": []}
    for _, one in part.groupby(["seed", "subject"]):
        true, named_, p = one["label"] == "b", one["predicted"] == "b", one["p_b"]
        wanted["auroc"].append(reference.roc_auc_score(true, p))
        wanted["auprc"].append(reference.average_precision_score(true, p))
        wanted["kappa"].append(reference.cohen_kappa_score(true, named_))
        wanted["macro_f1"].append(reference.f1_score(true, named_, average="macro"))
        wanted["log_loss"].append(reference.log_loss(true, p))
    row = result.row("frozen")
    for name, values in wanted.items():
        assert row[name] == pytest.approx(np.mean(values)), name
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"], name
        assert row[f"{name}_subjects"] == 8


def test_pooled_where_subjects_have_one_class():
    """A diagnosis: the area over windows of all subjects, and its interval over subjects."""
    skills = {"frozen": 1.0, "base_csp": 0.4}
    table, classes = named(skills, n_subjects=16, by_subject=True)
    found = compare(table, classes, list(skills), {"base_csp"})
    part = table[(table["method"] == "base_csp")]
    row = found.row("base_csp")
    assert row["auroc"] == pytest.approx(
        reference.roc_auc_score(part["label"] == "b", part["p_b"]))
    assert row["auroc_subjects"] == 0
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]
    assert row["exchanged"] == "subjects"
    assert row["labelings"] == 12870


def test_shuffled_labels_leave_chance_in_every_interval():
    table, classes = named(dict.fromkeys(SKILLS, 0.0), n_subjects=12, n_classes=3, seed=5)
    found = compare(table, classes, list(SKILLS), BASELINES).table
    assert (found["low"] <= 1 / 3).all()
    assert (found["high"] >= 1 / 3).all()
    assert (found["chance"] - 1 / 3).abs().max() < 0.01
    assert (found["p_holm"].dropna() > 0.05).all()
    assert (found["auroc_low"] <= 0.5).all()
    assert (found["auroc_high"] >= 0.5).all()


def test_every_pair_is_compared_and_turned_around_right(result):
    assert len(result.differences) == 6
    there, back = result.difference("frozen", "random"), result.difference("random", "frozen")
    assert back["difference"] == -there["difference"]
    assert (back["difference_low"], back["difference_high"]) == (
        -there["difference_high"], -there["difference_low"])
    each = result.each.pivot(index="subject", columns="method", values="balanced_accuracy")
    assert there["difference"] == pytest.approx((each["frozen"] - each["random"]).mean())
    assert there["p_wilcoxon"] == pytest.approx(
        stats.wilcoxon(each["frozen"], each["random"]).pvalue)
    assert (result.differences["p_wilcoxon_holm"] >= result.differences["p_wilcoxon"]).all()


def test_a_class_that_a_subject_lacks():
    table, classes = named(SKILLS, n_classes=3)
    gone = (table["subject"] == "sub-02") & (table["label"] == "c")
    found = compare(table[~gone], classes, list(SKILLS), BASELINES)
    assert np.isfinite(found.table["balanced_accuracy"]).all()
    assert any("1 of 8 test subjects have no window of some class" in v for v in found.notes)
    assert (found.table["auroc_subjects"] == 7).all()
    one = found.each.set_index(["subject", "method"]).loc[("sub-02", "frozen")]
    assert np.isnan(one["recall_c"])
    assert one["balanced_accuracy"] == pytest.approx((one["recall_a"] + one["recall_b"]) / 2)


def test_methods_that_named_fewer_windows_are_compared_on_common_ones():
    table, classes = named(SKILLS)
    short = table[~(table["method"].isin(BASELINES) & (table["window"] % 3 == 0))]
    found = compare(short, classes, list(SKILLS), BASELINES)
    assert found.table["windows"].tolist() == [240, 240, 160, 160]
    assert any("differences are on the test windows that both named" in v for v in found.notes)
    same = compare(table[table["window"] % 3 != 0], classes, list(SKILLS), BASELINES)
    assert found.difference("frozen", "base_csp")["difference"] == pytest.approx(
        same.difference("frozen", "base_csp")["difference"])
    apart = short[~((short["method"] == "frozen") & (short["window"] % 3 != 0))]
    none = compare(apart, classes, ["frozen", "base_csp"], BASELINES)
    assert "shares no test window" in comparison_page.finding(none)


def test_per_subject_merges_windows_first():
    skills = {"frozen": 0.6, "base_csp": 0.3}
    table, classes = named(skills, n_subjects=20, by_subject=True)
    found = compare(table, classes, list(skills), {"base_csp"}, per="subject")
    part = table[(table["method"] == "base_csp")].groupby("subject").agg(
        {"p_a": "mean", "p_b": "mean", "label": "first"})
    said = np.where(part["p_b"] > part["p_a"], "b", "a")
    assert found.row("base_csp")["balanced_accuracy"] == pytest.approx(
        reference.balanced_accuracy_score(part["label"], said))
    assert found.by_window is not None
    assert found.by_window.row("base_csp")["balanced_accuracy"] < found.row(
        "base_csp")["balanced_accuracy"]
    assert found.table["windows"].tolist() == [20, 20]


def test_a_known_correlation_is_recovered():
    """r of slope b with noise s: b σ / √(b² σ² + s² + 5²/10), σ = 60/√12 years."""
    found = compare(aged({"net": 0.8, "base_x": 0.0}, n_subjects=300), (), ["net", "base_x"],
                    {"base_x"}, per="subject")
    wanted = 0.8 * 17.3 / np.sqrt((0.8 * 17.3) ** 2 + 64 + 2.5)
    row = found.row("net")
    assert row["pearson"] == pytest.approx(wanted, abs=0.04)
    assert row["pearson_low"] < wanted < row["pearson_high"]
    assert row["p_chance"] < 0.01 < found.row("base_x")["p_chance"]
    gap = found.difference("net", "base_x")
    assert gap["difference_high"] < 0
    assert gap["difference_r_low"] > 0.5
    assert found.best == "net"
    assert "(negative: a smaller error)" in comparison_page.finding(found)


def test_subject_and_window_errors_of_numbers():
    table = aged({"net": 0.5, "base_x": 0.2})
    found = compare(table, (), ["net", "base_x"], {"base_x"})
    one = table[(table["method"] == "net") & (table["seed"] == 0)]
    r2 = [reference.r2_score(part["label"], part["predicted"])
          for _, part in table[table["method"] == "net"].groupby("seed")]
    assert found.row("net")["r2"] == pytest.approx(np.mean(r2))  # as many windows each
    assert found.row("net")["windows"] == len(one)
    assert any("median for everybody" in note for note in found.notes)


def test_ages_at_several_sessions_are_averaged():
    table = aged({"net": 0.8})
    later = table["window"] % 10 >= 5
    table["label"] += 2.0 * later
    found = compare(table, (), ["net"], per="subject").named["net"]
    first = table[(table["seed"] == 0) & (table["subject"] == "s0")]
    assert found.target[0] == pytest.approx(first["label"].mean())
    assert found.said[0, 0] == pytest.approx(first["predicted"].mean())


def test_folds_are_told_of():
    table, classes = named(SKILLS)
    table["fold"] = [f"fold {int(name[-2:]) % 4}" for name in table["subject"]]
    assert any("4 folds" in v for v in compare(table, classes, list(SKILLS), BASELINES).notes)


BLOCKS = ("block of time", "blocks of time")


def of_one(skills: dict[str, float], n_folds: int = 6) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The same predictions as blocks of time of one recording of one person."""
    table, classes = named(skills, n_subjects=n_folds)
    fold = [f"block {int(name[-2:]) + 1}" for name in table["subject"]]
    return table.assign(fold=fold, subject="one/S001", recording="R04"), classes


def test_one_person_is_judged_over_folds(tmp_path):
    table, classes = of_one(SKILLS)
    found = compare(table, classes, list(SKILLS), BASELINES, fold=BLOCKS)
    people = compare(table.assign(subject=table["fold"], recording=table["fold"]), classes,
                     list(SKILLS), BASELINES)
    for column in ("balanced_accuracy", "low", "high", "difference_low", "p_difference", "auroc"):
        assert np.allclose(found.table[column], people.table[column], equal_nan=True), column
    assert np.array_equal(found.ranks.mean, people.ranks.mean)
    assert (found.table["subjects"] == 1).all()
    assert (found.table["units"] == 6).all()
    assert found.table["exchanged"].iloc[0] == "windows of a recording within a fold"
    assert found.row("frozen")["p_chance"] < 0.01
    said = ("one person (one/S001): intervals, differences and ranks are over 6 blocks of time "
            "(folds) and speak of this person only")
    assert any(note.startswith(said) for note in found.notes)
    assert "over 6 blocks of time of one person" in comparison_page.finding(found)
    printed = to_text(found)
    assert "balanced accuracy [95 % over blocks of time]" in printed
    assert "subjects" not in printed
    files = write(tmp_path, found, About("x"))
    assert "folds.tsv" in files
    each = pd.read_csv(tmp_path / "folds.tsv", sep="\t")
    assert set(each["fold"]) == {f"block {k}" for k in range(1, 7)}
    assert set(each["subject"]) == {"one/S001"}
    page = re.sub(r"base64,[^\"]*", "", page_of(found, tmp_path))
    for wrong in ("over subjects", "test subjects", "other people of this kind", "subject by"):
        assert wrong not in page, wrong
    assert said in page
    told = results(EvaluateConfig("data", "out"), found, "within", found.notes)
    assert told.protocol["intervals_over"] == BLOCKS[1]


def test_two_folds_of_one_person_make_no_interval():
    table, classes = of_one(SKILLS, n_folds=2)
    found = compare(table, classes, list(SKILLS), BASELINES, fold=BLOCKS)
    assert (found.table["units"] == 1).all()
    assert np.isnan(found.table["low"]).all()
    assert found.ranks is None
    assert any("there is no interval and no test" in note for note in found.notes)


def test_recordings_of_one_label_in_blocks_have_an_interval_and_no_p(tmp_path):
    """Eyes open and closed: one recording each, both cut in the same blocks of time."""
    table, classes = of_one({"frozen": 3.0, "base_csp": 2.0}, n_folds=5)
    found = compare(table.assign(recording=table["label"]), classes, ["frozen", "base_csp"],
                    {"base_csp"}, fold=BLOCKS)
    assert np.isnan(found.table["p_chance"]).all()
    assert found.table["chance"].tolist() == [0.5, 0.5]
    assert (found.table["low"] > 0.6).all()
    text = to_text(found)
    assert "chance is 0.500 (no p value against chance)" in text
    assert any("whoever knows such a one again is right" in note for note in found.notes)
    assert not any("1/0" in note or "inf" in note for note in found.notes)
    assert "there is no p of chance" in page_of(found, tmp_path)


def test_files_and_what_the_page_says(result, tmp_path):
    about = About(
        "Telling a from b", question="Is it a or b?", model="runs/m", parents={"data": "abc"},
        protocol=["Trained on train."], split=["test: 8 subjects"],
        contract=[("Band", "1–45 Hz")], probe=["The person is recognized in .30 of windows."],
        curves=pd.DataFrame({"method": ["frozen"] * 2, "shots": [0, 5], "mean": [0.6, 0.7],
                             "low": [0.5, 0.6], "high": [0.7, 0.8], "gain": [np.nan, 0.123],
                             "gain_low": [np.nan, 0.1], "gain_high": [np.nan, 0.2]}),
    )
    files = write(tmp_path, result, about)
    assert sorted(with_svg(tmp_path, files)) == sorted(p.name for p in tmp_path.iterdir())
    assert all((tmp_path / name).with_suffix(".svg").is_file() for name in files
               if name.endswith(".png"))
    assert {"table.tsv", "subjects.tsv", "differences.tsv", "comparison.png",
            "ranks.png", "calibration.png", "confusion.png", "curves.png"
            } == set(files)
    page = comparison_page.page(result, about, tmp_path).with_warnings(
        [*result.notes, "Mind <this>."]).html()
    assert page.count("data:image/png;base64,") == 5
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)  # nothing is fetched
    for words in ("Is it a or b?", "the difference is significant", "Mind &lt;this&gt;.", "1–45 Hz",
                  "recognized in .30", "+0.123\n[+0.100, +0.200]",
                  "n the windows that both decoded (8 test subjects)",
                  "Cohen&#x27;s κ", "Holm", "Trained on train."):
        assert words in page, words
    assert "LEAK" not in page
    kept = results(EvaluateConfig("data", "out"), result, "stored", result.notes)
    assert "Best is frozen" in kept.summary
    main = [row for row in kept.scores if row["metric"] == "balanced_accuracy"]
    assert [row["n"] for row in main] == [8] * 4
    assert len(kept.comparisons) == 6
    assert len(pd.read_csv(tmp_path / "subjects.tsv", sep="\t")) == 4 * 8


def test_few_exchanges_are_explained(tmp_path):
    """Four people with a recording of each class: p of chance cannot fall below 1/16."""
    table, classes = named({"frozen": 3.0, "base_csp": 2.0}, n_subjects=8, by_subject=True)
    number = table["subject"].str[4:].astype(int)
    table["subject"] = [f"sub-{k:02d}" for k in number // 2]
    found = compare(table, classes, ["frozen", "base_csp"], {"base_csp"})
    assert found.table["p_chance"].tolist() == [1 / 16, 1 / 16]
    page = page_of(found, tmp_path)
    assert "in 16 ways only, so p of chance cannot fall below 1/16" in page
    assert "the least that 16 exchanges allow" in page
    assert "with 4 test subjects no p can be below 0.125" in page


@pytest.mark.parametrize("n_subjects", [1, 2])
def test_one_method_and_next_to_no_subjects(n_subjects, tmp_path):
    table, classes = named({"frozen": 1.0}, n_subjects=n_subjects, seeds=1)
    found = compare(table, classes, ["frozen"])
    assert found.ranks is None
    assert np.isnan(found.row("frozen")["low"]) == (n_subjects == 1)
    assert "ranks.png" not in write(tmp_path, found, About("x"))
    both, _ = named({"frozen": 1.0, "base_csp": 0.1}, n_subjects=n_subjects)
    write(tmp_path, compare(both, classes, ["frozen", "base_csp"], {"base_csp"}), About("x"))


def test_many_methods_and_long_names_are_drawn(tmp_path):
    skills = {f"{'base_' if k % 2 else 'net_'}a_rather_long_name_recentered_{k}": k / 20
              for k in range(16)}
    table, classes = named(skills, n_subjects=5, n_windows=12, n_classes=6)
    baselines = {name for name in skills if name.startswith("base")}
    found = compare(table, classes, list(skills), baselines)
    assert len(found.differences) == 120
    assert "confusion.png" in write(tmp_path, found, About("x"))


def test_what_cannot_be_compared_is_refused():
    table, classes = named(SKILLS)
    with pytest.raises(ValueError, match=r"none of \['full'\]; there are those of"):
        compare(table, classes, ["frozen", "full"])
    with pytest.raises(ValueError, match=r"wanted numbers in \['label', 'predicted'\]"):
        compare(table, (), ["frozen"])
    with pytest.raises(ValueError, match="methods is empty"):
        compare(table, classes, [])
    with pytest.raises(ValueError, match=r"no column \['p_z'\]"):
        compare(table, ("a", "z"), ["frozen"])
    with pytest.raises(ValueError, match=r"labels \['b'\] are none of \['a'\]"):
        compare(table, ("a",), ["frozen"])
    with pytest.raises(ValueError, match="frozen: wanted every seed to name the same windows"):
        compare(table.drop(index=3), classes, ["frozen"])
    with pytest.raises(ValueError, match="each once over all folds"):
        compare(pd.concat([table, table]), classes, ["frozen"])
    with pytest.raises(ValueError, match="1 rows without a p_a"):
        compare(table.assign(p_a=table["p_a"].where(table.index != 5)), classes, ["frozen"])
    with pytest.raises(ValueError, match="per must be"):
        compare(table, classes, ["frozen"], per="recording")
    with pytest.raises(ValueError, match="sub-00 has 2: compare per='window'"):
        compare(table, classes, ["frozen"], per="subject")
