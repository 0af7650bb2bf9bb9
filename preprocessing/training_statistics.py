"""What a contract says only once all recordings are there: filled in when a corpus is sealed.

Two parts of it are of the training subjects together, so no recording can meet them by itself:

- The median and interquartile range of each region (`fmri.scale: training_iqr`). They are one table
  for all recordings: it goes into the contract, shards stay as they came, and `FMRIContract.read`
  scales a window when it is read.
- The sign of each parcel (`parcels.signs`). It is another one in each recording, so no contract can
  hold it: shards in which parcels point the other way are written again, turned. That is exact (a
  sign is no rounding), and it may be repeated: what an interrupted call, or an earlier one with
  fewer recordings, has turned already agrees and is left alone.

A contract that comes with either (that of a checkpoint, for instance) is met recording by recording
and is complete as it is. A contract of another kind registers its own way.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from neurofm import artifacts
from neurofm.data import corpus
from neurofm.data.contract import Contract, InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.shards import ShardReader

from .records import Records

LEAST = 1e-6  # interquartile range: of a region that hardly moves in half of the scans


@functools.singledispatch
def completed(contract: Contract, records: Records, tables) -> Contract:
    """The contract with what the training subjects say. Shards are as it wants them afterwards, and
    records and tables know their hashes. tables: as `corpus_tables.assemble` makes them."""
    return contract


@completed.register(FMRIContract)
def _with_statistics(contract: FMRIContract, records: Records, tables) -> FMRIContract:
    if contract.scale != "training_iqr" or contract.statistics:
        return contract
    return contract.with_(statistics=training_iqr(records.folder, tables))


@completed.register(InputContract)
def _with_signs(contract: InputContract, records: Records, tables) -> InputContract:
    rule = contract.parcels
    if rule is None or rule.signs:
        return contract
    template = align(records.folder, tables, rule.lags, records.note_sha256)
    return contract.with_(parcels=replace(rule, signs=tuple(
        tuple(tuple(round(float(x), 4) for x in row) for row in table) for table in template)))


def training_iqr(folder: Path, tables) -> dict[str, tuple[float, float]]:
    """Region → (median, interquartile range): medians over windows of the training split, so that
    one loud scan counts once.

    Raises ValueError where there is no training split, or a region is in none of its scans.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for number in _training(folder, tables, "fmri.scale training_iqr scales by the training people",
                            ", or take another scale"):
        names = tables.layouts[tables.recordings.at[number, "layout"]].names
        for signal in _windows(folder, tables, number):
            low, middle, high = np.nanquantile(signal.astype(np.float64), (0.25, 0.5, 0.75), axis=1)
            for name, median, spread in zip(names, middle, high - low, strict=True):
                found.setdefault(name, []).append((median, spread))
    unknown = {name for layout in tables.layouts.values() for name in layout.names} - set(found)
    if unknown:
        raise ValueError(f"--out {folder}: fmri.scale training_iqr scales by the training people, "
                         f"in whose scans {', '.join(sorted(unknown)[:5])} never is; leave out "
                         f"(exclude) the scans that have it, or take another scale")
    middles = {name: np.median(values, axis=0) for name, values in sorted(found.items())}
    return {name: (float(f"{median:.6g}"), float(f"{max(spread, LEAST):.6g}"))
            for name, (median, spread) in middles.items()}


def align(
    folder: Path, tables, lags: Sequence[int],
    note: Callable[[str, str], None] = lambda recording, digest: None,
) -> np.ndarray:
    """Turn the parcels of every recording to agree with the training people; returns the template,
    which is theirs. Hashes in `tables` become those of the shards as they are then. note: told the
    hash of each recording."""
    from .sources import sign_alignment

    training = _training(folder, tables, "signs of parcels are aligned with the training people")
    found = {number: sign_alignment.lagged(_windows(folder, tables, number), lags)
             for number in tables.recordings.index}
    template = sign_alignment.template_of([found[number] for number in training])
    for number, name in tables.recordings["recording"].items():
        signs = sign_alignment.flips(found[number], template)
        if (signs < 0).any():
            turned = [window * signs[:, None] for window in _windows(folder, tables, number)]
            digest = corpus.write_shard(folder, name, turned, tables.storage)
        elif (folder / "windows" / f"{name}.arrow").is_file():
            digest = artifacts.sha256(folder / "windows" / f"{name}.arrow")
        else:  # in a shard of an earlier call
            digest = tables.recordings.at[number, "sha256"]
        tables.recordings.loc[number, "sha256"] = digest
        note(name, digest)
    return template


def _training(folder: Path, tables, why: str, other: str = "") -> list[int]:
    """Numbers of the training recordings; ValueError where there are none."""
    split = tables.recordings["split"]
    if not (split == "train").any():
        raise ValueError(f"--out {folder}: {why}, and there are none; hold fewer out (splits)"
                         f"{other}")
    return split.index[split == "train"].tolist()


def _windows(folder: Path, tables, number: int) -> Iterator[np.ndarray]:
    """The windows of a recording as its shard has them, float32 [channel, time]."""
    row = tables.recordings.loc[number]
    shard, first = tables.packs.place(row["recording"], row["sha256"])
    reader = ShardReader(folder / "windows", "float32")
    for k in range(first, first + row["n_windows"]):
        yield reader.read(f"{shard}.arrow", k).reshape(row["n_channels"], -1)
