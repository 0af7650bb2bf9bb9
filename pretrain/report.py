"""report.html of a training, one page: curves, reconstructions, legs, who was trained on, settings.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurofm.data.corpus import Corpus
from neurofm.hub.log_hours import hours_of
from neurofm.models.protocol import NeuroFMPreTrainedModel, Tokenizer
from neurofm.pages import page as pages
from neurofm.pages import table, words
from neurofm.pages.curves import curves, grid, traces
from neurofm.pages.page import Page
from neurofm.run import flat, versions
from neurofm.training.log import read_lines
from neurofm.training.pace import MEASURED

from .history import History

_MOST_METRICS, _WINDOWS, _CHANNELS, _SAMPLES = 16, 3, 4, 500
_NOT_LEARNED = {*MEASURED, "step", "lr", "grad_norm", "loss"}


def page(model: NeuroFMPreTrainedModel, out: Path, settings: dict, told: History, ledger: dict,
         data: Any, held_out: np.ndarray | None) -> Page:
    """The page of a finished training.

    settings: the resolved configuration. held_out: windows of the validation split, if any.
    """
    lines = read_lines(out / "log.jsonl")
    marks = [(leg.first, f"leg: {leg.in_words()}") for leg in told.legs[1:]]
    marks += [(entry["step"], f"step {entry['step']} skipped") for entry in told.skipped]
    steps = told.legs[-1].settings["train.steps"]
    return Page(
        f"Training of a {settings['model']}", f"{steps} steps; {out.resolve().name}",
        [
            ("", _summary(model, lines, out)),
            ("Loss", grid([
                _curves(lines, _both("loss"), "loss", marks),
                _curves(lines, _parts(lines), "validation loss by data set and layout", marks)])
             + (pages.paragraph("Dashed: a new leg, or a skipped step.", "small") if marks else "")
             ),
            ("Reconstructions", _reconstructions(model, data, held_out)),
            ("Metrics", grid([_curves(lines, _both(name), name, marks)
                              for name in _metrics(lines)])),
            ("Optimization", grid([
                _curves(lines, {"lr": "before the factors of groups"}, "learning rate", marks),
                _curves(lines, {"grad_norm": "before clipping"}, "gradient norm", marks)])),
            ("Throughput", grid([
                _curves(lines, {"windows_per_s": "all processes"}, "windows a second", marks),
                _curves(lines, {"data_wait": "main process"}, "share of time waiting for data",
                        marks),
                _curves(lines, {"memory_gb": "allocated on the GPU", "reserved_gb": "reserved",
                                "rss_gb": "process in main memory"}, "memory, GB", marks)])),
            ("Legs", pages.bullets(leg.in_words() for leg in told.legs)),
            ("Skipped steps", _skipped(told)),
            ("Trained on", _people(ledger)),
            ("Settings", table.pairs((name, value) for name, value in flat(settings).items()
                                     if value not in ("", None, [], {}))),
            ("Versions", table.pairs(versions().items())),
        ],
        warnings=() if held_out is not None else (
            "No validation split is held out: no curve is of people who were not trained on.",))


def _summary(model: NeuroFMPreTrainedModel, lines: list[dict], out: Path) -> str:
    n = sum(parameter.numel() for parameter in model.parameters())
    hours = hours_of(out / "log.jsonl")
    energy = [line["energy_wh"] for line in lines if "energy_wh" in line]
    rows = [("Model", f"{type(model).__name__}, {n / 1e6:.2f} M parameters")]
    if pairs := [(line["val/loss"], line["step"]) for line in lines if "val/loss" in line]:
        low, at = min((pair for pair in pairs if math.isfinite(pair[0])),
                      default=(math.nan, pairs[0][1]))
        rows.append(("Validation loss", f"{words.digits(pairs[-1][0])} at the end; "
                     f"lowest {words.digits(low)} at step {at}"))
    if values := [line["loss"] for line in lines if "loss" in line]:
        rows.append(("Training loss", f"{words.digits(values[-1])} at the end, "
                     f"{words.digits(values[0])} in the first line of the log"))
    rows += [(name, _median(lines, key, factor)) for name, key, factor in (
        ("Windows a second", "windows_per_s", 1), ("Tokens a second", "tokens_per_s", 1),
        ("GFLOP/s", "tflop_per_s", 1000), ("Share of the GPUs' peak, %", "share_of_peak", 100)
    ) if any(key in line for line in lines)]
    rows.append(("Time", "not known: the log has fewer than three lines" if hours is None else
                 f"{hours:.2f} h" if hours >= 0.1 else f"{3600 * hours:.0f} s"))
    rows.append(("Energy", f"{words.digits(sum(energy), 3)} Wh, of the main process's machine, "
                           f"from its counters" if energy else
                 "not measured: no counter of GPUs (NVML) or processors (RAPL) can be read"))
    return table.pairs(rows)


def _median(lines: list[dict], key: str, factor: float) -> str:
    values = [factor * line[key] for line in lines if key in line]
    return f"{words.digits(float(np.median(values)))} (median over lines of the log)"


def _curves(lines: list[dict], names: Mapping[str, str], said: str, marks: list) -> str:
    """names: name in the log → what it is called here."""
    return curves({shown: [(line["step"], line[name]) for line in lines if name in line]
                   for name, shown in names.items()}, "step", said, marks)


def _both(name: str) -> dict[str, str]:
    return {name: "training", f"val/{name}": "validation"}


def _metrics(lines: list[dict]) -> list[str]:
    """Names of the model's own metrics, in its order, those of validation without their val/."""
    names = dict.fromkeys(name.removeprefix("val/") for line in lines for name in line)
    return [name for name in names
            if name not in _NOT_LEARNED and not name.startswith("loss/")][:_MOST_METRICS]


def _parts(lines: list[dict]) -> dict[str, str]:
    names = {name for line in lines for name in line if name.startswith("val/loss/")}
    return {name: name.removeprefix("val/loss/") for name in sorted(names)}


def _reconstructions(model: NeuroFMPreTrainedModel, data: Any, held_out: np.ndarray | None) -> str:
    """Windows of validation subjects and what comes back of them, z-scored a channel."""
    if not isinstance(model, Tokenizer) or not isinstance(data, Corpus) or held_out is None:
        return ""
    figures = []
    for window in held_out[np.unique(np.linspace(0, len(held_out) - 1, _WINDOWS).astype(int))]:
        batch = data.batch(np.array([window]), np.array([0]))
        with torch.inference_mode():
            _, signal = model.eval().reconstruct(batch)
        n = min(batch.signal.shape[-1], signal.shape[-1], _SAMPLES)
        kept = np.flatnonzero(batch.valid[0].numpy())
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, _CHANNELS).astype(int))]
        pairs = [(batch.ch_names[0][k] if batch.ch_names else str(k),
                  _zscored(batch.signal[0, k, :n]), _zscored(signal[0, k, :n])) for k in kept]
        seconds = n / data.contract.sfreq if data.contract.sfreq else None
        span = f"{seconds:.3g} s" if seconds else words.count(n, "sample")
        figures.append(traces(pairs, ("measured", "reconstructed"),
                              f"A window of a validation subject, {span}"))
    return grid(figures)


def _zscored(values: torch.Tensor) -> list[float]:
    values = values.float()
    return ((values - values.mean()) / values.std().clamp_min(1e-12)).tolist()


def _skipped(told: History) -> str:
    if not told.skipped:
        return ""
    rows = pd.DataFrame([{
        "step": entry["step"], "metric": entry["metric"],
        "value": "not finite" if entry["value"] is None else words.digits(entry["value"]),
        "robust deviations": words.DASH if entry["deviations"] is None
        else words.digits(entry["deviations"], 3),
    } for entry in told.skipped])
    passed = pages.bullets(f"The run went back: the batches of steps {a} to {b} were passed over."
                           for a, b in told.passed) if told.passed else ""
    return table.html(rows, scroll=len(rows) > 20) + passed


def _people(ledger: dict) -> str:
    """A row a data set and role: people, recordings and hours, no names."""
    if not ledger["recordings"]:
        return pages.paragraph("No recording is known.")
    frame = pd.DataFrame(ledger["recordings"])
    frame["data set"] = [subject.rpartition("/")[0] or "unnamed" for subject in frame["subject"]]
    found = frame.groupby(["data set", "role"], sort=True).agg(
        people=("subject", "nunique"), recordings=("recording", "size"), hours=("hours", "sum"))
    terms = ledger.get("datasets", {})
    rows = found.reset_index()
    rows["terms"] = [terms.get(name, {}).get("licence") or "not stated"
                     for name in rows["data set"]]
    return table.html(rows)
