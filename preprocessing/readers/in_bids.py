"""A recording of a BIDS folder, read through mne-bids: with its sidecars and its identity.

channels.tsv gives types and bad channels, events.tsv the events, electrodes.tsv the positions, the
sidecar the line frequency.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from neurofm.data.recording import Recording
from neurofm.pages import words

from .. import bids, segments, text
from ..bids import ENTITIES, entities, person
from ..steps.refusal import some
from . import beside as files
from . import channel_rows, edf_pieces, landmarks, mne_raw, raw_events, recorded_text
from .errors import ReadError, sentence
from .options import ReadOptions
from .plain_sidecars import plain, sidecars


def read(
    path: Path, root: Path, options: ReadOptions, images: ModuleType | None = None
) -> Recording:
    """Read one recording with its sidecars, its identity and its subject's attributes.

    images: the reader of this image, where it is one.
    """
    suffixes = {"image": bids.FMRI, "volume": bids.T1}.get(images.KIND if images else "",
                                                           bids.SIGNALS)
    identity = entities(path, suffixes) or {}
    about = person(root, identity.get("subject"), options.encoding)
    if images:
        recording = images.read(path, options)
        return recording.with_(dataset=root.name, **identity, attributes={
            **recording.attributes, **about, **_guessed(path, root, options.encoding)})
    try:
        with plain(path, root, options.encoding) as (there, root_there):
            recording = _signals(there, root_there, options)
    except ReadError as error:
        raise error.of(path) from error
    if there != path:
        recording = recording.with_(source=str(path), folder=str(path.parent))
    return recording.with_(dataset=root.name, attributes={
        **recording.attributes, **about, **_guessed(path, root, options.encoding)})


def _guessed(path: Path, root: Path, encoding: str) -> dict[str, str]:
    """Attribute that names the files whose encoding nothing says."""
    names = [path.name] * bool(recorded_text.guessed(path, encoding)) + [
        file.name for file in sidecars(path, root) if text.is_guessed(file, encoding)]
    return {"encoding": ", ".join(names)} if names else {}


def _signals(path: Path, root: Path, options: ReadOptions) -> Recording:
    """A recording of EEG or MEG with what its sidecars say of it."""
    import mne_bids

    exclude = mne_raw.check_header(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                bids_path = mne_bids.get_bids_path_from_fname(path, verbose="ERROR")
            except ValueError:  # an entity that BIDS does not allow, such as run-1a
                bids_path = mne_bids.get_bids_path_from_fname(path, check=False, verbose="ERROR")
            bids_path.update(root=root)
            epoched = _is_epoched(path)
            if epoched:
                files.check_set(path)
            read_bids = mne_bids.read_epochs_bids if epoched else mne_bids.read_raw_bids
            told = recorded_text.words(path, options.encoding)
            more = {"extra_params": told} if told else {}
            with _no_lock_files():
                raw = read_bids(bids_path, on_ch_mismatch="warn", verbose="ERROR", **more)
    except ReadError:
        raise
    except Exception as error:  # mne-bids fails in many ways on damaged files and sidecars
        if reason := mne_raw.missing_part(path, error):
            raise ReadError(path, reason) from error
        raise ReadError(path, f"mne-bids cannot read it: {sentence(error)}; check "
                              f"the file and its sidecars with the BIDS validator") from error
    files.check_place(path, raw)
    files.check_length(path, raw)
    beside = bids.sidecars(path, root)
    has_events = any(file.name.endswith("events.tsv") for file in beside)
    if not epoched and (exclude or has_events):
        raw = _as_in_the_file(mne_raw.open_raw(path, options.encoding), raw)
    elif not epoched:
        raw_events.mark_gaps(raw, path, options.encoding)
    units, notes = channel_rows.apply(raw, beside)
    if not epoched:
        without = "without an onset (n/a)" + " or in a gap" * bool(edf_pieces.find(path))
        notes += [*_lost_events(beside, raw, without), *_other_rate(beside, raw)]
    recording = mne_raw.convert(raw, options, str(path), units=units,
                                fiducials=landmarks.read(beside))
    n_eeg = recording.sensors.kinds.count("eeg")
    if n_eeg and recording.n_template_places == n_eeg:
        notes += [f"{file.name} was not used (its coordinate system or units are not known): "
                  f"electrodes are placed by the template of their names"
                  for file in beside if file.name.endswith("electrodes.tsv")][:1]
    return recording.with_(notes=(*notes, *recording.notes),
                           **{name: getattr(bids_path, name) for name in ENTITIES})


@contextlib.contextmanager
def _no_lock_files() -> Iterator[None]:
    """Let mne-bids read without locks. It writes NAME.lock beside a sidecar it reads, also in an
    archive that is not ours; after one that a killed process left, each reader waits a minute."""
    try:
        from mne_bids import _fileio

        given = _fileio._get_lock_context
    except (ImportError, AttributeError):  # versions that do not lock
        yield
        return
    _fileio._get_lock_context = lambda path, **_: contextlib.nullcontext(contextlib.nullcontext())
    try:
        yield
    finally:
        _fileio._get_lock_context = given


def _lost_events(beside: list[Path], raw, without: str) -> list[str]:
    """Rows of events.tsv that are no events of the recording, or of which a part is none, by
    reason. without: why an onset is n/a in what `plain` writes."""
    path = next((file for file in beside if file.name.endswith("events.tsv")), None)
    if path is None:
        return []
    end_s, lost = raw.n_times / raw.info["sfreq"], dict[str, list[str]]()
    for row in text.read_table(path)[1]:  # as `plain` writes it
        label = next((row[name] for name in ("trial_type", "value") if name in row), "n/a")
        if row["onset"] == "n/a":
            lost.setdefault(f"{without}, left out", []).append(label)
        elif not 0 <= (onset_s := float(row["onset"])) < end_s:
            length_s = 0.0 if row["duration"] == "n/a" else float(row["duration"])
            when = ("before its start, set to begin with it" if onset_s < 0 < onset_s + length_s
                    else f"before its start or after its end ({end_s:g} s), left out")
            lost.setdefault(when, []).append(f"{label} at {onset_s:g} s")
    return [f"{path.name}: {words.count(len(labels), 'event')} {why}: {some(labels, 4)}"
            for why, labels in lost.items()]


def _other_rate(beside: list[Path], raw) -> list[str]:
    """A note where the sidecar says another sampling rate than the file."""
    for file in beside:
        if file.name.endswith(("eeg.json", "meg.json")):
            said, sfreq = text.read_json(file).get("SamplingFrequency"), raw.info["sfreq"]
            if isinstance(said, int | float) and abs(said - sfreq) > 0.01 * sfreq:
                return [f"{file.name} says SamplingFrequency {said:g} Hz, the file {sfreq:g} Hz: "
                        f"that of the file counts"]
    return []


def _is_epoched(path: Path) -> bool:
    """A .set of epochs; other formats of BIDS hold continuous signals."""
    import mne

    if path.suffix.lower() != ".set":
        return False
    try:
        mne.io.read_raw_eeglab(path, verbose="ERROR")
    except TypeError as error:
        return "read_epochs_eeglab" in str(error)
    return False


def _as_in_the_file(own, raw):
    """`own` as the file gives it, with what mne-bids made of the sidecars in `raw`.

    mne-bids drops the file's joints and bad stretches where there is an events.tsv, and cannot
    leave out the fast channels that would change the rate of the EEG.
    """
    own.set_meas_date(raw.info["meas_date"])  # scans.tsv may say another; onsets stay
    kept = set(raw.annotations.description)
    lost = [i for i, label in enumerate(own.annotations.description)
            if segments.is_cut_or_bad(label) and label not in kept]
    raw.set_annotations(raw.annotations + own.annotations[lost])
    if own.info["sfreq"] == raw.info["sfreq"]:
        return raw
    types = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    own.set_channel_types({name: types[name] for name in own.ch_names if name in types},
                          on_unit_change="ignore", verbose="ERROR")
    own.info["bads"] = [name for name in raw.info["bads"] if name in own.ch_names]
    own.set_montage(raw.get_montage(), on_missing="ignore", verbose="ERROR")
    own.set_annotations(raw.annotations)
    return own
