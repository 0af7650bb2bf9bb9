"""The methods of a comparison: networks, pretrained or not, and baselines, on the same windows."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from accelerate import Accelerator

from neurofm.data.corpus import Corpus
from neurofm.models.brainomni import BrainOmni
from neurofm.training.loop import TrainConfig

from . import baselines, features, statistics
from .baselines import spectra
from .features import InMemory
from .finetune import build, fit
from .labelled import Labelled, sensors_of
from .predictions import predict


@dataclass(frozen=True)
class Network:
    """mode: as in `neurofm finetune`. random: from random weights, tokenizer included. recentred:
    each subject's mean feature removed, which uses no label but all of a subject's windows."""

    mode: str
    random: bool = False
    recentred: bool = False


NETWORKS = {
    "frozen": Network("frozen"),
    "frozen_recentred": Network("frozen", recentred=True),
    "full": Network("full"),
    "random": Network("full", random=True),
    "random_frozen": Network("frozen", random=True),
}
METHODS = (*NETWORKS, *baselines.INDEX)


def check(names: list[str]) -> None:
    """Raise ValueError for a method that there is not."""
    unknown = [name for name in names if name not in METHODS]
    if unknown or not names:
        raise ValueError(f"methods: unknown {unknown}; there are {', '.join(METHODS)}")


@dataclass(eq=False)
class Networks:
    """Trains and applies networks; what does not depend on the seed is computed once."""

    pretrained: BrainOmni
    data: Labelled
    architecture: dict
    train: TrainConfig
    train_full: TrainConfig
    train_random: TrainConfig
    accelerator: Accelerator
    encode_windows: int
    read_tokens: Callable[[], InMemory] | None = None

    def probabilities(self, name: str, seed: int, out: Path) -> np.ndarray:
        """Train with `seed` and name the test windows, [window, class]. out: folder of the run."""
        what, device = NETWORKS[name], self.accelerator.device
        decoder = build(self.pretrained, self.data, what.mode, self.architecture, seed,
                        random_weights=what.random)
        source = self._encode(decoder) if what.random else self._tokens
        pooled = (features.pooled(decoder, source, device=device) if what.random
                    else self._pooled)
        if what.recentred:
            pooled = features.recentred(pooled)
        decoder = fit(
            decoder, source, self.data, dataclasses.replace(self.train, seed=seed),
            self.train_random if what.random else self.train_full, out, self.accelerator,
            pooled=pooled, say=lambda *_: None,
        )
        seen = pooled if what.mode == "frozen" else source
        return predict(decoder, seen, self.data.windows["test"], device)

    def _encode(self, decoder) -> InMemory:
        return features.tokens(decoder, self.data.corpus, self.data.all, self.data.target,
                               batch_windows=self.encode_windows, device=self.accelerator.device)

    @cached_property
    def _pretrained_decoder(self):
        return build(self.pretrained, self.data, "frozen", self.architecture, 0)

    @cached_property
    def _tokens(self) -> InMemory:
        return self.read_tokens() if self.read_tokens else self._encode(self._pretrained_decoder)

    @cached_property
    def _pooled(self) -> InMemory:
        return features.pooled(self._pretrained_decoder, self._tokens,
                               device=self.accelerator.device)


@dataclass(eq=False)
class Baselines:
    """Fits and applies baselines to the windows of one layout."""

    data: Labelled

    def __post_init__(self):
        self.channels = common_channels(self.data)

    def probabilities(self, name: str) -> tuple[np.ndarray, dict]:
        """(probabilities of the test windows, the setting that validation subjects chose)."""
        make = baselines.find(name)
        x, n_classes = self._described, len(self.data.classes)
        _, target, subjects = self.data.of("train")
        _, wanted, watched = self.data.of("validation")
        best, chosen = -1.0, None
        for setting in make.SETTINGS:
            baseline = make(0, **setting)
            baseline.fit(x["train"], target, subjects)
            named = baseline.probabilities(x["validation"], watched).argmax(axis=1)
            recall, _ = statistics.recalls(wanted, named, watched, n_classes)
            score = statistics.balanced_accuracy(recall)
            if score > best:
                best, chosen = score, (baseline, setting)
        baseline, setting = chosen
        return baseline.probabilities(x["test"], self.data.of("test")[2]), setting

    @cached_property
    def _described(self) -> dict[str, np.ndarray]:
        corpus = self.data.corpus
        return {split: np.stack([self._window(corpus, w) for w in windows.tolist()])
                for split, windows in self.data.windows.items()}

    def _window(self, corpus: Corpus, window: int) -> np.ndarray:
        names = corpus.layout(window).names
        rows = [names.index(name) for name in self.channels]
        return spectra.covariances(corpus.signal(window)[rows], corpus.contract.sfreq)


def common_channels(data: Labelled, share: float = 0.8) -> list[str]:
    """Channels that all of the recordings have, in the first one's order.

    A few missing ones (left out as bad) are done without; with fewer than `share` of them in common
    they are different layouts, which these baselines cannot mix: a ValueError says what to do.
    """
    corpus = data.corpus
    rows = np.concatenate([data.recordings(split) for split in data.windows])
    layouts = [corpus.layouts[key] for key in dict.fromkeys(corpus.recordings["layout"].iloc[rows])]
    common = set(layouts[0].names).intersection(*(layout.names for layout in layouts))
    if len(common) < share * max(map(len, layouts)):
        found = sorted({sensors_of(layout) for layout in layouts})
        raise ValueError(
            f"{corpus.folder}: baselines need one layout, but these recordings have "
            f"{len(layouts)} ({', '.join(found)}; {len(common)} channels in common); restrict all "
            f"methods (--only.sensors='{found[0]}'), only the baselines "
            f"(--baselines_only.sensors='{found[0]}'), or name methods without them"
        )
    return [name for name in layouts[0].names if name in common]
