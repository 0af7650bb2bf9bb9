"""Show a checkpoint: model, classes, input, training subjects, held-out score, integrity.

    neurofm show org/name@v1
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .. import results, yaml_file
from ..checkpoints import golden, robustness, sweeps
from ..checkpoints.ledger import leg_in_words
from ..checkpoints.robustness import Robustness
from ..checkpoints.store import load
from ..limits import limited
from ..pages import table
from ..repository import find, fingerprint, read_ledger
from ..run import OK, Command, Job


@dataclass
@limited
class ShowConfig:
    """Say what a checkpoint is.

    Parameters
    ----------
    model
        Folder of a checkpoint, or repository (org/name, org/name@revision). Or folder of a sweep:
        its runs, compared by validation loss.
    """

    model: str


def show(run: ShowConfig, job: Job) -> int:
    job.say(said(run.model))
    return OK


COMMAND = Command("show", ShowConfig, show, positional="model")
main = COMMAND


def said(path_or_repo: str) -> str:
    """In words, line by line. Loading it is strict: what is said has matched."""
    if (Path(path_or_repo) / sweeps.FILE_NAME).is_file():
        return sweeps.said(path_or_repo)
    model = load(path_or_repo)
    state = model.state_dict()
    n = sum(parameter.numel() for parameter in model.parameters())
    lines = [
        f"{type(model).__name__}, {n / 1e6:.2f} M parameters; all {len(state)} tensors matched in "
        f"name and shape, none was missing or left over",
        f"fingerprint {_mark(path_or_repo)}",
        model.contract.in_words() if model.contract else
        "no contract: which signals it takes is not known",
    ]
    return "\n".join([*lines, *_answers(model, path_or_repo),
                      *_worse(path_or_repo), *_seen(read_ledger(path_or_repo)),
                      _golden(model, path_or_repo)])


def _answers(model, path_or_repo: str) -> list[str]:
    """Of a decoder: its task, its classes, and what it scored on held-out subjects."""
    from ..models.protocol import WindowDecoder
    from ..models.stacked_config import in_words  # not above: torch takes seconds to import

    if not isinstance(model, WindowDecoder):
        return []
    run, found = find(path_or_repo, "run.yaml"), find(path_or_repo, results.FILE_NAME)
    task = _task(run) if run else ""
    lines = [f"task {task}" if task else "task not stated",
             f"classes {', '.join(model.classes)}" if model.classes else "predicts a number"]
    whole = sum(model.weights.values()) or 1.0
    lines += [f"weight {value / whole:4.0%}: {in_words(name)}" for name, value in sorted(
        model.weights.items(), key=lambda one: -one[1])]
    if found is None:
        return [*lines, "held-out score: none is stored beside it"]
    scored = results.Results.load(found.parent)
    return [*lines, f"held-out score: {scored.summary}", *scored.notes, *map(str, scored.flags)]


def _task(run: Path) -> str:
    settings = yaml_file.read(run)
    return str(settings.get("task") or "") if isinstance(settings, dict) else ""


def _worse(path_or_repo: str) -> list[str]:
    """Scores of a decoder on worse recordings, as a table."""
    found = Robustness.read(path_or_repo)
    if found is None:
        return []
    rows = pd.DataFrame(found.rows(), columns=robustness.HEADS)
    return [f"worse recordings: {found.about()}", table.text(rows)]


def _mark(path_or_repo: str) -> str:
    try:
        return fingerprint(path_or_repo)
    except ValueError:
        return "none: it was not published by neurofm"


def _seen(ledger: dict | None) -> list[str]:
    if ledger is None:
        return ["no ledger: training subjects are unknown"]
    people = {(entry["role"], entry["subject"]) for entry in ledger["recordings"]}
    counts = Counter((role, subject.rpartition("/")[0]) for role, subject in people)
    terms = ledger.get("datasets", {})
    lines = [f"{role}: {n} {'person' if n == 1 else 'people'} of "
             f"{name or 'a data set without a name'} "
             f"({terms.get(name, {}).get('licence') or 'terms not stated'})"
             for (role, name), n in sorted(counts.items())]
    lines += [f"holds {entry['weights']} ({entry['licence']}), trained on "
              f"{', '.join(entry['datasets']) or 'no data set named'}: {entry['note']}"
              for entry in ledger.get("published", [])]
    lines += [remark for entry in ledger.get("published", [])
              for remark in entry.get("remarks", ())]
    lines += [f"trained in {len(legs)} legs: {'; '.join(map(leg_in_words, legs))}"
              for legs in [ledger.get("legs", [])] if legs]
    return lines or ["has seen nobody: random weights"]


def _golden(model, path_or_repo: str) -> str:
    path = find(path_or_repo, golden.FILE)
    if path is None:
        return "no stored answers to compare with (neurofm publish adds them)"
    golden.check(model, Path(path).parent)
    return "answers as it did when it was published (golden outputs)"
