"""The rounds of a federation, from the server's side; resumable after each of them.

    server/
      round-00012.safetensors    shared weights after that round; the newest two stay
      rounds.jsonl               a line a round: who answered, who was rejected and why, losses,
                                 bytes, seconds, privacy spent
      sites.json                 numbers of trials that sites have declared, if none were agreed
      .finished                  hashes of the rounds: a damaged one is done again
      judged.json                what each site says of its personalized decoder
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord
from flwr.common.differential_privacy_constants import KEY_CLIPPING_NORM
from flwr.server import Grid
from safetensors.numpy import load_file, save_file

from neurofm import artifacts, journal, progress
from neurofm.journal import Journal

from . import messages, plans, privacy, secure, strategies
from .declared import Declared
from .learning import Learning
from .personal import Weights
from .privacy import Privacy
from .receiving import ask
from .screening import Rejected, Update, counted, judgment, screen
from .secure import Secure
from .strategies import Averaging


@dataclass
class Federation:
    """What all sites and the server agree on."""

    learning: Learning = field(default_factory=Learning)  # what sites do
    averaging: Averaging = field(default_factory=Averaging)  # how their weights become one
    # privacy, secure: what the others and the server may learn of a site
    privacy: Privacy = field(default_factory=Privacy)
    secure: Secure = field(default_factory=Secure)

    def check(self, n_sites: int) -> None:
        """Raise ValueError for what does not go together."""
        self.averaging.check(n_sites)
        self.privacy.check(self.averaging.strategy, self.averaging.weights)
        self.secure.check(self.averaging.strategy, self.privacy.where, n_sites)


class FederationFailed(Exception):
    """A round could not be finished; what was done before is kept. (No RuntimeError: Flower keeps
    silent about those.)"""


@dataclass(frozen=True)
class _Round:
    """Of a round: new weights; what each site that counted said; who did not count."""

    weights: Weights | None
    answers: list[dict]
    rejected: list[Rejected]
    sent_to: int


def run(
    grid: Grid, federation: Federation, folder: Path, n_sites: int, say: Callable = print
) -> dict[str, dict]:
    """All rounds that are left, and the judgment: site → metrics. Raises FederationFailed."""
    federation.check(n_sites)
    folder.mkdir(parents=True, exist_ok=True)
    learning = federation.learning
    strategy = privacy.wrapped(strategies.build(federation.averaging, n_sites), federation.privacy,
                               n_sites)
    done, weights = _resumed(folder, say)
    if done:
        say(f"continuing after round {done}")
    else:
        weights = plans.initial(learning)
    names = {node: name for name, node in federation.averaging.nodes.items()}
    declared = Declared(folder / "sites.json", federation.averaging.declared)
    learning.check_trials(declared.found.values())
    for number in progress.each(range(done + 1, learning.rounds + 1), learning.rounds - done,
                                "rounds"):
        began = time.perf_counter()
        # All that are expected are waited for once; later some may be away for good.
        _wait(grid, n_sites if number == done + 1 else 0, federation.averaging, n_sites, say)
        found = (_masked if federation.secure.on else _open)(
            grid, federation, strategy, number, weights, names, declared)
        line = _line(found, federation, number, weights, time.perf_counter() - began)
        for one in found.rejected:
            say(f"round {number}: {one.site} does not count: {one.reason}")
        if found.weights is None:
            raise FederationFailed(
                f"round {number}: wanted {federation.averaging.min_sites} answers that count, got "
                f"{len(found.answers)} of {found.sent_to}"
                + (f" ({found.rejected[0].site}: {found.rejected[0].reason})" if found.rejected
                   else "") + f". Rounds before it are kept in {folder}: run again to go on")
        weights = found.weights
        declared.keep((one["site"], one["trials"]) for one in found.answers)
        if number == 1:
            learning.check_trials(one["trials"] for one in found.answers)
        for said in found.answers if federation.averaging.weights == "trials" else ():
            if said.get("counted", said["trials"]) < said["trials"]:
                say(f"round {number}: {said['site']} counts for {said['counted']:.4g} of its "
                    f"{said['trials']} trials, averaging.largest_share "
                    f"{federation.averaging.largest_share:g}")
        _save(folder, number, weights, line)
        say(f"round {number}/{learning.rounds}: {len(found.answers)} sites, loss "
            f"{line['loss']:.4g}, val_loss {line['val_loss']:.4g}, {line['took_s']:.1f} s")
    _wait(grid, 0, federation.averaging, n_sites, say)
    return _judged(grid, federation, strategy, weights, folder, names, say)


def lines(folder: Path) -> list[dict]:
    """What `rounds.jsonl` says. Raises ArtifactError where it is damaged."""
    path = folder / "rounds.jsonl"
    if not path.exists():
        return []
    try:
        found = [json.loads(line) for line in path.read_bytes().decode().splitlines()]
        return [{**line, "round": int(line["round"])} for line in found]
    except (ValueError, TypeError, KeyError):
        raise artifacts.ArtifactError(f"{path}: is damaged; delete {folder} and run the same "
                                      f"command again: all rounds begin again") from None


def _open(
    grid: Grid, federation: Federation, strategy, number: int, weights: Weights,
    names: dict[int, str], declared: Declared,
) -> _Round:
    """A round in which the server sees what each site sends."""
    how = federation.averaging
    config = ConfigRecord({messages.LEARNING: federation.learning.to_json()})
    asked = list(strategy.configure_train(number, messages.to_record(weights), config, grid))
    answers = ask(grid, asked, how.timeout_s, names)
    good, rejected = screen(answers, weights, how.largest_change, declared)
    trials = ([1.0] * len(good) if how.weights == "equal" else
              counted([one.trials for one in good], how.largest_share))
    said = [_said(one, n) for one, n in zip(good, trials, strict=True)]
    if len(good) < how.min_sites:
        return _Round(None, said, rejected, len(asked))
    privacy.expect(strategy, len(good))
    try:
        arrays, _ = strategy.aggregate_train(
            number, [one.message(n) for one, n in zip(good, trials, strict=True)])
    except Exception as problem:  # too few are left for it
        raise FederationFailed(f"round {number}: {how.strategy} cannot average {len(good)} answers "
                               f"({problem}); choose averaging.strategy=fedmedian") from problem
    new = None if arrays is None else messages.to_weights(arrays)
    if new is not None and not all(np.isfinite(value).all() for value in new.values()):
        raise FederationFailed(f"round {number}: the average of {len(good)} sites is not finite; "
                               f"lower learning.train.lr, or choose averaging.strategy=fedmedian")
    return _Round(new, said, rejected, len(asked))


def _masked(
    grid: Grid, federation: Federation, strategy, number: int, weights: Weights,
    names: dict[int, str], declared: Declared,
) -> _Round:
    """A round under secure aggregation: the server sees the sum."""
    nodes = sorted(grid.get_node_ids())
    own = federation.privacy
    extra = {KEY_CLIPPING_NORM: own.clip} if own.where == "client" else {}
    new, answers, rejected = secure.round_of_sites(
        grid, nodes, number, federation.learning.to_json(), weights, federation.secure,
        federation.averaging.timeout_s, extra, names, declared,
        federation.averaging.weights == "equal")
    if new is not None and own.where == "client":
        privacy.expect(strategy, len(answers))
        new = messages.to_weights(strategy._add_noise_to_aggregated_arrays(
            messages.to_record(new)))
    return _Round(new, answers, rejected, len(nodes))


def _said(one: Update, trials: float) -> dict:
    return {"site": one.site, "trials": one.trials, "counted": trials, "loss": one.loss,
            "val_loss": one.val_loss, "bytes": messages.to_record(one.weights).count_bytes()}


def _wait(grid: Grid, wanted: int, how: Averaging, n_sites: int, say: Callable) -> None:
    """Until `wanted` sites are connected, at most `timeout_s`; then the fewest that a round needs
    must be."""
    least, until = min(how.min_sites, n_sites), time.monotonic() + how.timeout_s
    told = False
    while (n := len(list(grid.get_node_ids()))) < max(wanted, least):
        if time.monotonic() > until:
            if n >= least:
                say(f"{n} of {n_sites} sites are there after {how.timeout_s:g} s: they begin")
                return
            raise FederationFailed(f"wanted {least} connected sites, {n} are there after "
                                   f"{how.timeout_s:g} s; start them, then run again to go on")
        if not told:
            say(f"waiting for sites: {n} of {n_sites} are connected")
            told = True
        time.sleep(1)


def _line(
    found: _Round, federation: Federation, number: int, sent: Weights, took_s: float
) -> dict:
    own = federation.privacy
    spent = None if own.where == "none" else privacy.epsilon(own.noise, number, own.delta)
    return {
        "round": number, "sites": [one["site"] for one in found.answers],
        "trials": [one["trials"] for one in found.answers],
        "counted": [one.get("counted", one.get("weight", 1)) for one in found.answers],
        "rejected": [[one.site, one.reason] for one in found.rejected],
        "loss": _mean(found.answers, "loss"), "val_loss": _mean(found.answers, "val_loss"),
        "bytes_down": messages.to_record(sent).count_bytes(),
        "bytes_up": max((one.get("bytes", 0) for one in found.answers), default=0),
        "epsilon": spent, "took_s": took_s,
    }


def _mean(answers: list[dict], name: str) -> float:
    values = [one[name] for one in answers if math.isfinite(one[name])]
    return float(np.mean(values)) if values else float("nan")


def _judged(grid, federation, strategy, weights, folder, names, say) -> dict[str, dict]:
    """Ask every site how good its personalized decoder is; who does not answer is said."""
    how = federation.averaging
    config = ConfigRecord({messages.LEARNING: federation.learning.to_json()})
    asked = list(strategy.configure_evaluate(federation.learning.rounds + 1,
                                             messages.to_record(weights), config, grid))
    found, lost = {}, []
    for one in ask(grid, asked, how.timeout_s, names):
        try:
            if one.problem:
                raise ValueError(one.problem)
            found[one.site] = judgment(one.reply.content)
        except Exception as problem:  # whatever it is, a site has sent it
            lost.append(Rejected(one.site, str(problem)))
            say(f"{one.site} was not judged: {problem}")
    artifacts.write_json(folder / "judged.json", {"sites": found, "lost": [
        [one.site, one.reason] for one in lost]})
    if not found:
        raise FederationFailed(f"no site could be judged ({lost[0].site}: {lost[0].reason}); run "
                               f"again to ask once more" if lost else "no site was asked")
    return dict(sorted(found.items()))


def _save(folder: Path, number: int, weights: Weights, line: dict) -> None:
    before = [one for one in lines(folder) if one["round"] < number]
    text = "".join(json.dumps(one) + "\n" for one in [*before, line])
    temporary = folder / ".rounds.jsonl.part"
    temporary.write_text(text)
    path = folder / f"round-{number:05d}.safetensors"
    save_file({name: np.ascontiguousarray(value) for name, value in weights.items()},
              path.with_suffix(".part"))
    artifacts.share(path.with_suffix(".part"))
    artifacts.flush(path.with_suffix(".part"))
    Journal(folder).note(path.name, artifacts.sha256(path.with_suffix(".part")))
    temporary.replace(folder / "rounds.jsonl")
    path.with_suffix(".part").replace(path)  # last: with it the round is done
    for old in sorted(folder.glob("round-*.safetensors"))[:-2]:
        old.unlink()


def _resumed(folder: Path, say: Callable = print) -> tuple[int, Weights]:
    """(rounds done, weights after them): the newest whose file is what was written. Folders that
    were begun before there was a journal are believed."""
    finished, noted = Journal(folder), (folder / journal.NAME).exists()
    found = sorted(folder.glob("round-*.safetensors"))
    for path in reversed(found):
        if noted and finished.kept(path.name) is None:
            say(f"{path}: is damaged, or not what was written; looking for an older round")
            continue
        return int(path.stem.removeprefix("round-")), load_file(path)
    if found:
        say("no whole round is left: starting from the first")
    return 0, {}
