"""Whether a tokenizer or model can take a corpus: its contract against the corpus's."""

from typing import TypeVar

from ..data.contract import FILE_NAME, Contract
from ..data.corpus import Corpus
from ..pretrained import NeuroFMPreTrainedModel
from .store import load_kind

M = TypeVar("M", bound=NeuroFMPreTrainedModel)


def open_for(
    corpus: Corpus, path: str, kind: type[M], wanted: str, *, same_geometry: bool = False
) -> M:
    """The model of a checkpoint, which is of a kind and takes signals such as the corpus's.

    Parameters
    ----------
    kind
        A class of `neurofm.models.protocol`.
    wanted
        What such models do, in words.
    same_geometry
        As in `check_contract`.
    """
    model = load_kind(path, kind, f"a model that {wanted}",
                      f" (no {kind.__name__} of neurofm.models.protocol)")
    check_contract(model, path, corpus, same_geometry=same_geometry)
    return model


def contract_of(model: NeuroFMPreTrainedModel, path: str = "") -> Contract:
    """The model's contract. Raises ValueError where it has none."""
    if model.contract is None:
        raise ValueError(
            f"{path or f'this {type(model).__name__}'} has no {FILE_NAME} (InputContract), so it "
            f"is unknown which signals it takes; save it with model.contract = "
            f"neurofm.InputContract(…) as it was trained")
    return model.contract


def check_contract(
    model: NeuroFMPreTrainedModel, path: str, corpus: Corpus, *, same_geometry: bool = False
) -> None:
    """Raise ValueError unless the model takes signals such as the corpus's.

    Parameters
    ----------
    path
        What messages call the model.
    same_geometry
        The caller reads sensors' places by the corpus's rule, which must then be the model's.
        Otherwise each model reads them by its own rule: a corpus holds them in meters.
    """
    contract = contract_of(model, path)
    if contract.modality != corpus.contract.modality:
        raise ValueError(f"{path} takes {contract.modality}, but {corpus.folder} holds "
                         f"{corpus.contract.modality}: choose another model, or another corpus")
    if model.reads_places:
        corpus.check_places(path)
    # Kinds are allowed, not promised: what counts are the sensors that are there.
    present = {kind for layout in corpus.layouts.values() for kind in layout.kinds}
    aside = ("kinds:",) if same_geometry else ("kinds:", "geometry:")
    differing = [line for line in contract.differences(corpus.contract)
                 if not line.startswith(aside)]
    if extra := sorted(present - set(contract.held_kinds)):
        differing.append(f"kinds: {', '.join(contract.held_kinds)}, also {', '.join(extra)}")
    if differing:
        raise ValueError(
            f"{corpus.folder} does not meet the contract of {path} (model, corpus: "
            f"{'; '.join(differing)}); "
            + contract.how_to_ingest(path, corpus.recordings["sfreq_original"].to_numpy(float),
                                     corpus.contract.window_s)
        )
    length, held = model.window_length, corpus.contract.window_samples
    if held is not None and held < length:
        seconds = length / corpus.contract.one_rate
        raise ValueError(
            f"{corpus.folder}: windows of {corpus.contract.window_s:g} s are shorter than the "
            f"{seconds:g} s ({length} samples) that {path} encodes together: the rest would be "
            f"zeros it was never trained on; ingest again with --contract.window_s={seconds:g} or "
            f"more, or leave this model out"
        )
