"""FLEEG at a site: its own channels, rate and length of trials, and the back that all share."""

import functools

import numpy as np
import torch

from neurofm.data.corpus import Corpus
from neurofm.data.sensors import common_names
from neurofm.models.fleeg import FLEEG, FLEEGConfig

from ..baselines.network import Examples
from ..decoder.features import Known
from ..decoder.labeled import Labeled
from .learning import Learning
from .plan import Plan
from .site import Site

STAYS = "front, batch norms, "  # at the site, beside recordings
_AT_ONCE = 256


class Trials(Known):
    """Signals of windows in memory, float32 [window, channel, time]; the rest as in `Known`."""

    def __init__(self, windows: np.ndarray, signal: np.ndarray, *about):
        super().__init__(windows, *about)
        self.signal = torch.from_numpy(signal)

    def take(self, windows: np.ndarray) -> torch.Tensor:
        return self.signal[torch.from_numpy(self.rows(windows))]

    def batch(self, windows: np.ndarray, seeds=None, target=None) -> Examples:
        return Examples(self.take(windows), **self.about(windows, seeds))


def in_words(learning: Learning) -> str:
    """The model, for a page."""
    return "FLEEG (arXiv 2308.11636)"


def recenters(learning: Learning) -> bool:
    """Whether each person's mean is taken away."""
    return False


def build(site: Site, learning: Learning, data: Labeled) -> Plan:
    """Everything that is estimated here (means, deviations, frequencies) is of training people."""
    names, signal = _signals(site.corpus, site.channels, data.all.tobytes())
    windows = data.all
    source = Trials(windows, signal, data.target[windows], data.corpus.subjects(windows),
                    data.corpus.source)
    config = FLEEGConfig(ch_names=names, n_times=signal.shape[2],
                         sfreq=data.corpus.contract.one_rate,
                         classes=data.classes, **learning.architecture)
    model = _drawn(config, site.seed(learning))
    training = data.windows["train"]
    model.start(source.take(training), torch.from_numpy(data.target[training]))
    model.contract = data.contract

    def predict(wanted: np.ndarray) -> np.ndarray:
        model.eval()
        with torch.no_grad():
            parts = [model.logits(part.to(model.mean.device)).softmax(dim=-1).double().cpu()
                     for part in source.take(wanted).split(_AT_ONCE)]
        return torch.cat(parts).numpy()

    def settle() -> None:
        if not config.shared_norms:
            model.settle(part.to(model.mean.device) for part in
                         source.take(training).split(learning.train.batch_windows))

    return Plan(model, source, data, tuple(model.shared_names()), predict, lambda: model, settle)


def initial(learning: Learning) -> dict[str, np.ndarray]:
    """Of a FLEEG of any site: shared weights have the same shapes everywhere."""
    if not learning.classes:
        raise ValueError("classes: wanted the names of the classes, which the server cannot read "
                         "from recordings that it does not have, e.g. --learning.classes "
                         "'[left, right]'")
    model = _drawn(FLEEGConfig(classes=learning.classes, **learning.architecture),
                   learning.train.seed)
    own = model.state_dict()
    return {name: own[name].numpy().copy() for name in model.shared_names()}


def _drawn(config: FLEEGConfig, seed: int) -> FLEEG:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FLEEG(config)


@functools.lru_cache(maxsize=16)
def _signals(
    folder: str, wanted: tuple[str, ...], windows: bytes
) -> tuple[tuple[str, ...], np.ndarray]:
    """(names of the channels, those wanted or all that all recordings of a site have; signals)."""
    corpus, numbers = Corpus.open(folder), np.frombuffer(windows, dtype=np.int64)
    first = corpus.layout(numbers[0])
    everywhere = common_names([first, *corpus.layouts.values()])
    names = wanted or tuple(everywhere)
    if lost := [name for name in names if name not in everywhere]:
        raise ValueError(f"{folder}: channels: {', '.join(lost)} is not in all recordings, which "
                         f"have {', '.join(sorted(everywhere)) or 'none'} in common")
    if not names:
        raise ValueError(f"{folder}: its recordings have no channel in common, and a FLEEG has the "
                         f"channels of one site: make several sites of it, or give a pretrained "
                         f"encoder (learning.model), which reads any montage")
    return names, np.stack([corpus.signal(window, names) for window in numbers])
