"""Jobs: each is done once, also by two calls at once; a training that diverges stops no other."""

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from neurofm import artifacts, cli, limits
from neurofm.data.corpus import Corpus
from neurofm.downstream.benchmarks.decoding import fitted, methods
from neurofm.downstream.benchmarks.decoding.jobs import Job, share
from neurofm.downstream.benchmarks.decoding.question import main as evaluate
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.protocol import choice
from neurofm.training.finite import NotANumber
from tests.support.planted import make_corpus

WILD = {"lr": 1e30}
SIMPLE = ["csp_lda", "band_power_lr"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("jobs") / "corpus", n_windows=8)


def words(corpus, out, *more) -> list[str]:
    return [f"--data={corpus}", f"--out={out}", f"--methods={json.dumps(SIMPLE)}",
            "--protocol.kind=kfold", "--protocol.folds=3", "--tuning=1", *more]


def test_a_job_that_another_call_is_at_is_left_to_it(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    assert evaluate(words(corpus, out, "--part=6/6")) == 0  # the folder is begun
    capsys.readouterr()
    with FileLock(out / "parts" / ".000-fold-1__csp_lda__0.parquet.lock"):
        assert evaluate(words(corpus, out, "--part=1/1")) == 0
        said = capsys.readouterr().out
        assert "another call is at 1 of these jobs: they are left to it" in said
        assert "5 of 6 jobs are done" in said
    assert evaluate(words(corpus, out)) == 0
    assert "[6/6] fold-1 csp_lda seed 0" in capsys.readouterr().out


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40])
def test_shares_are_all_of_the_work_and_keep_methods_of_a_fold_and_seed_together(n):
    jobs = [Job(number, None, method, seed) for number in range(2) for seed in range(3)
            for method in ("frozen", "random", "csp_lda") if seed == 0 or method != "csp_lda"]
    shares = [share(jobs, k, n) for k in range(n)]
    assert sorted(jobs.index(job) for part in shares for job in part) == list(range(len(jobs)))
    if n <= 6:
        where = [{k for k, part in enumerate(shares) for job in part
                  if (job.number, job.seed) == group} for group in {(j.number, j.seed)
                                                                    for j in jobs}]
        assert all(len(each) == 1 for each in where)


def test_two_calls_at_once_do_each_job_once(corpus, tmp_path):
    out = tmp_path / "out"
    call = [sys.executable, "-m", "neurofm.cli", "evaluate", "decoding",
            *words(corpus, out)]
    both = [subprocess.Popen(call, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=300)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert sum(line.startswith("[") for text in said for line in text.splitlines()) == 6, said
    assert sum("page:" in text for text in said) == 1
    assert artifacts.open_sealed(out, "results", hashes=True)
    assert not (out / "parts").exists()
    alone = tmp_path / "alone"
    assert evaluate(words(corpus, alone)) == 0
    shared, whole = (pd.read_parquet(folder / "predictions.parquet") for folder in (out, alone))
    assert shared.equals(whole)


def test_a_setting_that_diverges_is_the_worst(planted, tmp_path, monkeypatch, capsys):
    """A head trained with an absurd learning rate: its loss becomes NaN in a few steps."""
    monkeypatch.setattr(limits, "LARGEST_NUMBER", math.inf)  # nobody can ask for such a rate
    monkeypatch.setattr(methods, "HEAD_SETTINGS", (WILD, {"lr": 1e-3}))
    chosen = [f"--data={planted.corpus}", f"--model={planted.backbone}", "--methods=[mlp]",
              "--train.steps=30", "--seeds=1"]
    assert evaluate([*chosen, f"--out={tmp_path / 'out'}", "--tuning=2"]) == 0
    note = "mlp: in 1 of 1 trainings a setting diverged and counted as the worst (lr=1e+30)"
    assert note in capsys.readouterr().out
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert set(table["setting"]) == {"lr=0.001 diverged=lr=1e+30"}
    assert (table["label"] == table["predicted"]).mean() > 0.8
    assert note in (tmp_path / "out" / "report.html").read_text()


def test_a_method_whose_settings_all_diverge_fails_after_the_others(
    planted, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(limits, "LARGEST_NUMBER", math.inf)  # nobody can ask for such a rate
    monkeypatch.setattr(methods, "HEAD_SETTINGS", (WILD, {"lr": 1e31}))
    out = tmp_path / "out"
    chosen = [f"--data={planted.corpus}", f"--model={planted.backbone}", f"--out={out}",
              "--train.steps=10", "--seeds=1", "--tuning=2"]
    assert cli.main(["evaluate", "decoding", *chosen, "--methods=[mlp,csp_lda]"]) == 1
    said = capsys.readouterr().err
    assert "mlp, fold stored, seed 0: all of its settings diverged (with lr=1e+30: " in said
    assert "1 of 2 jobs have no answers, the others are done and kept" in said
    assert (out / "parts" / "000-stored__csp_lda__0.parquet").exists()
    assert not artifacts.is_sealed(out)
    # without it: the report
    assert cli.main(["evaluate", "decoding", *chosen, "--methods=[csp_lda]"]) == 0


def test_answers_that_are_no_numbers_are_not_chosen(planted):
    data = labeled(Corpus.open(planted.corpus))
    _, target, _ = data.of("validation")
    right = np.eye(2)[target]

    def attempt(number, setting):
        if setting["what"] == "raises":
            raise NotANumber("step 3: loss nan")
        return setting["what"], {"nan": right * np.nan, "right": right, "wrong": 1 - right}[
            setting["what"]]

    order = [{"what": name} for name in ("nan", "wrong", "raises", "right")]
    made, setting = choice.chosen(order, data, attempt)
    assert made == "right"
    assert setting == {"what": "right", "diverged": "what=nan+what=raises"}
    assert choice.chosen(order[1:2], data, attempt) == ("wrong", {"what": "wrong"})
    with pytest.raises(choice.Diverged, match="with what=raises: step 3: loss nan"):
        choice.chosen([order[2], order[0]], data, attempt)


def test_answers_to_the_test_that_are_no_numbers_are_refused(corpus, tmp_path, monkeypatch, capsys):
    real = fitted.Baselines.answers

    def spoilt(self, name, data, seed):
        answers, setting = real(self, name, data, seed)
        return (answers * np.nan if name == "csp_lda" else answers), setting

    monkeypatch.setattr(fitted.Baselines, "answers", spoilt)
    assert cli.main(["evaluate", "decoding", *words(corpus, tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "3 of 6 jobs have no answers" in said.err
    assert "csp_lda, fold fold-1, seed 0" in said.err
    assert "and 2 more" in said.err
