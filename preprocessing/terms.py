"""Terms: under which license each data set came, so that what is made of it can say so.

BIDS folders state it in dataset_description.json ("License", "HowToAcknowledge", "DatasetDOI");
for others the person who ingests says it. What nobody stated is not known, and said to be so.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from . import bids, text
from .archive import Job

_FIELDS = {"Name": "name", "License": "licence", "HowToAcknowledge": "acknowledge",
           "DatasetDOI": "doi"}


def of(
    jobs: Iterable[Job], given: dict[str, str], say: Callable[..., None] = print,
) -> dict[str, dict[str, str]]:
    """Data set → what is known of its terms: name, license, acknowledge, doi.

    given: data set → license, which goes before what a folder says. Raises ValueError for one that
    is of no data set here. say: told what cannot be read.
    """
    found: dict[str, dict[str, str]] = {}
    for job in jobs:
        name = job.dataset or ""
        if name not in found:
            found[name] = _stated(Path(job.path), say)
    if strange := sorted(set(given) - set(found)):
        raise ValueError(f"terms: {', '.join(strange)} is none of the data sets here "
                         f"({', '.join(sorted(found)) or 'none'})")
    for name, license in given.items():
        found[name]["licence"] = license
    return found


def _stated(recording: Path, say: Callable[..., None]) -> dict[str, str]:
    root = bids.find_root(recording)
    if root is None:
        return {}
    try:
        said = text.read_json(root / "dataset_description.json")
    except (OSError, ValueError) as error:
        say(f"note        {error}; the license of {root.name} is not known until then")
        return {}
    return {ours: str(said[theirs]).strip() for theirs, ours in _FIELDS.items() if said.get(theirs)}
