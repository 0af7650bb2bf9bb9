"""The contract in a folder, whatever its modality."""

from pathlib import Path
from typing import Any

from .. import json_file, plugins
from .contract import FILE_NAME, Contract, InputContract, fields_of
from .fmri_contract import FMRIContract

GROUP = "neurofm.contracts"  # modality = class, of other packages


def load(folder: str | Path) -> Contract:
    """Load the contract of a corpus, token set or checkpoint.

    Parameters
    ----------
    folder
        Folder of the artifact.

    Returns
    -------
    Contract
        Of EEG and MEG, or of fMRI.
    """
    modality = fields_of(folder).get("modality")
    kind: Any = FMRIContract if modality == FMRIContract.modality else InputContract
    if isinstance(modality, str) and modality in plugins.points(GROUP):
        kind = plugins.load(GROUP, modality)
    with json_file.shaped(Path(folder) / FILE_NAME, "a contract"):
        return kind.load(folder)
