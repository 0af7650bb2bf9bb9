"""Compare generated with real recordings, against linear models of the same subjects.

    neurofm evaluate generation --data runs/corpus --generated.ours generated/ --out results/

Folders made by `neurofm generate` are compared with the second half of each person's recordings:
power spectra, bursts, whether the person is recognized, and how envelopes of channels correlate.
Beside them stand autoregressions of the person's first half, and that first half itself, which is
as close as a recording of the same person comes. `table` lists what is measured.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neurofm import tsv
from neurofm.data.corpus import Corpus
from neurofm.limits import Count, Positive, limited
from neurofm.pages import table as tables
from neurofm.repository import LEDGER
from neurofm.results import Results, comparison, score
from neurofm.run import Command, Job, Made

from ...scoring.bursts import Bursts
from ...scoring.envelopes import bands_within
from ...scoring.spectra import HIGH_HZ, top_hz
from ...scoring.statistics import Estimate
from . import figures as judge_figures
from . import page as judge_page
from . import table, verdict
from .measured import OTHER, REAL, Measured, Settings, measure, prepare
from .signals import Compared


@dataclass
@limited
class GenerationConfig:
    """Compare generated signals with recordings.

    Parameters
    ----------
    data
        Corpus that the signals were generated from.
    generated
        Name → folder of `neurofm generate`.
    out
        Folder of the results.
    ar_order
        Order of the autoregression of each channel, samples.
    mvar_order
        Order of the autoregression of all channels, samples.
    ridge
        Ridge penalty of the autoregression of all channels, as a share of the variance of
        each channel.
    bands
        Name → [lowest, highest] frequency of the envelopes, Hz.
    permutations
        Number of permutations of subjects, if there are more than 7 subjects.
    seed
        Seed of the permutations and bootstraps.
    """

    data: str
    generated: dict[str, str]
    out: str
    ar_order: Count = 80
    mvar_order: Count = 20
    ridge: float = 1e-4
    bands: dict[str, list[Positive]] = field(default_factory=lambda: {
        "alpha": [8.0, 13.0], "beta": [13.0, 30.0], "broadband": [1.0, 45.0],
    })
    permutations: Count = 2000
    seed: int = 0

    def __post_init__(self):
        if not self.generated:
            raise ValueError('generated names no folder; wanted such as \'{"ours": "generated/"}\'')
        for name, edges in self.bands.items():
            if len(edges) != 2 or not edges[0] < edges[1]:
                raise ValueError(f"band {name}: wanted [lowest, highest] in Hz, above 0 and "
                                 f"ascending, got {edges}")
        taken = {REAL, OTHER, f"AR({self.ar_order})", f"MVAR({self.mvar_order})"}
        if both := sorted(taken & self.generated.keys()):
            raise ValueError(f"generated: {both[0]!r} is the name of what stands beside the "
                             f"models; choose another")


def ask(run: GenerationConfig, job: Job) -> Made:
    """Measure everybody, compare, write tables and figures."""
    out, corpus = job.out, Corpus.open(run.data)
    compared = Compared.open(corpus, run.generated)
    top = top_hz(corpus.contract.one_rate, corpus.contract.lowpass_hz)
    bands, notes = bands_within(run.bands, top)
    settings = Settings(run.ar_order, run.mvar_order, run.ridge, bands, min(top, HIGH_HZ), run.seed)
    bursts, n_segment = prepare(compared, settings)  # reads all: nothing is begun if one is bad
    measured = measure(compared, settings, bursts, n_segment)
    judged = table.judge(measured, compared.people, [*bands], run.permutations, run.seed)
    tsv.write(judged.table, out / "table.tsv", float_format="%.5g")
    tsv.write(judged.values, out / "subjects.tsv", float_format="%.5g")
    files = _draw(out, compared, settings, judged, measured, bursts)
    power = np.sort(bursts.power())
    found = results(run, compared, settings, judged, job.parents)
    found.notes += [*notes, *verdict.doubts(judged, [*compared.folders]), *_without_ledger(run)]
    return Made(
        ["table.tsv", "subjects.tsv", *files], results=found,
        judged=corpus.judged(np.flatnonzero(np.isin(corpus.subjects(np.arange(len(corpus))),
                                                    compared.people))),
        page=judge_page.page(out, compared, settings, judged, measured,
                             float(power[-1] / power[-2])),
        said=[tables.text(verdict.shown(judged))])


COMMAND = Command("evaluate generation", GenerationConfig, ask, makes="results",
                  reads=("data", "generated"))
main = COMMAND


def results(
    run: GenerationConfig, compared: Compared, settings: Settings, judged: table.Judged,
    parents: dict[str, str],
) -> Results:
    """Every measure of every source, and each model's minus each baseline's. parents: role →
    fingerprint, by which signals and their models are named: places may change."""
    models = {name: compared.made_by[name] for name in compared.folders}
    generated = {name: parents[f"generated {name}"] for name in compared.folders}
    found = Results(
        "generation", run.data, None, judged.names,
        {"compared with": "second half of each person's recordings", "generated": generated,
         "models": models}, [run.seed], judged.n_people, summary=verdict.closest(judged))
    rows = judged.table.set_index("source")
    for one in judged.measures:
        for name in judged.names:
            value = Estimate(*(float(rows.at[name, f"{one.name}{end}"])
                               for end in ("", "_low", "_high")))
            if np.isfinite(value.mean):
                found.scores.append(score(name, one.name, value, unit=one.unit,
                                          n=int(np.isfinite(judged.of(name, one.name)).sum())))
    for model in compared.folders:
        for baseline in settings.baselines:
            for one in [m for m in judged.measures if m.main]:
                difference = verdict.difference(judged, model, baseline, one)
                if difference is not None:
                    found.comparisons.append(
                        comparison(model, baseline, one.name, *difference,
                                   better=one.better))
    return found


def _without_ledger(run: GenerationConfig) -> list[str]:
    return [f"{name}: {folder} does not say whom its model was trained on, so people of its "
            f"training data cannot be found here; generate again"
            for name, folder in run.generated.items() if not (Path(folder) / LEDGER).is_file()]


def _draw(
    out: Path, compared: Compared, settings: Settings, judged: table.Judged,
    measured: dict[str, list[Measured]], bursts: Bursts,
) -> list[str]:
    """All figures; returns their file names."""
    color = judge_figures.colors(judged.names, settings.baselines)
    judge_figures.spectra(out / "spectra.png", measured, color)
    judge_figures.spectra_of_people(out / "spectra_people.png", measured, compared.people, color)
    judge_figures.bursts(out / "bursts.png", judged, bursts.state_spectra(), bursts.burst, color)
    judge_figures.traces(out / "traces.png", measured, compared.names, compared.sfreq, color)
    made = ["spectra.png", "spectra_people.png", "bursts.png", "traces.png"]
    if judged.n_people >= table.LEAST_PEOPLE:
        for name, words in (("psd_l2", "distance of spectra (dB)"),
                            ("fingerprint", "1 − correlation of features")):
            judge_figures.distances(out / f"{name}.png", judged, name, words, color)
            made.append(f"{name}.png")
    if judged.n_channels >= table.LEAST_CHANNELS:
        judge_figures.envelopes(out / "envelopes.png", measured, settings.bands, color)
        made.append("envelopes.png")
    return made

