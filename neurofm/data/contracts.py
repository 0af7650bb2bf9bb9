"""The contract in a folder, whatever its modality."""

from pathlib import Path

from .. import plugins
from .contract import Contract, InputContract, fields_of
from .fmri_contract import FMRIContract

GROUP = "neurofm.contracts"  # modality = class, of other packages


def load(folder: str | Path) -> Contract:
    """The contract saved in a corpus, a token set or a checkpoint."""
    modality = fields_of(folder).get("modality")
    if modality in plugins.points(GROUP):
        return plugins.load(GROUP, modality).load(folder)
    return (FMRIContract if modality == FMRIContract.modality else InputContract).load(folder)
