"""Recordings that lead to other files of this machine, promise more than memory holds, or crash
the library that reads them: each is refused by name, and nothing else is read."""

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import h5py
import mne
import nibabel
import numpy as np
import pytest
from scipy.io import savemat

from neurofm.downstream import embed, synthesize
from neurofm.preprocessing import archive, links, readers, text
from neurofm.preprocessing.pairing import safe_pickle
from neurofm.preprocessing.readers import ArrayTable, ReadError, ReadOptions, apart
from tests.support.hostile import bounded
from tests.support.torture import fif_files, scans, vendor_files
from tests.support.torture.signals import NAMES, brainvision, edf, eeglab, eeglab_fields, microvolts

TABLE = ArrayTable(sfreq=200.0, names=NAMES)
SHORT = microvolts()[:, :400]
SECRET = "root:x:0:0"


@pytest.fixture
def secret(tmp_path) -> Path:
    """A file outside of the folder of the recordings."""
    path = tmp_path / "secret.txt"
    path.write_text(SECRET * 2000)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "archive").mkdir()
    return tmp_path / "archive"


def refused(path: Path, words: str, **options) -> None:
    with pytest.raises(ReadError, match=words) as caught:
        readers.opened(path, ReadOptions(arrays=TABLE, **options))
    assert path.name in str(caught.value)
    assert SECRET not in str(caught.value)


def external(file, secret):
    file.create_dataset("signal", (100, 8), "u1", external=[(str(secret), 0, 800)])


def external_link(file, secret):
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["a"] = SHORT.T
    file["signal"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/a")


def soft_link(file, secret):
    file["signal"] = h5py.SoftLink("/elsewhere")


def virtual(file, secret):
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["a"] = SHORT.T
    layout = h5py.VirtualLayout(SHORT.T.shape, "f8")
    layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "a", SHORT.T.shape)
    file.create_virtual_dataset("signal", layout)


@pytest.mark.parametrize("suffix", [".h5", ".mat", ".set", ".snirf"])
@pytest.mark.parametrize(("lead", "words"), [
    (external, "external storage"), (external_link, "link to another place"),
    (soft_link, "link to another place"), (virtual, "virtual dataset")])
def test_hdf5_leads_nowhere_else(folder, secret, suffix, lead, words):
    path = folder / f"rec{suffix}"
    with h5py.File(path, "w", userblock_size=512 * (suffix == ".mat")) as file:
        lead(file.create_group("inside"), secret)
    if suffix == ".mat":
        with open(path, "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    refused(path, words)


def test_hdf5_links_inside_the_file_are_followed(folder, secret):
    """MATLAB and others write such; what they lead to is looked at too."""
    path = folder / "rec.h5"
    with h5py.File(path, "w") as file:
        file["real/signal"] = SHORT.T
        file["signal"] = h5py.SoftLink("/real/signal")
        file["real/again"] = h5py.SoftLink("signal")
        file["real/root"] = h5py.SoftLink("/")
    found = readers.opened(path, ReadOptions(arrays=TABLE))
    assert np.allclose(1e6 * found.signal, SHORT, atol=1e-3)
    with h5py.File(path, "a") as file:
        external(file.create_group("hidden"), secret)
        file["real/by_link"] = h5py.SoftLink("/hidden/signal")
    refused(path, "external storage")


def test_hdf5_links_through_another_file(folder, secret):
    path = folder / "rec.h5"
    with h5py.File(path, "w") as file:
        file["a"] = SHORT.T
        external_link(file.create_group("z"), secret)
        file["b"] = h5py.SoftLink("/z/signal")
    refused(path, "link to another place")


def test_hdf5_circle_of_links(folder):
    path = folder / "rec.h5"
    with h5py.File(path, "w") as file:
        file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")
    refused(path, "link to another place")


def test_hdf5_what_references_name_is_looked_at(folder, secret):
    """A cell of MATLAB names objects, to which no link needs to lead."""
    path = folder / "rec.h5"
    with h5py.File(path, "w") as file:
        external(file.create_group("inside"), secret)
        cell = np.array([file["inside/signal"].ref], dtype=h5py.ref_dtype)
        file.create_dataset("cell", data=cell)
        file["keep"] = SHORT.T
    with h5py.File(path, "a") as file:
        del file["inside/signal"]
    refused(path, "external storage")


@pytest.mark.parametrize("name", ["../secret.txt", "{secret}", "..\\secret.txt", "C:\\secret.txt"])
@pytest.mark.parametrize("key", ["DataFile", "MarkerFile"])
def test_brainvision_names_files_beside_it_alone(folder, secret, name, key):
    path = brainvision(folder / "rec.vhdr", SHORT, markers="Mk1=New Segment,,1,1,0\n")
    said = path.read_text("utf-8").replace(
        f"{key}=rec.", f"{key}={name.format(secret=secret)}\n;was=", 1)
    path.write_text(said, encoding="utf-8")
    refused(path, f"wanted {key} as the name of a file beside it")


def test_brainvision_with_a_second_hidden_name(folder, secret):
    """What a later line says does not hide what MNE reads."""
    path = brainvision(folder / "rec.vhdr", SHORT, markers="Mk1=New Segment,,1,1,0\n")
    said = path.read_text("utf-8")
    path.write_text(said.replace("DataFile=rec.eeg", f"datafile : {secret}", 1)
                    + "[Other]\nDataFile=rec.eeg\n", encoding="utf-8")
    refused(path, "beside it")


@pytest.mark.parametrize("trials", [1, 2])
def test_eeglab_signal_lies_beside_it(folder, tmp_path, trials):
    (tmp_path / "other.fdt").write_bytes(np.asfortranarray(microvolts(), "<f4").tobytes("F"))
    fields = eeglab_fields(None, trials) | {"data": "../other.fdt"}
    savemat(folder / "rec.set", {"EEG": fields}, appendmat=False, oned_as="row")
    refused(folder / "rec.set", "outside its folder|beside it")


@pytest.mark.parametrize("suffix", [".tsv", ".json"])
def test_a_sidecar_is_no_link_to_a_file_of_another_kind(folder, secret, suffix):
    (folder / f"a{suffix}").symlink_to(secret)
    with pytest.raises(ReadError, match="a file of another kind"):
        text.read(folder / f"a{suffix}")


def test_a_recording_or_its_signal_is_no_link_to_a_file_of_another_kind(folder, secret):
    (folder / "rec.edf").symlink_to(secret)
    refused(folder / "rec.edf", "a file of another kind")
    path = brainvision(folder / "b.vhdr", SHORT, markers="")
    (folder / "b.eeg").unlink()
    (folder / "b.eeg").symlink_to(secret)
    refused(path, "a file of another kind")


@pytest.mark.parametrize("store", [
    ".git/annex/objects/xx/MD5--abc", ".git/modules/inner/annex/objects/xx/MD5--abc",
    ".dvc/cache/files/md5/ab/cdef", "hub/blobs/0123"])
def test_links_into_stores_of_files_without_names(tmp_path, store):
    file = tmp_path / store
    file.parent.mkdir(parents=True)
    edf(file, SHORT)
    link = tmp_path / "hub" / "snapshots" / "abc" / "sub-01" / "a.edf"
    link.parent.mkdir(parents=True)
    link.symlink_to(file)
    assert not links.strange(link)
    assert readers.opened(link, ReadOptions()).n_times == SHORT.shape[1]


def test_a_store_that_is_itself_a_link_is_none(tmp_path, secret):
    """blobs → /etc would make every file there data."""
    (tmp_path / "hub" / "snapshots" / "abc").mkdir(parents=True)
    (tmp_path / "hub" / "blobs").symlink_to(secret.parent)
    link = tmp_path / "hub" / "snapshots" / "abc" / "events.tsv"
    link.symlink_to(f"../../blobs/{secret.name}")
    assert "of another kind" in links.strange(link)


def test_links_that_laboratories_make_are_followed_and_said(folder, tmp_path):
    """To a recording elsewhere, and into the store of git-annex, whose files may have no name."""
    edf(tmp_path / "elsewhere.edf", SHORT)
    (folder / "a.edf").symlink_to(tmp_path / "elsewhere.edf")
    store = folder / ".git" / "annex" / "objects" / "xx" / "MD5--abc"
    store.mkdir(parents=True)
    edf(store / "MD5--abc", SHORT)
    (folder / "b.edf").symlink_to(os.path.relpath(store / "MD5--abc", folder))
    found = archive.find([str(folder)])
    assert [job.source for job in found.jobs] == ["archive/a.edf", "archive/b.edf"]
    assert found.outside == ["archive/a.edf"]
    for job in found.jobs:
        assert readers.opened(Path(job.path), ReadOptions()).signal.shape == (8, 400)
    assert links.strange(folder / "b.edf") == ""


def huge_npy() -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (10**11, 8)})
    return head.getvalue()


def npy(path):
    path.write_bytes(huge_npy())


def npz(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", huge_npy())


def npz_packed(path):
    np.savez_compressed(path, a=np.zeros((10**6, 8)))


def h5_unwritten(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (10**11, 8), "f8", chunks=(1000, 8))


def h5_chunk(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (10, 8), "f8", chunks=(10**7, 8), maxshape=(None, 8))


def mat_packed(path):
    savemat(path, {"a": np.zeros((10**6, 8))}, do_compression=True)


def set_packed(path):
    eeglab(path, data=SHORT)
    savemat(path, {"EEG": eeglab_fields(np.zeros((8, 10**6)))}, do_compression=True,
            appendmat=False)


def csv_packed(path):
    path.write_bytes(gzip.compress(b"1 2 3 4 5 6 7 8\n" * 10**5))


def nii_packed(path):
    scans.scan(path, np.zeros((60, 50, 40, 100), dtype=np.float32))


def nii_promised(path):
    """A header of a terabyte over nothing."""
    made = nibabel.Nifti1Image(np.zeros((2, 2, 2, 20), dtype=np.float32), np.diag([3, 3, 3, 1.0]))
    made.header.set_xyzt_units("mm", "sec")
    content = bytearray(made.to_bytes())
    struct.pack_into("<8h", content, 40, 4, 1000, 1000, 1000, 250, 1, 1, 1)
    path.write_bytes(content)


def edf_of_years(path):
    """Samples a day apart would become gigabytes at the rate of a model."""
    edf(path, SHORT, record_s="9999999")


@pytest.mark.parametrize(("make", "name", "words"), [
    (edf_of_years, "a.edf", "would take"), (npy, "a.npy", "promises shape"),
    (npz, "a.npz", "promises shape"),
    (npz_packed, "a.npz", "would take"), (h5_unwritten, "a.h5", "would take"),
    (h5_chunk, "a.h5", "would take"), (mat_packed, "a.mat", "would take"),
    (set_packed, "a.set", "would take"), (csv_packed, "a.1D.gz", "would take"),
    (nii_packed, "sub-1_bold.nii.gz", "would take"),
    (nii_promised, "sub-1_bold.nii", "promises shape"),
], ids=lambda value: getattr(value, "__name__", None))
def test_size_is_known_before_data_are_read(folder, make, name, words):
    """At a limit of 30 MB; the last digit of memory is measured in `test_hostile_fuzz`."""
    make(folder / name)
    options = {"images": readers.ImageTable(atlas=str(scans.atlas(folder / "atlas.nii")))}
    refused(folder / name, words, max_recording_gb=0.03, **options)
    assert (folder / name).stat().st_size < 3e6 or "promises" in words


def test_more_than_memory_holds_is_refused(folder, monkeypatch):
    from neurofm.preprocessing.readers import sizes

    monkeypatch.setattr(sizes, "free_bytes", lambda: 1000)
    np.save(folder / "a.npy", SHORT.T)
    refused(folder / "a.npy", "are free")


def test_files_that_a_container_keeps_in_memory_are_free(tmp_path, monkeypatch):
    """Whoever has read a large corpus can still read a recording."""
    from neurofm.preprocessing.readers import sizes

    monkeypatch.setattr(sizes, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("990000\n")
    (tmp_path / "memory.stat").write_text("anon 90000\ninactive_file 500000\nactive_file 400000\n")
    assert sizes.free_bytes() == 910_000


def test_what_a_person_has_opened_has_no_limit(folder, monkeypatch):
    from neurofm.preprocessing.readers import mne_raw

    path = folder / "a.edf"
    edf(path, SHORT)
    monkeypatch.setattr(mne_raw, "_USUAL_HZ", 1e11)  # as if it were of many hours
    refused(path, "raise --max_recording_gb")
    found = readers.from_raw(mne.io.read_raw(path, verbose="ERROR"))
    assert found.n_times == SHORT.shape[1]


@pytest.mark.parametrize("command", [embed.COMMAND, synthesize.COMMAND])
def test_a_larger_limit_makes_other_results(command):
    """What was too large may be done now, so a finished folder is not what is wanted."""
    assert command._differing({"max_recording_gb": 16.0}, {"max_recording_gb": 64.0})


def test_the_limit_is_an_option_and_is_no_setting_of_a_corpus():
    assert "max_recording_gb" not in ReadOptions(max_recording_gb=1).shaping()
    with pytest.raises(ValueError, match="max_recording_gb must be > 0"):
        ReadOptions(max_recording_gb=0).limit.check("a", 0)


@pytest.mark.parametrize("make", [vendor_files.gdf, vendor_files.gdf_1])
def test_channels_of_a_gdf_are_in_the_file(folder, make):
    """2^32 names would take hours and all memory."""
    path = make(folder / "a.gdf", SHORT)
    content = bytearray(path.read_bytes())
    content[252:256] = b"\xff" * 4
    path.write_bytes(content)
    with bounded():
        refused(path, "promises 4294967295 channels|promises 65535 channels")


@pytest.mark.parametrize("after", [36, 0])
def test_tags_that_lead_in_a_circle(folder, after):
    """Of a FIF without a directory, which MNE walks from tag to tag."""
    path = fif_files.fif(folder / "rec_raw.fif", SHORT)
    content = bytearray(path.read_bytes())
    struct.pack_into(">i", content, 52, -1)  # no directory
    place = 36
    for _ in range(5):
        size = struct.unpack_from(">i", content, place + 8)[0]
        place += 16 + size
    struct.pack_into(">ii", content, place + 8, -40, after)
    path.write_bytes(content)
    refused(path, "leads back to one before it")


def split(folder: Path, kind: str) -> Path:
    """The first of two parts, which names the second, rec_…-1.fif."""
    if kind == "raw":
        fif_files._split(folder)
        return folder / "rec_raw.fif"
    signal = np.random.default_rng(0).normal(0, 1e-5, (300, 8, 400))
    info = mne.create_info(list(NAMES), 200.0, "eeg")
    mne.EpochsArray(signal, info, verbose="ERROR").save(
        folder / "rec_epo.fif", split_size="2.5MB", verbose="ERROR")
    return folder / "rec_epo.fif"


@pytest.mark.parametrize("kind", ["raw", "epo"])
def test_parts_of_a_fif_lie_beside_it(folder, tmp_path, kind):
    path = split(folder, kind)
    second = folder / f"rec_{kind}-1.fif"
    assert readers.opened(path, ReadOptions()).n_times in (2400, 300 * 400)
    second.rename(tmp_path / f"b_{kind}1.fif")
    path.write_bytes(path.read_bytes().replace(second.name.encode(), f"../b_{kind}1.fif".encode()))
    refused(path, "other folders are never read")


@pytest.mark.parametrize("kind", ["raw", "epo"])
def test_a_part_of_a_fif_that_is_to_follow_itself(folder, kind):
    path = split(folder, kind)
    (folder / f"rec_{kind}-1.fif").write_bytes(path.read_bytes())
    with bounded():
        refused(path, "a part that comes before it")


@pytest.mark.parametrize("kind", ["raw", "epo"])
def test_a_part_of_a_fif_that_is_no_file(folder, secret, kind):
    """Opening a pipe would wait for ever."""
    path = split(folder, kind)
    second = folder / f"rec_{kind}-1.fif"
    second.unlink()
    os.mkfifo(second)
    with bounded():
        refused(path, f"{second.name} is no regular file")
    second.unlink()
    second.symlink_to(secret)
    refused(path, "a file of another kind")


def die(job):
    os.kill(os.getpid(), 11)


def test_a_crash_of_a_library_is_an_error_of_the_file(folder, monkeypatch):
    """scipy.io crashes on some damaged .mat; here any does."""
    savemat(folder / "a.mat", {"a": SHORT.T})
    assert readers.read(folder / "a.mat", arrays=TABLE).signal.shape == (8, 400)
    monkeypatch.setattr(apart, "_read", die)
    with pytest.raises(ReadError, match=r"a\.mat: the worker process crashed \(SIGSEGV\)"):
        readers.read(folder / "a.mat", arrays=TABLE)


class Evil:
    def __reduce__(self):
        return bytearray, (2**31,)


def put(index: int) -> bytes:
    return b"\x80\x04N" + b"r" + struct.pack("<I", index) + b"."


def nested() -> bytes:
    held = [0.0] * 10
    for _ in range(12):
        held = [held] * 10
    return pickle.dumps(held)


@pytest.mark.parametrize("content", [pickle.dumps(Evil()), put(2**31 - 1), nested(),
                                     b"\x80\x05\x96" + struct.pack("<Q", 2**34) + b"."],
                         ids=["bytearray of a length", "memo", "lists of lists", "bytearray8"])
def test_a_pickle_becomes_no_larger_than_its_file(folder, content):
    (folder / "a.pkl").write_bytes(content)
    with pytest.raises(ReadError, match=r"a\.pkl"):
        safe_pickle.load(folder / "a.pkl")


@pytest.mark.parametrize(("content", "words"), [
    ("[" * 10**5, "nested too deeply"), ('{"a": ' + "9" * 5000 + "}", "no valid JSON"),
    ("[1]", "wanted a JSON object"), ("{", "no valid JSON")])
def test_json_beside_a_recording(folder, content, words):
    (folder / "a.json").write_text(content)
    with pytest.raises(ReadError, match=words):
        text.read_json(folder / "a.json")


@pytest.mark.parametrize(("content", "words"), [
    ("\t".join(f"c{k}" for k in range(10**6)) + "\n", "1000000 columns"),
    ("name\n" + "x" * 200_000 + "\n", "field larger than field limit")])
def test_table_beside_a_recording(folder, content, words):
    (folder / "a.tsv").write_text(content)
    with pytest.raises(ReadError, match=words):
        text.read_table(folder / "a.tsv")


def test_text_beside_a_recording_is_of_a_size(folder, monkeypatch):
    monkeypatch.setattr(text, "_MOST_BYTES", 100)
    (folder / "a.json").write_text(json.dumps({"a": "x" * 200}))
    with pytest.raises(ReadError, match="more than the"):
        text.read_json(folder / "a.json")
