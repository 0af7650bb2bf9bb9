"""Corpus: standardized windows of many recordings on disk, sealed.

    corpus/
      manifest.json               written last
      preprocessor_config.json    the contract that every window meets
      recordings.arrow            a row a recording: BIDS identity, split, quality, layout
      windows.arrow               a row a window: recording, row in its shard, start, label
      layouts.json                each sensor layout once, referred to by fingerprint
      failures.tsv                what could not be read, and why
      datasets.json               license of each data set, as far as it was stated
      windows/ID.arrow            signals [channel, time], one shard a recording; or, of many
      windows/shard-HASH.arrow    recordings, several in a shard (column `shard`); see `packing`
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import artifacts, tsv
from . import contracts, shards, tables
from .contract import Contract
from .sensors import GeometryRule, Sensors, read_layouts
from .storage import Storage
from .windows import WindowTable, check_splits, write_datasets

if TYPE_CHECKING:  # loads torch, which ingest's processes do without
    from .batch import Batch
    from .worse import Change

RECORDING_COLUMNS = (
    "recording", "dataset", "subject", "session", "task", "run", "split", "layout", "n_channels",
    "n_windows", "duration_s", "sfreq_original", "bads", "quality", "attributes", "source",
    "sha256",
)


@dataclass(frozen=True, eq=False)
class Corpus(WindowTable):
    """Window i is `signal(i)` with the sensors `layout(i)`."""

    layouts: dict[str, Sensors]

    @classmethod
    def open(cls, folder: str | Path) -> "Corpus":
        """Open a finished corpus.

        Parameters
        ----------
        folder
            Folder of the artifact.

        Returns
        -------
        Corpus
            Opened over memory maps.

        Raises
        ------
        ValueError
            The folder is unfinished or damaged, or a subject is in two splits.
        """
        folder = Path(folder)
        manifest = artifacts.open_sealed(folder, "corpus")
        return cls(
            folder,
            contracts.load(folder).with_(corpus=manifest.fingerprint),
            tables.find(folder, "recordings"),
            tables.find(folder, "windows"),
            manifest.fingerprint,
            shards.ShardReader(folder / "windows", "float32",
                               artifacts.shard_files(folder, manifest)),
            read_layouts(folder / "layouts.json"),
        )

    if TYPE_CHECKING:  # made once, below
        @property
        def _layout(self) -> tuple[np.ndarray, list[Sensors]]: ...

        @property
        def _width(self) -> np.ndarray: ...

    def _look_up(self) -> None:
        super()._look_up()
        codes, names = self._recordings.codes("layout")
        layouts = [self.layouts[name] for name in names]
        object.__setattr__(self, "_layout", (codes, layouts))
        object.__setattr__(self, "_width", np.array([len(each) for each in layouts])[codes])

    def signal(
        self, window: int | np.integer, names: Sequence[str] | None = None
    ) -> np.ndarray:
        """Signal of a window.

        Parameters
        ----------
        window
            Index of the window.
        names
            Channels to take, in this order; None = all.

        Returns
        -------
        ndarray
            float32 `[channel, time]`; read-only over the memory map, unless `names` are given.
            NaN = volume that was not measured.
        """
        layout = self.layout(window)
        signal = self._read(window).reshape(len(layout), -1)
        signal = self.contract.read(signal, layout.names)
        return signal if names is None else signal[layout.rows(names)]

    def unscaled(
        self, window: int | np.integer, names: Sequence[str] | None = None
    ) -> np.ndarray:
        """Signal of a window in the unit of its file, as far as the contract divided it out.

        Parameters
        ----------
        window
            Index of the window.
        names
            Names of channels.

        Returns
        -------
        ndarray
            `[channel, time]`.
        """
        layout = self.layout(window)
        quality = json.loads(self._recordings.value("quality", self._place(window)[0]))
        try:
            signal = self.contract.unscaled(self.signal(window), layout.names, quality)
        except ValueError as problem:
            raise ValueError(f"{self.folder}: {problem}") from None
        return signal if names is None else signal[layout.rows(names)]

    def layout(self, window: int | np.integer) -> Sensors:
        """Sensors of a window.

        Parameters
        ----------
        window
            Index of the window.

        Returns
        -------
        Sensors
            Of its channels.
        """
        codes, layouts = self._layout
        return layouts[codes[self._index[0][window]]]

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """Number of channels of each window.

        Parameters
        ----------
        windows
            Indices of windows, `[window]`.

        Returns
        -------
        ndarray
            `[window]`.
        """
        return self._width[self._index[0][windows]]

    def check_places(self, reader: str) -> None:
        """Check that every sensor has a position.

        Parameters
        ----------
        reader
            What reads positions, for the message.

        Raises
        ------
        ValueError
            A sensor has none.
        """
        lost = dict.fromkeys(name for layout in self.layouts.values()
                             for name, has in zip(layout.names, layout.has_position, strict=True)
                             if not has)
        if lost:
            some = ", ".join([*lost][:5]) + (", …" if len(lost) > 5 else "")
            raise ValueError(
                f"{self.folder}: {len(lost)} sensors have no known place ({some}), which "
                f"contract.positions: optional allows, but {reader} reads where each sensor is; "
                f"ingest again with their places (montage, rename, arrays.channels) and "
                f"contract.positions: required, or compare baselines alone, which read none"
            )

    def batch(
        self, windows: np.ndarray, seeds: np.ndarray | None = None, target=None,
        geometry: GeometryRule | None = None, change: "Change | None" = None,
    ) -> "Batch":
        """The windows side by side.

        Parameters
        ----------
        windows
            Indices of windows, `[window]`.
        seeds
            Seed of each window, for what a model draws, `[window]`; None = none.
        target
            Target of each window, `[window, ...]`; None = none.
        geometry
            Rule of `Sensors.geometry`; None = that of the contract.
        change
            change(place among `windows`, signal, sensors) → signal, sensors; None = as they are.

        Returns
        -------
        Batch
            Channels are padded to the widest window.
        """
        # Here and not above, so that ingest does not load torch into each of its processes.
        from .batch import collate

        if self.contract.grid is not None:
            from .volumes import of_images

            return of_images(self, windows, seeds, target)
        signals = [self.signal(w) for w in windows.tolist()]
        layouts = [self.layout(w) for w in windows.tolist()]
        if change is not None:
            both = map(change, range(len(signals)), signals, layouts)
            signals, layouts = map(list, zip(*both, strict=True))
        return collate(
            signals, layouts, geometry or self.contract.geometry, seed=seeds, target=target,
            source=[self.source(w) for w in windows.tolist()], t_r=self.t_r(windows),
            subject=self.subjects(windows).tolist(),
        )

    def t_r(self, windows: np.ndarray) -> np.ndarray | None:
        """Repetition time of each window.

        Parameters
        ----------
        windows
            Indices of windows, `[window]`.

        Returns
        -------
        ndarray or None
            Seconds, `[window]`; None where the corpus is not fMRI.
        """
        sfreq = self._recordings.numbers("sfreq_original")
        return self.contract.t_r(sfreq[self._index[0][windows]].astype(float))


def write_shard(
    folder: str | Path, recording: str, signals, storage: Storage = "float32"
) -> str:
    """Write the windows of a recording.

    Parameters
    ----------
    folder
        Folder of the artifact.
    recording
        Name of the recording.
    signals
        Windows, each float32 `[channel, time]`.
    storage
        How their numbers are kept.

    Returns
    -------
    str
        sha256 of the shard.
    """
    arrays = (np.asarray(signal, dtype=np.float32) for signal in signals)
    return shards.write(Path(folder) / "windows" / f"{recording}.arrow", "signal", arrays,
                        storage)


def seal(
    folder: str | Path,
    contract: Contract,
    recordings: pd.DataFrame,
    windows: pd.DataFrame,
    layouts: dict[str, Sensors],
    failures: pd.DataFrame,
    config: dict,
    datasets: dict[str, dict] | None = None,
    shard_hashes: dict[str, str] | None = None,
) -> artifacts.Manifest:
    """Write the tables beside the shards and seal the corpus.

    Parameters
    ----------
    folder
        Folder of the artifact.
    contract
        Contract of the signals.
    recordings
        A row per recording.
    windows
        A row per window.
    layouts
        Id → sensors of each layout.
    failures
        A row per recording that failed, with its reason.
    config
        Settings, for the manifest.
    datasets
        Name of a data set → its license and references.
    shard_hashes
        File in `windows/` → its sha256; None = each recording has a file.

    Returns
    -------
    Manifest
        Of the sealed corpus.
    """
    folder = Path(folder)
    missing = set(RECORDING_COLUMNS) - set(recordings.columns)
    assert not missing, f"recordings table lacks {missing}"
    check_splits(recordings, folder)
    contract.save(folder)
    tables.write(recordings, folder / "recordings.arrow")
    tables.write(windows, folder / "windows.arrow")
    tsv.write(failures, folder / "failures.tsv")
    artifacts.write_json(
        folder / "layouts.json", {key: layout.to_dict() for key, layout in layouts.items()}
    )
    if shard_hashes is None:
        shard_hashes = {f"{name}.arrow": digest for name, digest in zip(
            recordings["recording"], recordings["sha256"], strict=True)}
    known = {f"windows/{name}": digest for name, digest in shard_hashes.items()}
    files = ["preprocessor_config.json", "recordings.arrow", "windows.arrow", "failures.tsv",
             "layouts.json", *write_datasets(folder, datasets)]
    return artifacts.seal(
        folder, "corpus", config=config, files=[*files, *known], known_hashes=known
    )
