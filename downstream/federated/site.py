"""A site: somebody with a corpus of their own, and a folder in which what is personal stays."""

import functools
import zlib
from dataclasses import dataclass
from pathlib import Path

from neurofm.data.corpus import Corpus

from .. import tasks
from ..decoder.labeled import Labeled, checked, labeled
from ..protocol.windows import SAME_PEOPLE, folds
from .learning import Learning


@dataclass(frozen=True)
class Site:
    """One site: its recordings, and what of them it trains on."""

    name: str  # as others see it
    corpus: str  # folder of its labeled windows; nothing of it leaves the site
    work: str  # folder of its personal state
    model: str = ""  # its own copy of the pretrained encoder; "" = what the server names
    channels: tuple[str, ...] = ()  # that a FLEEG reads; none = all that its recordings have
    agreed: str = ""  # file of settings: a server that asks for others is refused

    def folder(self, learning: Learning) -> Path:
        """Where its state of a fold stands, across rounds and restarts."""
        return Path(self.work) / f"fold-{learning.fold}-seed-{learning.train.seed}"

    def seed(self, learning: Learning) -> int:
        """Of its personal weights: other than those of the other sites, always the same."""
        return (learning.train.seed + zlib.crc32(self.name.encode())) % 2**31


def fold_of(site: Site, learning: Learning) -> Labeled:
    """The windows of a site that train, choose and judge in this fold.

    A site with fewer folds than others (fewer people, one left out at a time) begins again.
    """
    found = _folds(site.corpus, learning.of_fold(0).to_json())
    return found[learning.fold % len(found)]


def n_folds(site: Site, learning: Learning) -> int:
    """How many folds a site has: only in these is everybody judged once."""
    return len(_folds(site.corpus, learning.of_fold(0).to_json()))


@functools.lru_cache(maxsize=64)
def _folds(corpus: str, learning_json: str) -> list[Labeled]:
    learning = Learning.from_json(learning_json)
    task = tasks.find(learning.task)
    if task.number:
        raise ValueError(f"task {learning.task} is of a number; federated decoders tell classes "
                         f"apart")
    data = labeled(Corpus.open(corpus), learning.classes or task.classes, learning.only)
    if learning.protocol.kind == "stored":
        return [checked(data, 1)]
    least = 1 if learning.protocol.kind in SAME_PEOPLE else 2
    return folds(data, learning.protocol, least, task.trial)
