"""Token sets: the codes of a corpus under one tokenizer, on disk, sealed.

    tokens/
      manifest.json               parents: the corpus's and the tokenizer's fingerprints
      preprocessor_config.json    the contract of the signals behind the codes
      recordings.arrow  windows.arrow    as in the corpus
      ids/ID.arrow                int16 [source, frame, level], one shard a recording, or of several

Half a minute of 16 sources is 20 kB of codes against 2 MB of 64-channel signal, so a model trains
from tokens made once (the published code makes them anew at each step).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .. import artifacts
from . import contracts, packing, shards, tables
from .batch import Tokens
from .corpus import Corpus
from .windows import WindowTable, mark, write_datasets


@dataclass(frozen=True, eq=False)
class TokenSet(WindowTable):
    """Window i is `ids(i)`; the tables are the corpus's, so selections and splits are the same.

    Parameters
    ----------
    shape
        (source, frame, level) of every window.
    corpus, tokenizer
        Fingerprints of the parents.
    """

    shape: tuple[int, int, int]
    corpus: str
    tokenizer: str

    @classmethod
    def open(cls, folder: str | Path) -> "TokenSet":
        """Open a finished token set.

        Parameters
        ----------
        folder
            Folder of the artifact.

        Returns
        -------
        TokenSet
            Opened over memory maps.

        Raises
        ------
        ValueError
            The folder is unfinished or damaged, or a subject is in two splits.
        """
        folder = Path(folder)
        manifest = artifacts.open_sealed(folder, "tokens")
        shape = manifest.config.get("shape")
        if not (isinstance(shape, list) and len(shape) == 3 and all(type(n) is int and n > 0
                                                                    for n in shape)):
            raise artifacts.ArtifactError(f"{folder}: its manifest must tell the shape of tokens, "
                                          f"[sources, frames, levels], got {str(shape)[:80]}")
        # "corpus", or "data 1", "data 2" … where several were tokenized together.
        parents = manifest.parents
        corpora = [parents["corpus"]] if "corpus" in parents else [
            parents[name] for k in range(len(parents)) if (name := f"data {k + 1}") in parents]
        if lacking := ({"tokenizer"} if corpora else {"corpus", "tokenizer"}) - parents.keys():
            raise artifacts.ArtifactError(f"{folder}: its manifest does not tell from which "
                                          f"{' and '.join(sorted(lacking))} it was made")
        return cls(
            folder,
            contracts.load(folder),
            tables.find(folder, "recordings"),
            tables.find(folder, "windows"),
            manifest.fingerprint,
            shards.ShardReader(folder / "ids", "int16", artifacts.shard_files(folder, manifest)),
            tuple(shape),
            mark(corpora),
            manifest.parents["tokenizer"],
        )

    def ids(self, window: int | np.integer) -> np.ndarray:
        """Codes of a window.

        Parameters
        ----------
        window
            Index of the window.

        Returns
        -------
        ndarray
            int16 `[source, frame, level]`, read-only over the memory map.
        """
        flat = self._read(window)
        if flat.size != math.prod(self.shape):
            raise artifacts.ArtifactError(f"{self.folder}: a window holds {flat.size} tokens, not "
                                          f"the {self.shape} of its manifest")
        return flat.reshape(self.shape)

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """Number of sources of each window.

        Parameters
        ----------
        windows
            Indices of windows, `[window]`.

        Returns
        -------
        ndarray
            `[window]`; all alike, so nothing is padded.
        """
        return np.full(len(windows), self.shape[0])

    def batch(self, windows: np.ndarray, seeds: np.ndarray | None = None, target=None) -> Tokens:
        """The windows side by side.

        Parameters
        ----------
        windows
            Indices of windows, `[window]`.
        seeds
            Seed of each window, for what a model draws, `[window]`; None = none.
        target
            Target of each window, `[window, ...]`; None = none.

        Returns
        -------
        Tokens
            `[batch, source, frame, level]`.
        """
        return Tokens(
            torch.from_numpy(np.stack([self.ids(w) for w in windows.tolist()]).astype(np.int64)),
            target=None if target is None else torch.as_tensor(target),
            seed=None if seeds is None else torch.as_tensor(seeds, dtype=torch.int64),
            source=[self.source(w) for w in windows.tolist()],
        )


def write_shard(folder: str | Path, recording: str, ids) -> str:
    """Write the codes of a recording.

    Parameters
    ----------
    folder
        Folder of the artifact.
    recording
        Name of the recording.
    ids
        Codes of each window, int `[source, frame, level]`.

    Returns
    -------
    str
        sha256 of the shard.
    """
    arrays = (np.asarray(window, dtype=np.int16) for window in ids)
    return shards.write(Path(folder) / "ids" / f"{recording}.arrow", "ids", arrays)


def arrange(
    folder: str | Path, notes: Path, corpus: Corpus, hashes: dict[str, str], shard_mb: int | None
) -> packing.Arranged:
    """Put recordings into shards.

    Parameters
    ----------
    folder
        Folder of the artifact.
    notes
        Folder of notes of what is in which shard.
    corpus
        Corpus that was tokenized.
    hashes
        Recording → sha256 of its shard.
    shard_mb
        See `packing.groups`.

    Returns
    -------
    Arranged
        Where each recording is.
    """
    room = Path(folder) / "ids"
    packs, counts = packing.Packs(room, notes), corpus.n_windows()
    pieces = [packing.Piece(name, hashes[name], packs.n_bytes(name, hashes[name]), n)
              for name, n in zip(corpus.names(), counts.tolist(), strict=True)]
    return packing.arrange(room, notes, pieces, shard_mb)


def write_tables(
    folder: str | Path, corpus: Corpus, hashes: dict[str, str],
    arranged: packing.Arranged | None = None,
) -> list[str]:
    """Write the tables beside the shards.

    Parameters
    ----------
    folder
        Folder of the artifact.
    corpus
        Corpus that was tokenized.
    hashes
        Recording → sha256 of its shard.
    arranged
        Where each recording is; None = each has a file.

    Returns
    -------
    list[str]
        Names of all files.
    """
    folder, names = Path(folder), [f"{name}.arrow" for name in hashes]
    corpus.contract.save(folder)
    recordings = corpus.recordings.drop(columns="shard", errors="ignore")
    row = corpus.row_of_recording()
    if arranged is not None:
        names = [*arranged.files]
        if arranged.shard != corpus.names():
            recordings = recordings.assign(shard=arranged.shard)
            row = row + np.array(arranged.first_row)[corpus.windows["recording"]]
    tables.write(recordings, folder / "recordings.arrow")
    tables.write(corpus.windows.assign(row=row), folder / "windows.arrow")
    return ["preprocessor_config.json", "recordings.arrow", "windows.arrow",
            *write_datasets(folder, corpus.datasets), *(f"ids/{name}" for name in names)]
