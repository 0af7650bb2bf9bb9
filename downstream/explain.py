"""Map the channels and frequencies that go along with a decoder's output.

    neurofm explain --data labeled/ --model runs/decoder --out results/

Writes attribution.tsv and attribution.png. What the maps show, and what they do not:
`neurofm.downstream.scoring.attribution`.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from neurofm import tsv
from neurofm.checkpoints.contracts import check_contract
from neurofm.data.contract import EEG_MEG, InputContract
from neurofm.data.corpus import Corpus
from neurofm.limits import Count, limited
from neurofm.pages import page as pages
from neurofm.pages.page import Page
from neurofm.results import Results
from neurofm.run import Command, Job, Made

from .decoder.labeled import labeled
from .scoring import attribution, attribution_figure
from .scoring.attribution import Attribution
from .use.one import open_decoder

LIMITS = ("A map shows where power is correlated with the decoder's output. It does not show what "
          "the decoder uses: a channel can stand out because it is correlated with another.")


@dataclass
@limited
class ExplainConfig:
    """Map the channels and frequencies that go along with a decoder's output.

    Parameters
    ----------
    data
        A finished corpus with the decoder's labels.
    model
        Checkpoint of a decoder.
    out
        Folder of the results.
    split
        Split to explain. On training subjects the maps show what the decoder memorized.
    only
        Column or attribute of recordings and the value it must have, such as --only.device=eeg64.
    permutations
        Number of permutations of outputs and labels.
    batch_windows
        Windows per batch.
    seed
        Seed of the permutations.
    """

    data: str
    model: str
    out: str
    split: Literal["test", "validation", "train"] = "test"
    only: dict[str, str] = field(default_factory=dict)
    permutations: int = 500
    seed: int = 0
    batch_windows: Count = 16

    def __post_init__(self):
        if self.permutations < 20:
            raise ValueError(f"permutations must be at least 20 (for what 1 of 20 reaches), got "
                             f"{self.permutations}")


def explain(run: ExplainConfig, job: Job) -> Made:
    """Compute the maps and draw them."""
    corpus, decoder = Corpus.open(run.data), open_decoder(run.model)
    if not isinstance(corpus.contract, InputContract):
        raise ValueError(f"{corpus.folder}: maps are of band power of {EEG_MEG}, and this is "
                         f"{corpus.contract.modality}; which views an automatic decoder weighs how "
                         f"much is told by `neurofm show {run.model}`")
    check_contract(decoder, run.model, corpus)
    data = labeled(corpus, decoder.classes, run.only, number=not decoder.classes)
    windows, target, subjects = data.of(run.split)
    if len(windows) == 0:
        raise ValueError(f"{corpus.folder}: the {run.split} split has no labeled window"
                         f"{f' with {run.only}' if run.only else ''}; choose another --split")
    found = attribution.maps(decoder, corpus, windows, target, draws=run.permutations,
                             seed=run.seed, batch_windows=run.batch_windows)
    table = pd.concat([each.table() for each in found])
    tsv.write(table, job.out / "attribution.tsv", float_format="%.5g")
    who = f"{run.split} split"
    attribution_figure.draw(job.out / "attribution.png", found, decoder.classes, who)
    lines = in_words(found)
    n = len(set(subjects))
    return Made(
        ["attribution.tsv", "attribution.png"],
        results=Results("explain", data=run.data, model=run.model, methods=["decoder"],
                        protocol={"split": run.split}, seeds=[run.seed], subjects=n,
                        summary="\n".join(lines)),
        judged=corpus.recordings.iloc[data.recordings(run.split)],
        page=Page("Attribution of a decoder", f"{n} subjects of the {who}", [
            ("", pages.bullets(lines)),
            ("Maps", pages.figure(job.out / "attribution.png", "maps of channels and bands")),
            ("What maps show", pages.paragraph(LIMITS)),
        ]),
        said=[f"maps: {job.out / 'attribution.png'}, numbers: {job.out / 'attribution.tsv'}"])


COMMAND = Command(
    "explain", ExplainConfig, explain, makes="results", reads=("data",), models=("model",),
    free=frozenset({"batch_windows"}), fresh=True,
)
main = COMMAND


def in_words(found: list[Attribution], n: int = 3) -> list[str]:
    """A line an output and kind of sensor: its largest entries, and whether they are marked."""
    lines = []
    for each in found:
        names = list(each.bands)
        for k, output in enumerate(each.outputs):
            size = np.abs(each.pattern[k])
            places = np.column_stack(np.unravel_index(np.argsort(-size, axis=None)[:n], size.shape))
            most = ", ".join(f"{each.sensors.names[c]} {names[b]} {each.pattern[k, c, b]:+.2f} dB"
                             for c, b in places)
            lines.append(
                f"{each.kind}, {output}: most at {most}; {int(each.above[k].sum())} of {size.size} "
                f"above chance"
                + (f", none counted: {why}" if (why := each.why_none(k)) else "")
            )
    return lines
