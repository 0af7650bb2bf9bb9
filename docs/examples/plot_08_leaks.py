"""
08. Leaks: plant one and see it caught
======================================

A leak is information about the test subjects that reaches training. Scores then say how well things
are remembered. This example first shows how large the effect is, then plants three leaks and lets
neurofm find them.
"""

# %%
# How much a leak is worth
# ------------------------
#
# Sixteen simulated subjects, a minute each. Half of them, drawn at random, are called *patients*.
# The label means nothing, so an honest score is chance.

import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import neurofm
from neurofm.pages import figure

work = Path(tempfile.mkdtemp())
neurofm.command("simulate --out archive --subjects 16 --minutes 1 --always [] --devices [eeg19]",
                cwd=work)
contract = "--contract.sfreq 100 --contract.lowpass_hz 40 --contract.window_s 2 "
neurofm.command(f"ingest archive --out corpus {contract} --splits.fractions [1,0,0] "
                "--splits.test [sub-015,sub-016]", cwd=work)

corpus = neurofm.Corpus.open(work / "corpus")
every = np.arange(len(corpus))
signals = np.stack([corpus.signal(window) for window in every])
hz, power = welch(signals, fs=corpus.contract.sfreq, nperseg=200)
bands = [(1, 4), (4, 8), (8, 13), (13, 30)]
features = np.log(np.stack([power[..., (hz >= low) & (hz < high)].mean(-1) for low, high in bands],
                           axis=-1)).reshape(len(every), -1)
subjects = corpus.subjects(every)

classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
rng = np.random.default_rng(0)
scores = {"windows": [], "subjects": []}
for _ in range(20):
    patients = set(rng.permutation(sorted(set(subjects)))[:8])
    labels = np.array([subject in patients for subject in subjects])
    for name, folds in (("windows", KFold(4, shuffle=True, random_state=0)),
                        ("subjects", GroupKFold(4))):
        scores[name].append(cross_val_score(
            classifier, features, labels, groups=subjects if name == "subjects" else None,
            cv=folds, scoring="balanced_accuracy").mean())
for name, values in scores.items():
    print(f"split by {name}: balanced accuracy {np.mean(values):.2f} "
          f"({min(values):.2f} to {max(values):.2f} in 20 drawings of meaningless labels)")

# %%
# Windows of one person are alike. Where they stand on both sides, the classifier recognizes the
# person and looks the label up. neurofm splits by subject only; there is no option that mixes the
# windows of a recording.
#
# Leak 1: one recording under two names
# -------------------------------------
#
# Subject 001 is copied and becomes test subject 099. Archives with such copies exist. (``ingest``
# refuses files that were added to what ``simulate`` has sealed; archives from elsewhere have no
# manifest, so we take it away.)

for name in ("manifest.json", "run.yaml"):
    (work / "archive" / name).unlink()
source = next((work / "archive" / "sub-001").rglob("*_eeg.fif"))
copy = Path(str(source).replace("sub-001", "sub-099"))
copy.parent.mkdir(parents=True)
shutil.copy(source, copy)
event = "--label.source event --label.mapping '{left: left, right: right}'"
neurofm.command(f"ingest archive --out copied {contract} {event} --splits.fractions [1,0,0] "
                "--splits.validation [sub-013,sub-014] --splits.test [sub-016,sub-099]", cwd=work)
try:
    neurofm.command("evaluate decoding --data copied --methods [csp_lda] --out never", cwd=work)
except ValueError as refusal:
    print(f"\nrefused: {refusal}")

# %%
# Ingest says it in a note; the evaluation refuses.
#
# Leak 2: a subject in two splits
# -------------------------------

try:
    neurofm.command("ingest archive --out never --splits.test [sub-001] "
                    "--splits.validation [sub-001]", cwd=work)
except ValueError as refusal:
    print(f"refused: {refusal}")

# %%
# Leak 3: the model has seen the test subjects
# --------------------------------------------
#
# Every checkpoint carries a ledger of the recordings it was trained on, back to its tokenizer. Here
# a tokenizer is judged on its own training subjects. That is not refused, since one may want to
# know it, but it is said on the terminal, in ``results.json`` and at the top of the page.

neurofm.command(
    "pretrain --data corpus --out tokenizer --model brain_tokenizer "
    "--architecture '{window_length: 200, spatial: leadfield, ratios: [8, 4], n_filters: 4, "
    "dim: 24, n_levels: 2, n_codes: 64, phase: 0, quantize_from: 0.3}' "
    "--train.steps 30 --train.batch_windows 4 --train.lr 1e-2", cwd=work)
for split in ("train", "test"):
    neurofm.command(f"evaluate reconstruction --data corpus --model tokenizer --split {split} "
                    f"--out judged_on_{split}", cwd=work)
    flags = neurofm.Results.load(work / f"judged_on_{split}").flags
    print(f"\nflags, judged on {split} subjects:", *(flags or ["none"]))

# %%
# The price of a leak
# -------------------
#
# Each dot is one drawing of labels that mean nothing. Only the split differs.

figure.style()
fig, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
rows = [("windows", "Windows drawn at random\n(the leak)", figure.COLORS[1]),
        ("subjects", "By subject\n(neurofm's splits)", figure.COLORS[0])]
for place, (name, _, color) in enumerate(rows):
    beside = place + 0.22 * (rng.random(20) - 0.5)
    axis.scatter(scores[name], beside, s=30, color=color, alpha=0.6, lw=0)
    axis.plot([np.mean(scores[name])] * 2, [place - 0.25, place + 0.25], color="0.15", lw=2.5)
axis.axvline(0.5, color="0.5", ls="--", lw=1)
axis.text(0.505, 1.45, "chance: nothing can be decoded", color="0.4", va="center")
axis.set_yticks([0, 1], [words for _, words, _ in rows])
axis.set(xlabel="Balanced accuracy (cross-validated, band power and logistic regression)",
         xlim=(0.1, 1.0), ylim=(-0.5, 1.65), title="Random labels, sixteen subjects")
plt.show()

# %%
# The honest scores scatter widely around chance, below it too: sixteen subjects are few, and one
# drawing alone could have looked like a finding.
