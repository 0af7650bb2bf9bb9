"""A tokenizer out of a checkpoint, and the device to run it on."""

import torch

from ..tokenizers.tokenizer import Tokenizer
from .store import load_kind


def open_tokenizer(path: str) -> Tokenizer:
    """The tokenizer in a checkpoint, on the CPU."""
    return load_kind(path, Tokenizer, "a tokenizer",
                     "; name the checkpoint of the tokenizer that its tokens were made by")


def find_device(name: str) -> torch.device:
    """The device of that name; "auto": a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as problem:
        raise ValueError(f"device {name!r} is not here: say auto, cpu, or cuda where there is a "
                         f"GPU ({str(problem).partition('. ')[0]})") from problem
