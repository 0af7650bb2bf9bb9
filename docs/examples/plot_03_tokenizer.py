"""
03. Train a tokenizer and look at what it keeps
===============================================

A tokenizer turns signals of any sensor layout into tokens: a few integers per frame for each of
sixteen latent sources. Models are then trained on tokens. Whatever the tokenizer drops, no model
sees again. So look at what it keeps before you train anything on it.
"""

# %%
# A corpus
# --------
#
# Six simulated subjects, a minute of 19-channel EEG each. Subject 006 is held out.

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import torch
from scipy.signal import coherence

import neurofm
from neurofm.pages import figure

work = Path(tempfile.mkdtemp())
neurofm.command("simulate --out archive --subjects 6 --minutes 1 --always [] --devices [eeg19]",
                cwd=work)
neurofm.command(
    "ingest archive --out corpus --contract.sfreq 128 --contract.lowpass_hz 45 "
    "--contract.window_s 4 "
    "--splits.fractions [1,0,0] --splits.test [sub-006]", cwd=work)

# %%
# Train
# -----
#
# A BrainTokenizer of toy size and a few seconds of training. A real one has 5 million parameters
# and a thousand times as many steps. A quarter of the channels is hidden in training, so that the
# latent sources must explain channels that they did not see.

neurofm.command(
    "pretrain --data corpus --out tokenizer --model brain_tokenizer "
    "--architecture '{window_length: 256, spatial: leadfield, ratios: [8, 4], n_filters: 4, "
    "dim: 24, n_levels: 4, n_codes: 64, phase: 0, quantize_from: 0.3}' "
    "--train.steps 120 --train.batch_windows 4 --train.lr 1e-2 --train.beta2 0.99", cwd=work)

# %%
# What a token set costs
# ----------------------

corpus = neurofm.Corpus.open(work / "corpus")
tokenizer = neurofm.load(work / "tokenizer")
test = corpus.select("test")
batch = corpus.batch(test)
with torch.no_grad():
    tokens, decoded = tokenizer.reconstruct(batch)

window_s = corpus.contract.window_s
_, sources, frames, levels = tokens.ids.shape
print(f"signal: {batch.signal.shape[1] * corpus.contract.sfreq:.0f} numbers a second")
print(f"tokens: {sources} sources × {frames / window_s:g} frames a second × {levels} levels = "
      f"{sources * frames * levels / window_s:.0f} integers of 6 bits a second")

# %%
# What it keeps
# -------------
#
# The correlation of each channel with its reconstruction, in a subject whom the tokenizer was not
# trained on. ``decode`` gives every channel in its own scale, so we compare z-scores.


def zscore(x):
    return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)


true, made = zscore(batch.signal.numpy()), zscore(decoded.numpy())
r = (true * made).mean(-1)  # [window, channel]
print(f"Pearson r: {r.mean():.3f} on average over channels and windows, {r.mean(0).min():.3f} in "
      f"the lowest channel")
log = [json.loads(line) for line in (work / "tokenizer" / "log.jsonl").read_text().splitlines()]
print("codes in use, of 64 at each level:",
      [len(tokens.ids[..., level].unique()) for level in range(levels)])

# %%
# Coherence says at which frequencies. What is slow is kept, and some of the alpha rhythm. Faster
# activity is weak in the signal, so a tokenizer that was trained on reconstruction gives it up
# first: a correlation of 0.8 can hide that. Longer training and more levels bring it back.

figure.style()
sfreq, names = corpus.contract.sfreq, corpus.layout(test[0]).names
fig = plt.figure(figsize=(10, 5.6), layout="constrained")
grid = fig.add_gridspec(2, 3, height_ratios=[1.1, 1])
traces = fig.add_subplot(grid[0, :])
seconds = np.arange(true.shape[-1]) / sfreq
shown = ["Fz", "C3", "Pz", "O2"]
for row, name in enumerate(shown):
    channel = names.index(name)
    traces.plot(seconds, true[3, channel] - 5 * row, color="0.25", lw=1,
                label="measured" if row == 0 else None)
    traces.plot(seconds, made[3, channel] - 5 * row, color=figure.COLORS[1], lw=1.2,
                label="from tokens" if row == 0 else None)
traces.set(yticks=[-5 * row for row in range(4)], yticklabels=shown, xlabel="Time (s)",
           ylabel="Channel (z-scored)", xlim=(0, window_s),
           title="Four seconds of a subject it was not trained on")
traces.legend(loc="lower center", bbox_to_anchor=(0.85, 1), ncols=2)

head = fig.add_subplot(grid[1, 0])
places = dict(zip(names, corpus.layout(test[0]).position, strict=True))
info = mne.create_info(list(names), sfreq, "eeg")
info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
image, _ = mne.viz.plot_topomap(r.mean(0), info, axes=head, cmap="viridis", vlim=(0, 1), show=False)
head.set_title("In which channels")
fig.colorbar(image, ax=head, shrink=0.8, label="Pearson r")

band = fig.add_subplot(grid[1, 1])
hz, coh = coherence(true, made, fs=sfreq, nperseg=128, axis=-1)
band.plot(hz, coh.mean(axis=(0, 1)), color=figure.COLORS[1])
band.axvspan(8, 13, color="0.93", lw=0)
band.text(10.5, 0.03, "alpha", ha="center", color="0.4")
band.set(xlabel="Frequency (Hz)", ylabel="Coherence", xlim=(0, 45), ylim=(0, 1),
         title="At which frequencies")

learned = fig.add_subplot(grid[1, 2])
steps = [line["step"] for line in log if "pearson" in line]
learned.plot(steps, [line["pearson"] for line in log if "pearson" in line], "o-", ms=3,
             label="channels seen or hidden")
learned.plot(steps, [line["pearson_hidden"] for line in log if "pearson" in line], "s--", ms=3,
             color=figure.COLORS[2], label="hidden channels")
learned.set(xlabel="Step", ylabel="Pearson r", ylim=(0, 1), title="Training")
learned.legend(loc="lower right")
plt.show()

# %%
# ``neurofm evaluate reconstruction`` makes the same comparison for a whole corpus, beside a
# principal component analysis with as many components and with intervals over subjects. On real EEG
# expect other numbers: simulated sources are fewer than real ones.
