"""Encode every window of a corpus with a trained tokenizer, once: corpus → tokens.

    neurofm tokenize --corpus corpus/ --tokenizer runs/tokenizer --out tokens/
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from neurofm import artifacts, checkpoints, cli, config
from neurofm.data import tokens
from neurofm.data.contract import FILE_NAME as CONTRACT_FILE
from neurofm.data.corpus import Corpus


@dataclass
class TokenizeConfig:
    """Encode every window of a corpus.

    corpus: a sealed corpus.
    tokenizer: checkpoint of a tokenizer.
    out: folder of the tokens.
    batch_windows: windows encoded at a time.
    device: "auto" takes a GPU if there is one; "cpu", "cuda", "cuda:1" …
    """

    corpus: str
    tokenizer: str
    out: str
    batch_windows: int = 16
    device: str = "auto"

    def __post_init__(self):
        if self.batch_windows < 1:
            raise ValueError(f"batch_windows must be at least 1, got {self.batch_windows}")


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return tokenize(config.parse(TokenizeConfig, argv, command="tokenize"))


def tokenize(run: TokenizeConfig) -> int:
    """Write the token set, recording by recording; a recording already done is not done again."""
    corpus, out = Corpus.open(run.corpus), Path(run.out)
    parents = {"corpus": corpus.fingerprint, "tokenizer": checkpoints.fingerprint(run.tokenizer)}
    if artifacts.is_sealed(out):
        found = artifacts.open_sealed(out, "tokens").parents
        if found != parents:
            raise ValueError(f"{out} holds tokens of another corpus or tokenizer ({found}, wanted "
                             f"{parents}): choose another --out")
        print(f"{out} is finished: nothing to do")
        return 0
    tokenizer = open_tokenizer(run.tokenizer)
    check_contract(tokenizer, corpus)
    if not getattr(tokenizer, "reads_places", True) and len(set(corpus.widths(
            np.arange(len(corpus))))) > 1:
        raise ValueError(f"{run.corpus}: tokens of this tokenizer are of channels, and recordings "
                         f"have unlike numbers of them: ingest one layout (or its parcels), or "
                         f"train from the corpus itself")
    if tokenizer.config.n_codes > 2**15:
        raise ValueError(f"{run.tokenizer} has {tokenizer.config.n_codes} codes a level; tokens "
                         f"are stored as int16, up to {2**15}")
    device = find_device(run.device)
    tokenizer.to(device)
    artifacts.claim(out, parents)
    began, shape, hashes = time.perf_counter(), None, {}
    for recording, windows in enumerate(_by_recording(corpus)):
        name = corpus.recordings["recording"].iat[recording]
        shard = out / "ids" / f"{name}.arrow"
        if shard.exists():  # shards appear under their name only when complete
            hashes[name] = artifacts.sha256(shard)
            continue
        ids = encode(tokenizer, corpus, windows, run.batch_windows, device)
        shape = ids.shape[1:]
        hashes[name] = tokens.write_shard(out, name, ids)
        print(f"{name}: {len(windows)} windows", flush=True)
    if shape is None:  # everything was there already: one window tells the shape
        shape = encode(tokenizer, corpus, np.arange(1), 1, device).shape[1:]
    tokens.seal(out, corpus, parents["tokenizer"], shape, hashes, config.resolved(run))
    hours = corpus.recordings["duration_s"].sum() / 3600
    size = sum(path.stat().st_size for path in (out / "ids").glob("*.arrow"))
    print(f"tokens in {out}: {len(corpus)} windows, {hours:.2f} h in "
          f"{time.perf_counter() - began:.1f} s, {size / max(hours, 1e-9) / 1e6:.2f} MB an hour")
    return 0


def find_device(name: str) -> torch.device:
    """The device of that name; "auto": a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as problem:
        raise ValueError(f"device {name!r} is not here: say auto, cpu, or cuda where there is a "
                         f"GPU ({str(problem).partition('. ')[0]})") from problem


def open_tokenizer(path: str):
    """The tokenizer in a checkpoint, on the CPU."""
    model = checkpoints.load(path)
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


def _by_recording(corpus: Corpus) -> list[np.ndarray]:
    """Windows of each recording, in the order of their rows in its shard."""
    recording, row = (corpus.windows[name].to_numpy() for name in ("recording", "row"))
    counts = np.bincount(recording, minlength=len(corpus.recordings))
    return np.split(np.lexsort((row, recording)), np.cumsum(counts)[:-1])


@torch.inference_mode()
def encode(tokenizer, corpus: Corpus, windows: np.ndarray, at_once: int, device) -> np.ndarray:
    """Codes of windows, int16 [window, source, frame, level]."""
    parts = [
        tokenizer.encode(corpus.batch(windows[start : start + at_once]).to(device)).ids
        for start in range(0, len(windows), at_once)
    ]
    return torch.cat(parts).to("cpu", torch.int16).numpy()


if __name__ == "__main__":
    sys.exit(cli.main(["tokenize", *sys.argv[1:]]))
