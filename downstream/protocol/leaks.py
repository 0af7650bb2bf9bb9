"""What must not stand on both sides of a split, looked for in every fold before anything trains.

A person (unless the question is about the same person on another day), a file under two names, and
windows of one recording, which may belong to one trial or share samples. Where the question is
about other stretches of the same recordings, no two windows that share samples: `neurofm ingest`
cuts one window at an event, so no event is on both sides either. Scores of a split with
such a leak say how well things are remembered, not how well they are decoded; public code has had
each of these (LibEER's issue 12, EEG-Conformer's issue 52).
"""

import itertools

import numpy as np
import pandas as pd

from neurofm.data.corpus import Corpus
from neurofm.data.windows import SplitLeakError

from ..decoder.labeled import Labeled


def refuse(
    data: Labeled, *, same_people: bool = False, same_recordings: bool = False
) -> Labeled:
    """The same; SplitLeakError if two of its splits share what they must not.

    same_people: the protocol compares sessions of the same people, so these may be shared.
    same_recordings: it compares stretches of the same recordings; samples may not be shared.
    """
    corpus, where = data.corpus, f"{data.corpus.folder} (fold {data.fold})"
    for one, other in itertools.combinations(data.windows, 2):
        here, there = data.windows[one], data.windows[other]
        people = set(corpus.subjects(here)) & set(corpus.subjects(there))
        if people and not same_people:
            raise SplitLeakError(
                f"{where}: {len(people)} subject(s), such as {min(people)}, are in {one} and in "
                f"{other}: scores would be of people known already; split by subject"
            )
        if copies := copied(corpus.recordings, data.recordings(one), data.recordings(other)):
            raise SplitLeakError(
                f"{where}: the file of {copies[0][0]} ({one}) is byte for byte that of "
                f"{copies[0][1]} ({other}), {len(copies)} such pair(s): one person under two "
                f"names; leave one out and ingest again"
            )
        if same_recordings:
            if pairs := overlapping(corpus, here, there):
                raise SplitLeakError(
                    f"{where}: {len(pairs)} pair(s) of windows, such as "
                    f"{corpus.source(pairs[0][0])} ({one}) and {corpus.source(pairs[0][1])} "
                    f"({other}), share samples"
                )
            continue
        rows = np.intersect1d(data.recordings(one), data.recordings(other))
        if len(rows):
            raise SplitLeakError(
                f"{where}: {len(rows)} recording(s), such as "
                f"{corpus.recordings['source'].iat[rows[0]]}, have windows in {one} and in "
                f"{other}: windows of one trial, or beside it, would be on both sides; split by "
                f"recording"
            )
    return data


def copied(
    table: pd.DataFrame, here: np.ndarray, there: np.ndarray, column: str = "sha256"
) -> list[tuple[str, str]]:
    """Pairs of unlike rows (here, there) of a table of recordings whose files are the same to the
    byte: by name."""
    names, codes = table["recording"], table[column]
    first = {codes.iat[row]: row for row in here if codes.iat[row]}
    return [(names.iat[first[code]], names.iat[row]) for row in there
            if (code := codes.iat[row]) in first and first[code] != row]


def overlapping(
    corpus: Corpus, here: np.ndarray, there: np.ndarray, gap_s: float = 0.0
) -> list[tuple[int, int]]:
    """Pairs of windows (here, there) of the same recording that share samples, or have less than
    `gap_s` between them."""
    recording = corpus.windows["recording"].to_numpy()
    start_s = corpus.windows["start_s"].to_numpy()
    if corpus.contract.window_s is None:  # whole scans: one window a recording
        return []
    sfreq = corpus.contract.sfreq or corpus.recordings["sfreq_original"].max()
    length_s = corpus.contract.window_s + gap_s - 0.5 / sfreq
    found = []
    for row in np.intersect1d(recording[here], recording[there]):
        left, right = (part[recording[part] == row] for part in (here, there))
        right = right[np.argsort(start_s[right], kind="stable")]
        first = np.searchsorted(start_s[right], start_s[left] - length_s, side="right")
        last = np.searchsorted(start_s[right], start_s[left] + length_s, side="left")
        found += [(int(window), int(other)) for window, a, b in zip(left, first, last, strict=True)
                  for other in right[a:b]]
    return found
