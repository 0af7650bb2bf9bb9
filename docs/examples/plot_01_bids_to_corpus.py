"""
01. From a BIDS folder to a corpus
==================================

A *corpus* is a sealed folder of standardized windows, split by subject. ``neurofm ingest`` makes
one from files that MNE reads. A file that cannot be used is listed with its reason; it stops
nothing and it does not vanish. At the end there is a page by which you decide whether to trust the
corpus.
"""

# %%
# Some recordings
# ---------------
#
# ``neurofm simulate`` writes a folder with the names and tables of BIDS. Current dipoles in a
# spherical head drive EEG caps and a magnetometer array, each subject with two devices. Replace
# the folder by your own.
#
# ``neurofm.command`` runs what you type after ``neurofm`` in a terminal. ``cwd`` is the folder that
# the paths start from.

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import welch

import neurofm
from neurofm.pages import figure

work = Path(tempfile.mkdtemp())
neurofm.command("simulate --out bids --subjects 6 --minutes 1 --always [eeg19] "
                "--devices [eeg64,mag102]", cwd=work)
print(*sorted(str(path.relative_to(work)) for path in (work / "bids").rglob("*.fif"))[:4], sep="\n")

# %%
# Archives are never clean. We cut one file in the middle, and add 4 mV of noise to two electrodes
# of another. (``simulate`` has written a manifest with the hash of every file, by which ``ingest``
# would refuse what we change; archives from elsewhere have none.)

import mne

for name in ("manifest.json", "run.yaml"):
    (work / "bids" / name).unlink()
files = sorted((work / "bids").rglob("*eeg19*_eeg.fif"))
files[1].write_bytes(files[1].read_bytes()[:200_000])

raw = mne.io.read_raw_fif(files[2], preload=True, verbose="error")
rng = np.random.default_rng(0)
raw.apply_function(lambda x: x + 4e-3 * rng.standard_normal(len(x)), picks=["T7", "O2"])
raw.save(files[2], overwrite=True, verbose="error")

# %%
# Ingest
# ------
#
# The *contract* says what every window becomes: here 4 s at 128 Hz. Splits are by subject. The exit
# status is 3, not 0, because one file failed.

status = neurofm.command(
    "ingest bids --out corpus --contract.sfreq 128 --contract.lowpass_hz 45 --contract.window_s 4 "
    "--splits.validation [sub-005] --splits.test [sub-006]", cwd=work)
print("exit status:", status)

# %%
# Run it again after you repaired the file: only that file is read. ``corpus/quality.html`` is the
# page for people. It has the same content as the tables below.

corpus = neurofm.Corpus.open(work / "corpus")
table = corpus.recordings.set_index("recording")
table.index = [f"sub-{row.subject} {row.session}" for row in table.itertuples()]
quality = [json.loads(text) for text in table["quality"]]
table["amplitude"] = [", ".join(each["amplitude"].values()) for each in quality]
table["bad channels"] = [", ".join(each["bads"]) or "-" for each in quality]
print(table[["split", "n_channels", "n_windows", "amplitude", "bad channels"]].to_string())
print()
print((work / "corpus" / "failures.tsv").read_text())

# %%
# The two noisy electrodes of subject 003 were found and interpolated from their neighbors.
#
# What a model will see
# ---------------------
#
# One spectrum per recording, median over channels, after standardization. The line noise of the
# simulation (50 Hz) lies above the band and was removed. Every recording should have the same
# shape; one that stands apart deserves a look.

figure.style()
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), width_ratios=[3, 2],
                                  layout="constrained")
colors = dict(zip(["eeg19", "eeg64", "mag102"], figure.COLORS, strict=False))
for number, row in enumerate(corpus.recordings.itertuples()):
    windows = np.flatnonzero(corpus.windows["recording"] == number)
    signal = np.stack([corpus.signal(window) for window in windows])
    hz, power = welch(signal, fs=corpus.contract.sfreq, nperseg=256)
    level = 10 * np.log10(np.median(power.mean(axis=0), axis=0))
    left.plot(hz[1:], level[1:], color=colors[row.session], alpha=0.8, lw=1.3)
for name, color in colors.items():
    left.plot([], [], color=color, label=name)
left.axvspan(corpus.contract.lowpass_hz, 64, color="0.93", lw=0)
left.text(54.5, -2, "outside\nthe band", ha="center", va="top", color="0.4")
left.set(xlabel="Frequency (Hz)", ylabel="Power (dB, 1/Hz)", xlim=(0, 64), ylim=(-60, 0),
         title="Spectra after standardization, one line per recording")
left.legend(title="Device", loc="lower left")

splits = ["train", "validation", "test"]
bottom = np.zeros(3)
for name, color in colors.items():
    chosen = table[table["session"] == name]
    minutes = [chosen.loc[chosen["split"] == split, "duration_s"].sum() / 60 for split in splits]
    right.bar(splits, minutes, bottom=bottom, color=color, width=0.6)
    bottom += minutes
for place, split in enumerate(splits):
    n = table.loc[table["split"] == split, "subject"].nunique()
    right.text(place, bottom[place] + 0.1, f"{n} subject{'s' * (n > 1)}", ha="center", va="bottom")
right.set(ylabel="Duration (min)", ylim=(0, 8), title="Splits, by subject")
plt.show()

# %%
# The alpha peak near 10 Hz stands in all EEG. A minute a device is a toy; the same command takes an
# archive of thousands of files, in parallel, and ``--part 3/20`` does a share of it.
