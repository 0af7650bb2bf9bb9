"""The page of an evaluation of predicted fMRI: who predicts best first, then region by region."""

from pathlib import Path

import numpy as np
import pandas as pd

from neurofm.data.pairs import Pairs
from neurofm.pages import page as report
from neurofm.pages import table as tables
from neurofm.pages import words
from neurofm.pages.page import Page

from ...protocol import scans as protocol
from ...protocol.scans import Roles
from ...scoring import series as metrics
from ...scoring.surrogates import SHIFT_S
from .judged import Judged, finding, significant

ABOUT = {
    "ours": "neurobolt_sequence: cross-spectra of sources in six bands, whitened by the person's "
            "own mean, ⊛ canonical response and its derivative, all regions at once; reads where "
            "channels lie",
    "ours_one_by_one": "ours, one model per region",
    "band_power_fir": "power in five bands of each channel, delays learned (8 bumps over 24 s), "
                      "ridge",
    "band_power_hrf": "power in five bands of each channel ⊛ canonical response, ridge",
    "alpha_hrf": "posterior alpha power ⊛ canonical response, one slope per region",
    "cnn": "convolutional network after ShallowConvNet, trained from random weights",
}


def page(
    out: Path, judged: Judged, pairs: Pairs, roles: Roles, channels: list[str], said: list[str]
) -> Page:
    """The whole page; figures lie in `out`. channels: read by methods that know them by name.
    said: how our model came to be, in lines."""
    whose = "other people" if roles.kind == "inter" else "later minutes of the same scans"
    return Page(
        "fMRI predicted from EEG",
        f"{', '.join(judged.methods)} on {whose}: {len(judged.scans)} scans of "
        f"{len(judged.subjects)} people of {pairs.folder}, {len(judged.regions)} regions",
        [
            ("", report.paragraph(finding(judged), "lead")
             + report.bullets(significant(judged))),
            ("Table", _table(judged)),
            ("Inputs", _compared(judged, pairs, roles, channels, said)),
            ("Regions", _figure(out, "regions", "Mean r over subjects with its 95 % bootstrap "
                                                "interval over subjects." + _of_ceiling(judged))),
            ("Time courses", _courses(out, judged)),
            ("Could it be chance?", _figure(
                out, "surrogates",
                f"{judged.first}. Left: predictions moved circularly within their scan, "
                f"{SHIFT_S:g} s or more; right: predictions against the scans of other people. "
                f"The dot is the mean r over scans; bars are two-sided, p is one-sided.")
             + _surrogates(judged)),
            ("How regions go together", _matrices(out, judged)),
            ("Delay", _figure(out, "lags", "Mean r over scans and regions where one series is "
                                           "moved against the other. The score is r at 0 s; "
                                           "another best lag means a wrong delay.")
             + _lags(judged)),
            ("Signals", tables.pairs(words.contract_in_words(pairs.contract))),
            ("Targets", tables.pairs(words.contract_in_words(pairs.bold_contract))),
        ],
    )


def _table(judged: Judged) -> str:
    rows, beside = [], []
    for row in judged.table.to_dict("records"):
        n, name = row["regions"], row["method"]
        rows.append({
            "method": name, "mean r": words.estimate(row["r"], row["low"], row["high"]),
            f"{judged.first} minus it": words.DASH if name == judged.first else words.estimate(
                row["difference"], row["difference_low"], row["difference_high"], signed=True),
            "p": words.p_value(row.get("difference_p", np.nan)),
            "regions > moved": _count(row["significant_moved"], n),
            "regions > others": _count(row["significant_others"], n),
            **{title: words.estimate(row[key], decimals=2) for key, title in (
                ("of_ceiling", "r / ceiling"), ("of_ceiling_eeg", "r / EEG ceiling"))
               if key in row},
        })
        beside.append({
            "method": name,
            "coherence": words.estimate(row["coherence"], row["coherence_low"],
                                        row["coherence_high"]),
            "coherence if moved": words.estimate(row["coherence_unrelated"]),
            "FC similarity": words.estimate(row["fc"], row["fc_low"], row["fc_high"]),
            "best lag (s)": words.estimate(row["best_lag_s"], decimals=0),
        })
    known = judged.fc[judged.fc["method"] == "mean of training scans"]["fc_similarity"].mean()
    beside.append({"method": "mean matrix of training scans", "coherence": words.DASH,
                   "coherence if moved": words.DASH, "FC similarity": words.estimate(known),
                   "best lag (s)": words.DASH})
    return (
        tables.html(pd.DataFrame(rows), dense=True)
        + report.paragraph(
            "Mean over regions and subjects [95 % bootstrap interval over subjects]. p: "
            "methods permuted within subjects, two-sided, not corrected for the number of "
            "methods. regions > moved, others: how many are better than surrogates (p < 0.05, "
            "one-sided, Holm over regions).", "small")
        + tables.html(pd.DataFrame(beside), dense=True)
        + report.paragraph(
            f"Coherence: {metrics.BAND_HZ[0]:g}–{metrics.BAND_HZ[1]:g} Hz, weighted by measured "
            f"power; to be compared with that of the same predictions moved in time. FC "
            f"similarity: r between the measured and the predicted correlations of regions. Best "
            f"lag: where the mean r over regions is largest.", "small"))


def _compared(
    judged: Judged, pairs: Pairs, roles: Roles, channels: list[str], said: list[str]
) -> str:
    def long(role: str) -> str:
        part = getattr(roles, role)
        volumes = sum(len(part.volume_s(scan)) for scan in part.scans.tolist())
        return (f"{len(part.scans)} scans of {len(set(pairs.subjects(part.scans)))} people, "
                f"{volumes} volumes")

    t_r = sorted({round(one.t_r, 3) for one in judged.scans})
    rows = [("Protocol", {
        "inter": "inter-subject: test subjects are not training subjects",
        "intra": "intra-scan: of every scan the first 8/10 train, then 1/10 selects, then 1/10 "
                 f"tests; {protocol.GAP_S:g} s dropped after each cut. All scans train one "
                 "model.",
    }[roles.kind])]
    rows += [(title, long(role)) for role, title in (
        ("train", "Trained on"), ("validation", "Penalties and steps selected on"),
        ("test", "Judged on"))]
    rows += [("Repetition times judged", ", ".join(f"{each:g} s" for each in t_r))]
    rows += [(name, ABOUT[name] + (f" ({', '.join(said)})" if name == "ours" and said else ""))
             for name in judged.methods]
    if channels:
        rows.append(("Channels of methods that read them by name",
                     f"{len(channels)}: {', '.join(channels)}"))
    return tables.pairs(rows) + report.paragraph(
        "Targets are cleaned within the part in which they count. EEG features are z-scored "
        "over their whole scan; this uses no fMRI. A constant prediction has r = 0.", "small")


def _courses(out: Path, judged: Judged) -> str:
    one = judged.scans[judged.median_scan]
    return _figure(out, "courses", f"{one.name}: the scan in the middle by mean r of "
                                   f"{judged.first}. Regions from best to worst predicted. All "
                                   "courses are z-scored for display; uncertain predictions "
                                   "have smaller amplitude.")


def _surrogates(judged: Judged) -> str:
    rows = judged.by_region[judged.by_region["method"] == judged.first]
    shown = pd.DataFrame({"region": rows["region"],
                          "r": tables.estimates(rows, "r", "low", "high")})
    for name in ("moved", "others"):
        if rows[f"p_{name}"].notna().any():
            shown[f"{name}: 95th percentile"] = [words.estimate(x) for x in rows[f"{name}_95"]]
            for column, what in ((f"p_{name}", "p"), (f"p_{name}_holm", "Holm"),
                                 (f"q_{name}", "FDR q")):
                shown[f"{name}: {what}"] = [words.p_value(x) for x in rows[column]]
    return tables.html(shown, scroll=len(shown) > 20, dense=True) + report.paragraph(
        f"{judged.first}; regions.tsv has all methods. Holm controls the family-wise error, q "
        "the false discovery rate (Benjamini & Hochberg).", "small")


def _matrices(out: Path, judged: Judged) -> str:
    if len(judged.regions) < 3:
        return report.paragraph(f"None: {len(judged.regions)} region(s), and pairs of regions to "
                                f"compare need at least 3.")
    known = judged.fc[judged.fc["method"] == "mean of training scans"]["fc_similarity"].mean()
    return _figure(out, "connectivity", "Correlations of regions, mean over the judged scans.") + (
        report.paragraph("The mean matrix of the training scans, which uses no EEG, has an FC "
                         f"similarity of {words.number(known)}: a method must exceed it to be "
                         "informative about a single scan."))


def _lags(judged: Judged) -> str:
    made = {"region": judged.regions}
    for method, found in judged.scores.items():
        made[method] = [words.estimate(x, decimals=0) for x in found.best_lag_s]
    return tables.html(pd.DataFrame(made), scroll=len(judged.regions) > 20, dense=True) + (
        report.paragraph("Best lag of each region, seconds; positive: measured comes later.",
                         "small"))


def _of_ceiling(judged: Judged) -> str:
    if not judged.ceilings:
        return ""
    return (" Gray ticks: ceiling, the correlation of a region with its noise-free series, and "
            "(dotted) with the part that the EEG's sources drive. They are of uncleaned "
            "series; cleaned ones may exceed them slightly.")


def _figure(out: Path, name: str, caption: str) -> str:
    return report.figure(out / f"{name}.png", name, caption)


def _count(count: float | None, n: int) -> str:
    return words.DASH if count is None or count != count else f"{int(count)} of {n}"
