"""Convert published weights to a checkpoint.

    neurofm import OpenTSLab/BrainOmni --variant tiny --family brainomni --out published/tiny
    neurofm import FOLDER --family brainomni --out published/tiny

Every published tensor finds its place or nothing is written. The checkpoint carries the contract of
the signals it was trained on, and what is known of whom it has seen; every command that takes a
checkpoint takes it.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from .. import artifacts, checkpoints, config, published
from ..models.protocol import Backbone
from . import files


@dataclass
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
    datasets
        Training data sets, where they differ from what the authors published; '[]' for random
        weights.
    """

    source: list[str]
    family: str = field(metadata={"choices": lambda: published.INDEX})
    out: str
    variant: str | None = None
    revision: str | None = None
    datasets: list[str] | None = None


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return import_published(config.parse(ImportConfig, argv, command="import",
                                         positional="source"))


def import_published(run: ImportConfig) -> int:
    """Read strictly, seal the checkpoint, say what it is."""
    if len(run.source) != 1:
        raise ValueError(f"wanted one folder or repository, got {run.source}; call `neurofm "
                         f"import` once for each")
    out, family = Path(run.out), published.find(run.family)
    origin: published.Origin = family.ORIGIN
    found = files.locate(run.source[0], origin.variants, run.variant, run.revision,
                         bare=origin.bare)
    parents = {"published": _fingerprint(*filter(None, found))}
    settings = config.resolved(run)
    if artifacts.finished(out, "checkpoint", config=settings, parents=parents):
        print(f"{out} is finished ({checkpoints.fingerprint(out)}): nothing to do")
        return 0
    _refuse_foreign(out)
    model = family.read(*found)
    entry = entry_of(run, origin)
    artifacts.claim(out, {**parents, **settings})
    checkpoints.save_checkpoint(model, out, config=settings, parents=parents, metrics={},
                        ledger={"recordings": [], "published": [entry]})
    contract = model.contract
    if model.left_out:
        print(f"left out, since features need none of it: {', '.join(model.left_out)}")
    print(f"{type(model).__name__}, {model.num_parameters() / 1e6:.2f} M parameters, of "
          f"{entry['weights']} ({origin.licence}; {origin.paper})\n"
          f"takes {', '.join(contract.kinds)} at {contract.sfreq:g} Hz, {contract.highpass_hz:g}–"
          f"{contract.lowpass_hz:g} Hz, windows of {contract.window_s:g} s in its training\n"
          f"trained on {', '.join(entry['datasets']) or 'no data set that was named'} "
          f"({entry['note']})\n"
          f"checkpoint {checkpoints.fingerprint(out)} in {out}"
          + (f"; to compare it: neurofm evaluate decoding … --models.published={out} --methods "
             f"'[frozen@published, …]'" if isinstance(model, Backbone) else ""))
    return 0


def entry_of(run: ImportConfig, origin: published.Origin) -> dict:
    """What the ledger tells of weights whose recordings nobody listed."""
    weights = "/".join(filter(None, (run.source[0].rstrip("/"), run.variant)))
    if Path(run.source[0]).is_dir():
        weights = f"folder {weights}, read as weights of {origin.repo}"
    said = run.datasets is not None
    return {
        "weights": weights, "family": run.family, "licence": origin.licence, "paper": origin.paper,
        "role": "train", "datasets": run.datasets if said else list(origin.datasets),
        "note": "as said at import; recordings are not listed" if said else origin.note,
    }


def _fingerprint(*found: Path) -> str:
    """16 hex digits of the files that were read."""
    listing = {file.name: [0, artifacts.sha256(file)] for file in found}
    return artifacts.Manifest("published", listing, {}).fingerprint


def _refuse_foreign(out: Path) -> None:
    """The checkpoint's files must not fall among, or over, those of something else."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: wanted a folder for the checkpoint, this is a file; choose "
                         f"another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / artifacts.CLAIM).exists():
        inside = sorted(path.name for path in out.iterdir())
        raise ValueError(f"{out}: wanted an empty or a new folder for the checkpoint, found "
                         f"{inside[:5]}; choose another --out")
