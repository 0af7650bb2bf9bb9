"""Splits by subject: who is trained on, who is held out.

A subject's split is a hash of its name and the seed, so it is the same on every machine and stays
when recordings are added; shares are met on average. Of few subjects the hash may leave a split
almost empty: it gets the nearest ones, up to its share or three. Where subjects have labels, a
split that lacks one gets the nearest subject that has it. Such subjects may move back when others
are added; the ledgers of models tell who was trained on.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pandas as pd

from neurofm.data.windows import SPLITS
from neurofm.limits import Share, Unchecked, limited
from neurofm.seen import subject_keys

_ENOUGH = 3  # subjects of a split that need no help; more come by the hash alone


@dataclass
@limited
class SplitRule:
    """How subjects are split into train, validation and test.

    Parameters
    ----------
    by
        "subject", "dataset", or a column of participants.tsv such as "site". Recordings
        with the same value are in the same split.
    fractions
        Shares of train, validation and test, met on average; a split gets its share of few
        subjects, up to three. Every split has subjects of every label, where at least three
        subjects have it.
    seed
        Seed of the random assignment.
    train
        Subjects (or values of `by`) to put in train. "01", "sub-01" and "dataset/01" name
        the same subject. If given, every subject must be in one of the three lists.
    validation
        Subjects (or values of `by`) to put in validation.
    test
        Subjects (or values of `by`) to put in test. Subjects in neither list are in train.
    """

    by: str = "subject"
    fractions: tuple[Share, Share, Share] = (0.8, 0.1, 0.1)
    seed: int = 0
    train: Annotated[list[str], Unchecked()] = field(default_factory=list)
    validation: Annotated[list[str], Unchecked()] = field(default_factory=list)
    test: Annotated[list[str], Unchecked()] = field(default_factory=list)

    PREFIX = "splits."

    def __post_init__(self):
        train, validation, test = self.fractions
        self.fractions = (train, validation, test)
        if not np.isclose(train + validation + test, 1):
            raise ValueError(f"splits.fractions must be three shares (train, validation, test) "
                             f"that sum to 1, got {self.fractions}")
        listed = [_bare(name) for split in SPLITS for name in getattr(self, split)]
        for split in SPLITS:
            setattr(self, split, [str(name) for name in getattr(self, split)])
        if not all(listed):
            raise ValueError(f"splits: wanted names in train, validation and test, got {listed}")
        twice = sorted({name for name in listed if listed.count(name) > 1})
        if twice:
            raise ValueError(f"splits: {', '.join(twice)} stand in more than one list")


def assign(
    recordings: pd.DataFrame, rule: SplitRule, labels: Sequence[Collection[str]] = ()
) -> list[str]:
    """Split of each row of a table with the columns dataset, subject and attributes (dicts).

    labels: those of the windows of each row; none = splits are not stratified.
    """
    keys = _keys(recordings, rule.by)
    if not (rule.train or rule.validation or rule.test):
        by_key = {key: _by_hash(key, rule) for key in keys}
        _fill(by_key, rule)
        _stratify(by_key, _labels_of(keys, labels), rule)
        return [by_key[key] for key in keys]
    listed = {_bare(name): split for split in SPLITS for name in getattr(rule, split)}
    found = [listed.get(_bare(key)) or listed.get(_bare(key.rpartition("/")[2])) for key in keys]
    unlisted = sorted({key for key, split in zip(keys, found, strict=True) if split is None})
    if rule.train and unlisted:
        raise ValueError(f"splits: train is listed, so every {rule.by} must be in a list; "
                         f"in none: {', '.join(unlisted[:5])}")
    return [split or "train" for split in found]


def unknown_names(recordings: pd.DataFrame, rule: SplitRule) -> list[str]:
    """Names in the rule's lists that no recording has: usually a typing error."""
    keys = _keys(recordings, rule.by)
    known = {_bare(key) for key in keys} | {_bare(key.rpartition("/")[2]) for key in keys}
    return [name for split in SPLITS for name in getattr(rule, split) if _bare(name) not in known]


def _keys(recordings: pd.DataFrame, by: str) -> list[str]:
    if by == "subject":
        return subject_keys(recordings).tolist()
    if by in ("dataset", "session", "task"):
        return recordings[by].fillna("").tolist()
    values = [attributes.get(by) for attributes in recordings["attributes"]]
    if not any(values):
        raise ValueError(f"splits.by = {by!r}: wanted subject, dataset or a column of "
                         f"participants.tsv, but no recording has it")
    return [str(value) for value in values]


def _by_hash(key: str, rule: SplitRule) -> str:
    edges = np.cumsum(rule.fractions)
    return SPLITS[int(np.searchsorted(edges[:2], _place(key, rule), side="right"))]


def _place(key: str, rule: SplitRule) -> float:
    """A number in [0, 1) for a key and the seed."""
    digest = hashlib.sha256(f"{rule.seed}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _labels_of(keys: list[str], labels: Sequence[Collection[str]]) -> dict[str, set[str]]:
    """Key → labels of its windows; empty where labels are rather numbers (age) than classes."""
    found: dict[str, set[str]] = {key: set() for key in keys}
    for key, some in zip(keys, labels, strict=bool(labels)):
        found[key] |= set(some)
    classes = set().union(*found.values())
    return found if len(classes) <= max(2, len(found) / 4) else {}


def _fill(by_key: dict[str, str], rule: SplitRule) -> None:
    """Move as few keys as needed, by hash, so that every split has its share of them or three."""
    n, shares = len(by_key), dict(zip(SPLITS, rule.fractions, strict=True))
    least = {split: min(max(1, round(share * n)), _ENOUGH) for split, share in shares.items()
             if share}
    if n < sum(least.values()):
        least = dict.fromkeys(least, 1)
    if n < len(least):
        return
    for split in least:
        while (count := Counter(by_key.values()))[split] < least[split]:
            giver = max((each for each in least if count[each] > least[each]),
                        key=lambda each: count[each] - shares[each] * n)
            nearest = min((key for key, own in by_key.items() if own == giver),
                          key=lambda key: _place(f"{split}\0{key}", rule))
            by_key[nearest] = split


def _stratify(by_key: dict[str, str], labels: dict[str, set[str]], rule: SplitRule) -> None:
    """Move as few keys as needed so that every split has every label that enough keys have.

    By hash, in an order that does not depend on the order of the rows. A key that moves leaves
    another one with each of its labels behind.
    """
    wanted = [split for split, share in zip(SPLITS, rule.fractions, strict=True) if share]
    owners = {label: {key for key in labels if label in labels[key]}
              for label in sorted(set().union(*labels.values()))}
    # Rare labels first: others have more keys left to choose from.
    for label in sorted(owners, key=lambda label: (len(owners[label]), label)):
        if len(owners[label]) < len(wanted):
            continue
        for split in wanted:
            if any(by_key[key] == split for key in owners[label]):
                continue
            spare = [key for key in owners[label] if all(
                sum(by_key[other] == by_key[key] for other in owners[each]) > 1
                for each in labels[key])]
            if spare:
                nearest = min(spare, key=lambda key: _place(f"{split}\0{key}", rule))
                by_key[nearest] = split


def _bare(name: str) -> str:
    """'eegmat/sub-01' → 'eegmat/01'."""
    return "/".join(part.removeprefix("sub-") for part in str(name).split("/"))
