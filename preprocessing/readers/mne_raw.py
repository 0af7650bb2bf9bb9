"""Whatever MNE reads by extension → Recording: FIF, EDF, BDF, BrainVision, EEGLAB, KIT, CTF, BTi …

EEG and MEG channels are kept; EOG, ECG, EMG, stimulus, reference MEG and miscellaneous ones are
not. Electrodes take the positions of the file where it has usable ones, else those of a montage
by name. Epoched files become a signal with a cut between epochs; averages are refused.
"""

import re
import warnings
from pathlib import Path

import numpy as np

from neurofm import extras, pointers
from neurofm.data.recording import Events, Recording
from neurofm.data.sensors import KINDS, Sensors

from .. import links, memory, montage, places
from . import beside, duplicates, edf_pieces, fif_parts, raw_events, recorded_text, trials
from .errors import ReadError, sentence, unreadable
from .headers import check_brainvision, check_edf, check_gdf, faster_than_eeg, rates_note
from .units import gains

KIND = "recording"
# Extensions that mean a recording wherever they stand. MNE knows more (.dat, .bin, .txt, .hdr …)
# that are as often something else.
EXTENSIONS = (
    ".fif", ".fif.gz", ".edf", ".bdf", ".gdf", ".vhdr", ".ahdr", ".set", ".con", ".sqd", ".ds",
    ".mff", ".raw", ".egi", ".cnt", ".cdt", ".nxe", ".nedf", ".data", ".lay", ".mefd", ".snirf",
)
_FOLDERS = (".ds", ".mff", ".mefd")  # a folder of any other name holds recordings
_PACKED = re.compile(r"\.(edf|bdf|gdf|vhdr|set|cnt|fif|ds|mff|con|sqd)\.(gz|zip|bz2|xz|7z|rar|tar"
                     r"|tgz)$", re.IGNORECASE)
_AVERAGE = re.compile(r"[-_]ave?\.fif(\.gz)?$|[-_]evoked\.fif", re.IGNORECASE)
_HOLDS = {"evoked": "an average (evoked)", "cov": "a covariance", "ica": "an ICA",
          "forward": "a forward solution", "inverse": "an inverse operator", "src": "source spaces",
          "trans": "a transform", "events": "events"}  # what MNE calls it → words
_EPOCHS = re.compile(r"[-_]epo\.fif(\.gz)?$", re.IGNORECASE)
_USUAL_HZ = 256.0
_CHUNK_BYTES = 2**26
_PACKED_CHUNK_BYTES = 2**30


def claims(path: Path) -> bool:
    name = path.name.lower()
    if path.is_dir() and not name.endswith(_FOLDERS):
        return _is_bti(path) or (name.endswith(EXTENSIONS) and not any(path.iterdir()))
    return bool(name.endswith(EXTENSIONS) or _PACKED.search(name) or _is_nihon(path))


def read(path: Path, options) -> Recording:
    """Read and convert one file."""
    recording = convert(open_raw(path, options.encoding), options, str(path))
    if recorded_text.guessed(path, options.encoding):
        recording.attributes["encoding"] = path.name
    return recording


def open_raw(path: Path, encoding: str = ""):
    """`mne.io.Raw` (not loaded) or `mne.Epochs`; raises ReadError with the cause."""
    if path.is_dir() and path.suffix.lower() not in _FOLDERS and not _is_bti(path):
        raise ReadError(path, f"is an empty folder with the name of a {path.suffix} file; copy the "
                              f"recording again from the source")
    if _PACKED.search(path.name) and not path.name.lower().endswith(".fif.gz"):
        raise ReadError(path, f"is packed ({path.suffix}), which only .fif.gz may be: unpack it")
    if _AVERAGE.search(path.name):
        raise ReadError(path, "an average (evoked) holds no continuous signal; give the raw file")
    exclude = check_header(path)
    if ".fif" in path.name and (before := fif_parts.goes_on_from(path)):
        raise ReadError(path, f"a later part of a split recording; the part before it, {before}, "
                              f"is missing or has another name: copy it beside this file")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            with recorded_text.plain_header(path, encoding) as there:
                raw = _open(there, exclude, recorded_text.words(path, encoding))
                raw_events.mark_gaps(raw, path, encoding)
    except ReadError:
        raise
    except Exception as error:  # readers of a dozen formats fail in as many ways
        if reason := missing_part(path, error):
            raise ReadError(path, reason) from error
        if wanted := extras.hint(error):
            raise ReadError(path, f"reading {path.suffix} {wanted}") from error
        raise unreadable(path, error) from error
    beside.check_place(path, raw)
    beside.check_length(path, raw)
    return raw


def missing_part(path: Path, error: Exception) -> str:
    """The file beside this one that its reader did not find; "" where the error is another."""
    if ".fif" in path.name and "Split raw file" in str(error):
        return (f"a part of the split recording is missing: {fif_parts.goes_on_in(path)}, as the "
                f"file names it; copy all parts beside it under their first names")
    if path.suffix.lower() == ".set" and (
            named := re.search(r"[^/\\'\"\s]+\.fdt", str(error))):
        return f"its signal file {named[0]} is missing; copy it beside the .set"
    if ".fif" in path.name and (held := _other_content(path)):
        return f"holds {held} and no continuous signal; give the raw file"
    return ""


def _other_content(path: Path) -> str:
    """What a FIF holds instead of a recording; "" where that is not clear."""
    import mne

    try:
        found = mne.what(path)
    except Exception:
        return ""
    return _HOLDS.get(found, "")


def _open(path: Path, exclude: list[str], words: dict[str, str]):
    """The reader of MNE for the kind of file; channels `exclude` are left out of an EDF. words:
    what it is told of the file besides."""
    import mne

    suffix = path.suffix.lower()
    if _EPOCHS.search(path.name):
        return mne.read_epochs(path, verbose="ERROR")
    if _is_bti(path):
        # What was recorded comes before what was filtered later (c,rfDC before hc,rfDC).
        return mne.io.read_raw_bti(sorted(path.glob("*c,rf*"))[0], verbose="ERROR")
    if suffix in (".raw", ".egi"):
        return mne.io.read_raw_egi(path, verbose="ERROR")
    try:
        chosen = {"exclude": exclude} if exclude else {}
        return mne.io.read_raw(path, verbose="ERROR", **chosen, **words)
    except TypeError as error:
        if suffix == ".set" and "read_epochs_eeglab" in str(error):
            beside.check_set(path)
            return mne.read_epochs_eeglab(path, verbose="ERROR")
        raise


def check_header(path: Path) -> list[str]:
    """Raises ReadError where the header promises more than the file holds; channels to exclude."""
    suffix = path.suffix.lower()
    for companion in (".fdt", ".eeg", ".vmrk"):
        if why := links.strange(path.with_suffix(companion)):
            raise ReadError(path, f"{path.stem}{companion} {why}")
        if waiting := pointers.not_fetched(path.with_suffix(companion)):
            raise ReadError(path, waiting)
    if path.name.lower().endswith((".fif", ".fif.gz")):
        fif_parts.check(path)
    if suffix in (".vhdr", ".ahdr"):
        check_brainvision(path)
    if suffix == ".gdf":
        check_gdf(path)
    return check_edf(path) if suffix in (".edf", ".bdf") else []


def convert(
    raw, options, source: str | None = None, *, units: dict[str, str] | None = None,
    fiducials: np.ndarray | None = None,
) -> Recording:
    """Recording of a Raw or Epochs object.

    source: what messages call it. units: channel → unit of its values, where the file says none.
    fiducials: nasion, left and right point before the ear in the frame of the electrodes.
    """
    import mne

    if not isinstance(raw, mne.io.BaseRaw | mne.BaseEpochs):
        average = " (an average holds no continuous signal)" if isinstance(
            raw, mne.Evoked) else ""
        raise ReadError(source or "recording in memory",
                        f"wanted an mne.io.Raw or mne.Epochs, got a {type(raw).__name__}{average}")

    info = raw.info
    source = source or str((getattr(raw, "filenames", None) or [None])[0] or "recording in memory")
    if not info["chs"]:
        raise ReadError(source, "holds annotations and no signal: they are labels of another "
                                "recording; put them beside it, named by label.sidecar, or leave "
                                "the file out (exclude: [pattern])")
    picks, dropped = _choose(info, options.rename)
    parcels = [] if picks else _misc(info)
    if not picks and not parcels:
        from collections import Counter

        came = Counter(raw.get_channel_types())
        listed = ", ".join(f"{n} {kind}" for kind, n in came.most_common()) or "no channels"
        by_name = f" ({next(iter(dropped.values()))})" if dropped else ""
        raise ReadError(source, f"no EEG or MEG channel; it has {listed}{by_name}; where they are "
                                f"EEG after all, correct their types in the file or channels.tsv, "
                                f"or their names (rename: {{name: electrode}})")
    if parcels:
        sensors, notes = _parcels(info, parcels), list[str]()
    else:
        sensors, notes = _place(Sensors.from_info(info, picks), info, options, source, fiducials)
    picks = picks or parcels
    try:
        is_cut = isinstance(raw, mne.BaseEpochs)
        n_times = len(raw) * len(raw.times) if is_cut else raw.n_times
        longer = 1 if parcels else max(1.0, _USUAL_HZ / info["sfreq"])  # once it is resampled
        options.limit.check(source, 4 * len(picks) * n_times * longer, mapped=not is_cut)
        if is_cut:
            signal, events = _epochs(raw, picks, options.metadata, source)
        elif options.metadata:
            raise ReadError(source, f"metadata: {options.metadata} names a column of epochs' "
                                    f"metadata, but this is no file of epochs; leave the option "
                                    f"out, or pass over such files (exclude: [pattern])")
        else:
            signal, events = _load(raw, picks), raw_events.of(raw)
    except (ReadError, MemoryError):
        raise
    except Exception as error:
        raise ReadError(source, f"its samples cannot be read: {sentence(error)}; it is "
                                f"damaged or truncated") from error
    if signal.shape[1] == 0:
        raise ReadError(source, "the recording has no samples (zero length); leave it out, or copy "
                                "it again from the source")
    is_eeg = sensors.kind == KINDS.index("eeg")
    factors = np.where(is_eeg, gains(raw, [info["ch_names"][p] for p in picks], options.unit,
                                     units), 1.0)
    for row in np.flatnonzero(factors != 1.0):
        signal[row] *= factors[row]
    if files := [Path(file) for file in getattr(raw, "filenames", None) or ()
                 if file and Path(file).is_file()]:  # a loaded Raw may outlive its file
        notes += [note for note in (rates_note(files[0]),) if note]
        dropped = {**faster_than_eeg(files[0]), **dropped}
        notes += edf_pieces.notes(raw, files[0], options.encoding)
    keep, twice = duplicates.find(signal, sensors, [info["ch_names"][p] for p in picks])
    renamed = dict(zip((info["ch_names"][p] for p in picks), sensors.names, strict=True))
    nyquist = info["sfreq"] / 2
    lowpass = info["lowpass"] if info["lowpass"] and info["lowpass"] < 0.999 * nyquist else None
    attributes = {"line_hz": f"{info['line_freq']:g}"} if info["line_freq"] else {}
    recording = Recording(
        signal, float(info["sfreq"]), sensors, events, source=source,
        bads=tuple(renamed[name] for name in info["bads"] if name in renamed),
        band_hz=(info["highpass"] or None, lowpass), attributes=attributes,
        info=None if parcels else _renamed(info, renamed), folder=_folder(raw),
        notes=(*notes, *twice.notes),
        n_template_places=0 if parcels else _n_by_template(info, picks, sensors),
        left_out={} if parcels else dropped | twice.left_out,
        n_epochs=signal.shape[1] // len(raw.times) if is_cut else 0,
        epoch_tmin_s=float(raw.tmin) if is_cut else 0.0,
    )
    return recording if len(keep) == len(picks) else memory.pick(recording, np.array(keep))


def _renamed(info, names: dict[str, str]):
    """A copy with the channels `names` alone, by their new names."""
    import mne

    kept = mne.pick_info(info, [info["ch_names"].index(name) for name in names])
    mne.rename_channels(kept, {old: new for old, new in names.items() if old != new})
    return kept


def _folder(raw) -> str:
    files = [file for file in getattr(raw, "filenames", None) or () if file]
    return str(Path(files[0]).absolute().parent) if files else ""


def _misc(info) -> list[int]:
    """Miscellaneous channels: in a file without EEG and MEG, time series of parcels (as osl-ephys
    and `neurofm generate` write them)."""
    return [index for index, ch in enumerate(info["chs"]) if int(ch["kind"]) == 502]


def _parcels(info, picks: list[int]) -> Sensors:
    """Places are those of the file, if it has any."""
    chs = [info["chs"][pick] for pick in picks]
    position = np.array([np.asarray(ch["loc"][:3], dtype=float) for ch in chs])
    nowhere = ~np.isfinite(position).all(1) | (np.abs(position).sum(1) == 0)
    position[nowhere] = np.nan
    return Sensors(tuple(ch["ch_name"] for ch in chs), np.full(len(chs), KINDS.index("roi")),
                   position, np.zeros((len(chs), 3)))


def _choose(info, rename: dict[str, str]) -> tuple[list[int], dict[str, str]]:
    """Indices of EEG and MEG channels, and the other channels with the reason."""
    from mne import channel_type

    picks, dropped = [], {}
    for index, ch in enumerate(info["chs"]):
        name = ch["ch_name"]
        if int(ch["kind"]) == 1:  # FIFFV_MEG_CH; reference MEG is 301
            picks.append(index)
        elif int(ch["kind"]) == 2:  # FIFFV_EEG_CH
            label = rename.get(name) or montage.of_the_file(name, info["ch_names"])
            reason = montage.why_not_eeg(label)
            if reason is None:
                picks.append(index)
            else:
                dropped[name] = reason
        else:
            dropped[name] = f"of type {channel_type(info, index)} in the file"
    return picks, dropped


def _place(
    sensors: Sensors, info, options, source: str, fiducials: np.ndarray | None
) -> tuple[Sensors, list[str]]:
    """Sensors with clean names and with positions from the file, else from the montage; notes."""
    is_eeg = sensors.kind == KINDS.index("eeg")
    position, orientation = sensors.position.copy(), sensors.orientation.copy()
    names = [options.rename.get(name, name) for name in sensors.names]
    notes = []
    if is_eeg.any():
        rows = np.flatnonzero(is_eeg)
        labels = [montage.of_the_file(names[row], names) for row in rows]
        labels, said = montage.without_common_reference(labels)
        spelling, by_name = montage.look_up(labels, options.montage)
        for row, name in zip(rows, spelling, strict=True):
            if name not in names:
                names[row] = name
        try:
            position[rows], wrong = places.judge(position[rows], by_name, spelling,
                                                 _fiducials(info) if fiducials is None
                                                 else fiducials)
        except places.WrongPlaces as error:
            raise ReadError(source, str(error)) from error
        orientation[rows] = montage.directions(labels, options.montage)
        notes = [note for note in (*said, wrong) if note]
    if not is_eeg.all() and not _head_is_known(info):
        where = sensors.has_position & ~is_eeg
        position[where] = (montage.put_in_helmet(position[where])
                           if options.unknown_head == "helmet" and where.sum() >= 4 else np.nan)
    placed = Sensors(tuple(names), sensors.kind, position, orientation, sensors.unit)
    return placed, notes


def _n_by_template(info, picks: list[int], sensors: Sensors) -> int:
    """Electrodes with a place that have none in the file."""
    eeg = (np.array(sensors.kinds) == "eeg") & sensors.has_position
    own = np.array([info["chs"][pick]["loc"][:3] for pick in picks])
    return int((eeg & ~(np.isfinite(own).all(1) & (np.abs(own).sum(1) > 0))).sum())


def _fiducials(info) -> np.ndarray | None:
    """Nasion, left and right point before the ear [3, 3] as the file gives them, or None."""
    found = {int(point["ident"]): point["r"] for point in info["dig"] or ()
             if int(point["kind"]) == 1}  # FIFFV_POINT_CARDINAL
    return np.array([found[i] for i in (2, 1, 3)], dtype=float) if {1, 2, 3} <= {*found} else None


def _head_is_known(info) -> bool:
    """Readers of KIT and of OPMs fill in the identity where nobody measured the head's place."""
    transform = info.get("dev_head_t")
    return transform is not None and not np.array_equal(transform["trans"], np.eye(4))


def _load(raw, picks: list[int]) -> np.ndarray:
    """The channels as float32, read in pieces: MNE holds float64 of what it reads at once."""
    signal = memory.empty((len(picks), raw.n_times))
    # MNE unpacks a .gz from its beginning for each piece.
    packed = any(str(file).endswith(".gz") for file in raw.filenames)
    piece_bytes = _PACKED_CHUNK_BYTES if packed else _CHUNK_BYTES
    step = max(1, piece_bytes // (8 * len(raw.ch_names)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for start in range(0, raw.n_times, step):
            stop = min(start + step, raw.n_times)
            signal[:, start:stop] = raw.get_data(picks, start, stop, verbose="ERROR")
    return signal


def _epochs(epochs, picks: list[int], column: str, source: str) -> tuple[np.ndarray, Events]:
    """Epochs end to end, a cut at each joint and an event at each epoch's time zero: the name of
    its event, or what `column` of the metadata says of it."""
    if column:
        labels = _metadata(epochs, column, source)
    else:
        name = {code: name for name, code in epochs.event_id.items()}
        labels = [name.get(code, str(code)) for code in epochs.events[:, 2]]
    stacked = epochs.get_data(picks=picks, verbose="ERROR")
    return trials.end_to_end(stacked, epochs.info["sfreq"], labels, -min(epochs.tmin, 0.0))


def _metadata(epochs, column: str, source: str) -> list[str | None]:
    """What a column of the metadata says of each epoch, as text; None where it says nothing."""
    table = epochs.metadata
    if table is None or column not in table:
        there = "no metadata" if table is None else f"the columns {', '.join(map(str, table))}"
        raise ReadError(source, f"metadata: wanted a column {column!r} of the epochs' metadata, "
                                f"but the file has {there}; name one of them, or leave the option "
                                f"out and events keep the names of event_id")
    values = table[column].astype(object)
    return trials.as_text(values.where(values.notna(), None))


def _is_bti(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*c,rf*")) and any(path.glob("config"))


def _is_nihon(path: Path) -> bool:
    """A Nihon Kohden .eeg, and not the signal of a BrainVision header."""
    return (path.suffix.lower() == ".eeg" and path.is_file()
            and any(path.with_suffix(suffix).is_file()
                    for suffix in (".PNT", ".pnt", ".21E", ".21e", ".LOG", ".log"))
            and not path.with_suffix(".vhdr").is_file())
