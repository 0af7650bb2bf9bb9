"""A site's part in a round, and what of it stays there.

    work/fold-K-seed-S/
      state/step-…/          model, optimizer, schedule and generators after each round (the loop's)
      chosen.safetensors     weights that the site's validation people liked best: each round as
                             they came, and as the site has trained them on
      chosen.json            of which round these are, and their loss
      rounds.jsonl           a line a round
      checkpoint/            the personalized decoder, once it is judged
      predictions.parquet    of the people who are judged

Everything is a function of the server's round and weights and of the state at that round's begin:
a round that is asked for again, after a restart at either end, gives the same answer.
"""

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from torch import nn

from neurofm import artifacts, checkpoints
from neurofm.training import state
from neurofm.training.log import read_lines
from neurofm.training.loop import (
    CHOSEN,
    Received,
    Stopped,
    TrainConfig,
    accelerator_for,
    train,
    validate,
)

from ..scoring.predictions import judge, save_test, table_of
from . import plans
from .learning import Learning
from .plan import Plan
from .site import Site

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Part:
    """What a site gives to a round."""

    weights: Weights
    n_trials: int  # it trained on
    loss: float  # of the last pass
    val_loss: float  # of its validation people with the weights that came; NaN where it has none


def take_part(site: Site, learning: Learning, round_: int, weights: Weights) -> Part:
    """Train for one round (from 1) on from weights that came."""
    plan, folder = plans.build(site, learning), site.folder(learning)
    training = plan.data.windows["train"]
    config = learning.schedule(len(training))
    first = (round_ - 1) * learning.steps_a_round(len(training))
    last = first + learning.steps_a_round(len(training))
    artifacts.claim(folder, {"site": site.name, "data": plan.data.corpus.fingerprint,
                             **json.loads(learning.to_json())})
    accelerator = accelerator_for(config, folder)
    received = _enter(plan, folder, first, weights, accelerator)
    val_loss = _watch(plan, folder, round_, config, accelerator) if round_ > 1 else np.nan
    try:
        with _drawn_back(plan.model, weights, learning.proximal):
            train(plan.model, plan.source, training, config, folder, accelerator,
                  received=received, stop_after=last, say=lambda *_: None)
    except Stopped as stop:
        if stop.signaled:
            raise
    finally:
        accelerator.end_training()
    own_loss = _watch(plan, folder, round_, config, accelerator)
    loss = _last_loss(folder)
    with (folder / "rounds.jsonl").open("a") as file:
        file.write(json.dumps({"round": round_, "loss": loss, "val_loss": val_loss,
                               "val_loss_own": own_loss}) + "\n")
    return Part(plan.weights(), len(training), loss, val_loss)


def finish(site: Site, learning: Learning, weights: Weights) -> dict:
    """Judge the personalized decoder on the people who were held out → metrics; its weights and its
    predictions stay at the site."""
    plan, folder = plans.build(site, learning), site.folder(learning)
    training = plan.data.windows["train"]
    config = learning.schedule(len(training))
    accelerator = accelerator_for(config, folder)
    _enter(plan, folder, config.steps, weights, accelerator)
    _watch(plan, folder, learning.rounds + 1, config, accelerator)
    accelerator.end_training()
    if (folder / CHOSEN).exists():
        state.load_weights(folder / CHOSEN, plan.model)
    table = table_of(plan.data, plan.predict(plan.data.windows["test"]), plan.ledger)
    table.to_parquet(folder / "predictions.parquet", index=False)
    metrics = judge(table, plan.data.classes)
    _save(plan, folder / "checkpoint", learning, table, metrics)
    return metrics


def predictions(site: Site, learning: Learning) -> pd.DataFrame:
    """What `finish` left."""
    return pd.read_parquet(site.folder(learning) / "predictions.parquet")


def _enter(
    plan: Plan, folder: Path, step: int, weights: Weights, accelerator: Accelerator
) -> Received:
    """The model as the site goes into a round: its own state of before, and what came."""
    shared = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
    if sorted(shared) != sorted(plan.shared):
        raise ValueError(f"the server's weights are {', '.join(sorted(shared)[:4])}, …, this site "
                         f"shares {', '.join(sorted(plan.shared)[:4])}, …: the settings at both "
                         f"ends differ (architecture, adapt)")
    plan.model.to(accelerator.device)
    received = Received(step, shared)
    if found := state.newest(folder / "state", accelerator, lambda *_: None, step):
        state.load_model(found, plan.model)
    state.put(plan.model, shared)
    if step:
        plan.settle()
    return received


def _watch(
    plan: Plan, folder: Path, round_: int, config: TrainConfig, accelerator: Accelerator
) -> float:
    """Loss of the validation people; where it is the lowest so far the weights are kept."""
    windows = plan.data.windows["validation"]
    if not len(windows):
        return float("nan")
    loss = validate(plan.model, plan.source, windows, config, accelerator)["val/loss"]
    note = folder / "chosen.json"
    kept = json.loads(note.read_text()) if note.exists() else {"loss": np.inf}
    if loss < kept["loss"]:
        state.save_weights(folder / CHOSEN, plan.model, accelerator)
        artifacts.write_json(note, {"loss": loss, "round": round_})
    return loss


@contextmanager
def _drawn_back(model: nn.Module, weights: Weights, mu: float):
    """FedProx (Li et al. 2020, arXiv 1812.06127, equation 2): the gradient of mu / 2 · |w − w₀|² is
    added to that of each shared weight."""
    handles = []
    for name, parameter in model.named_parameters() if mu else ():
        if name in weights:
            came = torch.from_numpy(np.array(weights[name])).to(parameter.device)
            handles.append(parameter.register_hook(
                lambda gradient, w=parameter, w0=came: gradient + mu * (w.detach() - w0)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _last_loss(folder: Path) -> float:
    lines = read_lines(folder / "log.jsonl")
    return next((line["loss"] for line in reversed(lines) if "loss" in line), float("nan"))


def _of_others(learning: Learning) -> dict:
    """Of a ledger: what is not known here of whom a personalized decoder has seen."""
    return {
        "weights": "the shared part, averaged over the sites of a federation",
        "licence": "as the sites agreed", "datasets": [],
        "paper": "arXiv 2308.11636" if learning.model == "fleeg" else "arXiv 1602.05629",
        "note": "trained on recordings of other sites too, which are not listed here",
    }


def _save(
    plan: Plan, out: Path, learning: Learning, table: pd.DataFrame, metrics: dict
) -> None:
    used = {split: plan.data.windows[split] for split in ("train", "validation")}
    ledger = checkpoints.training_ledger(plan.data.corpus, used, plan.ledger)
    ledger["published"] = [*ledger.get("published", []), _of_others(learning)]
    for folder in (out, out / "test"):
        artifacts.unseal(folder)  # of an earlier judgment
    settings = json.loads(learning.to_json())
    parents = {"data": plan.data.corpus.fingerprint}
    save_test(out, table, metrics, config=settings, parents=parents)
    checkpoints.save_checkpoint(
        plan.whole(), out, config=settings, parents=parents, ledger=ledger,
        metrics={f"test/{name}": value for name, value in metrics.items()},
    )
