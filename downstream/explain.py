"""Draw where on the head, and at which frequencies, a decoder's output goes with the signal.

    neurofm explain --corpus labelled/ --model runs/decoder --out results/

Writes attribution.tsv and attribution.png. What the maps show, and what they do not:
`neurofm.downstream.scoring.attribution`.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from neurofm import artifacts, checkpoints, config
from neurofm.checkpoints.contracts import check_contract
from neurofm.data.corpus import Corpus

from .decoder.labelled import labelled
from .scoring import attribution, attribution_figure
from .scoring.attribution import Attribution
from .use.one import open_decoder


@dataclass
class ExplainConfig:
    """Explain config.

    Parameters
    ----------
    corpus
        A sealed corpus with the decoder's labels.
    model
        Checkpoint of a decoder.
    out
        Folder of the results.
    split
        Whose windows; people the decoder was trained on show what it remembers.
    only
        Column or attribute of recordings and the value it must have, e.g. --only.device=eeg64.
    draws
        How often outputs and labels are exchanged, for what is above chance.
    batch_windows
        Decoded at a time.
    """

    corpus: str
    model: str
    out: str
    split: Literal["test", "validation", "train"] = "test"
    only: dict[str, str] = field(default_factory=dict)
    draws: int = 500
    seed: int = 0
    batch_windows: int = 16

    def __post_init__(self):
        if self.draws < 20 or self.batch_windows < 1 or self.seed < 0:
            raise ValueError(f"wanted draws ≥ 20 (for what 1 of 20 reaches), batch_windows ≥ 1 and "
                             f"seed ≥ 0, got {self.draws}, {self.batch_windows} and {self.seed}")


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return explain(config.parse(ExplainConfig, argv, command="explain"))


def explain(run: ExplainConfig) -> int:
    """Compute, draw, seal; prints the channels where most goes with the output."""
    out = Path(run.out)
    corpus = Corpus.open(run.corpus)
    parents = {"data": corpus.fingerprint, "model": checkpoints.fingerprint(run.model)}
    if artifacts.finished(out, "results", config=config.resolved(run), parents=parents):
        print(f"{out} is finished: nothing to do")
        return 0
    decoder = open_decoder(run.model)
    check_contract(decoder, run.model, corpus)
    data = labelled(corpus, decoder.classes, run.only, number=not decoder.classes)
    windows, target, subjects = data.of(run.split)
    if len(windows) == 0:
        raise ValueError(f"{corpus.folder}: the {run.split} split has no labeled window"
                         f"{f' with {run.only}' if run.only else ''}; choose another --split")
    artifacts.claim(out, {**parents, **config.resolved(run)})
    found = attribution.maps(decoder, corpus, windows, target, draws=run.draws, seed=run.seed,
                             batch_windows=run.batch_windows)
    out.mkdir(parents=True, exist_ok=True)
    pd.concat([each.table() for each in found]).to_csv(
        out / "attribution.tsv", sep="\t", index=False, float_format="%.5g")
    who = f"{run.split} split"
    attribution_figure.draw(out / "attribution.png", found, decoder.classes, who)
    artifacts.seal(out, "results", config=config.resolved(run), parents=parents,
                   files=["attribution.tsv", "attribution.png"])
    for line in in_words(found):
        print(line)
    if known := _known(run.model, corpus, windows):
        print(f"note: {known} of {len(set(subjects))} people were in the decoder's training data: "
              f"this is what it remembers, not what it finds in new people")
    rows = data.recordings(run.split)
    ledger, tested = checkpoints.read_ledger(run.model), corpus.recordings["dataset"].iloc[rows]
    if unlisted := checkpoints.doubt(ledger, tested):
        print(f"note: the decoder: {unlisted}")
    print(f"maps: {out / 'attribution.png'}, numbers: {out / 'attribution.tsv'}")
    return 0


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


def _known(model: str, corpus: Corpus, windows: np.ndarray) -> int:
    """How many of the windows' people stand in the checkpoint's ledger."""
    seen = set(checkpoints.seen(checkpoints.read_ledger(model), corpus.recordings)["recording"])
    names = corpus.recordings["recording"].to_numpy()[
        corpus.windows["recording"].to_numpy()[windows]]
    return len(set(corpus.subjects(windows)[np.isin(names, sorted(seen))]))


if __name__ == "__main__":
    sys.exit(main())
