"""The contract in a folder, whatever its modality."""

from pathlib import Path
from typing import Any

from .. import json_file, plugins
from .contract import FILE_NAME, Contract, InputContract, fields_of
from .fmri_contract import FMRIContract
from .t1_contract import T1Contract

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
        Of EEG and MEG, of fMRI, or of T1-weighted images.
    """
    modality = fields_of(folder).get("modality")
    own: dict[str, Any] = {each.modality: each for each in (FMRIContract, T1Contract)}
    kind: Any = own.get(modality, InputContract) if isinstance(modality, str) else InputContract
    if isinstance(modality, str) and modality in plugins.points(GROUP):
        kind = plugins.load(GROUP, modality)
    with json_file.shaped(Path(folder) / FILE_NAME, "a contract"):
        return kind.load(folder)
