"""
10. fMRI: from an atlas to BrainMAE
===================================

Scans of fMRI enter as images and an atlas. Each region is a sensor at its center, at the scan's own
repetition time. BrainMAE learns by filling in regions that were hidden. Its rival is a good one:
the best linear prediction of a region from the others.
"""

# %%
# Scans
# -----
#
# ``neurofm simulate --bold true`` makes BOLD of eleven regions and a label image. We put each
# region's time series into its voxels, with noise in each voxel, so that there are images as from
# fMRIPrep. Replace the folder by yours; ``--fmri.confounds`` then takes what fMRIPrep found.

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel
import numpy as np
import pandas as pd
import torch

import neurofm
from neurofm.pages import figure

work = Path(tempfile.mkdtemp())
neurofm.command("simulate --out archive --bold true --subjects 12 --minutes 4 --always [eeg19] "
                "--devices [] --devices_per_subject 0 --n_rois 11 --comodulation 0.8 --bold_snr 2 "
                "--t_r_s [2.0,1.5]", cwd=work)
atlas = nibabel.load(work / "archive" / "rois.nii.gz")
labels = np.asarray(atlas.dataobj)
rng = np.random.default_rng(0)
for table in sorted((work / "archive").rglob("*_timeseries.tsv")):
    series = pd.read_csv(table, sep="\t").to_numpy().T  # [region, volume], percent of the mean
    image = 100 + rng.standard_normal((*labels.shape, series.shape[1]), dtype=np.float32)
    image[labels > 0] += series[labels[labels > 0] - 1]
    made = nibabel.Nifti1Image(image.astype(np.float32), atlas.affine)
    made.header.set_zooms((*atlas.header.get_zooms()[:3],
                           json.loads(table.with_suffix(".json").read_text())["RepetitionTime"]))
    made.header.set_xyzt_units("mm", "sec")
    name = table.name.replace("_timeseries.tsv", "_bold.nii")
    (work / "images").mkdir(exist_ok=True)
    nibabel.save(made, work / "images" / name)
print("an image:", image.shape, "and its atlas:", len(np.unique(labels)) - 1, "regions")

# %%
# A corpus of regions
# -------------------

neurofm.command(
    "ingest images --modality fmri --images.atlas archive/rois.nii.gz --out corpus "
    "--splits.fractions [1,0,0] --splits.validation [sub-009,sub-010] "
    "--splits.test [sub-011,sub-012]", cwd=work)

# %%
# Train, and judge on two other subjects
# --------------------------------------

neurofm.command(
    "pretrain --data corpus --out brainmae --model brainmae "
    "--architecture '{dim: 32, n_heads: 4, n_static: 1, n_adaptive: 1, n_blocks: 1, n_factors: 8}' "
    "--train.steps 60 --train.batch_windows 4 --train.lr 3e-3", cwd=work)
neurofm.command("evaluate hidden-regions --data corpus --model brainmae --shares [0.2,0.5,0.8] "
                "--out filled", cwd=work)
scores = pd.read_csv(work / "filled" / "table.tsv", sep="\t")
print(scores[["hidden", "share", "r2_model", "r2_ridge", "r2_random", "difference", "low", "high"]]
      .to_string(index=False))

# %%
# *share* of the regions is hidden, in each segment or in the whole scan. A difference from ridge
# whose interval holds 0 says nothing either way, and two test subjects cannot say much.
# ``r2_random`` is the same network before training.
#
# Region by region
# ----------------
#
# Each region alone is hidden in all of a test subject's scan, and filled in from the ten others.

corpus, model = neurofm.Corpus.open(work / "corpus"), neurofm.load(work / "brainmae")
windows = corpus.select("test")
batch = corpus.batch(windows)
with torch.no_grad():
    segments = model.cut(batch)
    r2, filled = [], []
    for region in range(batch.signal.shape[1]):
        hidden = torch.zeros(len(windows), segments.valid.shape[1], batch.signal.shape[1],
                             dtype=torch.bool)
        hidden[..., region] = True
        made = model.fill_in(batch, hidden)[0][:, region]  # [scan, segment, volume]
        true, counted = segments.volumes[:, region], segments.measured & segments.valid[..., None]
        error = torch.square(true - made)[counted].sum() / torch.square(true)[counted].sum()
        r2.append(1 - float(error))
        filled.append((true, made, counted))
names = [line.split("\t")[0] for line in
         (work / "archive" / "rois.tsv").read_text().splitlines()[1:]]
for name, value in sorted(zip(names, r2, strict=True), key=lambda pair: -pair[1]):
    print(f"{name:16} R² = {value:.2f}")

# %%

figure.style()
fig = plt.figure(figsize=(10.5, 5.6), layout="constrained")
grid = fig.add_gridspec(2, 3, width_ratios=[1.1, 1.1, 1.3])
trace = fig.add_subplot(grid[0, :])
best = int(np.argmax(r2))
true, made, counted = filled[best]
t_r = float(batch.t_r[0])
measured, predicted = true[0][counted[0]], made[0][counted[0]]
seconds = np.arange(len(measured)) * t_r
trace.plot(seconds, measured, color="0.25", lw=1.2, label="measured (hidden from the model)")
trace.plot(seconds, predicted, color=figure.COLORS[1], lw=1.4, label="filled in by BrainMAE")
trace.set(xlabel="Time (s)", ylabel="BOLD (SD)", xlim=(0, seconds[-1]),
          title=f"{names[best]}, subject {corpus.recordings['subject'].iloc[-2]}, "
                f"t_r = {t_r:g} s: R² = {r2[best]:.2f} over both test subjects")
trace.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)

places = pd.read_csv(work / "archive" / "rois.tsv", sep="\t")
views = (("x", "y", "From above"), ("y", "z", "From the side"))
for column, (one, other, view) in enumerate(views):
    axis = fig.add_subplot(grid[1, column])
    image = axis.scatter(places[one], places[other], c=r2, s=180, cmap="viridis", vmin=0, vmax=0.6,
                         edgecolor="0.3", lw=0.6)
    axis.set(xlabel=f"{one} (mm, MNI)", ylabel=f"{other} (mm, MNI)", title=view, aspect="equal")
    axis.set(xlim=(-115, 75) if one == "y" else (-95, 95), ylim=(-115, 75))
fig.colorbar(image, ax=axis, label="R² when hidden")

compared = fig.add_subplot(grid[1, 2])
whole = scores[scores["hidden"] == "whole scan"]
for name, words, color, marker in (("r2_model", "BrainMAE", figure.COLORS[0], "o"),
                                   ("r2_ridge", "ridge", figure.COLORS[1], "s"),
                                   ("r2_random", "random weights", "0.5", "D")):
    compared.plot(whole["share"], whole[name], marker=marker, color=color, label=words)
compared.axhline(0, color="0.7", lw=0.8)
compared.set(xlabel="Share of regions hidden", ylabel="R² of the hidden regions",
             title="Beside the best linear guess", xticks=whole["share"])
compared.legend()
plt.show()

# %%
# With eleven regions and eight training subjects ridge is hard to beat. BrainMAE's case is made on
# hundreds of regions; the page in ``filled/`` has the same table for any corpus.
