"""The file that holds a contract."""

from pathlib import Path

from .. import json_file
from .contract_words import check_version

FILE_NAME = "preprocessor_config.json"


def fields_of(folder: str | Path) -> dict:
    """The fields of the contract in a folder.

    Parameters
    ----------
    folder
        Folder of the artifact.

    Returns
    -------
    dict
        Plain values.
    """
    path = Path(folder) / FILE_NAME
    if not path.exists():
        raise ValueError(
            f"{folder}: no {FILE_NAME}, so it is unknown which signals this checkpoint takes; "
            f"save the model with its contract, or write one by hand"
        )
    fields = json_file.read(path)
    check_version(fields.get("contract_version"), f"{path}: ")
    return fields
