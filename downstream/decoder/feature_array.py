"""Features: what `neurofm.embed` gives, an array whose axes have names and whose rows are known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float32, Float64, Int64

from neurofm import extras, json_file
from neurofm.pages import words

from . import feature_files
from .feature_files import DROPPED

AXES = ("window", "source", "frame", "dim")


def nothing_dropped() -> pd.DataFrame:
    """The table of what was left out, without a row."""
    return pd.DataFrame({name: pd.Series(dtype="float64" if name.endswith("_s") else object)
                         for name in DROPPED})


@dataclass(frozen=True, eq=False, repr=False)
class Features:
    """Features of windows: an array `[window, source, frame, dim]` and what its axes mean.

    It is an array to NumPy (`np.asarray`, `len`, `shape`). Rows by a slice, a mask or a list of
    numbers are Features; any other index gives what it gives of `values`.

    Parameters
    ----------
    values
        Features, `[window, source, frame, dim]`; 0 where a recording has no such source or frame.
    times
        Start and end of each row, s, `[window, 2]`: from the first sample of its recording, of
        Epochs relative to the event, as in `epochs.times`.
    epoch
        Number of the epoch in its recording, `[window]`; −1 where the recording is continuous.
    recording
        Recording of each row, `[window]`.
    sources
        Names of the sources: channels, regions, or "source_0", ….
    frames
        Middle of each frame, s from the start of the row, `[frame]`; NaN where recordings differ
        in it. A frame beyond the end of the row is of the zeros that fill a model's last window.
    dropped
        What was left out: a row each, with recording, what ("recording", "channel", "epoch",
        "window", "stretch"), name, start_s and stop_s (NaN where it is all of it), reason.

    Examples
    --------
    >>> features = neurofm.embed(epochs, model)             # doctest: +SKIP
    >>> X = features.mean("frame").reshape(len(features), -1)  # doctest: +SKIP
    >>> y = epochs.events[features.epoch, 2]                # doctest: +SKIP
    """

    values: Float32[np.ndarray, "window source frame dim"]
    times: Float64[np.ndarray, "window 2"]
    epoch: Int64[np.ndarray, " window"]
    recording: np.ndarray
    sources: tuple[str, ...]
    frames: Float64[np.ndarray, " frame"]
    dropped: pd.DataFrame = field(default_factory=nothing_dropped)

    def __post_init__(self):
        n, n_sources, n_frames, _ = self.values.shape
        rows = (len(self.times), len(self.epoch), len(self.recording))
        if rows != (n, n, n) or len(self.sources) != n_sources or len(self.frames) != n_frames:
            raise ValueError(
                f"wanted values [window, source, frame, dim] of {rows[0]} times, {rows[1]} epochs, "
                f"{rows[2]} recordings, {len(self.sources)} sources and {len(self.frames)} frames, "
                f"got {self.values.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of windows, sources, frames and dims."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        return 4

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.values)

    def __array__(self, dtype=None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __getitem__(self, index) -> Any:
        many = isinstance(index, slice | list) or (
            isinstance(index, np.ndarray | pd.Series) and index.ndim == 1)
        if not many:
            return self.values[index]
        rows = index if isinstance(index, slice) else np.asarray(index, dtype=None if len(index)
                                                                 else int)
        return replace(self, values=self.values[rows], times=self.times[rows],
                       epoch=self.epoch[rows], recording=self.recording[rows])

    def __repr__(self) -> str:
        n, *axes = self.shape
        names = [*dict.fromkeys(self.recording.tolist())]
        of = f"of {names[0]}" if len(names) == 1 else f"of {len(names)} recordings"
        epochs = len(self.rows[["recording", "epoch"]].drop_duplicates().query("epoch >= 0"))
        parts = [f"{words.count(n, 'window')} {of}", f"{axes[0]} sources × {axes[1]} frames × "
                 f"{axes[2]} dims", *([words.count(epochs, "epoch")] if epochs else []),
                 *(f"{words.count(n, what)} left out"
                   for what, n in self.dropped["what"].value_counts().items())]
        return f"<Features | {', '.join(parts)}>"

    @property
    def rows(self) -> pd.DataFrame:
        """A row a window: recording, epoch, start_s, stop_s."""
        return pd.DataFrame({"recording": self.recording, "epoch": self.epoch,
                             "start_s": self.times[:, 0], "stop_s": self.times[:, 1]})

    @property
    def there(self) -> Bool[np.ndarray, "window source frame"]:
        """False where a recording has no such source or frame, and features are 0."""
        return np.asarray(self.values.any(axis=3))

    def tensor(self) -> torch.Tensor:
        """The values as a tensor, which shares their memory.

        Returns
        -------
        Tensor
            float32 `[window, source, frame, dim]`.
        """
        return torch.from_numpy(self.values)

    def mean(self, over: str | Sequence[str] = "frame") -> Float32[np.ndarray, "..."]:
        """Mean over axes. Sources and frames that a recording does not have do not count.

        Parameters
        ----------
        over
            Axis, or several: "window", "source", "frame", "dim".

        Returns
        -------
        ndarray
            float32, without these axes: `[window, source, dim]` of "frame"; NaN where a recording
            has none of what the mean is over.
        """
        axes = self._axes(over)
        if (3 in axes and len(axes) == 1) or self.there.all():
            return self.values.mean(axis=axes, dtype=np.float64).astype(np.float32)
        where = np.broadcast_to(self.there[..., None], self.shape)
        total = self.values.sum(axis=axes, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return (total / where.sum(axis=axes)).astype(np.float32)

    def per(self, what: str) -> "Features":
        """One row per epoch or recording: the mean over its windows.

        Parameters
        ----------
        what
            "epoch" or "recording".

        Returns
        -------
        Features
            In the order of the first window of each.
        """
        if what not in ("epoch", "recording"):
            raise ValueError(f"wanted one row per 'epoch' or 'recording', got {what!r}")
        if what == "epoch" and (self.epoch < 0).any():
            raise ValueError("these features are of continuous recordings, which have no epochs; "
                             "give mne.Epochs to neurofm.embed")
        keys = ["recording", "epoch"] if what == "epoch" else ["recording"]
        groups = [*self.rows.groupby(keys, sort=False).indices.values()]
        groups.sort(key=lambda rows: rows.min())
        values = np.stack([self.values[rows].mean(axis=0) for rows in groups])
        times = np.array([[self.times[rows, 0].min(), self.times[rows, 1].max()]
                          for rows in groups])
        first = np.array([rows.min() for rows in groups])
        epoch = self.epoch[first] if what == "epoch" else np.full(len(first), -1)
        return replace(self, values=values, times=times, epoch=epoch,
                       recording=self.recording[first])

    def to_frame(self, over: str | Sequence[str] = ()) -> pd.DataFrame:
        """A table of pandas, a row a window.

        Parameters
        ----------
        over
            Axes to take the mean over first: "source", "frame", "dim".

        Returns
        -------
        DataFrame
            The index holds recording, epoch, start_s and stop_s; the columns source, frame_s and
            dim, as far as they are left.
        """
        axes = self._axes(over)
        if 0 in axes:
            raise ValueError("a table has a row a window: take the mean over other axes, or "
                             "features.per('recording')")
        values = self.mean(over) if axes else self.values
        names = {"source": self.sources, "frame_s": self.frames, "dim": range(self.shape[3])}
        left = {name: names[name] for axis, name in enumerate(names, start=1) if axis not in axes}
        columns = (pd.MultiIndex.from_product([*left.values()], names=[*left]) if left
                   else pd.Index(["mean"]))
        return pd.DataFrame(values.reshape(len(self), -1), columns=columns,
                            index=pd.MultiIndex.from_frame(self.rows))

    def to_xarray(self) -> Any:
        """An `xarray.DataArray` with these axes and coordinates. xarray comes with
        `pip install 'neurofm[features]'`.

        Returns
        -------
        DataArray
            `[window, source, frame, dim]`; recording, epoch, start_s and stop_s are coordinates
            of windows.
        """
        xarray = extras.need("xarray", "to_xarray")
        rows = {name: ("window", column.to_numpy()) for name, column in self.rows.items()}
        return xarray.DataArray(self.values, dims=AXES, name="features", coords={
            **rows, "source": [*self.sources], "frame": ("frame", self.frames, {"units": "s"})})

    @classmethod
    def load(cls, folder: str | Path) -> "Features":
        """Read what `neurofm embed` wrote.

        Parameters
        ----------
        folder
            Folder of the results, in any of its formats.

        Returns
        -------
        Features
            Of all recordings in it.

        Raises
        ------
        ValueError
            The folder holds no features, or is unfinished or damaged.
        """
        parts, dropped = feature_files.read(Path(folder))
        with json_file.shaped(folder, "features that fit together"):
            return joined([cls(**fields) for fields in parts], dropped)

    @staticmethod
    def _axes(over: str | Sequence[str]) -> tuple[int, ...]:
        wanted = [over] if isinstance(over, str) else [*over]
        if unknown := [name for name in wanted if name not in AXES]:
            raise ValueError(f"over: wanted some of {', '.join(AXES)}, got {unknown[0]!r}")
        return tuple(sorted(AXES.index(name) for name in wanted))


def joined(parts: Sequence[Features], dropped: pd.DataFrame | None = None) -> Features:
    """Features of several recordings below each other; sources meet by their names.

    Parameters
    ----------
    parts
        Features of one model.
    dropped
        What was left out besides.

    Returns
    -------
    Features
        With all sources of all, 0 where a recording lacks one; frames as many as the longest has.
    """
    tables = [each.dropped for each in parts] + ([] if dropped is None else [dropped])
    lost = [table for table in tables if len(table)]
    table = pd.concat(lost, ignore_index=True) if lost else nothing_dropped()
    if len(parts) == 1:
        return replace(parts[0], dropped=table)
    sources = tuple(dict.fromkeys(name for each in parts for name in each.sources))
    frames = max((each.frames for each in parts), key=len)
    if not all(np.allclose(each.frames, frames[:len(each.frames)], atol=1e-3) for each in parts):
        frames = np.full(len(frames), np.nan)
    place = {name: row for row, name in enumerate(sources)}
    values = np.zeros((sum(map(len, parts)), len(sources), len(frames), parts[0].shape[3]),
                      dtype=np.float32)
    at = 0
    for each in parts:
        rows = [place[name] for name in each.sources]
        values[at : at + len(each), rows, : len(each.frames)] = each.values
        at += len(each)
    times, epoch, recording = (np.concatenate([getattr(each, name) for each in parts])
                               for name in ("times", "epoch", "recording"))
    return Features(values, times, epoch, recording, sources, frames, table)
