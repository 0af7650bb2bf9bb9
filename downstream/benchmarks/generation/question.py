"""How close generated recordings are to real ones, beside linear models of the same people.

    neurofm evaluate generation --corpus runs/corpus --generated.ours generated/ --out results/

Folders made by `neurofm generate` are compared with the second half of each person's recordings:
power spectra, bursts, whether the person is recognized, and how channels' envelopes go together.
Beside them stand autoregressions of the person's first half, and that first half itself, which is
as close as a recording of the same person comes. See `judging/` for what each judge computes.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neurofm import artifacts, config
from neurofm.data.corpus import Corpus

from . import figures as judge_figures
from . import page as judge_page
from . import table, verdict
from .bursts import Bursts
from .envelopes import bands_within
from .measured import OTHER, REAL, Measured, Settings, measure, prepare
from .signals import Compared
from .spectra import HIGH_HZ, top_hz


@dataclass
class JudgeConfig:
    """Judge config.

    Parameters
    ----------
    corpus
        What the signals were generated from.
    generated
        Name → folder of `neurofm generate`.
    out
        Folder of the results.
    ar_order
        Samples that the autoregression of each channel reads.
    mvar_order
        Those that the one of all channels reads.
    ridge
        White noise it is given, as a share of each channel's variance.
    bands
        Name → lowest and highest frequency (Hz) of envelopes.
    n_permutations
        Exchanges of people, where there are more than 7.
    seed
        Of draws.
    """

    corpus: str
    generated: dict[str, str]
    out: str
    ar_order: int = 80
    mvar_order: int = 20
    ridge: float = 1e-4
    bands: dict[str, list[float]] = field(default_factory=lambda: {
        "alpha": [8.0, 13.0], "beta": [13.0, 30.0], "broadband": [1.0, 45.0],
    })
    n_permutations: int = 2000
    seed: int = 0

    def __post_init__(self):
        if not self.generated:
            raise ValueError('generated names no folder; wanted such as \'{"ours": "generated/"}\'')
        if min(self.ar_order, self.mvar_order, self.n_permutations) < 1 or not self.ridge >= 0:
            raise ValueError(f"wanted ar_order, mvar_order and n_permutations of at least 1 and "
                             f"ridge of 0 or more, got {self.ar_order}, {self.mvar_order}, "
                             f"{self.n_permutations} and {self.ridge}")
        for name, edges in self.bands.items():
            if len(edges) != 2 or not 0 < edges[0] < edges[1]:
                raise ValueError(f"band {name}: wanted [lowest, highest] in Hz, above 0 and "
                                 f"ascending, got {edges}")
        taken = {REAL, OTHER, f"AR({self.ar_order})", f"MVAR({self.mvar_order})"}
        if both := sorted(taken & self.generated.keys()):
            raise ValueError(f"generated: {both[0]!r} is the name of what stands beside the "
                             f"models; choose another")


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return judge(config.parse(JudgeConfig, argv, command="evaluate generation"))


def judge(run: JudgeConfig) -> int:
    """Measure everybody, judge, write tables, figures and page, seal; prints the verdict."""
    out, corpus = Path(run.out), Corpus.open(run.corpus)
    parents = {"data": corpus.fingerprint} | {
        f"generated {name}": artifacts.open_sealed(folder, "results").fingerprint
        for name, folder in run.generated.items()
    }
    if artifacts.finished(out, "results", config=config.resolved(run), parents=parents):
        print(f"{out} is finished: nothing to do")
        return 0
    compared = Compared.open(corpus, run.generated)
    top = top_hz(corpus.contract.sfreq, corpus.contract.lowpass_hz)
    bands, remarks = bands_within(run.bands, top)
    settings = Settings(run.ar_order, run.mvar_order, run.ridge, bands, min(top, HIGH_HZ), run.seed)
    bursts, n_segment = prepare(compared, settings)  # reads all: nothing is begun if one is bad
    artifacts.claim(out, {**parents, **config.resolved(run)})
    measured = measure(compared, settings, bursts, n_segment)
    judged = table.judge(measured, compared.people, [*bands], run.n_permutations, run.seed)
    judged.table.to_csv(out / "table.tsv", sep="\t", index=False, float_format="%.5g")
    judged.values.to_csv(out / "subjects.tsv", sep="\t", index=False, float_format="%.5g")
    figures = _draw(out, compared, settings, judged, measured, bursts)
    power = np.sort(bursts.power())
    ratio = float(power[-1] / power[-2])
    page = judge_page.page(out, compared, settings, judged, measured, ratio, remarks)
    (out / "index.html").write_text(page)
    artifacts.seal(out, "results", config=config.resolved(run), parents=parents,
                   files=["table.tsv", "subjects.tsv", "index.html", *figures])
    shown = judged.table.set_index("source")[[m.name for m in judged.measures if m.main]]
    print(shown.T.to_string(float_format="{:.3g}".format))
    print(verdict.closest(judged))
    for text in [*remarks, *verdict.doubts(judged, [*compared.folders])]:
        print(f"note: {text}")
    print(f"page: {out / 'index.html'}")
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
