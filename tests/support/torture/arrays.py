"""Kinds of plain arrays, read with `--arrays.sfreq 200 --arrays.unit uV --arrays.names [F3, …]`."""

import io
import pickle
from pathlib import Path

import numpy as np

from . import Kinds
from .signals import NAMES, cut, microvolts

KINDS = Kinds()
good, fails, passed = KINDS.good, KINDS.fails, KINDS.passed
OPTIONS = ("--arrays.sfreq", "200", "--arrays.unit", "uV", "--arrays.names",
           f"[{', '.join(NAMES)}]")


def signal() -> np.ndarray:
    """[time, channel]"""
    return microvolts().T.astype(np.float32)


def saved(path: Path, values: np.ndarray | None = None, **words) -> Path:
    np.save(path, signal() if values is None else values, **words)
    return path


def table(path: Path, values: np.ndarray | None = None, head: str = ",".join(NAMES)) -> Path:
    text = io.StringIO()
    np.savetxt(text, signal() if values is None else values, fmt="%.4f", delimiter=",")
    path.write_text(head + "\n" * bool(head) + text.getvalue())
    return path


@good()
def npy_plain(folder):
    return saved(folder / "rec.npy")


@good()
def npy_big_endian_fortran(folder):
    return saved(folder / "rec.npy", np.asfortranarray(signal().astype(">f8")))


@good()
def npz_one_array(folder):
    np.savez(folder / "rec.npz", x=signal(), sfreq=200.0)
    return folder / "rec.npz"


@good()
def csv_with_names(folder):
    return table(folder / "rec.csv")


@good()
def csv_without_names(folder):
    return table(folder / "rec.csv", head="")


@good()
def csv_with_mark_and_windows_lines(folder):
    text = table(folder / "rec.csv").read_text()
    (folder / "rec.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    return folder / "rec.csv"


@good()
def mat_version_5(folder):
    from scipy.io import savemat

    savemat(folder / "rec.mat", {"x": signal()})
    return folder / "rec.mat"


@good()
def h5_one_array(folder):
    import h5py

    with h5py.File(folder / "rec.h5", "w") as file:
        file["x"] = signal()
    return folder / "rec.h5"


@good()
def h5_a_dataset_a_channel(folder):
    import h5py

    with h5py.File(folder / "rec.hdf5", "w") as file:
        for name, row in zip(NAMES, signal().T, strict=True):
            file[name] = row
    return folder / "rec.hdf5"


@fails("never loaded")
def npy_of_objects(folder):
    return saved(folder / "rec.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)


@fails("never loaded")
def npz_of_objects(folder):
    np.savez(folder / "rec.npz", x=np.array([{"a": 1}], dtype=object))
    return folder / "rec.npz"


@fails("never loaded")
def npy_that_is_a_pickle(folder):
    (folder / "rec.npy").write_bytes(pickle.dumps(signal()))
    return folder / "rec.npy"


@passed(".pkl")
def pickle_of_an_array(folder):
    (folder / "rec.pkl").write_bytes(pickle.dumps(signal()))
    return folder / "rec.pkl"


@fails("its header is damaged")
def npy_truncated(folder):
    return cut(saved(folder / "rec.npy"))


@fails("0 bytes")
def npy_empty(folder):
    (folder / "rec.npy").touch()
    return folder / "rec.npy"


@fails("its header is damaged")
def npy_of_huge_shape(folder):
    with open(folder / "rec.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 8)})
        file.write(signal().tobytes())
    return folder / "rec.npy"


@fails("wanted an array with the 2 axes")
def npy_three_axes(folder):
    return saved(folder / "rec.npy", signal().reshape(3, 800, 8))


@fails("arrays.axes: channel,time")
def npy_turned(folder):
    return saved(folder / "rec.npy", signal().T)


@fails("real numbers")
def npy_complex(folder):
    return saved(folder / "rec.npy", signal() + 1j)


@fails("real numbers")
def npy_words(folder):
    return saved(folder / "rec.npy", np.full((2400, 8), "a"))


@fails("wanted 8 channels")
def npy_other_number_of_channels(folder):
    return saved(folder / "rec.npy", signal()[:, :5])


@fails("NaN")
def npy_nan(folder):
    return saved(folder / "rec.npy", np.nan * signal())


@fails("infinite")
def npy_overflow(folder):
    return saved(folder / "rec.npy", 1e300 * signal().astype(np.float64))


@fails("lie outside")
def npy_integers_at_their_limit(folder):
    return saved(folder / "rec.npy", np.where(signal() > 0, 2**62, -(2**62)))


@fails("name it: arrays.variable")
def npz_two_arrays(folder):
    np.savez(folder / "rec.npz", x=signal(), y=signal())
    return folder / "rec.npz"


@fails("cannot be read as .npz")
def npz_truncated(folder):
    np.savez(folder / "rec.npz", x=signal())
    return cut(folder / "rec.npz")


@fails("0 bytes")
def mat_empty(folder):
    (folder / "rec.mat").touch()
    return folder / "rec.mat"


@fails("cannot be read as .mat")
def mat_text(folder):
    (folder / "rec.mat").write_text("hello " * 200)
    return folder / "rec.mat"


@fails("cannot be read as .mat")
def mat_truncated(folder):
    return cut(mat_version_5(folder))


@fails("wanted one array")
def mat_without_arrays(folder):
    from scipy.io import savemat

    savemat(folder / "rec.mat", {"note": "nothing"})
    return folder / "rec.mat"


@fails("cannot be read as .h5")
def h5_truncated(folder):
    return cut(h5_one_array(folder))


@fails("cannot be read as .h5")
def h5_text(folder):
    (folder / "rec.h5").write_text("hello " * 200)
    return folder / "rec.h5"


@fails("wanted one array")
def h5_without_arrays(folder):
    import h5py

    with h5py.File(folder / "rec.h5", "w") as file:
        file.attrs["note"] = "nothing"
    return folder / "rec.h5"


@fails("cannot be read as .csv")
def csv_ragged(folder):
    path = table(folder / "rec.csv")
    path.write_text(path.read_text() + "1,2,3\n")
    return path


@fails("NaN")
def csv_of_words(folder):
    rows = [NAMES, *[["much"] * len(NAMES)] * 2400]
    (folder / "rec.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    return folder / "rec.csv"


@fails("0 bytes")
def csv_empty(folder):
    (folder / "rec.csv").touch()
    return folder / "rec.csv"


@fails("wanted an array")
def csv_names_alone(folder):
    (folder / "rec.csv").write_text(",".join(NAMES) + "\n")
    return folder / "rec.csv"


@fails("cannot be read as .csv")
def csv_bytes(folder):
    (folder / "rec.csv").write_bytes(np.random.default_rng(0).bytes(2000))
    return folder / "rec.csv"
