"""Convert published weights to a checkpoint.

    neurofm import OpenTSLab/BrainOmni --variant tiny --family brainomni --out published/tiny
    neurofm import FOLDER --family brainomni --out published/tiny

Every published tensor finds its place or nothing is written. The checkpoint carries the contract of
the signals it was trained on, and what is known of whom it has seen; every command that takes a
checkpoint takes it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .. import artifacts, checkpoints, published
from ..limits import limited
from ..models.protocol import Backbone, NeuroFMPreTrainedModel
from ..run import Command, Job, Made
from . import files


@dataclass
@limited
class ImportConfig:
    """Convert published weights to a checkpoint.

    Parameters
    ----------
    source
        Folder with the published configuration and weights, or repository on the Hugging Face Hub.
    family
        Model family of the weights
    out
        Folder of the checkpoint.
    variant
        Subfolder of the model, where the source holds several (brainomni: tiny, base or
        braintokenizer).
    revision
        Commit or tag of the repository.
    rotary
        Of weights whose rotary table has lost its sines (the public brainomni): "trained" rotates
        as their training did, most likely; "released" multiplies by the cosines, as the authors'
        loader does.
    datasets
        Training data sets, where they differ from what the authors published; '[]' for random
        weights.
    """

    source: str
    family: str = field(metadata={"choices": lambda: published.INDEX})
    out: str
    variant: str | None = None
    revision: str | None = None
    rotary: Literal["trained", "released"] = "trained"
    datasets: list[str] | None = None


def import_published(run: ImportConfig, job: Job) -> Made:
    """Read strictly, write the checkpoint, say what it is."""
    family = published.find(run.family)
    origin: published.Origin = family.ORIGIN
    model = family.read(*_located(run))
    _choose_rotary(model, run)
    entry = entry_of(run, origin, model.remarks)
    made = checkpoints.write_checkpoint(model, job.out, config=job.config, metrics={},
                                        ledger={"recordings": [], "published": [entry]})
    contract, said = model.contract, []
    if model.left_out:
        said.append(f"left out, since features need none of it: {', '.join(model.left_out)}")
    said += [f"note: {remark}; this checkpoint: rotary {run.rotary}" for remark in model.remarks]
    said += [
        f"{type(model).__name__}, {model.num_parameters() / 1e6:.2f} M parameters, of "
        f"{entry['weights']} ({origin.license}; {origin.paper})",
        f"takes {', '.join(contract.kinds)} at {contract.sfreq:g} Hz, {contract.highpass_hz:g}–"
        f"{contract.lowpass_hz:g} Hz, windows of {contract.window_s:g} s in its training",
        f"trained on {', '.join(entry['datasets']) or 'no data set that was named'} "
        f"({entry['note']})",
        f"checkpoint in {job.out}"
        + (f"; to compare it: neurofm evaluate decoding … --models.published={job.out} --methods "
           f"'[frozen@published, …]'" if isinstance(model, Backbone) else "")]
    return Made(made, said=said)


def _located(run: ImportConfig) -> tuple[Path | None, Path]:
    """(configuration, weights) of what was published."""
    origin: published.Origin = published.find(run.family).ORIGIN
    return files.locate(run.source, origin.variants, run.variant, run.revision, bare=origin.bare)


def _parents(run: ImportConfig) -> dict[str, str]:
    """Fingerprint of the files that are read."""
    listing = {file.name: [0, artifacts.sha256(file)] for file in _located(run) if file}
    return {"published": artifacts.Manifest("published", listing, {}).fingerprint}


COMMAND = Command("import", ImportConfig, import_published, makes="checkpoint",
                  positional="source", free=frozenset({"source"}), further=_parents, fresh=True)
main = COMMAND


def _choose_rotary(model: NeuroFMPreTrainedModel, run: ImportConfig) -> None:
    """Keep the choice in the config of the model; raises ValueError where there is none."""
    if model.remarks and hasattr(model.config, "rotary"):
        model.config.rotary = run.rotary
    elif run.rotary == "released":
        raise ValueError(f"rotary released: {run.source} holds no rotary table without sines; "
                         f"leave --rotary out")


def entry_of(
    run: ImportConfig, origin: published.Origin, remarks: tuple[str, ...] = ()
) -> dict:
    """What the ledger tells of weights whose recordings nobody listed. remarks: on their files."""
    weights = "/".join(filter(None, (run.source.rstrip("/"), run.variant)))
    if Path(run.source).is_dir():
        weights = f"folder {weights}, read as weights of {origin.repo}"
    said = run.datasets is not None
    return {
        "weights": weights, "family": run.family, "licence": origin.license, "paper": origin.paper,
        "repo": origin.repo if origin.variants else "",  # "" = not on the Hub
        "role": "train", "datasets": run.datasets if said else list(origin.datasets),
        "note": "as said at import; recordings are not listed" if said else origin.note,
        **({"remarks": [*remarks, f"rotary: {run.rotary}"]} if remarks else {}),
    }
