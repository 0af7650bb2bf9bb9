"""Several corpora, or token sets, as one: windows of the first, then those of the second, …

They must agree in what a window is: the contract of the signals, and of tokens their shape and the
tokenizer that made them. Splits are checked across all: a subject, or a signal under another name,
must not be trained on in one and held out in another.

`repeated` gives some of them more weight: a pass then holds their windows more than once. No window
is left out, so the largest data set has each of its windows once, and the others have theirs as
often as their share asks for.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..seen import signals
from .corpus import Corpus
from .sensors import Sensors
from .shards import ShardReader
from .tokens import TokenSet
from .windows import SplitLeakError, WindowTable, mark

MOST = 20  # times that a window may stand in a pass


class Readers(ShardReader):
    """Shards of several folders: "2/NAME.arrow" is one of the third."""

    def __init__(self, readers: Sequence[ShardReader]):
        self.readers = list(readers)

    def __getstate__(self) -> dict:
        return self.__dict__

    def read(self, shard: str, row: int) -> np.ndarray:
        """Row `row` of `shard`."""
        number, _, name = shard.partition("/")
        return self.readers[int(number)].read(name, row)


def join(parts: Sequence[Corpus | TokenSet]) -> Corpus | TokenSet:
    """Corpora, or token sets, as one.

    Parameters
    ----------
    parts
        All of one kind.

    Returns
    -------
    Corpus or TokenSet
        With the tables of all, in memory.

    Raises
    ------
    ValueError
        They do not agree, and in which field; or a subject is in two splits.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    for other in parts[1:]:
        _check_alike(first, other)
    recordings = _with_names_of_their_own(pd.concat(
        [_recordings(part, k) for k, part in enumerate(parts)], ignore_index=True))
    _check_signals(recordings)
    begin = np.cumsum([0, *(len(part._recordings) for part in parts)])
    windows = pd.concat([part.windows.assign(recording=part.windows["recording"] + begin[k])
                         for k, part in enumerate(parts)], ignore_index=True)
    fingerprint = mark([part.fingerprint for part in parts])
    folder = Path(" + ".join(str(part.folder) for part in parts))
    contract = first.contract.with_(corpus=fingerprint)
    reader = Readers([part.reader for part in parts])
    found: Corpus | TokenSet
    if isinstance(first, TokenSet):
        corpora = [part.corpus for part in parts if isinstance(part, TokenSet)]
        found = TokenSet(folder, contract, recordings, windows, fingerprint, reader, first.shape,
                         mark(corpora), first.tokenizer)
    else:
        layouts: dict[str, Sensors] = {}
        for part in parts:
            if isinstance(part, Corpus):
                layouts |= part.layouts
        found = Corpus(folder, contract, recordings, windows, fingerprint, reader, layouts)
    object.__setattr__(found, "_terms", {name: terms for part in reversed(parts)
                                         for name, terms in part.datasets.items()})
    object.__setattr__(found, "_bounds", np.cumsum([len(part) for part in parts]).tolist())
    return found


def bounds(data: Corpus | TokenSet) -> list[int]:
    """Where the windows of each part end.

    Parameters
    ----------
    data
        As of `join`.

    Returns
    -------
    list[int]
        Index after the last window of each.
    """
    return data.__dict__.get("_bounds", [len(data)])


def _recordings(part: WindowTable, number: int) -> pd.DataFrame:
    table = part.recordings
    shard = table["shard" if "shard" in table else "recording"]
    return table.assign(shard=[f"{number}/{name}" for name in shard])


def _with_names_of_their_own(recordings: pd.DataFrame) -> pd.DataFrame:
    """Recordings of two data sets may have one name: then that of the data set goes before it."""
    twice = recordings["recording"].duplicated(keep=False)
    named = recordings["dataset"].fillna("") + "_" + recordings["recording"]
    found = recordings.assign(recording=recordings["recording"].where(~twice, named))
    if again := sorted(set(found["recording"][found["recording"].duplicated()])):
        raise ValueError(f"the recording {again[0]} stands in two of the folders given as data: "
                         f"leave one of them out")
    return found


def _check_signals(recordings: pd.DataFrame) -> None:
    """Two data sets may hold one recording under two names."""
    known = recordings.assign(signal=signals(recordings)).query("signal != ''")
    splits = known.groupby("signal")["split"].nunique()
    if len(several := splits.index[splits > 1]):
        same = known[known["signal"] == several[0]].drop_duplicates("split")
        told = " and ".join(f"{name} ({split})" for name, split in zip(
            same["recording"], same["split"], strict=True))
        raise SplitLeakError(f"the recordings {told} hold one signal and stand in two splits, so "
                             f"scores would not be of unseen people: leave one of them out")


def _check_alike(first: Corpus | TokenSet, other: Corpus | TokenSet) -> None:
    both = f"{first.folder} and {other.folder}"
    if type(first) is not type(other):
        raise ValueError(f"{both}: one holds signals, the other tokens, and a model learns from "
                         f"one of them: name corpora, or token sets")
    if differing := first.contract.differences(other.contract):
        raise ValueError(f"{both} do not have one contract ({'; '.join(differing)}): ingest one "
                         f"of them again with the settings of the other")
    if isinstance(first, TokenSet) and isinstance(other, TokenSet):
        for name in ("tokenizer", "shape"):
            if getattr(first, name) != getattr(other, name):
                raise ValueError(f"{both} do not have one {name} ({getattr(first, name)}, "
                                 f"{getattr(other, name)}): tokenize them with one tokenizer")


def shares_of(sizes: Sequence[int], weights: Sequence[float], temperature: float) -> list[float]:
    """Share of each data set in a pass.

    Parameters
    ----------
    sizes
        Windows of each.
    weights
        Share of each, in any unit; empty = by size and temperature.
    temperature
        Shares are as sizes to the power of 1/temperature: 1 = by size, large = all alike.

    Returns
    -------
    list[float]
        Their sum is 1.
    """
    if weights and len(weights) != len(sizes):
        raise ValueError(f"weights: wanted one for each of {len(sizes)} data sets, got "
                         f"{len(weights)}")
    raw = np.array(weights, float) if weights else np.array(sizes, float) ** (1 / temperature)
    return (raw / raw.sum()).tolist()


def repeated(
    data: Corpus | TokenSet, windows: np.ndarray, shares: Sequence[float], seed: int
) -> np.ndarray:
    """The windows of a pass.

    Parameters
    ----------
    data
        As of `join`.
    windows
        Indices of windows, ascending, `[window]`.
    shares
        Of each of its parts; see `shares_of`.
    seed
        By which the recordings are drawn whose windows stand once more than others.

    Returns
    -------
    ndarray
        Indices, some of them several times; a function of the arguments alone.

    Raises
    ------
    ValueError
        A window would stand more than `MOST` times in a pass.
    """
    parts = np.split(windows, np.searchsorted(windows, bounds(data)[:-1]))
    times = np.array([share / len(part) if len(part) else 0.0
                      for part, share in zip(parts, shares, strict=True)])
    times = times / times[times > 0].min()
    if times.max() > MOST:
        raise ValueError(f"weights: windows of one data set would stand {times.max():.0f} times in "
                         f"a pass, wanted at most {MOST}: give shares nearer to the sizes "
                         f"({', '.join(str(len(part)) for part in parts)} windows)")
    found = []
    for number, (part, often) in enumerate(zip(parts, times.tolist(), strict=True)):
        found += [part] * int(often)
        missing = round((often - int(often)) * len(part))
        recording = data._index[0][part]
        first = np.flatnonzero(np.diff(recording, prepend=-1))
        runs = np.split(part, first[1:])
        some = np.random.default_rng([seed, number]).permutation(len(runs)).tolist()
        for run in some:
            if missing <= 0:
                break
            found.append(runs[run][:missing])
            missing -= len(found[-1])
    return np.concatenate(found)
