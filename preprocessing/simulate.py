"""Simulate EEG, MEG and fMRI recordings, and T1-weighted images, with known sources and labels.

`neurofm simulate --out folder` writes FIF files that `neurofm ingest` reads like any archive:

    sub-001/ses-eeg64/eeg/sub-001_ses-eeg64_task-imagery_run-01_eeg.fif   trials as annotations
    sub-001/ses-eeg64/eeg/sub-001_ses-eeg64_task-imagery_run-01_eeg.json  what it is; its ceiling
    participants.tsv   age (alpha slows and 1/f flattens with it), sex, devices (t_r of a scanner)
    ceiling.tsv        a row a recording: Pearson of noisy with noise-free signal
    truth/….npz        a file a recording: lead field, dipoles, what drives them

With `--bold true` the EEG is recorded in an fMRI scanner, whose volumes are annotations R149:

    sub-001/ses-eeg64/func/sub-001_ses-eeg64_task-imagery_run-01_timeseries.tsv   BOLD of regions
    rois.tsv, rois.nii.gz, ceiling_bold.tsv   see `neurofm.preprocessing.simulation.scan_files`

With `--t1 true` people have a T1 and resting fMRI instead, see
`neurofm.preprocessing.simulation.brain_archive`.

Names, tables and sidecars are those of BIDS (a visit to a device is a session), but for one thing:
BIDS has no FIF files for EEG, and other formats would not keep positions and annotations as they
are. A recording depends on (seed, subject, device, run) alone: neither on the order nor on what
else is simulated. The physics is in `neurofm.preprocessing.simulation`.
"""

import difflib
import functools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from neurofm import artifacts, lock, processes, progress
from neurofm.journal import Journal
from neurofm.limits import Count, Positive, Share, limited
from neurofm.run import Command, Job, Made

from . import simulate_brains
from .brain_rule import BrainRule
from .collect import PRELOAD, attempt
from .simulate_brains import SETTINGS

if TYPE_CHECKING:
    import mne

TASK = "imagery"


@dataclass(frozen=True)
@limited
class SimulateConfig:
    """Simulate recordings of subjects who imagine moving the left or right hand.

    Parameters
    ----------
    out
        Folder of the archive.
    subjects
        Number of subjects.
    first_subject
        Number of the first subject; other numbers are other subjects.
    runs
        Recordings per subject and device.
    minutes
        Duration of a recording.
    always
        Devices used for every subject.
    devices
        Devices that alternate between subjects.
    devices_per_subject
        Number of `devices` per subject; 0 = all.
    reactivity
        Scale of the mu and beta response to imagined movement; 0 = labels carry no information.
    noise
        Scale of sensor noise and line noise.
    blinks_per_minute
        Eye blinks; 0 = none.
    trial_s
        Duration of a trial.
    comodulation
        Share of slow amplitude modulation that brain areas have in common (0 to 1).
    seed
        Another seed gives another population with the same anatomy template.
    bold
        Record EEG inside an fMRI scanner: adds BOLD of regions, and residual heartbeat and motion
        artifacts in the EEG. The settings below are of the scanner.
    t_r_s
        Repetition times in seconds, alternating between subjects.
    n_rois
        Number of regions.
    bold_snr
        Standard deviation of noise-free BOLD divided by that of the noise.
    bcg_uv
        Peak of the residual heartbeat artifact at a typical channel, µV.
    motion_per_minute
        Head movements per minute.
    gradient_residue_uv
        Amplitude of the residual gradient artifact at the slice frequency, µV; 0 = none.
    unrelated
        Take BOLD from other minutes, so that EEG carries no information about it (null
        simulation).
    t1
        Simulate a T1-weighted image and resting fMRI of each subject instead, with a trait that
        lies half in either. Of the settings above subjects, first_subject, minutes, t_r_s (one a
        site) and seed count.
    brains
        Settings of those.
    jobs
        Recordings simulated at once, a process each; the bytes are the same.
    """

    out: str
    subjects: Count = 24
    first_subject: int = 1
    runs: Count = 1
    minutes: Positive = 3.0
    always: tuple[str, ...] = ("eeg64",)
    devices: tuple[str, ...] = ("eeg19", "eeg32", "mag102", "axial100")
    devices_per_subject: int = 1
    reactivity: float = 1.0
    noise: float = 1.0
    blinks_per_minute: float = 4.0
    trial_s: Positive = 4.0
    comodulation: Share = 0.0
    seed: int = 0
    bold: bool = False
    t_r_s: tuple[Positive, ...] = (2.1, 1.5, 3.0)
    n_rois: Count = 12
    bold_snr: Positive = 1.0
    bcg_uv: float = 3.0
    motion_per_minute: float = 0.3
    gradient_residue_uv: float = 0.0
    unrelated: bool = False
    t1: bool = False
    brains: BrainRule = field(default_factory=BrainRule)
    jobs: Count = 1

    def __post_init__(self):
        for name in ("always", "devices", "t_r_s"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.t1:
            simulate_brains.check(self)
            return
        if self.brains != BrainRule():
            raise ValueError("brains would be ignored: it is of t1: true")
        if not self.always and not self.devices:
            raise ValueError("no device to record with: name some in `always` or `devices`")
        if not 0 <= self.devices_per_subject <= len(self.devices):
            raise ValueError(
                f"devices_per_subject must be in 0 … {len(self.devices)} (the number of `devices`; "
                f"0 = all), got {self.devices_per_subject}"
            )
        named = [*self.always, *self.devices]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(
                f"a device stands once, either in `always` or in `devices`; twice are {twice}"
            )
        shortest = (self.trial_s + 3.0) * 2 + 4.0
        if self.minutes * 60 < shortest:
            raise ValueError(
                f"minutes must leave room for a trial of each label: ≥ {shortest / 60:.2f}, "
                f"got {self.minutes}"
            )
        if not self.t_r_s:
            raise ValueError("t_r_s wants one repetition time or more, got none")
        for subject in range(len(self.t_r_s)):
            self.scanner(subject)
        if self.unrelated and not self.bold:
            raise ValueError("unrelated says what BOLD is made of, but there is none: set bold too")
        least_s = 8.0 + 5 * max(self.t_r_s)  # the first volume comes 5 to 8 s after the EEG begins
        if self.bold and self.minutes * 60 < least_s:
            raise ValueError(f"minutes must leave room for 5 volumes of {max(self.t_r_s):g} s: "
                             f"≥ {least_s / 60:.2f}, got {self.minutes}")

    def scanner(self, subject: int):
        """The scanner as it is set for a subject. Raises ValueError if none can be set so."""
        from .simulation import Scanner

        return Scanner(
            float(self.t_r_s[(subject - 1) % len(self.t_r_s)]), self.n_rois, self.bold_snr,
            self.bcg_uv, self.motion_per_minute, self.gradient_residue_uv, self.unrelated,
        )


@dataclass(frozen=True)
class Take:
    """One recording to make."""

    subject: int
    device: str
    run: int

    @property
    def name(self) -> str:
        return f"sub-{self.subject:03d}_ses-{self.device}_task-{TASK}_run-{self.run:02d}"


def simulate(run: SimulateConfig) -> Path:
    """The archive that `run` describes; a finished one is left alone, a begun one finished.

    Raises ValueError when the folder holds another simulation, or other things.
    """
    COMMAND.run(run)
    return Path(run.out)


def _simulate(run: SimulateConfig, job: Job) -> Made:
    """Make the recordings that are not there, then the tables of all."""
    if run.t1:
        return simulate_brains.make(run, job)
    from .simulation import DEVICES, archive_tables, scan_files

    unknown = [name for name in (*run.always, *run.devices) if name not in DEVICES]
    if unknown:
        near = difflib.get_close_matches(unknown[0], DEVICES, n=1)
        raise ValueError(f"unknown device {unknown[0]!r}; "
                         + (f"did you mean {near[0]!r}? " if near else "")
                         + f"There are {', '.join(DEVICES)}")
    if run.bold and not any(DEVICES[name].datatype == "eeg" for name in run.always + run.devices):
        raise ValueError(f"bold wants an EEG device, since no other works in a scanner; got "
                         f"{', '.join(run.always + run.devices)}: add one of "
                         f"{', '.join(n for n, each in DEVICES.items() if each.datatype == 'eeg')}")
    folder, wanted = job.out, takes(run)
    (folder / "truth").mkdir(exist_ok=True)
    settings = {key: value for key, value in job.config.items() if key not in ("out", "jobs")}
    (folder / SETTINGS).write_text(yaml.safe_dump(settings, sort_keys=False))
    made = _all(folder, run, wanted)
    rows = [sidecar["Simulated"] for sidecar in made]
    files = [SETTINGS, *archive_tables.write(folder, run, rows)]
    for row in rows:
        files += [row["file"], str(Path(row["file"]).with_suffix(".json")), row["truth"]]
    if run.bold:
        files += scan_files.write_tables(folder, made, run.n_rois)
    return Made(files, said=[f"{folder}: {len(wanted)} recordings of {run.subjects} subjects"],
                next=f"neurofm ingest {folder} --out corpus")


def _begun(folder: Path) -> bool:
    """Whether a simulation was begun here. Raises ValueError where other things are."""
    inside = {path.name for path in folder.iterdir()} - {lock.NAME, artifacts.CLAIM}
    if inside and SETTINGS not in inside and "truth" not in inside:
        raise ValueError(f"--out {folder}: wanted a new folder or one that simulate made, but it "
                         f"holds other things; choose another --out")
    return bool(inside)


COMMAND = Command("simulate", SimulateConfig, _simulate, makes="archive", begun=_begun,
                  free=frozenset({"jobs"}))
main = COMMAND


def takes(run: SimulateConfig) -> list[Take]:
    """The recordings of an archive, subject by subject."""
    found = []
    n = run.devices_per_subject or len(run.devices)
    for subject in range(run.first_subject, run.first_subject + run.subjects):
        turns = [run.devices[(subject * n + i) % len(run.devices)] for i in range(n)]
        for device in (*run.always, *turns):
            found += [Take(subject, device, i + 1) for i in range(run.runs)]
    return found


def take_of(run: SimulateConfig, take: Take):
    """(brain, activity, measurement) of one recording: what the files are made of."""
    from .simulation import brain, live, record, seed_of

    which = (take.subject, take.device, take.run)
    person = brain(seed_of(run.seed, "brain", take.subject), run.reactivity)
    activity = live(
        person, seed_of(run.seed, "activity", *which), round(run.minutes * 60),
        run.trial_s, run.blinks_per_minute, run.comodulation,
    )
    measured = record(
        person, activity, take.device, seed_of(run.seed, "device", *which), run.noise
    )
    return person, activity, measured


def simulate_raw(
    device: str = "eeg64", *, subject: int = 1, minutes: float = 3.0, reactivity: float = 1.0,
    noise: float = 1.0, seed: int = 0,
) -> "mne.io.Raw":
    """One recording in memory: what `neurofm simulate` with these settings writes to a file.

    Parameters
    ----------
    device
        A device of `neurofm.preprocessing.simulation.DEVICES`: eeg19, eeg32, eeg64, mag102, …
    subject
        Number of the subject; other numbers are other brains.
    minutes, reactivity, noise, seed
        As in `SimulateConfig`.

    Returns
    -------
    mne.io.Raw
        Volts and tesla; annotations "left" and "right" mark trials of imagined movement.
    """
    run = SimulateConfig(".", 1, subject, 1, minutes, (device,), (), 0, reactivity, noise,
                         seed=seed)
    return take_of(run, Take(subject, device, 1))[2].raw


def scan_of(run: SimulateConfig, take: Take, person, activity, measured):
    """(measurement, scan) of an EEG recording inside the scanner, from what `take_of` returns."""
    from .simulation import live, scan, seed_of

    which = (take.subject, take.device, take.run)
    if run.unrelated:
        activity = live(
            person, seed_of(run.seed, "unrelated activity", *which), round(run.minutes * 60),
            run.trial_s, run.blinks_per_minute, run.comodulation,
        )
    return scan(
        person, activity, measured, run.scanner(take.subject),
        seed_of(run.seed, "scanned", take.subject), seed_of(run.seed, "scan", *which),
    )


def _all(folder: Path, run: SimulateConfig, wanted: list[Take]) -> list[dict]:
    """The sidecars of all recordings, in order; those that are not there are made."""
    from threadpoolctl import threadpool_limits

    shown = functools.partial(progress.each, total=len(wanted), what="simulate")
    if run.jobs == 1:
        with threadpool_limits(1):  # as in the processes below: the same sums, the same bytes
            return [_one(folder, run, take) for take in shown(wanted)]
    work = functools.partial(_tried, folder, run)
    for take, problem in shown(processes.run(work, wanted, run.jobs, preload=PRELOAD)):
        if problem is not None:
            raise ValueError(f"{take.name}: {problem}; the same command goes on")
    return [_one(folder, run, take) for take in wanted]


def _tried(folder: Path, run: SimulateConfig, take: Take) -> str | None:
    """None once the recording is there, or the reason why it could not be made."""
    return attempt(lambda: _one(folder, run, take))


def _one(folder: Path, run: SimulateConfig, take: Take) -> dict:
    """Make one recording unless it is there; returns its sidecar, which holds its row of
    `ceiling.tsv` and, of a scanned one, its files and rows of `ceiling_bold.tsv`."""
    from .simulation import DEVICES, ceiling, scan_files
    from .simulation.truth import truth_of

    datatype = DEVICES[take.device].datatype
    place = f"sub-{take.subject:03d}/ses-{take.device}/{datatype}/{take.name}_{datatype}"
    sidecar, journal = folder / f"{place}.json", Journal(folder)
    if journal.kept(f"{place}.json"):  # written last
        content = json.loads(sidecar.read_text())
        if all(map(journal.kept, scan_files.files_of(content))):
            return content
    sidecar.parent.mkdir(parents=True, exist_ok=True)
    person, activity, measured = take_of(run, take)
    truth, scanned = truth_of(person, measured), {}
    if run.bold and datatype == "eeg":
        measured, scan = scan_of(run, take, person, activity, measured)
        truth |= scan_files.truth(scan)
        place_of_scan = f"sub-{take.subject:03d}/ses-{take.device}/func/{take.name}"
        scanned = {"Scanned": scan_files.write_scan(folder, place_of_scan, TASK, scan)}
    raw = measured.raw
    noisy, sfreq = raw.get_data().astype(np.float32), raw.info["sfreq"]
    row = {
        "file": f"{place}.fif", "truth": f"truth/{take.name}.npz",
        "subject": f"{take.subject:03d}", "device": take.device, "run": f"{take.run:02d}",
        "age": person.age, "sex": person.sex,
        "sfreq": sfreq, "n_channels": len(noisy), "n_trials": len(activity.trials),
        "ceiling_2s": round(ceiling(noisy, measured.clean, sfreq, 2.0), 4),
        "ceiling_10s": round(ceiling(noisy, measured.clean, sfreq, 10.0), 4),
    }  # fmt: skip
    with open(folder / row["truth"], "wb") as file:
        np.savez(file, **truth)  # type: ignore[arg-type] # none of them is `allow_pickle`
    unfinished = sidecar.with_name(f"unfinished_{datatype}.fif")
    raw.save(unfinished, overwrite=True, verbose="error")
    os.replace(unfinished, folder / row["file"])
    content = {
        "TaskName": TASK, "SamplingFrequency": sfreq, "PowerLineFrequency": 50.0, "Simulated": row,
        **scanned,
    }  # fmt: skip
    artifacts.write_json(sidecar, content)
    for name in (*scan_files.files_of(content), f"{place}.json"):
        journal.note(name, artifacts.sha256(folder / name))
    return content
