"""
07. A comparison with baselines, and honest intervals
=====================================================

Does the pretrained model decode better than a simple method? ``neurofm evaluate decoding`` asks it
under one protocol: the same subjects train, choose settings and are judged, and every method may
try the same number of settings. Intervals are over subjects, because the question is about the next
person and not about the next trial.
"""

# %%
# Data and a small pretrained model
# ---------------------------------
#
# As in example 06, with six test subjects.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import neurofm
from neurofm.pages import figure

work = Path(tempfile.mkdtemp())
neurofm.command("simulate --out archive --subjects 14 --minutes 2 --always [] --devices [eeg19] "
                "--reactivity 1.5", cwd=work)
neurofm.command(
    "ingest archive --out trials --contract.sfreq 100 --contract.highpass_hz 8 "
    "--contract.lowpass_hz 30 --contract.notch_hz [] --contract.window_s 4 "
    "--label.source event --label.mapping '{left: left, right: right}' --splits.fractions [1,0,0] "
    "--splits.validation [sub-001,sub-002] "
    "--splits.test [sub-003,sub-004,sub-005,sub-006,sub-007,sub-008]", cwd=work)
neurofm.command(
    "pretrain --data trials --out tokenizer --model brain_tokenizer "
    "--architecture '{window_length: 200, spatial: leadfield, ratios: [4, 4], n_filters: 4, "
    "dim: 24, n_levels: 2, n_codes: 64, phase: 0, quantize_from: 0.3}' "
    "--train.steps 50 --train.batch_windows 4 --train.lr 1e-2 --train.beta2 0.99", cwd=work)
neurofm.command("tokenize --data trials --model tokenizer --out tokens", cwd=work)
neurofm.command(
    "pretrain --data tokens --tokenizer tokenizer --out brainomni --model brainomni "
    "--architecture '{dim: 32, n_heads: 4, n_blocks: 2, scaled_codes: true, neighbors: 5, "
    "head: codebook}' --train.steps 20 --train.batch_windows 8 --train.lr 4e-3", cwd=work)

# %%
# The comparison
# --------------
#
# ``frozen``: a linear head on the pretrained model. Beside it common spatial patterns, tangent
# space and band power, each with a linear classifier. Names with ``_recentered`` use all windows of
# a test subject, without labels.

neurofm.command(
    "evaluate decoding --data trials --model brainomni --seeds 1 --tuning 2 --out comparison "
    "--methods [frozen,frozen_recentered,csp_lda,tangent_lr_recentered,band_power_lr]", cwd=work)

# %%
# How to read it
# --------------

results = neurofm.Results.load(work / "comparison")
print(results.summary, "\n")
table = pd.read_csv(work / "comparison" / "table.tsv", sep="\t").set_index("method")
print(table[["balanced_accuracy", "low", "high", "chance_high", "p_chance", "difference", "p_holm"]]
      .to_string(float_format="{:.3f}".format))

# %%
# *low, high* bound the mean over subjects (95 %). *chance_high* is what the same predictions reach
# when labels are exchanged: with few trials chance is not exactly one half. *p_holm* compares each
# method with the best baseline, corrected for the number of comparisons.
#
# Naive intervals count trials as if they were independent. They are too narrow whenever subjects
# differ, and they always look better in a paper.

each = pd.read_csv(work / "comparison" / "subjects.tsv", sep="\t")
order = table.sort_values("balanced_accuracy").index
figure.style()
fig, axis = plt.subplots(figsize=(9, 4.2), layout="constrained")
for place, method in enumerate(order):
    row, own = table.loc[method], each[each["method"] == method]
    color = figure.COLORS[0] if row["kind"] == "network" else figure.COLORS[1]
    axis.plot([row["low"], row["high"]], [place] * 2, color=color, lw=3, solid_capstyle="round")
    axis.plot(row["balanced_accuracy"], place, "o", color=color, ms=9, mec="white")
    share, n = row["balanced_accuracy"], row["windows"]
    naive = 1.96 * np.sqrt(share * (1 - share) / n)
    axis.plot([share - naive, share + naive], [place - 0.28] * 2, color="0.6", lw=1.5)
    axis.scatter(own["balanced_accuracy"], np.full(len(own), place + 0.25), s=16, color=color,
                 alpha=0.5, lw=0)
    axis.plot([row["chance_low"], row["chance_high"]], [place] * 2, color="0.88", lw=12, zorder=0,
              solid_capstyle="butt")
axis.axvline(0.5, color="0.5", ls="--", lw=1)
for color, name in zip(figure.COLORS, ("pretrained network", "baseline"), strict=False):
    axis.plot([], [], "o-", color=color, lw=3, label=f"{name}, 95 % over subjects")
axis.plot([], [], ".", color="0.5", ms=8, label="a subject")
axis.plot([], [], color="0.6", lw=1.5, label="as if trials were independent")
axis.plot([], [], color="0.88", lw=8, label="exchanged labels, 95 %")
axis.set_yticks(range(len(order)), order)
axis.set(xlabel="Balanced accuracy", xlim=(0.3, 1.02),
         title=f"{int(table['subjects'].iloc[0])} test subjects, "
               f"{int(table['windows'].iloc[0])} trials")
fig.legend(loc="outside right upper")
plt.show()

# %%
# A model trained for seconds on eight subjects is no evidence for or against pretraining, and with
# six test subjects most differences cannot be told from chance: the page says so. On your data use
# ``--protocol.kind kfold``, five seeds or more, and as many subjects as you have.
