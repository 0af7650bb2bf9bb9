"""
11. From EEG to fMRI
====================

EEG and fMRI of the same minutes, on one clock. A model learns what BOLD of each region follows from
the EEG, and predicts it for people who were never in a scanner. What can be reached is limited:
deep regions are seen by EEG only through what goes with them.
"""

# %%
# Recordings inside the scanner
# -----------------------------
#
# Eight simulated subjects, four minutes each, at two repetition times. BOLD follows the power of
# the sources' rhythms (alpha negative in occipital cortex, positive in the thalamus) through a
# haemodynamic response; half of its variance is noise. EEG holds what heartbeats and head movements
# leave in a scanner.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.signal import detrend

import neurofm
from neurofm.pages import figure

work = Path(tempfile.mkdtemp())
neurofm.command("simulate --out archive --bold true --subjects 8 --minutes 4 --always [eeg19] "
                "--devices [] --devices_per_subject 0 --n_rois 11 --comodulation 0.5 "
                "--t_r_s [2.1,1.5]", cwd=work)

# %%
# Pairs
# -----
#
# ``neurofm pair`` finds the fMRI of each EEG, puts both on the clock of the volume triggers and
# stores whole scans. Subjects 007 and 008 are held out.

neurofm.command(
    "pair archive --rois archive/rois.tsv --contract.sfreq 100 --contract.highpass_hz 0.5 "
    "--contract.lowpass_hz 45 --contract.notch_hz [] --contract.scale recording_std "
    "--splits.fractions [1,0,0] --splits.validation [sub-006] --splits.test [sub-007,sub-008] "
    "--out pairs", cwd=work)

# %%
# Train, and compare with simple methods
# --------------------------------------
#
# Beside the model stand alpha power and the power of all bands through a haemodynamic response,
# each with a ridge. ``ceiling`` is what a prediction of the noise-free BOLD would reach, which only
# a simulation knows.

neurofm.command("pretrain --data pairs --model neurobolt_sequence --out model", cwd=work)
neurofm.command("evaluate bold --data pairs --model model --ceiling archive/ceiling_bold.tsv "
                "--methods [ours,band_power_hrf,alpha_hrf] --permutations 500 --out evaluation",
                cwd=work)
print(neurofm.Results.load(work / "evaluation").summary)

# %%
# A new person's EEG
# ------------------
#
# ``neurofm synthesize`` needs EEG alone. Given the measured fMRI too (``--partner``), its page says
# how near each region comes, beside what the same series shifted in time would reach.

eeg = next((work / "archive" / "sub-007").rglob("*_eeg.fif"))
neurofm.command(["synthesize", eeg, "--model", "model", "--out", "synthesized"], cwd=work)
predicted = pd.read_csv(next((work / "synthesized").glob("*_timeseries.tsv")), sep="\t")
print(predicted.head(3).to_string(index=False))

# %%
# What it reaches
# ---------------
#
# ``regions.tsv`` of the evaluation has the correlation of every region over both test subjects, and
# the ceiling.

regions = pd.read_csv(work / "evaluation" / "regions.tsv", sep="\t")
ours = regions[regions["method"] == "ours"].set_index("region").sort_values("r")
print(ours[["r", "low", "high", "ceiling", "moved_95"]].to_string(float_format="{:.2f}".format))

# %%
# Above, the region that is predicted best, as measured in the scanner (with its noise) and as
# predicted from EEG alone. Below, all regions. Gray bars end where a perfect prediction would: the
# noise of BOLD is beyond anybody's reach. The dashed line is what the same predictions reach when
# they are shifted in time (95 %), that is, by chance.

best = ours.index[-1]
measured = pd.read_csv(next((work / "archive" / "sub-007").rglob("*_timeseries.tsv")), sep="\t")
pair = pd.DataFrame({"measured": detrend(measured[best]), "predicted": predicted[best].to_numpy()})
pair = (pair - pair.mean()) / pair.std()
t_r = 2.1 if len(pair) < 130 else 1.5
seconds = np.arange(len(pair)) * t_r

figure.style()
fig, (trace, bars) = plt.subplots(2, 1, figsize=(10, 6), height_ratios=[1, 1.5],
                                  layout="constrained")
trace.plot(seconds, pair["measured"], color="0.35", lw=1, label="measured")
trace.plot(seconds, pair["predicted"], color=figure.COLORS[0], lw=1.6, label="predicted from EEG")
trace.set(xlabel="Time (s)", ylabel="BOLD (SD)", xlim=(0, seconds[-1]),
          title=f"{best}, subject 007: r = {pair.corr().iloc[0, 1]:.2f}")
trace.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 0.97))

looks = {"ours": (figure.COLORS[0], "o", "whole model"),
         "band_power_hrf": (figure.COLORS[1], "s", "band power, ridge"),
         "alpha_hrf": (figure.COLORS[2], "D", "alpha power")}
place = np.arange(len(ours))
bars.barh(place, ours["ceiling"], height=0.75, color="0.92", label="ceiling")
for k, (method, (color, marker, words)) in enumerate(looks.items()):
    row = regions[regions["method"] == method].set_index("region").loc[ours.index]
    at = place + 0.22 * (1 - k)
    bars.hlines(at, row["low"], row["high"], color=color, lw=1.5)
    bars.plot(row["r"], at, marker, color=color, ms=5, label=words)
bars.axvline(ours["moved_95"].mean(), color="0.4", ls="--", lw=1, label="shifted in time")
bars.axvline(0, color="0.7", lw=0.8)
bars.set_yticks(place, ours.index)
bars.set(xlabel="Correlation with measured BOLD (r); lines: range of the two subjects",
         title="Every region, two test subjects")
bars.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# Two test subjects and simulated physics: the order of the methods may differ in real recordings,
# and it does from data set to data set. ``neurofm evaluate bold`` states which regions are better
# than chance after correction, and that two subjects cannot show it against other people's scans.
