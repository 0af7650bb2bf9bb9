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
        ("", report.paragraph(results.summary, "lead")),
        ("Table", tables.html(shown(found.table), dense=True) + report.bullets(found.said)
         + report.paragraph("Means over subjects. Pearson r: correlation of decoded and recorded "
                            "channels. Explained: percent of the variance.", "small")),
        ("Model minus the others", "" if compared.empty else tables.html(compared, dense=True)
         + report.paragraph("Mean over the same subjects; in brackets: 95 % bootstrap interval "
                            "over subjects.", "small")),
        ("Traces", report.figure(out / "reconstruction.png", "Recorded and reconstructed traces",
                                 "Left: a few channels of one window of each layout. Right: power "
                                 "spectra.")),
        ("Signals", tables.pairs(words.contract_in_words(corpus.contract))),
    ])


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table with headings for people, on the terminal and on the page."""
    titles = {"pearson": "Pearson r", "pca_fitted_on": "PCA fitted on"}
    return table.rename(columns=lambda name: titles.get(name) or str(name).replace(
        "pve", "explained (%)").replace("_", " "))


def finding(found: Compared) -> str:
    """How near the model's reconstruction comes, in a sentence for each layout."""
    said = []
    for row in found.table[found.table["tokenizer"] == "model"].to_dict("records"):
        over = f"over {words.count(row['subjects'], 'subject')}, the lowest"
        said.append(f"{row['sensors']}: Pearson r {row['pearson']:.3f} {over} "
                    f"{row['lowest_subject']:.3f}." if "pearson" in row else
                    f"{row['pve']:.2f} % of the variance explained {over} "
                    f"{row['lowest subject']:.2f} %.")
    return " ".join(said)
