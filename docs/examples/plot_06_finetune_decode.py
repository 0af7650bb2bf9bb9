"""
06. Fine-tune, and decode a new subject
=======================================

A decoder is a pretrained model with a small head that is trained on labels. People differ more from
each other than one person's states do. *Re-centering* takes each person's mean feature away. It
needs no label of the new person, but it needs some of their recording.
"""

# %%
# Data and a small pretrained model
# ---------------------------------
#
# Fourteen simulated subjects imagine moving the left or right hand. Four are held out as test
# subjects. The model is the one of examples 03 and 04, trained for some seconds on the same
# training subjects, in the band of the mu and beta rhythms.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA

import neurofm
from neurofm.pages import figure

work = Path(tempfile.mkdtemp())
neurofm.command("simulate --out archive --subjects 14 --minutes 2 --always [] --devices [eeg19] "
                "--reactivity 1.5", cwd=work)
neurofm.command(
    "ingest archive --out trials --contract.sfreq 100 --contract.highpass_hz 8 "
    "--contract.lowpass_hz 30 --contract.notch_hz [] --contract.window_s 4 "
    "--label.source event --label.mapping '{left: left, right: right}' --splits.fractions [1,0,0] "
    "--splits.validation [sub-001,sub-002] --splits.test [sub-003,sub-004,sub-005,sub-006]",
    cwd=work)
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
# Fine-tune
# ---------
#
# ``--decoder network`` trains a head on the pretrained model alone; the automatic decoder, which is
# the default, weighs these features beside band power and covariances. The head alone is trained
# here (``--mode frozen``). Validation subjects choose when to stop; test
# subjects are judged once, at the end.

neurofm.command("finetune --data trials --model brainomni --out decoder "
                "--decoder network --architecture.recentered true", cwd=work)

# %%
# Decode a new recording
# ----------------------
#
# A file as it came from the device, of a test subject. The decoder finds the events, brings the
# recording to its contract, re-centers on the recording's own windows, and names each trial.

recording = next((work / "archive" / "sub-004").rglob("*_eeg.fif"))
neurofm.command(["decode", recording, "--model", "decoder", "--events", "[left,right]",
                 "--out", "decoded"], cwd=work)
decoded = pd.read_csv(work / "decoded" / "predictions.tsv", sep="\t")
print(decoded.head(4).to_string(index=False))

# %%
# What re-centering does
# ----------------------
#
# Features of all training and test trials, as the head sees them, projected on the two directions
# of most variance. These subjects differ less than real ones do, since all have one template head.

corpus = neurofm.Corpus.open(work / "trials")
model = neurofm.load(work / "brainomni")
with torch.no_grad():
    features = model.pooled(corpus.batch(np.arange(len(corpus))), "covariances").numpy()
subjects = corpus.subjects(np.arange(len(corpus)))
centered = features.copy()
for subject in set(subjects):
    centered[subjects == subject] -= features[subjects == subject].mean(axis=0)


def between(values):
    """Share of the variance that is between subjects."""
    means = np.stack([values[subjects == one].mean(axis=0) for one in subjects])
    return means.var(axis=0).sum() / values.var(axis=0).sum()


print(f"variance between subjects: {between(features):.0%} before, {between(centered):.0%} after")
its_windows = subjects == next(name for name in subjects if name.endswith("004"))
labels = corpus.windows.loc[its_windows, "label"].to_numpy()
right = decoded["p_right"].to_numpy()
print(f"trials of the new subject named correctly: "
      f"{((right > 0.5) == (labels == 'right')).sum()} of {len(labels)}")

# %%

figure.style()
fig, (raw_axis, centered_axis, time_axis) = plt.subplots(
    1, 3, figsize=(11, 3.8), width_ratios=[1, 1, 1.3], layout="constrained")
point = PCA(2).fit_transform(features)
palette = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(set(subjects))))
for color, subject in zip(palette, sorted(set(subjects)), strict=True):
    raw_axis.scatter(*point[subjects == subject].T, s=10, color=color)
raw_axis.set(title="As they come: a color a subject\n", xlabel="First component",
             ylabel="Second component")
point = PCA(2).fit_transform(centered)
shades = {"left": figure.COLORS[0], "right": figure.COLORS[1]}
for name, color in shades.items():
    chosen = (corpus.windows["label"] == name).to_numpy()
    centered_axis.scatter(*point[chosen].T, s=10, color=color, label=name, alpha=0.7)
centered_axis.set(title="Re-centered: a color a class\n", xlabel="First component",
                  ylabel="Second component")
centered_axis.legend()

for name, color in shades.items():
    chosen = labels == name
    time_axis.scatter(decoded["start_s"][chosen], right[chosen], s=40, color=color,
                      label=f"imagined: {name}")
time_axis.axhline(0.5, color="0.5", ls="--", lw=1)
time_axis.set(xlabel="Time in the recording (s)", ylabel="Probability of right", ylim=(-0.03, 1.03),
              title="A new subject, trial by trial\n")
time_axis.legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, borderpad=0)
plt.show()

# %%
# The decoder's page (``decoded/report.html``) says the same in words, with what the decoder scored
# on its test subjects. Re-centering assumes that the recording holds both states: a person who
# imagines one hand only would have that taken for their average.
