"""Make pairs out of EEG and fMRI measured together: read, put on one clock, standardize, seal.

    neurofm pair PATH… --out pairs/ [--config run.yaml] [--key value …]

Every finished scan leaves its signals and a small record in the folder, so an interrupted run
continues, and a later one does only what failed, is new or has changed.
"""

import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from neurofm import artifacts, config
from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract

from . import archive, montage
from .pairing import one_scan, partner, records, report
from .pairing.one_scan import Pairing
from .progress import Progress
from .readers import ArrayTable, ImageTable, ReadError, ReadOptions
from .splits import SplitRule
from .steps.refusal import ContractError, some

FAILED = 3  # exit status when some scans failed, whatever became of the others
_NOT_EEG = ("EOG1", "EOG2", "EMG1", "EMG2", "EMG3", "ECG")  # of the NeuroBOLT data


def _eeg() -> InputContract:
    return InputContract(sfreq=200.0, highpass_hz=0.5, lowpass_hz=70.0, kinds=("eeg",),
                         scale="recording_std")


def _bold() -> FMRIContract:
    return FMRIContract(highpass_hz=None, lowpass_hz=0.15)  # as in arXiv 2410.05341


def _arrays() -> ArrayTable:
    return ArrayTable(kind="roi", unit="1")


@dataclass
class PairConfig:
    """Files and folders of EEG, and the fMRI beside them → pairs.

    Parameters
    ----------
    paths
        EEG files, or folders (searched through); BIDS folders are recognized.
    out
        Folder of the pairs.
    contract
        What every EEG becomes, as a whole scan.
    bold
        How regions are to be cleaned when they are used; scans are stored as they came.
    partner
        Parts of the EEG's path, and what stands for them in the path of its fMRI: a table of
        volumes and regions (.tsv, .csv, .npy, .mat, .pkl …) or an image (…bold.nii.gz).
    trigger
        Annotation of the EEG at each volume, its name or a word of it.
    delay_s
        Seconds from the EEG's first sample to the first volume, where no triggers were
        recorded: then none are looked for.
    t_r
        Repetition time in seconds, or the key that says it in the .json beside the fMRI; "" =
        RepetitionTime there, else the spacing of the triggers.
    images
        How to read images of fMRI.
    arrays
        How to read tables.
    rois
        Table of regions' centers (.tsv: name, x, y, z in mm).
    drop
        Channels that are no EEG although the file says so.
    montage
        Of MNE, for electrodes without positions in the file.
    rename
        Channel name in the files → electrode.
    dataset
        Name of the data set instead of the folder's.
    files, table
        Whose recordings those of plain folders are (see `whose`).
    exclude
        Regular expressions of paths to pass over.
    splits
        Who is held out.
    """

    paths: list[str]
    out: str
    contract: InputContract = field(default_factory=_eeg)
    bold: FMRIContract = field(default_factory=_bold)
    partner: dict[str, str] = field(
        default_factory=lambda: {"/eeg/": "/func/", "_eeg.fif": "_timeseries.tsv"})
    trigger: str = "R149"
    delay_s: float | None = None
    t_r: str = ""
    images: ImageTable = field(default_factory=ImageTable)
    arrays: ArrayTable = field(default_factory=_arrays)
    rois: str = ""
    drop: list[str] = field(default_factory=lambda: list(_NOT_EEG))
    montage: str = "standard_1005"
    rename: dict[str, str] = field(default_factory=dict)
    dataset: str | None = None
    files: list[dict[str, str]] = field(default_factory=list)
    table: str = ""
    exclude: list[str] = field(default_factory=list)
    splits: SplitRule = field(default_factory=SplitRule)

    def __post_init__(self):
        if not self.paths:
            raise ValueError("give files or folders of EEG: neurofm pair PATH… --out pairs/")
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
                              images=self.images)
        return Pairing(self.contract, self.bold, self.partner, self.trigger, self.delay_s, self.t_r,
                       tuple(self.drop), self.rois, reading)


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 all well, 2 the command line, 3 some scans failed, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    return pair(config.parse(PairConfig, argv, command="pair", positional="paths"))


def pair(run: PairConfig) -> int:
    """Pair and seal; prints what it does. Returns the exit status."""
    begin = time.perf_counter()
    if run.montage != "standard_1005":
        montage.look_up([], run.montage)  # a typing error is one message, not one a scan
    found = archive.find(run.paths, dataset=run.dataset, files=run.files, table=run.table,
                         exclude=run.exclude)
    with records.alone(run.out):
        kept = records.Records.open(run.out, run.pairing.to_dict())
        _clear_up(run, kept, found)
        failures = list(found.missing)
        todo = _what_to_do(run, kept, found, failures)
        try:
            failures += _do(todo, Path(run.out), run.pairing, kept)
        except KeyboardInterrupt:
            print("interrupted: what is finished is kept; run the same command again to go on")
            return 130
        return _seal(run, kept, found, failures, bool(todo), begin)


def _clear_up(run: PairConfig, kept: records.Records, found) -> None:
    """Forget scans that are excluded by now, or have another name by a changed table."""
    names = {job.path: job.id for job in found.jobs}
    for name, record in list(kept.finished.items()):
        excluded = any(re.search(pattern, record["row"]["source"]) for pattern in run.exclude)
        if excluded or names.get(record["files"][0], name) != name:
            kept.forget(name)


def _what_to_do(run: PairConfig, kept: records.Records, found, failures: list) -> list:
    """(job, its fMRI, stamp of it) of scans that are not finished; those without go to failures."""
    todo, unchanged = [], 0
    for job in found.jobs:
        try:
            fmri = partner.find(job.path, job.source, run.partner)
        except ValueError as error:
            failures.append((job.source, _reason(error)))
            kept.forget(job.id)
            continue
        stamp = records.stamp(fmri, partner.sidecar(fmri))
        if kept.is_current(job, stamp):
            unchanged += 1
        else:
            todo.append((job, fmri, stamp))
    parts = [f"{len(found.jobs)} EEG recordings found"]
    if unchanged:
        parts.append(f"{unchanged} unchanged and already in {run.out}")
    if unchanged and todo:
        parts.append(f"{len(todo)} new, changed or unfinished")
    print("; ".join(parts))
    return todo


def _do(todo: list, out: Path, how: Pairing, kept: records.Records) -> list[tuple[str, str]]:
    """Do the scans one after the other; returns (source, reason) of those that failed."""
    failures = []
    with Progress(len(todo), "pair") as progress:
        for job, fmri, stamp in todo:
            kept.forget(job.id)
            try:
                done = one_scan.pair_one(job, fmri, out, how, kept.rois())
                artifacts.unseal(out)
                kept.keep(job, stamp, done)
            except Exception as error:  # whatever it is, it must not stop the other scans
                failures.append((job.source, _reason(error)))
                progress.say(f"failed: {job.source}: {failures[-1][1]}")
            progress.advance()
    return failures


def _reason(error: Exception) -> str:
    if isinstance(error, ReadError | ContractError):
        return error.reason
    if isinstance(error, MemoryError):
        return "memory ran out"
    known = isinstance(error, ValueError | OSError)
    return str(error) if known else f"unexpected {type(error).__name__}: {error}"


def _seal(run: PairConfig, kept: records.Records, found, failures, worked: bool, begin) -> int:
    if not kept.finished:
        artifacts.unseal(run.out)
        passed = [f"{n} {kind}" for kind, n in found.passed_over.most_common(6)]
        print(f"nothing was paired: {len(failures)} failed" if failures else
              f"no EEG was found; nothing was paired (files of other kinds: {some(passed)})")
        report.print_failures(failures)
        return FAILED
    scans = kept.scans(run.splits)
    sealed = kept.seal(scans, failures, run.contract, run.bold, config.resolved(run))
    if not worked and not sealed:
        print(f"{run.out} is finished and nothing is new: nothing to do")
    report.print_all(scans, failures, Path(run.out), run.splits, found,
                     seconds=time.perf_counter() - begin)
    return FAILED if failures else 0
