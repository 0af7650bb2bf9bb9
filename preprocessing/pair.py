"""Make pairs from EEG and fMRI recorded together: read, align, standardize.

    neurofm pair PATH… --out pairs/ [--config run.yaml] [--key value …]

Every finished scan leaves its signals and a small record in the folder, so an interrupted run
continues, and a later one does only what failed, is new or has changed.
"""

import functools
import time
from dataclasses import dataclass, field
from pathlib import Path

from neurofm import config, contents, processes
from neurofm.data import pairs
from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.limits import Positive, SignedNumber, Text, limited
from neurofm.parts import Part
from neurofm.run import FAILED, OK, Command
from neurofm.run import Job as Call

from . import archive, montage
from .collect import PRELOAD, collect
from .pairing import one_scan, report, scan_tables
from .pairing.alignment import AlignRule
from .pairing.one_scan import Pairing
from .readers import ArrayTable, ImageTable, ReadOptions
from .records import Records
from .splits import SplitRule
from .steps.band import Lacking


@dataclass
@limited
class PairConfig:
    """Make pairs from EEG and the fMRI recorded with it.

    Parameters
    ----------
    paths
        EEG files or folders, searched recursively; BIDS folders are recognized.
    out
        Folder of the pairs.
    contract
        Standardization of the EEG, as whole scans.
    bold
        Cleaning of the fMRI regions when they are used; scans are stored as recorded.
    partner
        Replacements that turn the path of an EEG file into the path of its fMRI: a table of
        volumes and regions (.tsv, .csv, .npy, .mat, .pkl …) or an image (…bold.nii.gz).
    trigger
        Annotation in the EEG at each volume: its name, or a word of it.
    align
        Which triggers and volumes belong together, where their numbers differ.
    delay_s
        Seconds from the first EEG sample to the first volume, if no triggers were recorded.
    t_r
        Repetition time in seconds, or its key in the .json file beside the fMRI; "" =
        RepetitionTime, else the interval of the triggers.
    images
        How to read fMRI images.
    arrays
        How to read plain arrays.
    rois
        Table of region centers (.tsv: name, x, y, z in mm).
    drop
        Channels to drop because they are not EEG, although the file says so.
    lacking
        As in `neurofm ingest`.
    montage
        MNE montage for electrodes without a position in the file.
    rename
        Channel name in the files → electrode name.
    max_recording_gb
        As in `neurofm ingest`.
    dataset
        Name of the data set; default: the name of the folder.
    files
        For a folder that is not BIDS: a list of {pattern, subject, session, task, run, …}.
        Every regular expression that is found in the path of a file sets its fields, also
        by named groups; later rows win.
    table
        For a folder that is not BIDS: a table (.tsv, .csv) with the column file and columns
        such as subject, session, task and run. It wins over `files`.
    exclude
        Globs or regular expressions; matching paths are skipped.
    splits
        Which subjects are held out.
    workers
        Number of processes; 0 = one per core.
    part
        K/N does one of N parts and does not seal. Parts run in any order, at once, on any machine
        that shares the folder; a call without `part` does what is missing and seals.
    """

    paths: list[str]
    out: str
    contract: InputContract = one_scan.EEG
    bold: FMRIContract = one_scan.BOLD
    partner: dict[str, str] = field(default_factory=lambda: Pairing().partner)
    trigger: Text = one_scan.TRIGGER
    align: AlignRule = field(default_factory=AlignRule)
    delay_s: SignedNumber | None = None
    t_r: str = ""
    images: ImageTable = field(default_factory=ImageTable)
    arrays: ArrayTable = one_scan.REGIONS
    rois: str = field(default="", metadata=contents.OF_FILE)
    drop: list[str] = field(default_factory=lambda: list(one_scan.NO_EEG))
    lacking: Lacking = "accept"
    montage: str = "standard_1005"
    rename: dict[str, str] = field(default_factory=dict)
    max_recording_gb: Positive = 16.0
    dataset: str | None = None
    files: list[dict[str, str]] = field(default_factory=list)
    table: str = ""
    exclude: list[str] = field(default_factory=list)
    splits: SplitRule = field(default_factory=SplitRule)
    workers: int = 0
    part: str = ""

    def __post_init__(self):
        if not self.paths:
            raise ValueError("give files or folders of EEG: neurofm pair PATH… --out pairs/")
        Part.parse(self.part)
        if self.contract.scale not in ("recording_std", "none"):
            raise ValueError(f"contract.scale must be recording_std or none, got "
                             f"{self.contract.scale}: scans are kept whole, so there is no window "
                             f"to scale by")
        if self.contract.parcels or self.contract.kinds != ("eeg",):
            raise ValueError(f"wanted EEG sensors (contract.kinds: [eeg], no contract.parcels), "
                             f"got kinds {list(self.contract.kinds)}")
        if self.bold.confounds or self.bold.scale == "training_iqr":
            raise ValueError("bold.confounds and bold.scale: training_iqr need what is not kept "
                             "here: take confounds out of the fMRI first, and give scale roi_std "
                             "or none")
        if not self.partner or "" in self.partner:
            raise ValueError("partner: wanted parts of the EEG's path and what stands for them in "
                             "the path of its fMRI, such as {/eeg/: /func/}")
        if not self.trigger and self.delay_s is None:
            raise ValueError("give trigger, the annotation at each volume, or delay_s with t_r")
        arrays = self.arrays
        if arrays.kind != "roi" or arrays.given or arrays.channels or "trial" in arrays.axes:
            raise ValueError("arrays describes tables of volumes and regions: kind roi, no trials; "
                             "give the repetition time as t_r, and the centers as rois")
        if self.rois and not Path(self.rois).is_file():
            raise ValueError(f"rois: there is no file {self.rois}")
        if self.rois and self.images.given:
            raise ValueError("rois and images.atlas both say where regions are: give one of them")

    @property
    def pairing(self) -> Pairing:
        """What shapes scans."""
        reading = ReadOptions(self.montage, rename=self.rename, arrays=self.arrays,
                              images=self.images, max_recording_gb=self.max_recording_gb)
        return Pairing(self.contract, self.bold, self.partner, self.trigger, self.align,
                       self.delay_s, self.t_r, tuple(self.drop), self.rois, reading,
                       self.lacking)


def pair(run: PairConfig, call: Call) -> int:
    """Pair and seal; prints what it does. Returns the exit status."""
    begin = time.perf_counter()
    processes.warm_up(PRELOAD)
    if run.montage != "standard_1005":
        montage.look_up([], run.montage)  # a typing error is one message, not one a scan
    found, how = archive.find(run.paths, dataset=run.dataset, files=run.files, table=run.table,
                              exclude=run.exclude), run.pairing
    found.jobs = [one_scan.with_partner(job, how) for job in found.jobs]

    def seal(records: Records, worked: bool) -> int:
        scan_tables.refuse_other_regions(records)
        scans = records.table(run.splits, pairs.SCAN_COLUMNS)
        moved = records.moved("scans", scans)
        sealed = scan_tables.seal(records, scans, run.contract, run.bold, config.resolved(run))
        if not worked and not sealed:
            call.say(f"{run.out} is finished and nothing is new: nothing to do")
        if moved:
            call.say(moved)
        report.say_pairs(scans, records.failures, call.out, run.splits, found, say=call.say,
                         seconds=time.perf_counter() - begin)
        return FAILED if records.failures else OK

    work = functools.partial(one_scan.pair_one, out=str(call.out), how=how)
    return collect(run, scan_tables.KIND, found, how, work, seal, call.say)


COMMAND = Command("pair", PairConfig, pair, makes="pairs", positional="paths", grows=True,
                  shared=lambda run: bool(run.part))
main = COMMAND
