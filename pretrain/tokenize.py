"""Encode every window of a corpus with a trained tokenizer.

    neurofm tokenize --data corpus/ --model runs/tokenizer --out tokens/
    neurofm tokenize --data … --part 3/16    one of 16 jobs of an array, in any order
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from neurofm import parts, repository
from neurofm.checkpoints.contracts import check_contract
from neurofm.checkpoints.tokenizer import find_device, open_tokenizer
from neurofm.data import joined, packing, tokens
from neurofm.data.corpus import Corpus
from neurofm.journal import Journal
from neurofm.limits import Count, limited
from neurofm.parts import Part
from neurofm.progress import each
from neurofm.run import OK, Command, Job, Made

SHARDS = "shards"  # notes of what is in which shard, until the whole is sealed
PLACES = "parts"  # locks and journals of parts, until the whole is sealed


@dataclass
@limited
class TokenizeConfig:
    """Encode every window of a corpus.

    Parameters
    ----------
    data
        A finished corpus, or several of one contract, --data a b c; hf://org/name[@revision] is a
        published one, whose shards are downloaded when first read.
    model
        Checkpoint of a tokenizer.
    out
        Folder of the token set.
    batch_windows
        Windows per batch.
    device
        "auto" uses a GPU if there is one; otherwise "cpu", "cuda", "cuda:1" …
    shard_mb
        Size of the files of tokens, MB: whole recordings share a file. 0 = each has one; default:
        that up to 1,000 recordings, else 256.
    part
        K/N does one of N parts and does not seal. Parts run in any order, at once, on any machines
        that share the folder; a call without `part` does what is missing and seals.
    """

    data: list[str] | str
    model: str
    out: str
    batch_windows: Count = 16
    device: str = "auto"
    shard_mb: int | None = None
    part: str = ""

    def __post_init__(self):
        Part.parse(self.part)


def tokenize(run: TokenizeConfig, job: Job) -> Made | int:
    """Write the token set, recording by recording; a recording already done is not done again."""
    named, out = [run.data] if isinstance(run.data, str) else run.data, job.out
    corpus = joined.join([Corpus.open(repository.data_folder(place)) for place in named])
    assert isinstance(corpus, Corpus)  # of corpora
    tokenizer = open_tokenizer(run.model)
    check_contract(tokenizer, run.model, corpus, same_geometry=True)
    _check_layouts(tokenizer, corpus, run)
    device = find_device(run.device)
    tokenizer.to(device)
    recordings = dict(zip(corpus.names(), corpus.by_recording(), strict=True))
    began, places = time.perf_counter(), out / PLACES
    shape, hashes, packs = None, dict[str, str](), packing.Packs(out / "ids", out / SHARDS)

    def kept(made: Journal, names: Iterable[str]) -> dict[str, str | None]:
        return {name: made.kept(f"ids/{name}.arrow") or _packed(packs, made, name)
                for name in names}

    def make(made: Journal, digests: dict[str, str | None]) -> None:
        nonlocal shape
        for name, digest in each(digests.items(), len(digests), "tokenize"):
            if digest is None:
                ids = encode(tokenizer, corpus, recordings[name], run.batch_windows, device)
                shape = ids.shape[1:]
                digest = tokens.write_shard(out, name, ids)
                made.note(f"ids/{name}.arrow", digest)
            hashes[name] = digest

    if part := Part.parse(run.part):
        with parts.at(part, out, places, "tokenize", lambda _: job.claim()):
            made = Journal(out, f"{PLACES}/part-{part.number}-of-{part.total}.finished")
            make(made, kept(made, filter(part.holds, recordings)))
        job.say(f"part {part} is done: {len(hashes)} of {len(recordings)} recordings")
        job.say("not sealed: when all parts are done, `neurofm tokenize` without --part seals")
        return OK
    parts.refuse_at_work(out, places)
    packs.repair()
    made = Journal(out, others=f"{PLACES}/*.finished")
    digests = kept(made, recordings)
    if lack := parts.unfinished(places, [name for name in digests if digests[name] is None]):
        job.say(f"parts that are not finished: {lack}; this call does what they lack")
    make(made, digests)
    if shape is None:  # everything was there already: one window tells the shape
        shape = encode(tokenizer, corpus, np.arange(1), 1, device).shape[1:]
    arranged = tokens.arrange(out, out / SHARDS, corpus, hashes, run.shard_mb)
    files = tokens.write_tables(out, corpus, hashes, arranged)
    hours = corpus.recordings["duration_s"].sum() / 3600
    size = sum(path.stat().st_size for path in (out / "ids").glob("*.arrow"))
    shards = {f"ids/{name}": digest for name, digest in arranged.files.items()}
    return Made(files, shards, facts={"shape": list(shape)}, said=[
        f"tokens in {out}: {len(corpus)} windows, {hours:.2f} h in "
        f"{time.perf_counter() - began:.1f} s, {size / max(hours, 1e-9) / 1e6:.2f} MB an hour"],
        next=f"neurofm pretrain --data {out} --tokenizer {run.model} --model brainomni --out model")


COMMAND = Command(
    "tokenize", TokenizeConfig, tokenize, makes="tokens", reads=("data",), models=("model",),
    roles={"data": "corpus", "model": "tokenizer"},
    free=frozenset({"batch_windows", "device", "part"}), leaves=(PLACES, SHARDS),
    shared=lambda run: bool(run.part),
)
main = COMMAND


def _packed(packs: packing.Packs, made: Journal, name: str) -> str | None:
    """sha256 of a recording that an interrupted call has put into a shard of several."""
    digest = made.known.get(f"ids/{name}.arrow")
    return digest if packs.shard(name, digest) else None


def _check_layouts(tokenizer, corpus: Corpus, run: TokenizeConfig) -> None:
    """All tokens of a set have one shape, and fit the type they are stored as."""
    if tokenizer.of_channels and len(set(corpus.widths(np.arange(len(corpus))))) > 1:
        raise ValueError(f"{corpus.folder}: tokens of this tokenizer are of channels, and "
                         f"recordings have unlike numbers of them: ingest one layout (or its "
                         f"parcels), or train from the corpus itself")
    if tokenizer.config.n_codes > 2**15:
        raise ValueError(f"{run.model} has {tokenizer.config.n_codes} codes a level; tokens "
                         f"are stored as int16, up to {2**15}")


@torch.inference_mode()
def encode(tokenizer, corpus: Corpus, windows: np.ndarray, at_once: int, device) -> np.ndarray:
    """Codes of windows, int16 [window, source, frame, level]."""
    parts = [
        tokenizer.encode(corpus.batch(windows[start : start + at_once]).to(device)).ids
        for start in range(0, len(windows), at_once)
    ]
    return torch.cat(parts).to("cpu", torch.int16).numpy()
