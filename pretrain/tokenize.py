"""Encode every window of a corpus with a trained tokenizer, once: corpus → tokens.

    neurofm tokenize --corpus corpus/ --tokenizer runs/tokenizer --out tokens/
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from neurofm import artifacts, config, hub
from neurofm.data import tokens
from neurofm.data.corpus import Corpus


@dataclass
class TokenizeConfig:
    """corpus, tokenizer: sealed folders. out: where the tokens go. batch_windows: encoded at a
    time. device: "auto" takes a GPU if there is one."""

    corpus: str
    tokenizer: str
    out: str
    batch_windows: int = 16
    device: str = "auto"


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return tokenize(config.parse(TokenizeConfig, argv, command="tokenize"))


def tokenize(run: TokenizeConfig) -> int:
    """Write the token set, recording by recording; a recording already done is not done again."""
    corpus, out = Corpus.open(run.corpus), Path(run.out)
    made_by = hub.fingerprint(run.tokenizer)
    if artifacts.is_sealed(out):
        found = artifacts.open_sealed(out, "tokens").parents
        if found == {"corpus": corpus.fingerprint, "tokenizer": made_by}:
            print(f"{out} is finished: nothing to do")
            return 0
        raise ValueError(f"{out} holds tokens of another corpus or tokenizer ({found}): "
                         f"choose another --out")
    tokenizer = hub.load(run.tokenizer)
    _check_contract(corpus, tokenizer, run)
    device = torch.device("cuda" if run.device == "auto" and torch.cuda.is_available() else
                          "cpu" if run.device == "auto" else run.device)
    tokenizer.to(device)
    _claim(out, corpus.fingerprint, made_by)
    began, shape, hashes = time.perf_counter(), None, {}
    by_recording = np.split(
        np.arange(len(corpus)), np.cumsum(corpus.recordings["n_windows"].to_numpy())[:-1]
    )
    for name, windows in zip(corpus.recordings["recording"], by_recording, strict=True):
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
    tokens.seal(out, corpus, made_by, shape, hashes, config.resolved(run))
    hours = corpus.recordings["duration_s"].sum() / 3600
    size = sum(path.stat().st_size for path in (out / "ids").glob("*.arrow"))
    print(f"tokens in {out}: {len(corpus)} windows, {hours:.2f} h in "
          f"{time.perf_counter() - began:.1f} s, {size / max(hours, 1e-9) / 1e6:.2f} MB an hour")
    return 0


@torch.inference_mode()
def encode(tokenizer, corpus: Corpus, windows: np.ndarray, at_once: int, device) -> np.ndarray:
    """Codes of windows, int16 [window, source, frame, level]."""
    parts = [
        tokenizer.encode(corpus.batch(windows[start : start + at_once]).to(device)).ids
        for start in range(0, len(windows), at_once)
    ]
    return torch.cat(parts).to("cpu", torch.int16).numpy()


def _check_contract(corpus: Corpus, tokenizer, run: TokenizeConfig) -> None:
    """The tokenizer must take signals such as the corpus's; window length may differ."""
    ours = tokenizer.contract.to_dict()
    theirs = corpus.contract.to_dict()
    free = {"corpus", "window_s", "stride_s", "amplitude_uv", "max_bad", "bad_channels_iqr"}
    differing = [f"{key}: tokenizer {ours[key]}, corpus {theirs[key]}"
                 for key in ours if key not in free and ours[key] != theirs[key]]
    if differing:
        raise ValueError(
            f"{run.corpus} does not meet the contract of {run.tokenizer} ({'; '.join(differing)}): "
            f"ingest it again with the tokenizer's preprocessor_config.json as the contract"
        )


def _claim(out: Path, corpus: str, tokenizer: str) -> None:
    """Note what an unfinished folder is being made from, so that nothing else is mixed in."""
    out.mkdir(parents=True, exist_ok=True)
    note, wanted = out / "unfinished.json", {"corpus": corpus, "tokenizer": tokenizer}
    if note.exists():
        import json

        found = json.loads(note.read_text())
        if found != wanted:
            raise ValueError(f"{out} was begun from another corpus or tokenizer ({found}): "
                             f"choose another --out")
    artifacts.write_json(note, wanted)


if __name__ == "__main__":
    sys.exit(main())
