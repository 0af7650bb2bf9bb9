"""The page of the question: table, differences, traces."""

from pathlib import Path

import pandas as pd

from neurofm.data.corpus import Corpus
from neurofm.pages import page as report
from neurofm.pages import table as tables
from neurofm.pages import words
from neurofm.pages.page import Page
from neurofm.results import Results

from .compared import Compared


def page(run, corpus: Corpus, found: Compared, results: Results, out: Path) -> Page:
    """The whole page; the figure lies in `out`."""
    compared = pd.DataFrame([
        {"sensors": row["sensors"], "method": row["b"], "metric": row["metric"],
         "model minus it [95 %]": words.estimate(row["difference"], row["low"], row["high"],
                                                 signed=True),
         "p": words.p_value(row["p"]), "subjects": row["n"]}
        for row in results.comparisons])
    about = (f"{run.model} on {run.data}, {run.split} split, "
             f"{words.count(results.subjects or 0, 'subject')}")
    return Page("Reconstruction", about, [
        ("Table", tables.html(found.table, dense=True) + report.bullets(found.said)
         + report.paragraph("Means over subjects. pearson: correlation of decoded and recorded "
                            "channels. pve: percent of the variance that is explained.", "small")),
        ("Model minus the others", "" if compared.empty else tables.html(compared, dense=True)
         + report.paragraph("Mean over the same subjects; in brackets: 95 % bootstrap interval "
                            "over subjects.", "small")),
        ("Traces", report.figure(out / "reconstruction.png", "Recorded and reconstructed traces",
                                 "Left: a few channels of one window of each layout. Right: power "
                                 "spectra.")),
        ("Signals", tables.pairs(words.contract_in_words(corpus.contract))),
    ])
