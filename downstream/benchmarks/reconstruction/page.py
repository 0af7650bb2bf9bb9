"""The page of the question: table, differences, traces."""

from pathlib import Path

import pandas as pd

from neurofm.data.corpus import Corpus
from neurofm.pages import page as report
from neurofm.pages import words
from neurofm.pages.page import Page
from neurofm.results import Results

from .compared import Compared


def page(run, corpus: Corpus, found: Compared, results: Results, out: Path) -> Page:
    """The whole page; the figure lies in `out`."""
    compared = pd.DataFrame([
        {"sensors": row["sensors"], "method": row["b"], "metric": row["metric"],
         "model minus it": row["difference"], "low": row["low"], "high": row["high"],
         "p": "–" if row["p"] is None else f"{row['p']:.3g}", "subjects": row["n"]}
        for row in results.comparisons])
    about = (f"{run.model} on {run.data}, {run.split} split, {results.subjects} "
             f"subject{'s' * (results.subjects != 1)}")
    return Page("Reconstruction", about, [
        ("Table", report.table(found.table, dense=True) + report.bullets(found.said)
         + report.paragraph("Means over subjects. pearson: correlation of decoded and recorded "
                            "channels. pve: percent of the variance that is explained.", "small")),
        ("Model minus the others", "" if compared.empty else report.table(compared, dense=True)
         + report.paragraph("Mean over the same subjects; low and high are its 95 % bootstrap "
                            "interval over subjects.", "small")),
        ("Traces", report.figure(out / "reconstruction.png", "Recorded and reconstructed traces",
                                 "Left: a few channels of one window of each layout. Right: power "
                                 "spectra.")),
        ("Signals", report.pairs(words.contract_in_words(corpus.contract))),
    ])
