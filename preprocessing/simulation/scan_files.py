"""Files of simulated scans, beside those of the EEG of the same minutes:

    rois.tsv, rois.nii.gz   regions: name and center (mm, MNI); spheres about them, a label each
    ceiling_bold.tsv        a row a recording and region: what a prediction of BOLD can reach
    sub-…/ses-…/func/…_timeseries.tsv, .json   a row a volume, a column a region; when they were

A time series is in per cent of the region's mean, which is left out.
"""

from pathlib import Path

import numpy as np

from neurofm import artifacts

from .bold import DRIVE_SFREQ
from .regions import names, write_image, write_table
from .residue import SLICES
from .scanner import TRIGGER, Scan


def write_scan(folder: Path, place: str, task: str, scan: Scan) -> dict:
    """Write a scan as `place`_timeseries.tsv and .json in `folder`; returns what
    `write_tables` wants to know of it."""
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    columns, t_r_s = names(scan.scanner.n_rois), scan.scanner.t_r_s
    volumes = scan.bold.noisy[: len(columns)].T
    rows = ["\t".join(columns), *("\t".join(f"{x:.6f}" for x in volume) for volume in volumes)]
    files = [f"{place}_timeseries.tsv", f"{place}_timeseries.json"]
    (folder / files[0]).write_text("\n".join(rows) + "\n")
    artifacts.write_json(folder / files[1], {
        "TaskName": task, "RepetitionTime": t_r_s, "SamplingFrequency": 1 / t_r_s,
        "StartTime": round(float(scan.onset_s[0]), 6), "NumberOfVolumes": len(volumes),
        "VolumeTrigger": TRIGGER, "NumberOfSlices": SLICES, "Columns": columns,
        "Units": "percent of mean",
    })  # fmt: skip
    return {"files": files, "t_r": t_r_s, "n_volumes": len(volumes), "ceilings": ceilings(scan)}


def files_of(sidecar: dict) -> list[str]:
    """Files of a recording besides its sidecar."""
    row = sidecar["Simulated"]
    return [row["file"], row["truth"], *sidecar.get("Scanned", {}).get("files", ())]


def write_tables(folder: Path, sidecars: list[dict], n_rois: int) -> list[str]:
    """Write what describes all scans; returns the names of these files and of the scans'.

    sidecars: of the recordings; those of scans hold what `write_scan` returned under "Scanned".
    """
    import pandas as pd

    files, rows = [], []
    for sidecar in (each for each in sidecars if "Scanned" in each):
        row, scanned = sidecar["Simulated"], sidecar["Scanned"]
        files += scanned["files"]
        rows += [
            {"file": scanned["files"][0], "eeg": row["file"], "subject": row["subject"],
             "device": row["device"], "run": row["run"], "t_r": scanned["t_r"],
             "n_volumes": scanned["n_volumes"], **each}
            for each in scanned["ceilings"]
        ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "ceiling_bold.tsv", sep="\t", index=False)
    write_table(folder / "rois.tsv", n_rois)
    write_image(folder / "rois.nii.gz", n_rois)
    return [*files, "ceiling_bold.tsv", "rois.tsv", "rois.nii.gz"]


def ceilings(scan: Scan) -> list[dict]:
    """A row a region. ceiling: Pearson of the series with the noise-free one, what someone who
    knows everything but the noise reaches. ceiling_eeg: with the part that generators of the EEG
    drive, what a perfect reading of the EEG reaches (0 where they are of other minutes)."""
    found = scan.bold
    return [
        {"region": name, "ceiling": round(_pearson(noisy, clean), 4),
         "ceiling_eeg": 0.0 if scan.scanner.unrelated else round(_pearson(noisy, seen), 4)}
        for name, noisy, clean, seen in zip(
            names(scan.scanner.n_rois), found.noisy, found.clean, found.seen, strict=False)
    ]  # fmt: skip


def truth(scan: Scan) -> dict[str, np.ndarray]:
    """What an analysis of a scan should find, for `np.load`.

    bold_clean, bold_seen: [region, volume], noise-free BOLD and the part of it that generators
    drive. bold_drive: [region, time] at drive_sfreq Hz from the EEG's first sample; hrf: [lag] at
    the same rate; bold_clean is bold_drive ⊛ hrf in the middle of each volume, half a repetition
    time after volume_onset_s. bold_weight: [region, generator], drive for a doubling of its power.
    region: names. beat_s, jerk_s: in the EEG.
    """
    found, n_rois = scan.bold, scan.scanner.n_rois
    return {
        "region": np.array(names(n_rois)),
        "bold_clean": found.clean[:n_rois], "bold_seen": found.seen[:n_rois],
        "bold_drive": found.drive[:n_rois].astype(np.float32),
        "bold_weight": found.weights[:n_rois],
        "drive_sfreq": np.array(DRIVE_SFREQ),
        "hrf": found.hrf, "hrf_peak_s": np.array(found.peak_s),
        "volume_onset_s": scan.onset_s,
        "beat_s": scan.body.beat_s, "jerk_s": scan.body.jerk_s, "jerk_size": scan.body.jerk_size,
    }  # fmt: skip


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])
