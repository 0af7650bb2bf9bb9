"""A model that predicts fMRI from EEG, as `synthesize` and `evaluate bold` open it."""

from ..models.protocol import ScanModel
from .contracts import contract_of
from .store import load_kind


def open_scan_model(path: str) -> ScanModel:
    """A model of whole scans with its contract, in evaluation mode.

    Parameters
    ----------
    path
        Checkpoint folder or Hub repository.

    Raises
    ------
    ValueError
        If the model is of another kind, predicts single volumes, or does not know the names of its
        regions.
    """
    wanted = "a model that predicts fMRI from EEG"
    hint = "; train one: neurofm pretrain --model neurobolt_sequence --data PAIRS"
    model = load_kind(path, ScanModel, wanted, hint)
    if model.learns_from != "scans" or not model.rois:
        what = "one volume at a time" if model.learns_from != "scans" else "regions without names"
        raise ValueError(f"{path}: wanted {wanted} over whole scans, this {type(model).__name__} "
                         f"predicts {what}{hint}")
    contract_of(model, path)
    return model.eval()
