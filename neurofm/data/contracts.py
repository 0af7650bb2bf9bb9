"""The contract in a folder, whatever its modality."""

from pathlib import Path

from .. import plugins
from .contract import Contract, InputContract, fields_of
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
    if modality in plugins.points(GROUP):
        return plugins.load(GROUP, modality).load(folder)
    return (FMRIContract if modality == FMRIContract.modality else InputContract).load(folder)
