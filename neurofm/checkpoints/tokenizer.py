"""A tokenizer out of a checkpoint, ready for a corpus."""

import torch

from ..data.contract import FILE_NAME as CONTRACT_FILE
from ..data.corpus import Corpus
from .store import load


def open_tokenizer(path: str):
    """The tokenizer in a checkpoint, on the CPU."""
    model = load(path)
    if not hasattr(model, "decode"):
        raise ValueError(f"{path}: wanted a tokenizer, this is a {type(model).__name__}; name the "
                         f"checkpoint of the tokenizer that its tokens were made by")
    return model


def check_contract(tokenizer, corpus: Corpus) -> None:
    """The tokenizer must take signals such as the corpus's; window length may differ."""
    if tokenizer.contract is None:
        raise ValueError(f"the tokenizer has no {CONTRACT_FILE}, so it is unknown which signals it "
                         f"takes: save it with its contract")
    if getattr(tokenizer, "reads_places", True):
        corpus.check_places("the tokenizer")
    if differing := tokenizer.contract.differences(corpus.contract):
        raise ValueError(
            f"{corpus.folder} does not meet the tokenizer's contract (field: tokenizer, corpus; "
            f"{'; '.join(differing)}): ingest it again with the tokenizer's "
            f"preprocessor_config.json as the contract"
        )


def find_device(name: str) -> torch.device:
    """The device of that name; "auto": a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as problem:
        raise ValueError(f"device {name!r} is not here: say auto, cpu, or cuda where there is a "
                         f"GPU ({str(problem).partition('. ')[0]})") from problem
