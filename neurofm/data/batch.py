"""Batch and Tokens: windows side by side, as models take them.

Windows of mixed layouts share a batch: channels are padded, and `valid` says which are real. Every
window carries a random seed of its own (see `neurofm.training.sampler`), so what a model draws for
a window does not depend on which process it runs in or which windows sit beside it.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .sensors import GeometryRule, Sensors


class Movable:
    """Moves all its tensors at once; the first field counts the windows."""

    __dataclass_fields__: ClassVar[dict[str, Any]]  # every batch is a dataclass
    source: list[str]

    def to(self, device, non_blocking: bool = False):
        """A copy with every tensor on `device`."""
        moved = {
            f.name: getattr(self, f.name).to(device, non_blocking=non_blocking)
            for f in fields(self)
            if isinstance(getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)

    def pin_memory(self):
        """Called by torch's DataLoader when it pins memory."""
        pinned = {f.name: getattr(self, f.name).pin_memory()
                  for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        return replace(self, **pinned)

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))


@dataclass
class Batch(Movable):
    """Signals of a batch of windows.

    Parameters
    ----------
    signal
        Standardized signal, 0 where padded.
    geometry
        Position and orientation (`Sensors.geometry`), 0 where padded; NaN where sensors of a
        window have no known place.
    kind
        Index into `neurofm.data.sensors.KINDS`.
    valid
        True = a real sensor, False = padding.
    t_r
        Repetition time of each window in seconds, where it is fMRI.
    measured
        False = a volume that is missing, was scrubbed, or is padding; None = all were.
    target
        Class index or value of each window, for downstream training.
    seed
        Random seed of each window; None = torch's global generator.
    source
        The recording each window comes from, for messages.
    subject
        "dataset/subject", whose.
    ch_names
        Of each window, for models that are bound to channels; [] = unknown.
    weight
        How much each window counts in the loss of a decoder, 1 on average; None = alike.
    volume
        T1-weighted image of the subject of each window, 0 where there is none; None = the data
        holds none.
    volume_valid
        Which windows have an image.
    """

    signal: Float[Tensor, "batch channel time"]
    geometry: Float[Tensor, "batch channel 6"]
    kind: Int[Tensor, "batch channel"]
    valid: Bool[Tensor, "batch channel"]
    target: Tensor | None = None
    seed: Int[Tensor, " batch"] | None = None
    source: list[str] = field(default_factory=list)
    t_r: Float[Tensor, " batch"] | None = None
    measured: Bool[Tensor, "batch time"] | None = None
    subject: list[str] = field(default_factory=list)
    ch_names: list[tuple[str, ...]] = field(default_factory=list)
    weight: Float[Tensor, " batch"] | None = None
    volume: Float[Tensor, "batch x y z"] | None = None
    volume_valid: Bool[Tensor, " batch"] | None = None


@dataclass
class Tokens(Movable):
    """Token ids of a batch of windows.

    Parameters
    ----------
    ids
        Ids, int `[batch, source, frame, level]`.
    target
        Target of each window.
    seed
        Seed of each window, `[batch]`.
    source
        Recording of each window, for messages.
    weight
        As of Batch.
    """

    ids: Int[Tensor, "batch source frame level"]
    target: Tensor | None = None
    seed: Int[Tensor, " batch"] | None = None
    source: list[str] = field(default_factory=list)
    weight: Float[Tensor, " batch"] | None = None


def collate(
    signals: list[np.ndarray],
    layouts: list[Sensors],
    rule: GeometryRule,
    *,
    target=None,
    seed=None,
    source: list[str] | None = None,
    t_r=None,
    subject: list[str] | None = None,
) -> Batch:
    """Put windows side by side.

    Parameters
    ----------
    signals
        Windows, each `[channel, time]`; of fMRI NaN = not measured.
    layouts
        Sensors of each window.
    rule
        Rule of `Sensors.geometry`.
    target
        Target of each window.
    seed
        Seed of each window.
    source
        Recording of each window, for messages.
    t_r
        Repetition time of each window of fMRI, s.
    subject
        Subject of each window.

    Returns
    -------
    Batch
        Channels are padded to the largest layout, fMRI also in time.
    """
    lengths = {signal.shape[1] for signal in signals}
    if len(lengths) != 1 and t_r is None:
        raise ValueError(f"windows of a batch must have one length, got {sorted(lengths)} samples")
    n, width, n_times = len(signals), max(map(len, layouts)), max(lengths)
    signal = torch.zeros(n, width, n_times)
    geometry = torch.zeros(n, width, 6)
    kind = torch.zeros(n, width, dtype=torch.int64)
    valid = torch.zeros(n, width, dtype=torch.bool)
    for i, (window, layout) in enumerate(zip(signals, layouts, strict=True)):
        rows = len(layout)
        signal.numpy()[i, :rows, : window.shape[1]] = window  # a view: a corpus is read-only
        geometry[i, :rows] = torch.from_numpy(_geometry(layout, rule))
        kind[i, :rows] = torch.from_numpy(layout.kind.astype(np.int64))
        valid[i, :rows] = True
    measured = None
    if t_r is not None:
        measured = torch.zeros(n, n_times, dtype=torch.bool)
        for i, window in enumerate(signals):
            measured[i, : window.shape[1]] = torch.from_numpy(np.isfinite(window).all(axis=0))
        signal = torch.where(measured[:, None], signal, 0.0)
        t_r = torch.as_tensor(t_r, dtype=torch.float32)
    return Batch(
        signal, geometry, kind, valid, t_r=t_r, measured=measured,
        target=None if target is None else torch.as_tensor(target),
        seed=None if seed is None else torch.as_tensor(seed, dtype=torch.int64),
        source=source or [], subject=subject or [], ch_names=[layout.names for layout in layouts],
    )


def _geometry(layout: Sensors, rule: GeometryRule) -> np.ndarray:
    """`layout.geometry(rule)`, computed once for a layout: thousands of windows share it. NaN in a
    layout with sensors of unknown place: nothing that reads places can overlook it."""
    cache = layout.__dict__.setdefault("_geometry", {})
    if rule not in cache:
        cache[rule] = (layout.geometry(rule) if layout.has_position.all()
                       else np.full((len(layout), 6), np.nan, dtype=np.float32))
    return cache[rule]
