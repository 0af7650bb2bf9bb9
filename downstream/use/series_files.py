"""Synthesized series as files under names of BIDS derivatives: table, sidecar, image over time."""

import csv
import logging
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from neurofm import artifacts, tsv

from .figures import COLORS, save, subplots

logger = logging.getLogger("neurofm.downstream")

_ROWS = 24  # regions above each other in a figure


def write(out: Path, series, rois: tuple[str, ...], model: str, fingerprint: str, atlas
          ) -> list[str]:
    """Write all files of a recording; returns their names. atlas: from `open_atlas`, or None."""
    stem = f"{series.name}_desc-synthesized"
    table = pd.DataFrame(series.values, columns=list(rois))
    tsv.write(table, out / f"{stem}_timeseries.tsv", float_format="%.5f", na_rep="n/a")
    artifacts.write_json(out / f"{stem}_timeseries.json", {
        "Description": "Time series of brain regions, synthesized from EEG: not measured.",
        "RepetitionTime": series.t_r, "StartTime": round(float(series.volume_s[0]), 6),
        "Units": "arbitrary (z-scored over the recording)", "Sources": [series.source],
        "GeneratedBy": [{"Name": "neurofm", "Version": version("neurofm"),
                         "Model": Path(model).name, "ModelFingerprint": fingerprint}],
    })
    files = [f"{stem}_timeseries.tsv", f"{stem}_timeseries.json", f"{stem}.png"]
    draw(out / f"{stem}.png", series, rois)
    if atlas is not None:
        files.append(f"{stem}_bold.nii.gz")
        write_image(out / files[-1], series, *atlas)
    return files


def open_atlas(path: str, labels: str, rois: tuple[str, ...]):
    """(image of labels, number of each region in it, 0 = not in it, such as a global mean). Raises
    ValueError where none is there, or a table lacks one."""
    import nibabel

    if not Path(path).is_file():
        raise ValueError(f"atlas: there is no file {path}")
    image = nibabel.load(path)
    numbers = {name: k + 1 for k, name in enumerate(rois)}
    if labels:
        with open(labels, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, delimiter="," if labels.endswith(".csv") else "\t"))
        if not rows or not {"name", "index"} <= rows[0].keys():
            raise ValueError(f"labels {labels}: wanted columns name and index, got "
                             f"{list(rows[0]) if rows else 'no rows'}")
        said = {row["name"]: int(row["index"]) for row in rows}
        if lost := [name for name in rois if name not in said]:
            raise ValueError(f"labels {labels}: wanted the model's regions, without "
                             f"{', '.join(lost[:5])}")
        numbers = {name: said[name] for name in rois}
    present = set(np.unique(np.asarray(image.dataobj)).astype(int).tolist())
    lost = [name for name, number in numbers.items() if number not in present]
    if len(lost) == len(rois):
        raise ValueError(f"atlas {path}: wanted labels of the model's {len(rois)} regions, its "
                         f"labels are {sorted(present - {0})[:10]} …: give --labels, a table of "
                         f"name and index")
    if lost:
        logger.warning("note: %d regions have no label in %s and are not in the image: %s",
                       len(lost), path, ", ".join(lost[:5]))
    return image, [numbers[name] if numbers[name] in present else 0 for name in rois]


def write_image(path: Path, series, image, numbers: list[int]) -> None:
    """Every voxel of a region has its value; float32, 0 elsewhere and where none is known."""
    import nibabel

    labels = np.asarray(image.dataobj).astype(int)
    data = np.zeros((*labels.shape, len(series.values)), dtype=np.float32)
    for column, number in enumerate(numbers):
        if number:
            data[labels == number] = np.nan_to_num(series.values[:, column])
    made = nibabel.Nifti1Image(data, image.affine)
    made.header.set_xyzt_units("mm", "sec")
    made.header["pixdim"][4] = series.t_r
    made.header["toffset"] = float(series.volume_s[0])
    made.header["descrip"] = b"synthesized from EEG"
    nibabel.save(made, path)


def draw(path: Path, series, rois: tuple[str, ...]) -> None:
    """All regions over time, in standard deviations, the measured ones behind where they are known.
    Many regions are in several columns."""
    n_columns = -(-len(rois) // _ROWS)
    n_rows = -(-len(rois) // n_columns)
    figure, axes = subplots(n_rows, n_columns, figsize=(10 + 5 * (n_columns - 1),
                                                        0.9 * n_rows + 0.9),
                            sharex=True, sharey=True, squeeze=False)
    every = axes.T.ravel()
    for ax in every[len(rois):]:
        ax.set_visible(False)
    for row, ax in enumerate(every[:len(rois)]):
        if series.measured is not None:
            ax.plot(series.volume_s, series.measured[:, row], color="#777777", lw=1.0,
                    label="measured")
        ax.plot(series.volume_s, series.values[:, row], color=COLORS[0], lw=1.2,
                label="synthesized")
        ax.set_title(rois[row], loc="left", fontsize=8, pad=2)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=7)
    for ax in [axes[(len(rois) - column * n_rows if column == n_columns - 1 else n_rows) - 1,
                    column] for column in range(n_columns)]:
        ax.set_xlabel("time from the EEG's first sample (s)")
        ax.tick_params(labelbottom=True)
    figure.supylabel("activity (standard deviations over the recording)", fontsize=9)
    if series.measured is not None:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, ncols=2,
                      loc="outside upper right")
    save(figure, path)
