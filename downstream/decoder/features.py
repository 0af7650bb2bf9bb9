"""What a decoder trains on, made once: tokens of labeled windows, or pooled features.

A tokenizer is frozen in every mode, so signals are encoded once (a model without one reads them
again); with all of the model frozen, its pooled features are all that the head ever sees.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from neurofm import artifacts
from neurofm.checkpoints.contracts import contract_of
from neurofm.data.batch import Batch, Tokens
from neurofm.data.corpus import Corpus
from neurofm.data.sensors import GeometryRule, Sensors
from neurofm.data.tokens import TokenSet
from neurofm.data.worse import Change
from neurofm.models.decoder_head import Pooled
from neurofm.models.protocol import WindowDecoder


class Known:
    """Some windows and what is known of them; a subclass says what `batch` gives.

    windows: numbers, ascending (a corpus's window indices). target: class index (int64) or number
    (float32) of each, [window]. subjects: whose each is, [window]. devices: number of the device
    that each was recorded with, [window]; None = one device. source: what messages call each.
    weight: how much each counts in training, float32 [window], 1 on average; None = alike.
    """

    batch: Callable[[np.ndarray], Any]

    def __init__(
        self, windows: np.ndarray, target: np.ndarray, subjects: np.ndarray,
        source: Callable[[int], str] = "window {}".format, devices: np.ndarray | None = None,
        weight: Tensor | None = None,
    ):
        assert len(windows) == len(target) == len(subjects), (
            len(windows), target.shape, subjects.shape)
        self.windows, self.source = windows, source
        self.target, self.subjects = torch.from_numpy(np.asarray(target)), np.asarray(subjects)
        self.weight = weight
        self.devices = np.zeros(len(windows), dtype=int) if devices is None else devices

    def with_(self, values: Tensor) -> "InMemory":
        """The same windows with values."""
        return InMemory(self.windows, values, self.target.numpy(), self.subjects, self.source,
                        self.devices, self.weight)

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """All alike: nothing is padded."""
        return np.ones(len(windows), dtype=np.int64)

    def rows(self, windows: np.ndarray) -> np.ndarray:
        """Where the given windows stand."""
        rows = np.searchsorted(self.windows, windows)
        assert np.array_equal(self.windows[rows], windows), "windows that were never encoded"
        return rows

    def whose(self, windows: np.ndarray) -> np.ndarray:
        """Subjects of the given windows, in their order."""
        return self.subjects[self.rows(windows)]

    def alike(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Those of the rows that are of one person by one device, then of the next: what
        re-centering takes together. Another device sees the same person differently."""
        whose = np.unique(self.subjects[rows], return_inverse=True)[1]
        group = np.unique([whose, self.devices[rows]], axis=1, return_inverse=True)[1].ravel()
        for each in np.unique(group):
            yield rows[group == each]

    def about(self, windows: np.ndarray, seeds: np.ndarray | None) -> dict:
        """Fields of a batch that tell of the windows."""
        rows = torch.from_numpy(self.rows(windows))
        return {
            "target": self.target[rows],
            **({} if self.weight is None else {"weight": self.weight[rows]}),
            "seed": None if seeds is None else torch.as_tensor(seeds, dtype=torch.int64),
            "source": [self.source(w) for w in windows.tolist()],
        }


class InMemory(Known):
    """Tokens or features of windows. values: int16 [window, source, frame, level] (tokens) or
    float32 [window, (place,) feature]; the rest as in `Known`."""

    def __init__(self, windows: np.ndarray, values: Tensor, *about, **more):
        assert len(windows) == len(values), (len(windows), values.shape)
        super().__init__(windows, *about, **more)
        self.values = values

    def take(self, windows: np.ndarray) -> Tensor:
        """Values of the given windows, in their order."""
        return self.values[torch.from_numpy(self.rows(windows))]

    def batch(self, windows: np.ndarray, seeds: np.ndarray | None = None, target=None):
        """Tokens or Pooled of the windows, with their targets."""
        values, about = self.take(windows), self.about(windows, seeds)
        return Pooled(values, **about) if values.is_floating_point() else Tokens(
            values.long(), **about)


class OfCorpus(Known):
    """Windows whose signals are read when they are asked for.

    target: of every window of the corpus. geometry: rule by which the model reads places. change:
    makes signals worse (`neurofm.data.worse`). Of a corpus of n windows, number k · n + w is copy k
    of window w, which `change` may tell apart; re-centering takes each copy by itself.
    """

    def __init__(
        self, corpus: Corpus, windows: np.ndarray, target: np.ndarray, geometry: GeometryRule,
        change: Change | None = None,
    ):
        copy, own = np.divmod(windows, len(corpus))
        device = devices(corpus)
        super().__init__(windows, target[own], corpus.subjects(own),
                         lambda window: corpus.source(window % len(corpus)),
                         device[corpus.windows["recording"].to_numpy()[own]]
                         + copy * (device.max() + 1))
        self.corpus, self.geometry, self.change = corpus, geometry, change

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """Number of channels of each of the windows."""
        return self.corpus.widths(windows % len(self.corpus))

    def batch(self, windows: np.ndarray, seeds: np.ndarray | None = None, target=None) -> Batch:
        """Signals of the windows, with their targets."""
        def changed(place: int, signal: np.ndarray, sensors: Sensors):
            assert self.change is not None
            return self.change(int(windows[place]), signal, sensors)

        batch = self.corpus.batch(windows % len(self.corpus), geometry=self.geometry,
                                  change=changed if self.change else None)
        return replace(batch, **self.about(windows, seeds))


@torch.no_grad()
def prepared(
    decoder: WindowDecoder, corpus: Corpus, windows: np.ndarray, target: np.ndarray, *,
    batch_windows: int = 16, device: torch.device | str = "cpu", change: Change | None = None,
) -> Known:
    """What the decoder trains on: its windows' tokens, encoded here; where its model reads signals,
    those. change: see `OfCorpus`."""
    signals = OfCorpus(corpus, windows, target, contract_of(decoder).geometry, change)
    return encoded(decoder.to(device), signals, batch_windows)


@torch.no_grad()
def encoded(decoder: WindowDecoder, signals: Known, batch_windows: int) -> Known:
    """Tokens of all windows, int16, on the CPU; where the model reads signals, those."""
    decoder.eval()
    order = np.argsort(signals.widths(signals.windows), kind="stable")  # little padding
    values = None
    for start in range(0, len(order), batch_windows):
        rows = order[start : start + batch_windows]
        batch = signals.batch(signals.windows[rows])
        found = decoder.prepare(batch.to(decoder.device))
        if not isinstance(found, Tokens):
            return signals
        ids = found.ids.to("cpu", torch.int16)
        if values is None:
            values = torch.empty(len(order), *ids.shape[1:], dtype=torch.int16)
        values[torch.from_numpy(rows)] = ids
    return signals.with_(values)


def read_tokens(
    folder: str, model: str, corpus: Corpus, windows: np.ndarray, target: np.ndarray
) -> InMemory:
    """The windows' tokens from a token set that the model's own tokenizer made of this corpus."""
    found = TokenSet.open(folder)
    made_by = artifacts.open_sealed(model, "checkpoint").parents.get("tokenizer")
    if found.corpus != corpus.fingerprint or found.tokenizer != made_by:
        raise ValueError(
            f"{folder} holds tokens of corpus {found.corpus} by tokenizer {found.tokenizer}; "
            f"wanted corpus {corpus.fingerprint} ({corpus.folder}) by tokenizer {made_by} (that "
            f"of {model}); tokenize again, or leave --tokens out"
        )
    values = torch.from_numpy(np.stack([found.ids(w) for w in windows.tolist()]).astype(np.int16))
    return OfCorpus(corpus, windows, target, corpus.contract.geometry).with_(values)


@torch.no_grad()
def pooled(
    decoder: WindowDecoder, source: Known, *, batch_windows: int = 32,
    device: torch.device | str = "cpu",
) -> InMemory:
    """Pooled features of all windows of a source."""
    decoder.to(device).eval()
    parts = [
        decoder.pool(source.batch(source.windows[start : start + batch_windows]).to(device))
        .float().cpu() for start in range(0, len(source.windows), batch_windows)
    ]
    return source.with_(torch.cat(alike(parts)))


def alike(parts: list[Tensor]) -> list[Tensor]:
    """Pooled features of one shape: scans have unlike lengths, and places that one lacks are 0."""
    if parts[0].ndim != 3:
        return parts
    most = max(part.shape[1] for part in parts)
    return [F.pad(part, (0, 0, 0, most - part.shape[1])) for part in parts]


def recentered(source: InMemory, parts: Collection[np.ndarray]) -> InMemory:
    """Features with the mean of each subject (by each device) removed: no label is used, but all
    of a subject's windows are.

    parts: windows (of train, of validation, of test), each re-centered for itself, so that nothing
    of a test reaches a training where both are of the same people. Other windows stay as they are.
    """
    values = source.values.clone()
    for part in parts:
        for rows in source.alike(source.rows(part)):
            own = torch.from_numpy(rows)
            values[own] -= center(values[own])
    return source.with_(values)


def center(features: Float[Tensor, "window *place feature"]) -> Float[Tensor, " feature"]:
    """What re-centering takes away from a person's features: their mean over windows (and places,
    where the head does the pooling)."""
    return features.flatten(0, -2).mean(dim=0)


def center_of_all(source: InMemory, windows: np.ndarray) -> Float[Tensor, " feature"]:
    """Mean over the windows' subjects (by each device) of their centers: the likeliest one of
    somebody unknown."""
    return torch.stack([center(source.values[torch.from_numpy(rows)])
                        for rows in source.alike(source.rows(windows))]).mean(dim=0)


def devices(corpus: Corpus) -> Int[np.ndarray, " recording"]:
    """Number of the device of each recording: layouts that resemble each other are one."""
    number = dict(zip(corpus.layouts, numbered([*corpus.layouts.values()]), strict=True))
    return np.array([number[key] for key in corpus.recordings["layout"]], dtype=int)


def numbered(layouts: Sequence[Sensors]) -> Int[np.ndarray, " layout"]:
    """Number of the device of each layout: those that resemble each other are one."""
    seen: list[Sensors] = []
    known: dict[str, int] = {}
    for layout in layouts:
        key = layout.fingerprint
        if key not in known:
            known[key] = next((k for k, other in enumerate(seen) if layout.resembles(other)),
                              len(seen))
            if known[key] == len(seen):
                seen.append(layout)
    return np.array([known[layout.fingerprint] for layout in layouts], dtype=int)
