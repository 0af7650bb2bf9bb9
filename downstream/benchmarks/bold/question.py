"""Evaluate predicted fMRI on other subjects or later minutes, against baselines.

    neurofm evaluate bold --pairs runs/pairs --out results/
    neurofm evaluate bold … --protocol intra
    neurofm evaluate bold … --model runs/neurobolt          a model that is trained already

Every method learns from the training part, takes its penalties or its step by the validation part
and is judged on the test part. See `synthesis/` for who, what and how. Exit status: 85 = asked to
stop, state saved, run the same command again; 3 = a loss was not a number.
"""

import functools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurofm import artifacts, checkpoints, config
from neurofm.data.pairs import Pairs
from neurofm.models.neurobolt_sequence import NeuroBOLTSequenceConfig
from neurofm.run import STOPPED
from neurofm.training.finite import NotANumber
from neurofm.training.loop import Stopped, TrainConfig

from ...protocol import scans as protocol
from ...protocol.scans import Kind, Roles
from ...scoring import bold_ceiling as ceiling
from ...scoring import bold_scores as scores
from ...scoring import bold_series as series
from ...scoring.bold_series import Series
from . import channels, competing
from . import figures as synthesis_figures
from . import page as synthesis_page
from .competing import METHODS, ON_DEMAND
from .judged import Judged, finding, remarks, significant

EXIT_NOT_A_NUMBER = 3


def _cnn_training() -> TrainConfig:
    return TrainConfig(steps=300, batch_windows=4, lr=2e-3, weight_decay=0.05, log_every=20,
                       validate_every=10, save_every=50)


@dataclass
class EvaluateBoldConfig:
    """Evaluate bold config.

    Parameters
    ----------
    pairs
        EEG and fMRI of the same minutes (`neurofm pair`).
    out
        Folder of the results.
    protocol
        "inter" judges other people, by the splits of the pairs; "intra" the last tenth of every
        scan.
    methods
        What is compared, of ours, band_power_fir, band_power_hrf, alpha_hrf, cnn, and
        ours_one_by_one, a model for each region; the first is the one from which the others are
        subtracted.
    model
        Checkpoint of a neurobolt_sequence, which is judged as ours instead of one that is
        trained here; "" = train.
    tokenizer
        Checkpoint of a BrainTokenizer that ours reads besides.
    architecture
        Fields of ours (NeuroBOLTSequenceConfig).
    train_cnn
        Training of cnn; a window is a scan.
    seeds
        Trainings of cnn, of which scores are means.
    draws
        surrogates.
    seed
        Of surrogates.
    ceiling
        Table of what can be reached at most (columns region, ceiling, and recording, file, eeg
        or subject), such as ceiling_bold.tsv of a simulation; "" = none.
    """

    pairs: str
    out: str
    protocol: Kind = "inter"
    methods: list[str] = field(default_factory=lambda: list(METHODS))
    model: str = ""
    tokenizer: str = ""
    architecture: dict[str, Any] = field(default_factory=dict)
    train_cnn: TrainConfig = field(default_factory=_cnn_training)
    seeds: int = 1
    draws: int = 5000
    seed: int = 0
    ceiling: str = ""

    def __post_init__(self):
        unknown = [name for name in self.methods if name not in (*METHODS, *ON_DEMAND)]
        if unknown or not self.methods or len(set(self.methods)) < len(self.methods):
            known = ", ".join((*METHODS, *ON_DEMAND))
            raise ValueError(f"methods wants some of {known}, each once; got "
                             f"{', '.join(self.methods) or 'none'}")
        if min(self.seeds, self.draws) < 1:
            raise ValueError(f"seeds and draws must be at least 1, got {self.seeds} and "
                             f"{self.draws}")
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


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    run = config.parse(EvaluateBoldConfig, argv, command="evaluate bold")
    try:
        return evaluate_bold(run, functools.partial(print, flush=True))
    except Stopped as stop:
        print(stop)
        return STOPPED
    except NotANumber as problem:
        sys.stderr.write(f"neurofm evaluate bold: {problem}\n")
        return EXIT_NOT_A_NUMBER


def evaluate_bold(run: EvaluateBoldConfig, say=print) -> int:
    """Train, predict, judge, write tables, figures and page, seal; prints what was found."""
    out, pairs = Path(run.out), Pairs.open(run.pairs)
    parents = {"data": pairs.fingerprint}
    parents |= {name: checkpoints.fingerprint(getattr(run, name)) for name in ("model", "tokenizer")
                if getattr(run, name)}
    if run.ceiling:
        parents["ceiling"] = artifacts.sha256(run.ceiling)[:16]
    if artifacts.finished(out, "results", config=config.resolved(run), parents=parents):
        say(f"{out} is finished: nothing to do")
        return 0
    roles = protocol.roles(pairs, run.protocol)
    model = competing.open_model(run.model, pairs) if run.model else None
    tokenizer = competing.open_tokenizer(run.tokenizer, pairs) if run.tokenizer else None
    by_name = any(not name.startswith("ours") for name in run.methods)
    names = channels.common(pairs, roles.scans) if by_name else []
    artifacts.claim(out, {**parents, **config.resolved(run)})
    config.save(run, out)
    for role in protocol.ROLES:
        part = getattr(roles, role)
        say(f"{role}: {len(part.scans)} scans of {len(set(pairs.subjects(part.scans)))} people")
    methods = competing.fitted(
        run.methods, roles, names, run.seeds, out / "models", say, model=model,
        tokenizer=tokenizer, architecture=run.architecture, parents=parents,
        train_cnn=run.train_cnn,
    )
    judged = _judged(run, pairs, roles, methods)
    files = _written(out, judged, pairs, roles, names, _how(run))
    artifacts.seal(out, "results", config=config.resolved(run), parents=parents, files=files)
    shown = ["method", "r", "low", "high", "significant_moved", "significant_others", "coherence",
             "fc", "best_lag_s"]
    say(judged.table[shown].to_string(index=False, float_format="{:.3f}".format))
    if judged.leaked:
        say(f"LEAK: {len(judged.leaked)} of {len(judged.subjects)} judged people were in the "
            f"training data of {run.model}")
    for text in (finding(judged), *significant(judged)):
        say(text)
    for text in judged.notes:
        say(f"note: {text}")
    say(f"page: {out / 'index.html'}")
    return 0


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
    found = {name: scores.score(scans, name, run.draws, run.seed) for name in methods}
    known = set()
    if run.model:
        seen = checkpoints.seen(checkpoints.read_ledger(run.model), table.iloc[part.scans])
        known = set(pairs.subjects(seen.index.to_numpy()))
    return Judged(
        scans, regions, found, run.methods[0],
        scores.mean_connectivity([roles.train.target(k) for k in roles.train.scans.tolist()]),
        ceiling.read(run.ceiling, scans, table, regions) if run.ceiling else {},
        sorted(known), remarks(roles, found),
    )


def _written(
    out: Path, judged: Judged, pairs: Pairs, roles: Roles, names: list[str], said: list[str]
) -> list[str]:
    """Write all; returns the names of the files."""
    tables = {"scans.tsv": judged.by_scan, "connectivity.tsv": judged.fc,
              "regions.tsv": judged.by_region, "table.tsv": judged.table}
    for name, table in tables.items():
        table.to_csv(out / name, sep="\t", index=False, float_format="%.5g")
    series.table(judged.scans, judged.regions).to_parquet(out / "predictions.parquet", index=False)
    figures = synthesis_figures.draw(out, judged)
    page = synthesis_page.page(out, judged, pairs, roles, names, said)
    (out / "index.html").write_text(page)
    return [*tables, "predictions.parquet", *figures, "index.html", "run.yaml"]


def _how(run: EvaluateBoldConfig) -> list[str]:
    if run.model:
        return [f"the checkpoint {run.model}, trained elsewhere"]
    return ["its read-out solved here on the training scans",
            *([f"reads features of {run.tokenizer} besides"] if run.tokenizer else [])]


if __name__ == "__main__":
    sys.exit(main())
