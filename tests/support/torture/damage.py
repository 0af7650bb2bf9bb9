"""Recordings in which one bit turned, on the disk or on the way: 14 places in each format.

Each is in the corpus or named with its reason; of formats with a checksum (`CHECKED`) what is in
the corpus is what was written.
"""

from pathlib import Path

import numpy as np

from . import EITHER, Kind, Kinds, arrays, recordings, scans

PLACES = 14
CHECKED = ("fif_gz", "npz_one_array", "nifti_plain")


def _damaged(kind: Kind) -> Kind:
    def build(folder: Path) -> Path:
        for number in range(PLACES):
            random = np.random.default_rng(number)
            (folder / f"{number:02}").mkdir()
            kind.build(folder / f"{number:02}")
            files = sorted((folder / f"{number:02}").iterdir())
            _turn_a_bit(files[number % len(files)], random)
        return folder

    return Kind(f"bit_in_{kind.name}", build, EITHER, "", kind.truth)


def _turn_a_bit(path: Path, random: np.random.Generator) -> None:
    """Every other time in the first 1000 bytes, where headers are."""
    content = bytearray(path.read_bytes())
    among = len(content) if random.random() < 0.5 else min(len(content), 1000)
    content[int(random.integers(among))] ^= 1 << int(random.integers(8))
    path.write_bytes(content)


def _kinds(of: Kinds, *names: str) -> Kinds:
    return Kinds({f"bit_in_{name}": _damaged(of[name]) for name in names})


EEG = Kinds({
    **_kinds(recordings.KINDS, "edf_plus_annotations", "bdf_plain", "vhdr_plain", "set_alone",
             "set_with_fdt", "fif_plain", "fif_gz"),
    **_kinds(arrays.KINDS, "npy_plain", "npz_one_array", "mat_version_5", "h5_one_array")})
FMRI = _kinds(scans.KINDS, "nifti_plain", "nifti_not_packed", "cifti_parcels")
