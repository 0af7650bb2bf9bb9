"""Kinds of BIDS folders of EEG with sidecars as people write them, and of what else lies about."""

import json
import os
from pathlib import Path

from . import Kinds
from .signals import NAMES, SFREQ, brainvision, edf

KINDS = Kinds()
good, fails, passed = KINDS.good, KINDS.fails, KINDS.passed
TYPES = "name\ttype\tunits\n" + "".join(f"{name}\tEEG\tuV\n" for name in NAMES)


def study(folder: Path, *, brain_vision: bool = False, **sidecars: str | bytes) -> Path:
    """A BIDS folder with one recording; sidecars: suffix_extension → content."""
    eeg = folder / "sub-01" / "eeg"
    eeg.mkdir(parents=True)
    (folder / "dataset_description.json").write_text(
        json.dumps({"Name": folder.name, "BIDSVersion": "1.9.0"}))
    for name, content in sidecars.items():
        suffix, _, extension = name.rpartition("_")
        place = (folder / f"{suffix}.{extension}" if suffix == "participants"
                 else eeg / f"sub-01_task-rest_{suffix}.{extension}")
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    stem = eeg / "sub-01_task-rest_eeg"
    return (brainvision(stem.with_suffix(".vhdr")) if brain_vision
            else edf(stem.with_suffix(".edf")))


def _about(**more: object) -> str:
    return json.dumps({"TaskName": "rest", "SamplingFrequency": SFREQ, "PowerLineFrequency": 50,
                       "EEGReference": "Cz", **more})


@good()
def bids_plain(folder):
    return study(folder, eeg_json=_about(), channels_tsv=TYPES,
                 events_tsv="onset\tduration\ttrial_type\n1\t0\tgo\n")


@good()
def bids_without_sidecars(folder):
    return study(folder)


@good()
def bids_brainvision(folder):
    return study(folder, brain_vision=True, eeg_json=_about())


@good()
def bids_json_with_mark(folder):
    return study(folder, eeg_json=b"\xef\xbb\xbf" + _about().encode())


@good()
def bids_channels_in_another_order(folder):
    head, *rows = TYPES.splitlines(keepends=True)
    return study(folder, channels_tsv=head + "".join(reversed(rows)))


@good()
def bids_channels_in_another_case(folder):
    return study(folder, channels_tsv=TYPES.replace("F3", "f3").replace("P4", "p4"))


@good()
def bids_channels_with_fewer_rows(folder):
    return study(folder, channels_tsv="".join(TYPES.splitlines(keepends=True)[:6]))


@good()
def bids_events_latin1(folder):
    return study(folder, events_tsv="onset\tduration\ttrial_type\n1\t0\tübung\n".encode("latin-1"))


@good()
def bids_participants_latin1(folder):
    return study(folder, participants_tsv="participant_id\tort\n1\tZürich\n".encode("latin-1"))


@good()
def bids_empty_channels(folder):
    return study(folder, channels_tsv="")


@fails("is no valid JSON")
def bids_json_with_trailing_comma(folder):
    return study(folder, eeg_json='{"TaskName": "rest", "PowerLineFrequency": 50,}')


@fails("wanted a JSON object")
def bids_json_list(folder):
    return study(folder, eeg_json="[1, 2]")


@fails("PowerLineFrequency")
def bids_line_frequency_as_words(folder):
    return study(folder, eeg_json=_about(PowerLineFrequency="fifty"))


@fails("wanted a column onset")
def bids_events_without_onset(folder):
    return study(folder, events_tsv="time\tlabel\n1\tgo\n")


@fails("wanted numbers of seconds")
def bids_events_of_words(folder):
    return study(folder, events_tsv="onset\tduration\ttrial_type\nsoon\t0\tgo\n")


@fails("column name")
def bids_channels_without_name(folder):
    return study(folder, channels_tsv=TYPES.replace("name", "label", 1))


@fails("wanted a column participant_id")
def bids_participants_without_ids(folder):
    return study(folder, participants_tsv="subject\tage\n01\t30\n")


@fails("truncated")
def bids_truncated(folder):
    path = study(folder)
    path.write_bytes(path.read_bytes()[:9000])
    return path


@fails("datalad get")
def bids_locked_annex_link(folder):
    path = study(folder)
    path.unlink()
    path.symlink_to("../../.git/annex/objects/Xq/MD5E-s1--d4.edf")
    return path


@fails("datalad get")
def bids_unlocked_annex_pointer(folder):
    path = study(folder)
    path.write_text("/annex/objects/MD5E-s123456--d41d8cd9.edf\n")
    return path


@fails("datalad get")
def bids_json_not_fetched(folder):
    return study(folder, eeg_json="/annex/objects/MD5E-s123--d41d8cd9.json\n")


@passed("not named as BIDS names")
def bids_recording_with_another_name(folder):
    return edf(study(folder).with_name("pilot.edf"))


@passed("outside the folders of subjects")
def bids_recording_at_the_root(folder):
    study(folder)
    return edf(folder / "pilot.edf")


# Pointers, links, folders


@fails("git lfs pull")
def lfs_pointer(folder):
    (folder / "rec.edf").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12345\n")
    return folder / "rec.edf"


@fails("datalad get")
def annex_pointer(folder):
    (folder / "rec_raw.fif").write_text("/annex/objects/MD5E-s123456--d41d8cd9.fif\n")
    return folder / "rec_raw.fif"


@fails("a link to a file that is not there")
def link_to_nothing(folder):
    (folder / "rec.edf").symlink_to("gone.edf")
    return folder / "rec.edf"


@fails("link")
def links_in_a_circle(folder):
    (folder / "a.edf").symlink_to("b.edf")
    (folder / "b.edf").symlink_to("a.edf")
    return folder / "a.edf"


@good()
def link_to_its_own_folder(folder):
    (folder / "again").symlink_to(".")
    return edf(folder / "rec.edf")


@fails("is an empty folder")
def folder_called_edf(folder):
    (folder / "rec.edf").mkdir()
    return folder / "rec.edf"


@good()
def folder_called_edf_with_a_recording(folder):
    (folder / "study.edf").mkdir()
    return edf(folder / "study.edf" / "rec.edf")


@fails("cannot be opened")
def unreadable(folder):
    edf(folder / "rec.edf").chmod(0)
    return folder / "rec.edf"


if os.geteuid() == 0:  # may read everything
    del KINDS["unreadable"]


# What is no recording


def _other(name: str, words: str, content: bytes = b"\0\1\2") -> None:
    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    build.__name__ = f"other_{len(KINDS)}"
    passed(words)(build)


_other(".DS_Store", "hidden")
_other("._rec.edf", "hidden", b"\0\5\x16\7\0\2\0\0Mac OS X        ")
_other(".~lock.rec.csv#", "hidden")
_other("rec.edf.lock", ".lock")
_other("notes.txt", ".txt", b"hello")
_other("Thumbs.db", ".db")
_other("README", "no extension", b"hello")
_other("sub-01_desc-confounds_timeseries.json", ".json", b"{}")
_other("rec-eve.fif", "-eve.fif")
_other("sub-01_T1w.nii.gz", ".nii.gz")
