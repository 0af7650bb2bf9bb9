"""Make a corpus from EEG, MEG, fMRI or T1-weighted images: read, standardize, split by subject.

    neurofm ingest PATH… --out corpus/ [--config run.yaml] [--key value …]
    neurofm ingest --moabb BNCI2014_001 --out corpus/

Every finished recording leaves a shard and a small record in the folder, so an interrupted ingest
continues, and a later one does only what failed, is new or has changed.
"""

import functools
import re
import time
from dataclasses import dataclass, field, replace
from typing import Literal

from neurofm import config, processes
from neurofm.data.contract import Contract, InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.parcel_rule import ParcelRule
from neurofm.data.storage import Storage
from neurofm.data.t1_contract import T1Contract
from neurofm.limits import Positive, limited
from neurofm.parts import Part
from neurofm.run import FAILED, OK, Command
from neurofm.run import Job as Call

from . import archive, corpus_tables, moabb, montage, quality_page, readers, report, terms
from .collect import PRELOAD, collect
from .labels import LabelRule
from .moabb import MOABBOptions
from .one_recording import Shaping, ingest_one
from .readers import ArrayTable, ImageTable, ReadOptions, VolumeTable
from .records import Records
from .splits import SplitRule
from .steps.band import Lacking
from .text import check_encoding

_ARRAYS = ("plain arrays are recordings once it is said what they hold: --arrays.sfreq 250 "
           "--arrays.unit uV …")


@dataclass
@limited
class IngestConfig:
    """Make a corpus from files and folders of recordings.

    Parameters
    ----------
    out
        Folder of the corpus.
    paths
        Files or folders, searched recursively; BIDS folders are recognized. Readers.
    moabb
        Name of a MOABB data set, instead of paths. Its runs are written beside the corpus;
        windows are trials of its paradigm, labels its events.
    moabb_options
        Options for MOABB.
    modality
        Modality of the recordings.
    contract
        Standardization of EEG and MEG.
    fmri
        Standardization of fMRI.
    t1
        Standardization of T1-weighted images.
    space
        "sensors", or "parcels": project sensors to brain parcels, as set in `parcels`.
    dataset
        Name of the data set; default: the name of the folder.
    montage
        MNE montage for electrodes without a position in the file.
    unknown_head
        MEG without a head position: "refuse" fails the recording, "helmet" assumes a
        centered head.
    lacking
        Recordings that lack the upper part of the contract's band, by their sampling rate or a
        low-pass: "accept" them, upsampled, with a note in the tables, or "refuse" them.
    rename
        Channel name in the files → electrode name.
    unit
        Unit of the EEG values in the files, if their headers do not say it or are wrong.
    metadata
        Column of MNE Epochs metadata that names the event of an epoch.
    arrays
        How to read plain arrays (.npy, .mat, .csv, .1D).
    images
        How to read images of fMRI.
    volumes
        How to read T1-weighted images.
    files
        For a folder that is not BIDS: a list of {pattern, subject, session, task, run, …}.
        Every regular expression that is found in the path of a file sets its fields, also
        by named groups; later rows win.
    table
        For a folder that is not BIDS: a table (.tsv, .csv) with the column file and columns
        such as subject, session, task and run. It wins over `files`.
    exclude
        Globs ("*_rest.edf", "sub-0?/*") or regular expressions; matching paths are skipped.
    encoding
        Encoding of tables, JSON, annotations and markers that are not UTF-8, such as cp1250;
        default: latin-1, with a note.
    max_recording_gb
        Largest recording that is read, GB of 32-bit numbers. Larger ones fail before they are read.
    label
        Source of the labels.
    splits
        Which subjects are held out.
    terms
        License of each data set, such as CC-BY-4.0, where dataset_description.json has none. It is
        copied to everything made from the data.
    storage
        How numbers are stored: float32; float16; or int16 with a scale for each channel of each
        window.
    shard_mb
        Size of the files of signals, MB: whole recordings share a file. 0 = each has one; default:
        that up to 1,000 recordings, else 256.
    workers
        Number of processes; 0 = one per core.
    part
        K/N does one of N parts and does not seal. Parts run in any order, at once, on any machine
        that shares the folder; a call without `part` does what is missing and seals.
    """

    out: str
    paths: list[str] = field(default_factory=list, metadata={"choices": readers.names})
    moabb: str = ""
    moabb_options: MOABBOptions = field(default_factory=MOABBOptions)
    modality: Literal["eeg_meg", "fmri", "t1"] = "eeg_meg"
    contract: InputContract = field(default_factory=InputContract)
    fmri: FMRIContract = field(default_factory=FMRIContract)
    t1: T1Contract = field(default_factory=T1Contract)
    space: Literal["sensors", "parcels"] = "sensors"
    parcels: ParcelRule = field(default_factory=ParcelRule)
    dataset: str | None = None
    montage: str = "standard_1005"
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    lacking: Lacking = "accept"
    rename: dict[str, str] = field(default_factory=dict)
    unit: Literal["", "V", "mV", "uV", "nV"] = ""
    metadata: str = ""
    arrays: ArrayTable = field(default_factory=ArrayTable)
    images: ImageTable = field(default_factory=ImageTable)
    volumes: VolumeTable = field(default_factory=VolumeTable)
    files: list[dict[str, str]] = field(default_factory=list)
    table: str = ""
    exclude: list[str] = field(default_factory=list)
    encoding: str = ""
    max_recording_gb: Positive = 16.0
    label: LabelRule = field(default_factory=LabelRule)
    splits: SplitRule = field(default_factory=SplitRule)
    terms: dict[str, str] = field(default_factory=dict)
    storage: Storage = "float32"
    shard_mb: int | None = None
    workers: int = 0
    part: str = ""

    def __post_init__(self):
        if not self.paths and not self.moabb:
            raise ValueError("give files or folders: neurofm ingest PATH… --out corpus/")
        if self.paths and self.moabb:
            raise ValueError(f"moabb {self.moabb} is ingested alone: give it or paths")
        if self.moabb and self.modality != "eeg_meg":
            raise ValueError("moabb holds EEG: leave modality out")
        if self.moabb_options != MOABBOptions() and not self.moabb:
            raise ValueError("moabb_options would be ignored: they are of moabb")
        Part.parse(self.part)
        check_encoding(self.encoding)
        for modality, (option, contract) in self._options.items():
            if modality != self.modality and contract != type(contract)():
                raise ValueError(f"modality is {self.modality}, so {option} would be ignored: "
                                 f"leave it out, or give the other modality")
        if self.modality != "t1" and self.volumes != VolumeTable():
            raise ValueError("volumes would be ignored: it is of modality t1")
        if self.modality == "t1" and self.label.at_events:
            raise ValueError(f"an image holds no events: label.source {self.label.source} is of "
                             f"signals; take participant or entity")
        if self.parcels != ParcelRule() and (
            self.space != "parcels" or self.modality != "eeg_meg" or self.contract.parcels
        ):
            raise ValueError("parcels would be ignored: it is of space: parcels, modality eeg_meg, "
                             "and of contracts that do not say it already")

    @property
    def _options(self) -> dict[str, tuple[str, Contract]]:
        """Modality → the option that standardizes it, and what that says."""
        return {"eeg_meg": ("contract", self.contract), "fmri": ("fmri", self.fmri),
                "t1": ("t1", self.t1)}

    @property
    def wanted(self) -> Contract:
        """What every window becomes."""
        _, contract = self._options[self.modality]
        if contract is not self.contract or self.space == "sensors" or self.contract.parcels:
            return contract
        from .sources import parcellation

        return self.contract.with_(parcels=parcellation.filled(self.parcels))


def ingest(run: IngestConfig, call: Call) -> int:
    """Ingest and seal; prints what it does. Returns the exit status."""
    begin, settings = time.perf_counter(), config.resolved(run)
    processes.warm_up(PRELOAD)
    if run.moabb:
        run = _of_moabb(run, call)
    if run.montage != "standard_1005":
        montage.look_up([], run.montage)  # a typing error is one message, not one a recording
    volumes = run.volumes if run.modality == "t1" else None
    found = archive.find(run.paths, dataset=run.dataset, files=run.files, table=run.table,
                         exclude=run.exclude, arrays=run.arrays, images=run.images,
                         volumes=volumes, encoding=run.encoding, beside=run.label.beside)
    datasets = terms.of(found.jobs, run.terms, call.say)
    reading = ReadOptions(run.montage, run.unknown_head, run.rename, run.metadata, run.arrays,
                          run.images, unit=run.unit, encoding=run.encoding,
                          max_recording_gb=run.max_recording_gb, volumes=volumes)
    shaping = Shaping(run.wanted, reading, run.label, run.lacking, run.storage)
    arrays = not run.arrays.given and any(readers.is_array(kind) for kind in found.passed_over)

    def seal(records: Records, worked: bool) -> int:
        corpus = corpus_tables.assemble(records, run.splits)
        moved = records.moved("recordings", corpus.recordings)
        sealed = corpus_tables.seal(records, corpus, settings, datasets, run.shard_mb)
        if not worked and not sealed:
            call.say(f"{run.out} is finished and nothing is new: nothing to do")
        if moved:
            call.say(moved)
        quality_page.write(call.out, corpus, records.failures, shaping.contract, corpus.storage)
        report.say_corpus(corpus, records.failures, call.out, run.splits, found, run.label,
                          say=call.say, seconds=time.perf_counter() - begin)
        return FAILED if records.failures else OK

    work = functools.partial(ingest_one, out=str(call.out), shaping=shaping)
    return collect(run, corpus_tables.KIND, found, shaping, work, seal, call.say,
                   hint=_ARRAYS * arrays)


def _of_moabb(run: IngestConfig, call: Call) -> IngestConfig:
    """The run on the files that the data set becomes. What the user says of labels and the name
    goes before what the data set says; a window is no longer than a trial."""
    folder = call.out / corpus_tables.KIND.folder / "moabb"
    if not folder.is_dir():
        corpus_tables.KIND.refuse_foreign(call.out)
    written = moabb.write(run.moabb, run.moabb_options, folder, call.say)
    contract = run.contract
    if contract.window_s > written.window_s:
        contract = contract.with_(window_s=written.window_s, stride_s=None)
    label = run.label if run.label != LabelRule() else written.label
    return replace(run, moabb="", moabb_options=MOABBOptions(), paths=[str(written.folder)],
                   contract=contract, label=label,
                   dataset=run.dataset or re.sub("[^A-Za-z0-9_]", "", run.moabb))


COMMAND = Command("ingest", IngestConfig, ingest, makes="corpus", positional="paths", grows=True,
                  shared=lambda run: bool(run.part))
main = COMMAND
