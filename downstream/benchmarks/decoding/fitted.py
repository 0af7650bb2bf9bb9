"""Methods at work: train on a fold, let its validation subjects choose, answer its test windows."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from accelerate import Accelerator

from neurofm.data.sensors import common_names
from neurofm.models.decoder import Decoder
from neurofm.models.protocol import Backbone
from neurofm.training.loop import TrainConfig

from ... import baselines
from ...baselines import spectra
from ...decoder import features
from ...decoder.build import build
from ...decoder.features import InMemory
from ...decoder.fit import fit
from ...decoder.labeled import Labeled, sensors_of
from ...protocol.choice import chosen, without_lost
from ...scoring.predictions import predict
from . import methods
from .methods import Network

RECIPE = {"lr", "weight_decay"}  # settings of training; the others are the decoder's


@dataclass(eq=False)
class Networks:
    """Trains and applies networks; what depends neither on seed nor on fold is computed once."""

    models: dict[str, Backbone]  # pretrained ones by name, "" the one evaluated
    windows: np.ndarray  # of all folds
    architecture: dict
    # of the head; train_full, train_random: of what trains along, pretrained and not
    train: TrainConfig
    train_full: TrainConfig
    train_random: TrainConfig
    accelerator: Accelerator
    batch_windows: int
    tuning: int
    refit: bool = False  # solved heads, on training and validation windows
    # tokens of `windows` by the model evaluated, where they are on disk
    read_tokens: Callable[[], InMemory] | None = None
    _known: dict = field(default_factory=dict)

    def answers(self, name: str, data: Labeled, seed: int, out: Path) -> tuple[np.ndarray, dict]:
        """(answers to the fold's test windows, the setting that validation subjects chose)."""
        what, device = methods.network(name), self.accelerator.device

        def attempt(number: int, setting: dict):
            decoder, pooled = self._trained(what, setting, data, seed, out / str(number))
            return (decoder, pooled), predict(decoder, pooled, data.windows["validation"], device)

        tried = methods.settings(what, self.tuning, self.architecture,
                                 self.models[what.model].config)
        (decoder, pooled), setting = chosen(tried, data, attempt)
        if self.refit and what.mode == "frozen" and decoder.config.solved:
            heat = decoder.head.temperature.clone()  # stays as validation people chose it
            decoder, pooled = self._trained(what, setting, of_both(data), seed, out / "again")
            decoder.head.temperature.copy_(heat)
        return predict(decoder, pooled, data.windows["test"], device), setting

    def features(self, random: bool, data: Labeled, seed: int) -> InMemory:
        """Pooled features of all windows, as the backbone came."""
        decoder = self._built(Network(random=random), {}, data, seed)
        return self._pooled(Network(random=random), decoder, data, seed)

    def view(self, model: str, data: Labeled) -> tuple[str, InMemory]:
        """(how a model's features are pooled for automatic decoders, those of all windows)."""
        pools = [pool for pool in self.models[model].config.pools if pool != "attention"]
        wanted = self.architecture.get("pool", "")
        what = Network(architecture={"pool": wanted if wanted in pools else pools[0],
                                     "head": "linear"}, model=model)
        decoder = self._built(what, {}, data, 0)
        return decoder.config.pool, self._pooled(what, decoder, data, 0)

    def _trained(
        self, what: Network, setting: dict, data: Labeled, seed: int, out: Path
    ) -> tuple[Decoder, InMemory]:
        """The decoder, and what its head sees of all windows."""
        setting = without_lost(setting)
        recipe = {key: value for key, value in setting.items() if key in RECIPE}
        how = dataclasses.replace(self.train, seed=seed, **recipe)
        along = self.train_random if what.random else self.train_full
        along = dataclasses.replace(along, lr=along.lr * setting.get("lr_factor", 1.0))
        decoder = self._built(what, setting, data, seed)
        source = self._tokens(what, decoder, data, seed)
        pooled = self._pooled(what, decoder, data, seed)
        return decoder, fit(decoder, source, data.windows["train"], data.windows["validation"],
                            how, along, out, self.accelerator, pooled=pooled, say=_silent)

    def _built(self, what: Network, setting: dict, data: Labeled, seed: int) -> Decoder:
        inside = {key: value for key, value in setting.items()
                  if key not in RECIPE and key != "lr_factor"}
        return build(self.models[what.model], data, what.mode,
                     {**self.architecture, **what.architecture, **inside,
                      "recentered": what.recentered}, seed, random_weights=what.random)

    def _tokens(self, what: Network, decoder: Decoder, data: Labeled, seed: int) -> InMemory:
        def make():
            if self.read_tokens and not what.random and not what.model:
                return self.read_tokens()
            return features.prepared(decoder, data.corpus, self.windows, data.target,
                                     batch_windows=self.batch_windows,
                                     device=self.accelerator.device)

        return self._once("tokens", what, data, seed, make)

    def _pooled(self, what: Network, decoder: Decoder, data: Labeled, seed: int) -> InMemory:
        source = self._tokens(what, decoder, data, seed)
        return self._once(decoder.config.pool, what, data, seed, lambda: features.pooled(
            decoder, source, device=self.accelerator.device))

    def _once(self, kind: str, what: Network, data: Labeled, seed: int, make) -> InMemory:
        """`make()`, kept. A random tokenizer starts its codes from the fold's training windows, so
        what it gives is of one fold and seed, and the next takes its place."""
        place, of = (kind, what.model, what.random), (seed, data.fold) if what.random else ()
        if place not in self._known or self._known[place][0] != of:
            self._known[place] = (of, make())
        return self._known[place][1]


@dataclass(eq=False)
class Baselines:
    """Fits and applies baselines to windows of one layout."""

    data: Labeled  # any fold; windows: of all folds
    windows: np.ndarray
    tuning: int  # settings tried
    refit: bool = False  # those that draw no numbers, on training and validation windows

    def __post_init__(self):
        self.channels = common_channels(self.data, self.windows)

    def answers(self, name: str, data: Labeled, seed: int) -> tuple[np.ndarray, dict]:
        """(answers to the fold's test windows, the setting that validation subjects chose)."""
        make = baselines.find(name)
        x = {"covariances": lambda: self._covariances, "signals": lambda: self._signals,
             "scans": lambda: self._scans, "unscaled_scans": self._unscaled}[make.SEES]()
        shown = {split: x[np.searchsorted(self.windows, windows)]
                 for split, windows in data.windows.items()}
        _, target, subjects = data.of("train")
        _, wanted, watched = data.of("validation")
        rate = {"sfreq": data.corpus.contract.one_rate} if make.SEES == "signals" else {}

        def attempt(_: int, setting: dict):
            baseline = make(seed, **setting, **rate)
            baseline.fit(shown["train"], target, subjects,
                         (shown["validation"], wanted, watched))
            return baseline, baseline.predict(shown["validation"], watched)

        baseline, setting = chosen(make.SETTINGS[: self.tuning], data, attempt)
        if self.refit and not make.DRAWS:
            both = np.concatenate([shown["train"], shown["validation"]])
            baseline = make(seed, **without_lost(setting), **rate)
            baseline.fit(both, np.concatenate([target, wanted]),
                         np.concatenate([subjects, watched]))
        return baseline.predict(shown["test"], data.of("test")[2]), setting

    @property
    def simplest(self) -> str:
        """What `features` are."""
        return {"covariances": "log band power", "scans": "functional connectivity"}[self._view]

    @property
    def _view(self) -> str:
        return self.data.corpus.contract.VIEWS[0]

    @cached_property
    def features(self) -> np.ndarray:
        """Log power of every channel in every band, [window, band · channel]; of fMRI the
        correlation of every pair of regions, [window, pair]."""
        if self._view == "scans":
            upper = np.triu_indices(len(self.channels), 1)
            return np.stack([np.corrcoef(scan)[upper] for scan in self._scans])
        power = np.diagonal(self._covariances, axis1=2, axis2=3)
        return np.log(np.maximum(power, 1e-12)).reshape(len(power), -1)

    @cached_property
    def _covariances(self) -> np.ndarray:
        corpus = self.data.corpus
        sfreq = corpus.contract.one_rate
        return np.stack([spectra.covariances(corpus.signal(w, self.channels), sfreq)
                         for w in self.windows.tolist()])

    @cached_property
    def _signals(self) -> np.ndarray:
        return np.stack([self.data.corpus.signal(w, self.channels) for w in self.windows.tolist()])

    @cached_property
    def _scans(self) -> np.ndarray:
        return self._whole(self.data.corpus.signal)

    def _unscaled(self) -> np.ndarray:
        """Scans in the units of their files."""
        return self._whole(self.data.corpus.unscaled)

    def _whole(self, read: Callable[..., np.ndarray]) -> np.ndarray:
        """object [window] of [channel, measured]."""
        out = np.empty(len(self.windows), dtype=object)
        for row, window in enumerate(self.windows.tolist()):
            signal = read(window, self.channels)
            out[row] = signal[:, np.isfinite(signal).all(axis=0)]
        return out


def of_both(data: Labeled) -> Labeled:
    """The fold with the validation windows among the training windows."""
    both = np.sort(np.concatenate([data.windows["train"], data.windows["validation"]]))
    return dataclasses.replace(data, windows={
        **data.windows, "train": both, "validation": data.windows["validation"][:0]})


def common_channels(data: Labeled, windows: np.ndarray, share: float = 0.8) -> list[str]:
    """Channels that all of the recordings have, in the first one's order.

    A few missing ones (left out as bad) are done without; with fewer than `share` of them in common
    they are different layouts, which these baselines cannot mix: a ValueError says what to do.
    """
    corpus = data.corpus
    rows = np.unique(corpus.windows["recording"].to_numpy()[windows])
    layouts = [corpus.layouts[key] for key in dict.fromkeys(corpus.recordings["layout"].iloc[rows])]
    common = common_names(layouts)
    if len(common) < share * max(map(len, layouts)):
        found = sorted({sensors_of(layout) for layout in layouts})
        raise ValueError(
            f"{corpus.folder}: baselines need one layout, but these recordings have "
            f"{len(layouts)} ({', '.join(found)}; {len(common)} channels in common); restrict all "
            f"methods (--only.sensors='{found[0]}'), only the baselines "
            f"(--baselines_only.sensors='{found[0]}'), or name methods without them"
        )
    return common


def _silent(*_) -> None:
    """What single trainings say is not shown: there are hundreds."""
