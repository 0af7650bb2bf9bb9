"""The end of an evaluation: all predictions → tables, figures, results, one page."""

from pathlib import Path

import numpy as np
import pandas as pd

from neurofm import config, tsv
from neurofm.models.protocol import RegionModel
from neurofm.pages import table as tables
from neurofm.pages.words import contract_in_words
from neurofm.run import Made

from ...decoder import lacking
from ...decoder.build import open_backbone
from ...decoder.labeled import Labeled
from ...protocol import choice
from ...protocol.published import absent
from ...protocol.windows import in_words, said_of_whom, what_a_fold_is
from ...scoring import attribution, attribution_figure, brain_figures, covariates
from ...tasks import Task
from . import comparison, comparison_page, methods, printed, written
from .comparison_page import About
from .settings import EvaluateConfig
from .setup import Setup


def report(
    run: EvaluateConfig, setup: Setup, predictions: pd.DataFrame, curves: pd.DataFrame | None,
    known: dict[str, float], parents: dict[str, str],
) -> Made:
    """Compare, draw, write; what the frame is to seal.

    curves: of `few_shot`. known: of `identity`. parents: fingerprints of
    data and models.
    """
    out, task, parts, data = setup.out, setup.task, setup.parts, setup.parts[0]
    names = list(dict.fromkeys(predictions["method"]))
    baselines = set(filter(methods.is_baseline, names))
    result = comparison.compare(predictions, data.classes, names, baselines, task.per,
                                what_a_fold_is(run.protocol))
    predictions.to_parquet(out / "predictions.parquet", index=False)
    files = ["predictions.parquet", "run.yaml"]
    config.save(run, out)
    if curves is not None:
        tsv.write(curves, out / "calibration_curves.tsv", float_format="%.4f")
        files.append("calibration_curves.tsv")
    explained = run.explain or (result.best_network or result.best)
    try:
        maps, picture, unmapped = *explain(out, explained, predictions, data), []
    except ValueError as error:  # unlike devices, fMRI; the scores stand without a map
        maps, picture, unmapped = [], None, [f"no attribution map: {error}"]
    beside = covariates.table(predictions, data.classes, data.corpus, run.covariates)
    if len(beside):
        tsv.write(beside, out / "covariates.tsv", float_format="%.4f")
        files.append("covariates.tsv")
    learned = (brain(out, run.model, data)
               if isinstance(setup.networks.models.get(""), RegionModel) and run.model else [])
    about = About(
        title=task.question, model=run.model or "", parents=parents,
        protocol=[*how(run, task, parts), *which(run, setup.ledgers, parents)],
        split=whose(parts), contract=contract_in_words(seen_contract(data)), probe=probed(known),
        attribution=picture, curves=curves, learned=learned, covariates=beside,
    )
    files += written.write(out, result, about) + maps + [path.name for _, path, _ in learned]
    notes = [*said_of_whom(run.protocol), *absent(data, run.protocol),
             *same_people(run, names), *task.remarks, *lacking.of_corpus(data.corpus),
             *left_out(data, parts, setup.narrow),
             *diverged(predictions), *unmapped,
             *(covariates.in_words(beside, result.best) if len(beside) else []), *result.notes]
    tested = np.unique(np.concatenate([fold.windows["test"] for fold in parts]))
    return Made(
        sorted(set(files)), judged=data.corpus.judged(tested),
        results=written.results(run, result, in_words(run.protocol, parts, task.trial), notes),
        page=comparison_page.page(result, about, out),
        said=[tables.text(printed.shown(result))],
    )


def explain(
    out: Path, method: str, predictions: pd.DataFrame, data: Labeled
) -> tuple[list[str], tuple[Path, str] | None]:
    """Maps of a method from its test answers, mean over seeds: files, (PNG, caption)."""
    if "covariances" not in data.corpus.contract.VIEWS:
        raise ValueError("maps on the scalp are of EEG and MEG")
    part = predictions[predictions["method"] == method]
    columns = [f"p_{name}" for name in data.classes] or ["predicted"]
    by_window = part.groupby("window")
    answers, fold = by_window[columns].mean(), pd.factorize(by_window["fold"].first())[0]
    windows = answers.index.to_numpy()
    found = attribution.of_answers(answers.to_numpy(float), data.classes, data.corpus, windows,
                                   data.target[windows], folds=fold)
    table = pd.concat([one.table() for one in found], ignore_index=True)
    tsv.write(table, out / "attribution.tsv", float_format="%.5g")
    attribution_figure.draw(out / "attribution.png", found, data.classes, f"{method}, test")
    return ["attribution.tsv", "attribution.png"], (out / "attribution.png", (
        f"Patterns of {method} over test windows (Haufe et al. 2014): how band power goes with "
        f"what it answers. Ringed channels are above what chance reaches in 1 of 20; a pattern "
        f"shows where the signal goes with the answer, not that the decoder reads that channel."
        + "".join(f" {kind}, {output}: nothing is ringed; {why}."
                  for kind, output, why in unringed(found))))


def brain(out: Path, model_path: str, data: Labeled) -> list[tuple[str, Path, str]]:
    """Pictures of what a masked model of fMRI has learned: (heading, PNG, caption)."""
    model = open_backbone(model_path)
    assert isinstance(model, RegionModel)
    return brain_figures.draw(out, model, data.corpus, data.windows["train"],
                              data.windows["test"][:12])


def unringed(found: list[attribution.Attribution]) -> list[tuple[str, str, str]]:
    """(kind of sensor, output, why nothing is ringed) where nothing is."""
    return [(each.kind, output, why) for each in found for k, output in enumerate(each.outputs)
            if (why := each.why_none(k))]


def how(run: EvaluateConfig, task: Task, parts: list[Labeled]) -> list[str]:
    """What was done, in lines."""
    return [
        f"What has one answer is each {task.per}, scored by {task.metric}; windows of one "
        f"{task.trial} belong together.",
        f"Protocol: {in_words(run.protocol, parts, task.trial)}.",
        f"Every network and baseline tried up to {run.tuning} setting(s); the validation windows "
        f"of each fold "
        f"chose one, and the step to stop at. The test windows of a fold were used once.",
        f"Networks were trained with {run.seeds} seed(s); so were baselines that draw numbers, and "
        f"automatic decoders of 4 people or more, whose folds inside are drawn."
        if run.model or run.models else
        f"No pretrained model was compared. Baselines that draw numbers were trained with "
        f"{run.seeds} seed(s).",
        "No recording or copy of a file of the test stands on another side (checked); people do, "
        "that is the question, and trials of one recording train and choose."
        if run.protocol.trials else
        {"sessions": "No recording or copy of a file stands on two sides of a fold (checked); "
                     "people do, that is the question.",
         "within": "No two windows on different sides of a fold share samples (checked); people "
                   "and recordings stand on all sides, that is the question.",
         }.get(run.protocol.kind, "No subject, recording or copy of a file stands on two sides of "
               "a fold (checked)."),
    ]


def same_people(run: EvaluateConfig, names: list[str]) -> list[str]:
    """Which methods learned from validation windows too, in lines."""
    automatic = [name for name in names if methods.is_automatic(name)]
    others = [name for name in names if name not in automatic]
    lines = []
    if automatic:
        lines.append(f"{' and '.join(automatic)} learned from training and validation windows: all "
                     f"choices were made by folds inside these, none by test windows")
    if run.refit:
        trained = [name for name in others if not methods.is_solved(name, run.architecture)]
        again = len(trained) < len(others)
        lines.append(
            ("solved methods were fitted again on training and validation windows, with the "
             "setting that the validation windows chose" if again else "no method here is solved")
            + (f"; {', '.join(trained)} {'are' if len(trained) > 1 else 'is'} trained and stopped "
               f"by validation windows, so learned from training windows alone" if trained else ""))
    elif automatic and others:
        lines.append("the other methods learned from training windows alone, and chose by "
                     "validation windows (--refit true fits solved ones again on both)")
    return lines


def which(
    run: EvaluateConfig, ledgers: dict[str, dict | None], parents: dict[str, str]
) -> list[str]:
    """Which pretrained model a method's name means, in lines: where it lies, its fingerprint, and
    whose weights it holds where others published them."""
    lines = []
    for name, ledger in ledgers.items():
        path, code = (run.models[name], parents[f"models {name}"]) if name else (
            run.model, parents["model"])
        inside = (ledger or {}).get("published", [])
        lines.append(
            f"Networks {f'named NAME@{name}' if name else 'without @'} are of the model in {path} "
            f"(fingerprint {code})"
            + "".join(f"; it holds weights published by others: {entry['weights']} "
                      f"({entry['licence']}; {entry['paper']})" for entry in inside) + ".")
    return lines


def whose(parts: list[Labeled]) -> list[str]:
    """Windows and subjects of the splits, in lines."""
    lines = parts[0].describe().splitlines()
    return lines if len(parts) == 1 else [
        *(f"{line} (fold {parts[0].fold})" for line in lines),
        f"and {len(parts) - 1} more folds: " + ", ".join(fold.fold for fold in parts[1:])]


def probed(known: dict[str, float]) -> list[str]:
    """The probe of `identity`, in lines."""
    if not known:
        return []
    return ["Share of windows whose subject a linear classifier names rightly, having seen the "
            "first half of each of their recordings and being asked about the second: "
            + ", ".join(f"{name} {share:.3f}" for name, share in known.items()) + ".",
            "A high share means that features tell people apart, so a decoder of labels that are "
            "the same all through a person could remember people. Re-centering a whole recording "
            "pushes its halves apart, so it can fall below chance."]


def diverged(predictions: pd.DataFrame) -> list[str]:
    """Settings that counted as the worst because their training diverged, in lines."""
    lines, mark = [], f"{choice.DIVERGED}="
    each = predictions.drop_duplicates(["method", "fold", "seed"])
    for method, part in each.groupby("method", sort=False):
        lost = part.loc[part["setting"].str.contains(mark, regex=False), "setting"]
        if len(lost):
            names = sorted(set(lost.str.rpartition(mark)[2]))
            lines.append(f"{method}: in {len(lost)} of {len(part)} trainings a setting diverged "
                         f"and counted as the worst ({'; '.join(names)}); see the column setting")
    return lines


def left_out(data: Labeled, parts: list[Labeled], narrow: list[Labeled]) -> list[str]:
    """Which windows did not take part, in lines."""
    found = []
    if narrow is not parts:
        few, all_ = (sum(len(fold.windows["train"]) for fold in one) for one in (narrow, parts))
        found.append(f"baselines were trained on the windows of one layout, {few} of {all_}")
    if data.left_out:
        found.append(f"{data.left_out} windows with other labels or none were left out")
    return found


def seen_contract(data: Labeled):
    """The contract, with the kinds of sensor that there are."""
    kinds = {kind for layout in data.corpus.layouts.values() for kind in layout.kinds}
    contract = data.corpus.contract
    return contract.of_kinds(kinds)
