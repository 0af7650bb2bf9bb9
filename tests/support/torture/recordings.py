"""Kinds of recordings of EEG: EDF, BDF, BrainVision, EEGLAB, FIF, and the other formats of MNE."""

import gzip
import zipfile
from pathlib import Path

import numpy as np

from neurofm.preprocessing.readers.mne_raw import EXTENSIONS

from . import Kinds
from .signals import (
    NAMES,
    SECONDS,
    brainvision,
    edf,
    eeglab,
    eeglab_fields,
    epochs,
    microvolts,
    onsets,
    raw,
)

KINDS = Kinds()
good, fails, passed = KINDS.good, KINDS.fails, KINDS.passed


def cut(path: Path, share: float = 0.5, less: int = 0) -> Path:
    """The file without its end."""
    whole = path.read_bytes()
    path.write_bytes(whole[:int(share * len(whole)) - less])
    return path


def fif(path: Path, signal: np.ndarray | None = None, **words) -> Path:
    raw(signal, **words).save(path, verbose="ERROR")
    return path


# EDF and BDF


@good()
def edf_plain(folder):
    return edf(folder / "rec.edf")


@good()
def edf_capital_extension(folder):
    return edf(folder / "REC.EDF")


@good()
def edf_plus_annotations(folder):
    return edf(folder / "rec.edf", reserved="EDF+C", annotations=onsets(text=b"go"))


@good()
def edf_latin1_annotations(folder):
    return edf(folder / "rec.edf", reserved="EDF+C", annotations=onsets(text=b"\xfcben"))


@good()
def bdf_plain(folder):
    return edf(folder / "rec.bdf", bdf=True)


@good()
def edf_unknown_number_of_records(folder):
    return edf(folder / "rec.edf", n_records="-1")


@good()
def edf_names_with_spaces(folder):
    return edf(folder / "dr. müller – rest (2) 脑.edf")


@good()
def edf_name_with_newline(folder):
    return edf(folder / "rec\n1.edf")


@good()
def edf_copies_of_a_channel(folder):
    return edf(folder / "rec.edf", np.vstack([microvolts(), microvolts()[:1]]), (*NAMES, "F3"))


@fails("truncated: its header promises 12 s, the file holds 5 s")
def edf_truncated(folder):
    return cut(edf(folder / "rec.edf"), less=900)


@fails("truncated")
def bdf_truncated(folder):
    return cut(edf(folder / "rec.bdf", bdf=True), 0.99)


@fails("0 bytes")
def edf_empty(folder):
    (folder / "rec.edf").touch()
    return folder / "rec.edf"


@fails("has no EDF header")
def edf_text(folder):
    (folder / "rec.edf").write_text("hello\n")
    return folder / "rec.edf"


@fails("has no EDF header")
def edf_header_alone_cut(folder):
    path = edf(folder / "rec.edf")
    path.write_bytes(path.read_bytes()[:700])
    return path


@fails("truncated")
def edf_header_alone(folder):
    path = edf(folder / "rec.edf")
    path.write_bytes(path.read_bytes()[:256 * (1 + len(NAMES))])
    return path


@fails("is BDF by its first byte")
def edf_that_is_bdf(folder):
    return edf(folder / "rec.edf", bdf=True)


@fails("has no EDF header")
def edf_huge_number_of_signals(folder):
    return edf(folder / "rec.edf", n_signals="9999")


@fails("has no EDF header")
def edf_negative_number_of_signals(folder):
    return edf(folder / "rec.edf", n_signals="-8")


@fails("truncated: its header promises 1e+08 s")
def edf_huge_number_of_records(folder):
    return edf(folder / "rec.edf", n_records="99999999")


@fails("records of 0 s")
def edf_records_of_no_length(folder):
    return edf(folder / "rec.edf", record_s="0")


@fails("records of nan s")
def edf_records_of_nan_length(folder):
    return edf(folder / "rec.edf", record_s="nan")


@fails("flat")
def edf_digital_range_of_zero(folder):
    return edf(folder / "rec.edf", digital=(5, 5))


@fails("flat")
def edf_physical_range_of_zero(folder):
    return edf(folder / "rec.edf", physical=(5, 5))


@good("joint")
def edf_with_a_gap(folder):
    return edf(folder / "rec.edf", reserved="EDF+D", annotations=onsets(gap_s=10))


@fails("no EEG or MEG channel")
def edf_without_eeg(folder):
    return edf(folder / "rec.edf", microvolts()[:2], ("EMG chin", "Trigger"))


@fails("holds annotations and no signal")
def edf_annotations_alone(folder):
    return edf(folder / "rec.edf", np.zeros((0, 200 * SECONDS)), (), reserved="EDF+C",
               annotations=onsets(text=b"go"))


@good("one")
def edf_one_channel(folder):
    return edf(folder / "rec.edf", microvolts()[:1], ("F3",))


@fails("for one window")
def edf_too_short(folder):
    return edf(folder / "rec.edf", microvolts()[:, :400])


@fails("is packed")
def edf_gz(folder):
    (folder / "rec.edf.gz").write_bytes(gzip.compress(edf(folder / "rec.edf").read_bytes()))
    (folder / "rec.edf").unlink()
    return folder / "rec.edf.gz"


@fails("is packed")
def edf_zip(folder):
    with zipfile.ZipFile(folder / "rec.edf.zip", "w") as packed:
        packed.write(edf(folder / "rec.edf"), "rec.edf")
    (folder / "rec.edf").unlink()
    return folder / "rec.edf.zip"


@passed(".zip")
def zip_of_a_study(folder):
    with zipfile.ZipFile(folder / "study.zip", "w") as packed:
        packed.writestr("sub-01.edf", b"0")
    return folder / "study.zip"


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


# FIF


@good()
def fif_plain(folder):
    return fif(folder / "rec_raw.fif")


@good()
def fif_gz(folder):
    return fif(folder / "rec_raw.fif.gz")


@good()
def fif_split(folder):
    _split(folder)
    return folder / "rec_raw.fif"


@good()
def fif_numbered(folder):
    fif(folder / "rest.fif", microvolts()[::-1].copy())
    return fif(folder / "rest-1.fif")


@good("epochs")
def fif_epochs(folder):
    epochs().save(folder / "rec-epo.fif", verbose="ERROR")
    return folder / "rec-epo.fif"


@good("seven")
def fif_a_nan_channel(folder):
    signal = microvolts().copy()
    signal[7] = np.nan
    return fif(folder / "rec_raw.fif", signal)


@fails("rec_raw-1.fif")
def fif_split_without_its_second(folder):
    _split(folder)
    (folder / "rec_raw-1.fif").unlink()
    return folder / "rec_raw.fif"


@fails("rec_raw-1.fif")
def fif_split_renamed(folder):
    _split(folder)
    for path in sorted(folder.iterdir()):
        path.rename(folder / path.name.replace("rec", "own"))
    return folder / "own_raw.fif"


@fails("truncated")
def fif_truncated(folder):
    return cut(fif(folder / "rec_raw.fif"))


@fails("truncated")
def fif_gz_truncated(folder):
    return cut(fif(folder / "rec_raw.fif.gz"))


@fails("flat")
def fif_flat(folder):
    return fif(folder / "rec_raw.fif", 0 * microvolts())


@fails("NaN")
def fif_nan(folder):
    return fif(folder / "rec_raw.fif", np.nan * microvolts())


@fails("infinite")
def fif_infinite(folder):
    return fif(folder / "rec_raw.fif", np.inf * microvolts())


@fails("1e6 times too large")
def fif_microvolts(folder):
    return fif(folder / "rec_raw.fif", 1e6 * microvolts())


@good("slow")
def fif_low_rate(folder):
    return fif(folder / "rec_raw.fif", sfreq=60.0)


@fails("no EEG or MEG channel")
def fif_triggers_alone(folder):
    return fif(folder / "rec_raw.fif", microvolts()[:1], names=("STI 014",), kinds="stim")


@fails("a position for every sensor")
def fif_unknown_names(folder):
    return fif(folder / "rec_raw.fif", names=[f"x{i}" for i in range(8)])


@fails("another format")
def fif_that_is_edf(folder):
    return edf(folder / "rec_raw.fif")


@fails("an average")
def fif_average(folder):
    return _average(folder / "rec-ave.fif")


@fails("average")
def fif_average_called_raw(folder):
    return _average(folder / "rec_raw.fif")


@fails("is an empty folder")
def fif_empty_folder(folder):
    (folder / "rec_raw.fif").mkdir()
    return folder / "rec_raw.fif"


@passed("-cov.fif")
def fif_covariance(folder):
    import mne

    mne.make_ad_hoc_cov(raw().info, verbose="ERROR").save(folder / "rec-cov.fif", verbose="ERROR")
    return folder / "rec-cov.fif"


@fails("holds a cov")
def fif_covariance_called_raw(folder):
    fif_covariance(folder).rename(folder / "rec_raw.fif")
    return folder / "rec_raw.fif"


@passed("-ica.fif")
def fif_ica(folder):
    (folder / "rec-ica.fif").write_bytes(fif(folder / "rec_raw.fif").read_bytes())
    (folder / "rec_raw.fif").unlink()
    return folder / "rec-ica.fif"


@passed("-fwd.fif")
def fif_forward(folder):
    (folder / "rec-fwd.fif").write_bytes(b"\0" * 99)
    return folder / "rec-fwd.fif"


def _split(folder: Path) -> None:
    """In parts of 2 MB, the least that MNE takes: most of it channels that are no EEG."""
    signal = np.concatenate([microvolts(), np.zeros((300, microvolts().shape[1]))])
    names = [*NAMES, *(f"M{i}" for i in range(300))]
    raw(signal, names, kinds=["eeg"] * 8 + ["misc"] * 300).save(
        folder / "rec_raw.fif", fmt="double", split_size="2MB", verbose="ERROR")


def _average(path: Path) -> Path:
    import mne

    made = mne.EvokedArray(1e-6 * microvolts(), raw().info, verbose="ERROR")
    mne.write_evokeds(path, made, on_mismatch="ignore", verbose="ERROR")
    return path


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
