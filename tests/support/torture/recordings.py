"""Kinds of recordings of EEG: BrainVision, EEGLAB, the other formats of MNE, and those of
`edf_files` and `fif_files`."""

from pathlib import Path

import numpy as np

from neurofm.preprocessing.readers.mne_raw import EXTENSIONS

from . import Kinds, edf_files, fif_files
from .signals import NAMES, brainvision, cut, eeglab, eeglab_fields, microvolts

KINDS = Kinds({**edf_files.KINDS, **fif_files.KINDS})
good, fails, passed = KINDS.good, KINDS.fails, KINDS.passed


# BrainVision


@good()
def vhdr_plain(folder):
    return brainvision(folder / "rec.vhdr")


@good()
def vhdr_vectorized(folder):
    return brainvision(folder / "rec.vhdr", orientation="VECTORIZED")


@good()
def vhdr_marker_one_past_the_end(folder):
    return brainvision(folder / "rec.vhdr", markers="Mk1=Stimulus,S  1,2401,1,0\n")


@fails("signal file rec.eeg is missing")
def vhdr_without_signal(folder):
    path = brainvision(folder / "rec.vhdr")
    (folder / "rec.eeg").unlink()
    return path


@fails("signal file was.eeg is missing")
def vhdr_renamed(folder):
    return brainvision(folder / "rec.vhdr", binary="was.eeg")


@fails("marker file rec.vmrk is missing")
def vhdr_without_markers(folder):
    path = brainvision(folder / "rec.vhdr")
    (folder / "rec.vmrk").unlink()
    return path


@fails("truncated")
def vhdr_signal_truncated(folder):
    path = brainvision(folder / "rec.vhdr")
    cut(folder / "rec.eeg", less=3)
    return path


@fails("no samples")
def vhdr_signal_empty(folder):
    path = brainvision(folder / "rec.vhdr", markers="")
    (folder / "rec.eeg").write_bytes(b"")
    return path


@fails("SamplingInterval")
def vhdr_rate_of_zero(folder):
    return brainvision(folder / "rec.vhdr", SamplingInterval="0")


@fails("NumberOfChannels")
def vhdr_no_channels(folder):
    return brainvision(folder / "rec.vhdr", n_channels=0)


@fails("NaN")
def vhdr_all_nan(folder):
    return brainvision(folder / "rec.vhdr", np.nan * microvolts())


@fails("0 bytes")
def vhdr_empty(folder):
    (folder / "rec.vhdr").touch()
    return folder / "rec.vhdr"


@fails("cannot be read as .vhdr")
def vhdr_text(folder):
    (folder / "rec.vhdr").write_text("[Common Infos]\nhello\n")
    return folder / "rec.vhdr"


@fails("git-lfs")
def vhdr_signal_not_fetched(folder):
    path = brainvision(folder / "rec.vhdr")
    (folder / "rec.eeg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a\n")
    return path


@passed(".eeg")
def eeg_without_header(folder):
    brainvision(folder / "rec.vhdr").unlink()
    return folder / "rec.eeg"


# EEGLAB


@good()
def set_alone(folder):
    return eeglab(folder / "rec.set")


@good()
def set_with_fdt(folder):
    (folder / "rec.fdt").write_bytes(np.asfortranarray(microvolts(), "<f4").tobytes("F"))
    return eeglab(folder / "rec.set", data="rec.fdt")


@good("epochs")
def set_of_epochs(folder):
    return eeglab(folder / "rec.set", trials=3)


@good()
def set_of_matlab_7_3(folder):
    _hdf5(folder / "rec.set")
    return folder / "rec.set"


@fails("rec.fdt is missing")
def set_without_fdt(folder):
    return eeglab(folder / "rec.set", data="rec.fdt")


@fails("truncated: rec.fdt")
def set_fdt_truncated(folder):
    (folder / "rec.fdt").write_bytes(microvolts().astype("<f4").tobytes("F")[:9001])
    return eeglab(folder / "rec.set", data="rec.fdt")


@fails("git-annex")
def set_fdt_not_fetched(folder):
    (folder / "rec.fdt").write_text("/annex/objects/MD5E-s123--d41d8.fdt\n")
    return eeglab(folder / "rec.set", data="rec.fdt")


@fails("cannot be read as .set")
def set_truncated(folder):
    return cut(eeglab(folder / "rec.set"))


@fails("cannot be read as .set")
def set_text(folder):
    (folder / "rec.set").write_text("hello\n" * 99)
    return folder / "rec.set"


@fails("cannot be read as .set")
def set_of_another_variable(folder):
    from scipy.io import savemat

    savemat(folder / "rec.set", {"x": np.zeros(3)}, appendmat=False)
    return folder / "rec.set"


@fails("sfreq")
def set_rate_of_zero(folder):
    return eeglab(folder / "rec.set", srate=0.0)


@fails("sfreq")
def set_rate_of_nan(folder):
    return eeglab(folder / "rec.set", srate=np.nan)


def _hdf5(path: Path) -> None:
    """What MATLAB writes with -v7.3: numbers, characters and cells as datasets of HDF5."""
    import h5py

    def text(value: str) -> np.ndarray:
        return np.array([[ord(letter)] for letter in value], dtype=np.uint16)

    with h5py.File(path, "w", userblock_size=512) as file:
        group, refs = file.create_group("EEG"), file.create_group("#refs#")
        group.attrs["MATLAB_class"] = np.bytes_("struct")

        def put(where, name, value, kind):
            where.create_dataset(name, data=value).attrs["MATLAB_class"] = np.bytes_(kind)

        for name, value in eeglab_fields(None).items():
            if isinstance(value, str):
                put(group, name, text(value) if value else np.zeros(2, np.uint64), "char")
                if not value:
                    group[name].attrs["MATLAB_empty"] = np.uint8(1)
            elif name == "chanlocs":
                labels = group.create_group(name)
                labels.attrs["MATLAB_class"] = np.bytes_("struct")
                named = []
                for i, label in enumerate(NAMES):
                    put(refs, f"l{i}", text(label), "char")
                    named.append([refs[f"l{i}"].ref])
                labels.create_dataset("labels", data=np.array(named, dtype=h5py.ref_dtype))
            elif name in ("chaninfo", "etc"):
                group.create_group(name).attrs["MATLAB_class"] = np.bytes_("struct")
            elif isinstance(value, np.ndarray) and value.size == 0:
                put(group, name, np.zeros(2, np.uint64), "double")
                group[name].attrs["MATLAB_empty"] = np.uint8(1)
            else:
                put(group, name, np.atleast_2d(np.asarray(value, dtype=float)).T, "double")
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    with open(path, "r+b") as out:
        out.write(head)


# Other formats: bytes that are nothing, under each of their names


def _random(extension: str):
    def build(folder: Path) -> Path:
        path = folder / f"rec{extension}"
        path.write_bytes(np.random.default_rng(0).bytes(4000))
        return path

    build.__name__ = f"random_bytes{extension.replace('.', '_')}"
    return build


def _text(extension: str):
    def build(folder: Path) -> Path:
        path = folder / f"rec{extension}"
        path.write_text("a table of something\n1 2 3\n" * 20)
        return path

    build.__name__ = f"text{extension.replace('.', '_')}"
    return build


for _extension in EXTENSIONS:
    fails("")(_random(_extension))
    fails("")(_text(_extension))
