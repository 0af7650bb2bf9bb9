"""What an attacker learns of who took part in a federation, with and without noise.

    python -m tests.benchmarks.bench_membership [--draws 400] [--rounds 3] [--out FOLDER]

Two attacks on what everybody sees, the averages. Sites are simulated, their trainings are real.

*Site*: did this site's recordings go into a round, or another's? The attacker knows everything but
the answer and the noise: the weights before, and what each of the two would have sent. It is the
strongest there is; its error is what (ε, δ) bounds. Updates of six FLEEG sites are clipped,
averaged and made noisy by Flower's strategy, once for each draw.

*Person*: was this person among those that trained? The attacker has the shared weights of the last
round (classifier and transformer on a public encoder), of one site as a server sees them without
secure aggregation, or averaged; the statistics of the person's site; the person's labeled trials;
and holds a lower loss for a sign of training (Yeom et al. 2018, arXiv 1709.01604). People who
trained against people held out, in three folds.

Written to FOLDER: membership.json, and membership.svg, the figure of docs/concepts/privacy.md.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

import logging

import numpy as np
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from neurofm.downstream.federated import messages, personal, plans, privacy, rounds, strategies
from neurofm.downstream.federated.client_app import client_app
from neurofm.downstream.federated.in_process import InProcess
from neurofm.downstream.federated.privacy import Privacy
from neurofm.downstream.federated.rounds import Federation
from neurofm.downstream.federated.site import Site, n_folds
from neurofm.downstream.federated.strategies import Averaging
from neurofm.pages import figure
from neurofm.training import state
from tests.support import planted
from tests.support.federated_sites import corpora, learning

NOISES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
PEOPLE_NOISES = (0.0, 0.03)
N_SITES = 5  # in a round
CLIP = 1.0
PEOPLE_CLIP = 3.0
FOLDS = 3
EFFECT = 0.2  # a hard question: what is learned is of the people more than of the classes
PASSES = 12  # of a site in each round: enough to learn its people by heart


def updates(folder: Path) -> tuple[dict, list[dict]]:
    """(weights before; what each of six sites sends after a round)."""
    found = corpora(folder / "sites", n=5)
    found |= {"annex": corpora(folder / "more", n=1, people=6)["clinic"]}
    settings = learning(rounds=1)
    first = plans.initial(settings)
    sent = [personal.take_part(Site(name, data, str(folder / "work" / name)), settings, 1,
                               dict(first)).weights for name, data in found.items()]
    return first, sent


def averaged(first: dict, sent: list[dict], noise: float) -> np.ndarray:
    """The change of the average of one round, as our strategy makes it."""
    how = Privacy("server", noise=noise, clip=CLIP)
    strategy = privacy.wrapped(strategies.build(Averaging(weights="equal"), len(sent)), how,
                               len(sent))
    strategy.current_arrays = messages.to_record(first)
    replies = []
    for weights in sent:
        message = Message(RecordDict({"config": ConfigRecord()}), 1, "train")
        replies.append(Message(RecordDict({
            messages.ARRAYS: messages.to_record(weights),
            messages.METRICS: MetricRecord({messages.TRIALS: 1, messages.EQUAL: 1})}),
            reply_to=message))
    arrays, _ = strategy.aggregate_train(1, replies)
    return flat(messages.to_weights(arrays)) - flat(first)


def flat(weights: dict) -> np.ndarray:
    return np.concatenate([weights[name].ravel().astype(np.float64) for name in sorted(weights)])


def attack_on_sites(folder: Path, draws: int) -> list[dict]:
    """AUC of the best attacker for each noise, and what the budget allows."""
    first, sent = updates(folder)
    base, mine, other = sent[:N_SITES - 1], sent[N_SITES - 1], sent[N_SITES]
    with_mine, with_other = (averaged(first, [*base, one], 0.0) for one in (mine, other))
    direction = with_mine - with_other
    rows = []
    for noise in NOISES:
        score, truth = [], []
        for k in range(draws if noise else 2):
            np.random.seed(k)  # noqa: NPY002 - Flower draws its noise from the global generator
            seen = averaged(first, [*base, mine if k % 2 else other], noise)
            score.append(float(direction @ seen))
            truth.append(k % 2)
        mu = 2 / noise if noise else np.inf
        rows.append({"noise": noise, "auc": float(roc_auc_score(truth, score)),
                     "auc_allowed": float(norm.cdf(mu / np.sqrt(2))),
                     "epsilon": privacy.epsilon(noise, 1, 1e-5), "draws": len(truth)})
        print(f"site    noise {noise:4g}: AUC {rows[-1]['auc']:.3f}, at most "
              f"{rows[-1]['auc_allowed']:.3f} (epsilon {rows[-1]['epsilon']:.3g})", flush=True)
    return rows


def attack_on_people(folder: Path, n_rounds: int) -> list[dict]:
    """AUC of losses of people who trained against people held out, and the accuracy of the latter:
    by what a site has sent in the last round, by the average, and by a noisy average."""
    encoder = planted.make_backbone(folder / "encoder")
    found = {}
    for k in range(4):
        planted.make_corpus(folder / f"site{k}", split=["train"] * 8, n_windows=16, seed=50 + k,
                            effect=EFFECT)
        found[f"site{k}"] = str(folder / f"site{k}")
    whole = learning(model=str(encoder), adapt="full", rounds=n_rounds, passes=PASSES,
                     train={"lr": 2e-3}).as_here()
    rows = []
    for noise in PEOPLE_NOISES:
        sites = [Site(name, data, str(folder / f"work-{noise:g}" / name))
                 for name, data in found.items()]
        seen: dict[str, list[dict]] = {}
        for fold in range(min(FOLDS, n_folds(sites[0], whole))):
            settings = whole.of_fold(fold)
            average, sent = federated(folder / f"server-{noise:g}-{fold}", settings, sites, noise)
            for site in sites:
                after = f"the average, noise {noise:g}" if noise else "the average"
                seen.setdefault(after, []).append(losses(site, settings, average))
                if not noise:
                    seen.setdefault("one site's weights", []).append(
                        losses(site, settings, sent[site.name]))
        rows += [row(what, noise, n_rounds, found) for what, found in seen.items()]
    return rows


def row(what: str, noise: float, n_rounds: int, found: list[dict]) -> dict:
    trained, held_out, right = ([value for one in found for value in one[name]]
                                for name in ("train", "test", "right"))
    auc = roc_auc_score([1] * len(trained) + [0] * len(held_out),
                        [-loss for loss in trained + held_out])
    made = {"seen": what, "auc": float(auc), "trained": len(trained), "held_out": len(held_out),
            "accuracy": float(np.mean(right)), "epsilon": privacy.epsilon(noise, n_rounds, 1e-5)}
    print(f"person  by {what}: AUC {auc:.3f} ({len(trained)} against {len(held_out)}), accuracy "
          f"held out {made['accuracy']:.3f}", flush=True)
    return made


def federated(folder: Path, settings, sites: list[Site], noise: float) -> tuple[dict, dict]:
    """(shared weights after all rounds; site → what it has sent in the last one)."""
    answer, sent = client_app(sites), {}

    def called(message, context):
        reply = answer(message, context)
        if message.metadata.message_type == "train":
            sent[sites[int(context.node_config["partition-id"])].name] = messages.to_weights(
                reply.content[messages.ARRAYS])
        return reply

    how = Privacy("server", noise=noise, clip=PEOPLE_CLIP) if noise else Privacy()
    rounds.run(InProcess(called, len(sites)), Federation(settings, Averaging(weights="equal"), how),
               folder, len(sites), lambda *_: None)
    return rounds._resumed(folder)[1], sent


def losses(site: Site, settings, shared: dict) -> dict[str, list[float]]:
    """Mean loss of each person of a site under shared weights, by split; and hits of the test."""
    import torch

    plan = plans.build(site, settings)
    state.put(plan.model, {name: torch.from_numpy(value) for name, value in shared.items()})
    found: dict[str, list[float]] = {"right": []}
    for split in ("train", "test"):
        windows = plan.data.windows[split]
        probability, target = plan.predict(windows), plan.data.target[windows]
        loss = -np.log(np.maximum(probability[np.arange(len(windows)), target], 1e-12))
        people = plan.data.corpus.subjects(windows)
        found[split] = [float(loss[people == one].mean()) for one in np.unique(people)]
        if split == "test":
            found["right"] = (probability.argmax(1) == target).tolist()
    return found


def draw(sites: list[dict], people: list[dict], path: Path) -> None:
    shown, (left, right) = figure.subplots(1, 2, figsize=(7.2, 2.8), sharey=True)
    names = [f"{one['noise']:g}" for one in sites]
    left.plot(names, [one["auc"] for one in sites], "o-", label="attack")
    left.plot(names, [one["auc_allowed"] for one in sites], "--", label="bound by the budget")
    left.set(title="a site, in one round", xlabel="noise multiplier (0: none)", ylim=(0.4, 1.03),
             ylabel="AUC of the attacker")
    names = [one["seen"].replace(", ", ",\n").replace("'s ", "'s\n") for one in people]
    right.plot(names, [one["auc"] for one in people], "o", label="attack")
    right.plot(names, [one["accuracy"] for one in people], "s", color=figure.COLORS[2],
               label="accuracy on people held out")
    right.set(title="a person, after all rounds", xlabel="what the attacker has", xlim=(-0.6, 2.6))
    for ax in (left, right):
        ax.axhline(0.5, color="0.7", lw=0.8)
        ax.legend(fontsize=8)
    figure.save(shown, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None)
    run = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        both = {"sites": attack_on_sites(Path(scratch), run.draws),
                "people": attack_on_people(Path(scratch), run.rounds)}
    if run.out:
        run.out.mkdir(parents=True, exist_ok=True)
        (run.out / "membership.json").write_text(json.dumps(both, indent=1) + "\n")
        draw(both["sites"], both["people"], run.out / "membership.svg")
