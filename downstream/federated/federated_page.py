"""The page of a federation: does it help each site, what traveled, what stayed."""

import json
from collections import Counter
from pathlib import Path

import pandas as pd

from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.pages import page as report
from neurofm.pages import table as tables
from neurofm.pages import words

from . import federated_scores, plans
from .federated_scores import Scores


def page(out: Path, run, scores: Scores, rounds: pd.DataFrame) -> report.Page:
    """The page. run: a FederateConfig."""
    federated = rounds[rounds["method"] == "federated"]
    n = scores.people["site"].nunique()
    sections = [
        ("", report.paragraph(federated_scores.finding(scores), "lead") + _remarks(scores)),
        ("Site by site", report.figure(
            out / "sites.png", "balanced accuracy of each site",
            "Dots are held-out subjects: none of their trials is in any weight or statistic"
            + (", except their own mean over all their trials, without labels"
               if plans.kind_of(run.learning.model).recenters(run.learning) else "")
            + ". Bars: 95 % over people (and seeds).")
         + tables.html(federated_scores.shown(scores))),
        ("Sites", tables.html(_sites(run, scores))),
        ("Rounds", report.figure(out / "rounds.png", "losses over rounds")
         + tables.html(verdicts(federated))
         if len(federated) else ""),
        ("What travels", tables.pairs(_travels(run, federated))),
        ("What was done", tables.pairs(_done(run))),
    ]
    about = f"{words.count(n, 'site')}, classes {' / '.join(scores.classes)}"
    return report.Page("Federated decoder", about, sections)


def _remarks(scores: Scores) -> str:
    few = [f"{row.site} ({row.people})" for row in scores.sites.drop_duplicates("site").itertuples()
           if row.people < 10 and row.site != federated_scores.ALL]
    return report.paragraph(f"Few test subjects at {', '.join(few)}: these intervals are "
                            "approximate.", "warning") if few else ""


def _sites(run, scores: Scores) -> pd.DataFrame:
    """What sites have, as they would say it themselves."""
    rows, counts = [], scores.sites.drop_duplicates("site").set_index("site")
    for site in run.every_site:
        corpus = Corpus.open(site.corpus)
        most, contract = max(corpus.layouts.values(), key=len), corpus.contract
        rows.append({"site": site.name, "people judged": int(counts.loc[site.name, "people"]),
                     "channels": f"{len(site.channels or most.names)} of {most.kinds[0]}",
                     "rate (Hz)": f"{contract.one_rate:g}" if isinstance(
                         contract, InputContract) else "that of each scan",
                     "trial (s)": f"{contract.window_s:g}" if contract.window_s else "whole scans",
                     "samples": contract.window_samples or ""})
    return pd.DataFrame(rows)


def verdicts(rounds: pd.DataFrame) -> pd.DataFrame:
    """A row a site: in how many rounds its answer counted, its mean share, why others did not."""
    counted: dict[str, list[float]] = {}
    reasons: dict[str, Counter[str]] = {}
    for row in rounds.itertuples():
        sites = json.loads(row.sites)
        weights = json.loads(row.counted) or [1] * len(sites)  # an earlier version did not say
        for site, weight in zip(sites, weights, strict=True):
            counted.setdefault(site, []).append(weight / sum(weights))
        for site, reason in json.loads(row.rejected):
            reasons.setdefault(site, Counter())[reason] += 1
    rows = []
    for site in sorted({*counted, *reasons}):
        why = reasons.get(site, Counter())
        said = [f"{n} × {reason}" for reason, n in why.most_common(3)]
        share = counted.get(site, [])
        rows.append({
            "site": site, "rounds that counted": len(share),
            "mean share": f"{sum(share) / len(share):.2f}" if share else "",
            "answers that did not": why.total(),
            "why": "; ".join(said) + "; …" * (len(why) > 3) if why else "every answer counted"})
    return pd.DataFrame(rows)


def size(n_bytes: float) -> str:
    """Of a message."""
    return f"{n_bytes / 1e6:.3f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"


def _travels(run, rounds: pd.DataFrame) -> list[tuple[str, str]]:
    if not len(rounds):
        return [("Nothing", "federated is not among the methods")]
    private = run.privacy
    rows = [
        ("A round and site", f"{size(rounds['bytes_down'].max())} down"
         + (f", {size(rounds['bytes_up'].max())} up" if rounds["bytes_up"].max() else
            "; what is masked goes up")),
        ("Besides", "number of training trials, mean losses; in the end accuracies over people"
         + ("" if private.where == "none" else " (none of which the privacy budget covers)")),
        ("Stays at the site", "recordings, labels, names of people and files, "
         + plans.kind_of(run.learning.model).STAYS + "optimizer, predictions"),
        ("Secure aggregation", "SecAgg+: the server sees only the average" if run.secure.on else
         "off: the server sees each site's weights"),
    ]
    if private.where == "none":
        return [*rows, ("Differential privacy", "none: shared weights may reveal a site's data")]
    spent = rounds["epsilon"].max()
    return [*rows, ("Differential privacy", (
        f"of a whole site, not of its single subjects: ε = {spent:.3g} at δ = {private.delta:g} "
        f"for each fold (clip {private.clip:g} at the {private.where}, noise {private.noise:g})"))]


def _done(run) -> list[tuple[str, str]]:
    learning, how = run.learning, run.averaging
    changed = ", ".join(f"{name} {value}" for name, value in learning.architecture.items())
    model = plans.kind_of(learning.model).in_words(learning) + f": {changed}" * bool(changed)
    return [
        ("Model", model),
        ("Rounds", f"{learning.rounds}, {learning.passes} pass(es) of a site's trials in each"),
        ("Average", f"{how.strategy}, sites weigh by {how.weights}"
         + (f"; weights drawn back by {learning.proximal:g} (FedProx)" if learning.proximal
            else "")),
        ("Held out", f"protocol {learning.protocol.kind}: in each fold people of every site, other "
                     f"people of the site choose the round that is kept"),
        *[(name.capitalize(), words) for name, words in (
            ("local", "each site trained alone"),
            ("pooled", "all sites' recordings in one place, a batch of each in every step"))
          if name in run.methods],
        ("Seeds", str(run.seeds)),
    ]
