"""
09. A pretrained model in scikit-learn pipelines
================================================

``NeuroFMEmbedding`` is a transformer, ``NeuroFMClassifier`` a classifier. Both take ``mne.Epochs``
and follow scikit-learn's conventions, so pipelines, grid searches and MOABB's evaluations take
them.
"""

# %%
# Epochs of several subjects
# --------------------------
#
# Ten simulated subjects imagine movement of the left or right hand.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import neurofm
from neurofm.pages import figure

mne.set_log_level("error")
epochs, subjects = [], []
for subject in range(101, 111):
    raw = neurofm.simulate_raw("eeg19", subject=subject, minutes=2, reactivity=1.5)
    raw.filter(1, 45)
    events, ids = mne.events_from_annotations(raw, {"left": 0, "right": 1})
    own = mne.Epochs(raw, events, ids, tmin=0, tmax=4 - 1 / raw.info["sfreq"], baseline=None,
                     preload=True)
    epochs.append(own)
    subjects += [subject] * len(own)
epochs = mne.concatenate_epochs(epochs)
y, subjects = epochs.events[:, 2], np.array(subjects)
print(f"{len(epochs)} epochs of {len(set(subjects))} subjects")

# %%
# A pretrained model
# ------------------
#
# Pretrained for seconds on eight other subjects, without labels (examples 03 and 04). Use your own
# checkpoint, or the name of a published one.

work = Path(tempfile.mkdtemp())
neurofm.command("simulate --out archive --subjects 8 --minutes 1 --always [] --devices [eeg19]",
                cwd=work)
neurofm.command(
    "ingest archive --out corpus --contract.sfreq 100 --contract.highpass_hz 8 "
    "--contract.lowpass_hz 30 --contract.notch_hz [] --contract.window_s 4 "
    "--splits.fractions [1,0,0]", cwd=work)
neurofm.command(
    "pretrain --data corpus --out tokenizer --model brain_tokenizer "
    "--architecture '{window_length: 200, spatial: leadfield, ratios: [4, 4], n_filters: 4, "
    "dim: 24, n_levels: 2, n_codes: 64, phase: 0, quantize_from: 0.3}' "
    "--train.steps 50 --train.batch_windows 4 --train.lr 1e-2 --train.beta2 0.99", cwd=work)
neurofm.command("tokenize --data corpus --model tokenizer --out tokens", cwd=work)
neurofm.command(
    "pretrain --data tokens --tokenizer tokenizer --out brainomni --model brainomni "
    "--architecture '{dim: 32, n_heads: 4, n_blocks: 2, scaled_codes: true, neighbors: 5, "
    "head: codebook}' --train.steps 20 --train.batch_windows 8 --train.lr 4e-3", cwd=work)
model = neurofm.load(work / "brainomni")

# %%
# Features in a pipeline
# ----------------------
#
# The embedding learns nothing from epochs, so it may be computed once, outside of the
# cross-validation. (Inside, ``memory="FOLDER"`` does the same: each epoch is encoded once.)
# Whatever learns (scaler, classifier, its penalty) stays inside. Each subject is left out once; the
# penalty is chosen among the training subjects.

embedding = neurofm.NeuroFMEmbedding(model).fit(epochs)
X = embedding.transform(epochs)
print("features:", X.shape, "such as", *embedding.get_feature_names_out()[:3])

search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [1e-4, 1e-3, 1e-2]}, cv=3)
leave_one_out = LeaveOneGroupOut()
scores = {
    "pretrained features": cross_val_score(
        make_pipeline(StandardScaler(), search), X, y, groups=subjects, cv=leave_one_out),
    "CSP + LDA": cross_val_score(
        make_pipeline(mne.decoding.CSP(6, reg="oas", log=True), LinearDiscriminantAnalysis()),
        epochs.copy().filter(8, 30).get_data(copy=False), y, groups=subjects,
        cv=leave_one_out),
}

# %%
# The classifier is all in one: it trains a decoder, calibrates it, and can be saved for
# ``neurofm decode``. Here it is fitted once, on nine subjects. ``groups`` says whose each epoch is,
# so that the validation inside is by subject, too.

last = subjects == 110
classifier = neurofm.NeuroFMClassifier(model, random_state=0)
classifier.fit(epochs[~last], y[~last], groups=subjects[~last])
print(f"NeuroFMClassifier on subject 110: {classifier.score(epochs[last], y[last]):.2f} of "
      f"{last.sum()} epochs correct")
classifier.decoder_.save_pretrained(work / "decoder")

for name, values in scores.items():
    print(f"{name}: {values.mean():.3f}, subjects {values.min():.2f} to {values.max():.2f}")

# %%
# A line is a subject who was left out. Look at the pairs, not at the two means alone.

figure.style()
one, other = scores.values()
fig, (pairs, matrix) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for first, second in zip(other, one, strict=True):
    pairs.plot([0, 1], [first, second], "o-", color="0.7", mfc="white", ms=5, lw=1)
for place, (values, color) in enumerate([(other, figure.COLORS[1]), (one, figure.COLORS[0])]):
    resampled = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    at = place + (0.12 if place else -0.12)
    pairs.plot([at, at], [low, high], color=color, lw=3)
    pairs.plot(at, values.mean(), "o", color=color, ms=10, mec="white")
pairs.axhline(0.5, color="0.5", ls="--", lw=1)
pairs.text(0.5, 0.505, "chance", ha="center", va="bottom", color="0.4")
pairs.set_xticks([0, 1], ["CSP + LDA", "Pretrained features"])
pairs.set(ylabel="Accuracy", ylim=(0.35, 1.02), xlim=(-0.4, 1.4),
          title="Each subject left out once (95 % over subjects)")

weights = make_pipeline(StandardScaler(), search).fit(X, y)[-1].best_estimator_.coef_[0]
names = embedding.get_feature_names_out()
first = [k for k, name in enumerate(names) if name.startswith("covariance_")]
n = int((np.sqrt(8 * len(first) + 1) - 1) / 2)
table = np.zeros((n, n))
table[np.triu_indices(n)] = weights[first]
table += np.triu(table, 1).T
image = matrix.imshow(table, cmap="PuOr", vmin=-np.abs(table).max(), vmax=np.abs(table).max())
fig.colorbar(image, ax=matrix, label="Weight (toward right hand)")
matrix.set(xlabel="Latent source", ylabel="Latent source", title="What the classifier reads")
plt.show()

# %%
# CSP was made for this task and learns from its labels; the features were not. That both do about
# as well here says that the simulated effect is simple.
