"""Kinds of EDF and BDF, and what is packed."""

import gzip
import zipfile

import numpy as np

from . import Kinds
from .signals import NAMES, SECONDS, cut, edf, microvolts, onsets

KINDS = Kinds()
good, fails, passed = KINDS.good, KINDS.fails, KINDS.passed


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
