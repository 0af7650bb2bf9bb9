"""Evaluate predicted fMRI on other subjects or later minutes, against baselines.

    neurofm evaluate bold --data runs/pairs --out results/
    neurofm evaluate bold … --protocol intra
    neurofm evaluate bold … --model runs/neurobolt          a model that is trained already

Every method learns from the training part, takes its penalties or its step by the validation part
and is judged on the test part. Exit status: 85 = asked to
stop, state saved, run the same command again; 3 = a loss was not a number.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurofm import config, contents, tsv
from neurofm.data.pairs import Pairs
from neurofm.data.windows import SPLITS
from neurofm.limits import Count, limited
from neurofm.models.neurobolt_sequence import NeuroBOLTSequenceConfig
from neurofm.results import Results, comparison, score
from neurofm.run import FAILED, Command, Job, Made
from neurofm.training.finite import NotANumber
from neurofm.training.loop import TrainConfig
from neurofm.training.sampler import check_batch

from ...protocol import scans as protocol
from ...protocol.scans import Kind, Roles
from ...scoring import ceiling, series
from ...scoring.series import Series
from ...scoring.statistics import Estimate
from . import channels, competing, scores
from . import figures as synthesis_figures
from . import page as synthesis_page
from .competing import METHODS, ON_DEMAND
from .judged import Judged, finding, remarks, significant


def _cnn_training() -> TrainConfig:
    return TrainConfig(steps=300, batch_windows=4, lr=2e-3, weight_decay=0.05, log_every=20,
                       validate_every=10, save_every=50)


@dataclass
@limited
class EvaluateBoldConfig:
    """Compare models that predict fMRI from EEG.

    Parameters
    ----------
    data
        Pairs of EEG and fMRI (`neurofm pair`).
    out
        Folder of the results.
    protocol
        "inter" tests on the test subjects of the pairs; "intra" on the last tenth of every
        scan.
    methods
        Methods to compare: ours, ours_one_by_one (one model per region), band_power_fir,
        band_power_hrf, alpha_hrf, cnn. The others are subtracted from the first.
    model
        Checkpoint of a model that predicts scans, to evaluate as ours; "" = train a
        neurobolt_sequence here.
    tokenizer
        Checkpoint of a brain_tokenizer whose features ours reads as well.
    architecture
        Settings of ours (neurobolt_sequence).
    train_cnn
        Training of cnn; a window is a scan.
    seeds
        Number of trainings of cnn; scores are means over them.
    permutations
        Number of surrogates of each test.
    seed
        Seed of the surrogates.
    ceiling
        Table of the highest possible r (columns region, ceiling, and one of recording,
        file, eeg, subject), such as ceiling_bold.tsv of `neurofm simulate`; "" = none.
    """

    data: str
    out: str
    protocol: Kind = "inter"
    methods: list[str] = field(default_factory=lambda: list(METHODS))
    model: str = ""
    tokenizer: str = ""
    architecture: dict[str, Any] = field(default_factory=dict)
    train_cnn: TrainConfig = field(default_factory=_cnn_training)
    seeds: Count = 1
    permutations: Count = 5000
    seed: int = 0
    ceiling: str = field(default="", metadata=contents.OF_FILE)

    def __post_init__(self):
        unknown = [name for name in self.methods if name not in (*METHODS, *ON_DEMAND)]
        if unknown or not self.methods or len(set(self.methods)) < len(self.methods):
            known = ", ".join((*METHODS, *ON_DEMAND))
            raise ValueError(f"methods wants some of {known}, each once; got "
                             f"{', '.join(self.methods) or 'none'}")
        if self.model and (self.architecture or self.tokenizer):
            raise ValueError("model brings its own architecture and tokenizer: leave architecture "
                             "and tokenizer out, or model")
        if self.model and "ours" not in self.methods:
            raise ValueError(f"model is judged as ours, which methods ({', '.join(self.methods)}) "
                             f"leaves out: add ours, or leave model out")
        if self.ceiling and not Path(self.ceiling).is_file():
            raise ValueError(f"ceiling: there is no file {self.ceiling}")
        try:
            NeuroBOLTSequenceConfig(**self.architecture)
        except TypeError as problem:
            raise ValueError(f"architecture {self.architecture} does not fit "
                             f"NeuroBOLTSequenceConfig: {problem}") from problem


def ask(run: EvaluateBoldConfig, job: Job) -> Made | int:
    """Train, predict, judge, write tables, figures and page."""
    out, pairs = job.out, Pairs.open(run.data)
    roles = protocol.roles(pairs, run.protocol)
    if "cnn" in run.methods:
        check_batch("train_cnn.batch_windows", run.train_cnn.batch_windows,
                    len(roles.train.scans), _cnn_training().batch_windows)
    model = competing.open_model(run.model, pairs) if run.model else None
    tokenizer = competing.open_tokenizer(run.tokenizer, pairs) if run.tokenizer else None
    by_name = any(not name.startswith("ours") for name in run.methods)
    names = channels.common(pairs, roles.scans) if by_name else []
    for role in SPLITS:
        part = getattr(roles, role)
        job.say(f"{role}: {len(part.scans)} scans of {len(set(pairs.subjects(part.scans)))} people")
    try:
        methods = competing.fitted(
            run.methods, roles, names, run.seeds, out / "models", job.say, model=model,
            tokenizer=tokenizer, architecture=run.architecture, parents=job.parents,
            train_cnn=run.train_cnn,
        )
    except NotANumber as problem:
        sys.stderr.write(f"neurofm evaluate bold: {problem}\n")
        return FAILED
    judged = _judged(run, pairs, roles, methods)
    shown = ["method", "r", "low", "high", "significant_moved", "significant_others", "coherence",
             "fc", "best_lag_s"]
    config.save(run, out)
    return Made(
        _written(out, judged), results=_results(run, judged),
        judged=pairs.recordings.iloc[roles.test.scans],
        page=synthesis_page.page(out, judged, pairs, roles, names, _how(run)),
        said=[judged.table[shown].to_string(index=False, float_format="{:.3f}".format)],
    )


COMMAND = Command(
    "evaluate bold", EvaluateBoldConfig, ask, makes="results", reads=("data",),
    models=("model", "tokenizer"),
)
main = COMMAND


def _judged(run: EvaluateBoldConfig, pairs: Pairs, roles: Roles, methods: dict[str, list]
            ) -> Judged:
    part, table = roles.test, pairs.recordings
    scans = [
        Series(table["recording"].iat[scan], whose, pairs.t_r(scan), part.bounds(scan)[0],
               part.volume_s(scan), part.target(scan).astype(np.float64),
               {name: [one.predict(part, scan) for one in seeds]
                for name, seeds in methods.items()})
        for scan, whose in zip(part.scans.tolist(), pairs.subjects(part.scans).tolist(),
                               strict=True)
    ]
    regions = list(pairs.rois.names)
    found = {name: scores.score(scans, name, run.permutations, run.seed) for name in methods}
    return Judged(
        scans, regions, found, run.methods[0],
        scores.mean_connectivity([roles.train.target(k) for k in roles.train.scans.tolist()]),
        ceiling.read(run.ceiling, scans, table, regions) if run.ceiling else {},
        remarks(roles, found),
    )


def _written(out: Path, judged: Judged) -> list[str]:
    """Write tables, predictions and figures; returns the names of the files."""
    tables = {"scans.tsv": judged.by_scan, "connectivity.tsv": judged.fc,
              "regions.tsv": judged.by_region, "table.tsv": judged.table}
    for name, table in tables.items():
        tsv.write(table, out / name, float_format="%.5g")
    series.table(judged.scans, judged.regions).to_parquet(out / "predictions.parquet", index=False)
    return [*tables, "predictions.parquet", *synthesis_figures.draw(out, judged), "run.yaml"]


def _results(run: EvaluateBoldConfig, judged: Judged) -> Results:
    """r, coherence and similarity of connectivity of each method; the first minus each other."""
    found = Results(
        "bold", run.data, run.model or None, judged.methods,
        {"kind": run.protocol, "scans": len(judged.scans), "regions": len(judged.regions),
         "permutations": run.permutations}, [run.seed], len(judged.subjects),
        summary=" ".join([finding(judged), *significant(judged)]), notes=list(judged.notes))
    for row in judged.table.to_dict("records"):
        n = row["subjects"]
        r = Estimate(row["r"], row["low"], row["high"])
        found.scores.append(score(
            row["method"], "r", r, n=n, seeds=row["seeds"],
            significant_moved=row["significant_moved"],
            significant_others=row["significant_others"], best_lag_s=row["best_lag_s"]))
        found.scores += [
            score(row["method"], name, Estimate(row[key], row[f"{key}_low"], row[f"{key}_high"]),
                  n=n) for name, key in (("coherence", "coherence"), ("fc_similarity", "fc"))]
        if row["method"] != judged.first:
            gap = Estimate(row["difference"], row["difference_low"], row["difference_high"])
            found.comparisons.append(comparison(
                judged.first, row["method"], "r", gap, row["difference_p"], n=n))
    return found


def _how(run: EvaluateBoldConfig) -> list[str]:
    if run.model:
        return [f"the checkpoint {run.model}, trained elsewhere"]
    return ["its read-out solved here on the training scans",
            *([f"reads features of {run.tokenizer} besides"] if run.tokenizer else [])]
