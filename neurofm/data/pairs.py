"""Pairs: scans of EEG and fMRI measured together, whole, on disk, sealed.

    pairs/
      manifest.json               written last
      preprocessor_config.json    the contract that every EEG meets
      bold_config.json            how regions are to be cleaned when they are used; not done here
      scans.arrow                 a row a scan: BIDS identity, split, times, quality, layout
      layouts.json                each EEG layout once, referred to by fingerprint
      rois.json                   the regions, the same in every scan
      failures.tsv                what could not be paired, and why
      eeg/ID.arrow                float32 [channel, time], the whole scan
      bold/ID.arrow               float32 [roi, volume], in units of the file

Regions are kept as they came: a filter over a whole scan would carry its test part into its
training part. Whoever cuts a scan cleans the parts, by `bold_contract`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64

from .. import artifacts, json_file, tsv
from ..seen import subject_keys
from . import contracts, shards, tables
from .contract import InputContract
from .fmri_contract import FMRIContract
from .sensors import Sensors, read_layouts, sensors_in
from .windows import check_splits

BOLD_CONTRACT = "bold_config.json"
SCAN_COLUMNS = (
    "recording", "dataset", "subject", "session", "task", "run", "split", "layout", "n_channels",
    "n_times", "duration_s", "sfreq_original", "t_r", "n_volumes", "first_volume_s",
    "gradient_residue", "quality", "attributes", "source", "bold_source", "sha256_eeg",
    "sha256_bold",
)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scan i is `eeg(i)` with the sensors `layout(i)`, and `bold(i)` with the regions `rois`.

    Parameters
    ----------
    contract
        What every EEG meets.
    bold_contract
        How regions are to be cleaned.
    recordings
        A row a scan, see `SCAN_COLUMNS`.
    """

    folder: Path
    contract: InputContract
    bold_contract: FMRIContract
    recordings: pd.DataFrame
    layouts: dict[str, Sensors]
    rois: Sensors
    fingerprint: str
    eeg_reader: shards.ShardReader
    bold_reader: shards.ShardReader

    @classmethod
    def open(cls, folder: str | Path) -> "Pairs":
        """Open finished pairs.

        Parameters
        ----------
        folder
            Folder of the artifact.

        Returns
        -------
        Pairs
            Opened over memory maps.

        Raises
        ------
        ValueError
            The folder is unfinished or damaged, or a subject is in two splits.
        """
        folder = Path(folder)
        manifest = artifacts.open_sealed(folder, "pairs")
        bold = json_file.read(folder / BOLD_CONTRACT)
        return cls(
            folder,
            contracts.load(folder).with_(corpus=manifest.fingerprint),
            FMRIContract.from_dict(bold, where=str(folder / BOLD_CONTRACT)),
            tables.find(folder, "scans").frame,
            read_layouts(folder / "layouts.json"),
            sensors_in(folder / "rois.json", json_file.read(folder / "rois.json")),
            manifest.fingerprint,
            *(shards.ShardReader(folder / room, "float32",
                                 artifacts.shard_files(folder, manifest))
              for room in ("eeg", "bold")),
        )

    def __post_init__(self):
        check_splits(self.recordings, self.folder)

    def __len__(self) -> int:
        return len(self.recordings)

    def eeg(self, scan: int | np.integer) -> Float32[np.ndarray, "channel time"]:
        """EEG of a scan.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        ndarray
            float32 `[channel, time]` at `contract.sfreq`; read-only over the memory map.
        """
        flat = self.eeg_reader.read(f"{self._of(scan, 'recording')}.arrow", 0)
        return flat.reshape(len(self.layout(scan)), -1)

    def bold(self, scan: int | np.integer) -> Float32[np.ndarray, "roi volume"]:
        """Regions of a scan.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        ndarray
            float32 `[roi, volume]`, NaN = not measured; read-only over the memory map.
        """
        flat = self.bold_reader.read(f"{self._of(scan, 'recording')}.arrow", 0)
        return flat.reshape(len(self.rois), -1)

    def layout(self, scan: int | np.integer) -> Sensors:
        """Sensors of a scan.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        Sensors
            Of the EEG.
        """
        return self.layouts[self._of(scan, "layout")]

    def t_r(self, scan: int | np.integer) -> float:
        """Repetition time of a scan.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        float
            Seconds, by the clock of the EEG.
        """
        return float(self._of(scan, "t_r"))

    def volume_s(self, scan: int | np.integer) -> Float64[np.ndarray, " volume"]:
        """Trigger of each volume, when its acquisition begins.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        ndarray
            Seconds from the first EEG sample, `[volume]`.
        """
        volume = np.arange(int(self._of(scan, "n_volumes")))
        return float(self._of(scan, "first_volume_s")) + volume * self.t_r(scan)

    def bad_s(self, scan: int | np.integer) -> Float64[np.ndarray, "stretch 2"]:
        """Stretches of EEG that are marked bad or were not recorded.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        ndarray
            Begin and end, s, `[stretch, 2]`; a joint of two pieces is a stretch of no length.
        """
        found = json.loads(self._of(scan, "quality")).get("bad_s", [])
        return np.array(found, dtype=np.float64).reshape(-1, 2)

    def select(self, split: str | None = None, **columns: str) -> np.ndarray:
        """Scans of a split and with the given values of columns.

        Parameters
        ----------
        split
            train, validation or test; None = all.
        **columns
            Column of `recordings` and the value it must have.

        Returns
        -------
        ndarray
            Indices, `[scan]`.
        """
        keep = np.ones(len(self), dtype=bool)
        for name, value in {"split": split, **columns}.items():
            if value is not None:
                keep &= (self.recordings[name] == value).to_numpy()
        if not keep.any():
            raise ValueError(
                f"{self.folder}: wanted scans with split={split!r} {columns or ''}, there is none; "
                f"splits hold {self.recordings['split'].value_counts().to_dict()} scans: choose "
                f"another, or pair again with subjects named in it (splits.{split or 'test'})"
            )
        return np.flatnonzero(keep)

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        """Terms of data sets: pairs keep none."""
        return {}

    def subjects(self, scans: np.ndarray) -> np.ndarray:
        """Subject of each scan.

        Parameters
        ----------
        scans
            Indices of scans, `[scan]`.

        Returns
        -------
        ndarray
            'dataset/subject', `[scan]`.
        """
        return subject_keys(self.recordings).to_numpy()[scans]

    def source(self, scan: int | np.integer) -> str:
        """File of the EEG, for messages.

        Parameters
        ----------
        scan
            Index of the scan.

        Returns
        -------
        str
            Path.
        """
        return str(self._of(scan, "source"))

    @property
    def windows(self) -> pd.DataFrame:
        """A row a scan, as `neurofm.hub.training_ledger` reads whose an index is."""
        return pd.DataFrame({"recording": np.arange(len(self))})

    def _of(self, scan: int | np.integer, column: str):
        return self.recordings[column].iat[int(scan)]


def write_scan(folder: str | Path, recording: str, eeg: np.ndarray, bold: np.ndarray
               ) -> tuple[str, str]:
    """Write EEG and regions of a scan.

    Parameters
    ----------
    folder
        Folder of the artifact.
    recording
        Name of the recording.
    eeg
        `[channel, time]`.
    bold
        `[roi, volume]`.

    Returns
    -------
    tuple[str, str]
        sha256 of both files.
    """
    eeg_sha256, bold_sha256 = (
        shards.write(Path(folder) / room / f"{recording}.arrow", "signal",
                     [np.asarray(signal, dtype=np.float32)])
        for room, signal in (("eeg", eeg), ("bold", bold)))
    return eeg_sha256, bold_sha256


def seal(
    folder: str | Path,
    contract: InputContract,
    bold_contract: FMRIContract,
    scans: pd.DataFrame,
    layouts: dict[str, Sensors],
    rois: Sensors,
    failures: pd.DataFrame,
    config: dict,
) -> artifacts.Manifest:
    """Write the tables beside the scans and seal the pairs.

    Parameters
    ----------
    folder
        Folder of the artifact.
    contract
        Contract of the EEG.
    bold_contract
        Contract of the regions.
    scans
        A row per scan.
    layouts
        Id → sensors of each layout.
    rois
        The regions.
    failures
        A row per recording that failed, with its reason.
    config
        Settings, for the manifest.

    Returns
    -------
    Manifest
        Of the sealed pairs.
    """
    folder = Path(folder)
    missing = set(SCAN_COLUMNS) - set(scans.columns)
    assert not missing, f"scans table lacks {missing}"
    check_splits(scans, folder)
    contract.save(folder)
    artifacts.write_json(folder / BOLD_CONTRACT, bold_contract.to_dict())
    tables.write(scans, folder / "scans.arrow")
    tsv.write(failures, folder / "failures.tsv")
    artifacts.write_json(folder / "layouts.json",
                         {key: layout.to_dict() for key, layout in layouts.items()})
    artifacts.write_json(folder / "rois.json", rois.to_dict())
    hashes = {f"{room}/{name}.arrow": digest for room in ("eeg", "bold")
              for name, digest in zip(scans["recording"], scans[f"sha256_{room}"], strict=True)}
    files = ["preprocessor_config.json", BOLD_CONTRACT, "scans.arrow", "failures.tsv",
             "layouts.json", "rois.json"]
    return artifacts.seal(folder, "pairs", config=config, files=[*files, *hashes],
                          known_hashes=hashes)
