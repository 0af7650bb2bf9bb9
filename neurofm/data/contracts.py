"""The contract in a folder, whatever its modality."""

from pathlib import Path

from .contract import Contract, InputContract, fields_of
from .fmri_contract import FMRIContract

_OF_MODALITY: dict[str | None, type[Contract]] = {"fmri": FMRIContract}


def load(folder: str | Path) -> Contract:
    """The contract saved in a corpus, a token set or a checkpoint."""
    return _OF_MODALITY.get(fields_of(folder).get("modality"), InputContract).load(folder)
