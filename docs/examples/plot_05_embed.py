"""
05. Embed a recording and plot features over time
=================================================

``neurofm.embed(raw, model)`` takes an ``mne.io.Raw`` and gives ``Features``: an array
``[window, source, frame, dim]`` that knows its times and what was left out. The recording is
brought to the model's contract first. Here we look at what the features say about a recording in
which something happens, without any label.
"""

# %%
# A model
# -------
#
# Any checkpoint will do: a folder, or the name of a repository on the Hugging Face Hub. To need no
# download, this example trains a tokenizer on five simulated subjects for a few seconds. It takes
# 8-30 Hz and windows of 2 s.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
from scipy.signal import spectrogram
from sklearn.decomposition import PCA

import neurofm
from neurofm.pages import figure

work = Path(tempfile.mkdtemp())
neurofm.command("simulate --out archive --subjects 5 --minutes 1 --always [] --devices [eeg19]",
                cwd=work)
neurofm.command(
    "ingest archive --out corpus --contract.sfreq 100 --contract.highpass_hz 8 "
    "--contract.lowpass_hz 30 --contract.notch_hz [] --contract.window_s 2 "
    "--splits.fractions [1,0,0]", cwd=work)
neurofm.command(
    "pretrain --data corpus --out tokenizer --model brain_tokenizer "
    "--architecture '{window_length: 200, spatial: leadfield, ratios: [4, 4], n_filters: 4, "
    "dim: 24, n_levels: 2, n_codes: 64, phase: 0, quantize_from: 0.3}' "
    "--train.steps 60 --train.batch_windows 8 --train.lr 1e-2 --train.beta2 0.99", cwd=work)

# %%
# A recording
# -----------
#
# Three minutes of a subject that the model has not seen, with 32 electrodes instead of 19. Every
# other 20 s the alpha rhythm is taken down to a fifth of its amplitude, as when eyes open.

raw = neurofm.simulate_raw("eeg32", subject=77, minutes=3)
alpha = raw.copy().filter(8, 13, verbose="error").get_data()
is_open = (raw.times // 20).astype(int) % 2 == 1
gain = np.convolve(is_open, np.ones(250) / 250, mode="same")  # half a second to change
raw = mne.io.RawArray(raw.get_data() - 0.8 * gain * alpha, raw.info, verbose="error")

# %%
# Three lines
# -----------

model = neurofm.load(work / "tokenizer")
features = neurofm.embed(raw, model)
print(features)
print("left out:", len(features.dropped))

# %%
# One vector a window, the mean over frames. Two directions of most variance, found without a label.

windows = features.mean("frame").reshape(len(features), -1)
seconds = features.times.mean(axis=1)
projection = PCA(2).fit(windows)
score = projection.transform(windows)
score *= np.sign(score[0])  # the sign of a component is arbitrary
truth = (seconds // 20).astype(int) % 2 == 1
settled = np.minimum(seconds % 20, 20 - seconds % 20) >= 1
print(f"share of variance along the first component: {projection.explained_variance_ratio_[0]:.2f}")
print(f"windows with open eyes below 0: {(score[truth & settled, 0] < 0).mean():.0%}, "
      f"with closed eyes above 0: {(score[~truth & settled, 0] > 0).mean():.0%}")

# %%
# Shaded: eyes open. The first component follows the change, in a recording and a cap that the model
# has not seen. At the right, windows as alike as their features: a checkerboard.

figure.style()
fig, axes = plt.subplot_mosaic([["spectrum", "alike"], ["score", "alike"]], figsize=(10, 4.6),
                               width_ratios=[3, 2], layout="constrained")
spectrum, line, alike = axes["spectrum"], axes["score"], axes["alike"]
sfreq = raw.info["sfreq"]
hz, times, power = spectrogram(1e6 * raw.get_data(["O1", "O2"]), sfreq, nperseg=int(2 * sfreq),
                               noverlap=int(sfreq))
shown = (hz >= 4) & (hz <= 30)
image = spectrum.pcolormesh(times, hz[shown], 10 * np.log10(power.mean(0)[shown]), cmap="viridis",
                            shading="nearest", rasterized=True)
fig.colorbar(image, ax=spectrum, label="dB (µV²/Hz)", pad=0.01)
spectrum.set(ylabel="Frequency (Hz)", title="Occipital electrodes (O1, O2)", xticks=[])

for start in range(20, 180, 40):
    line.axvspan(start, start + 20, color="0.92", lw=0)
line.plot(seconds, score[:, 0], color="0.7", lw=1, zorder=1)
for chosen, color, name in ((~truth, figure.COLORS[0], "eyes closed"),
                            (truth, figure.COLORS[1], "eyes open")):
    line.scatter(seconds[chosen], score[chosen, 0], s=18, color=color, label=name, zorder=2)
line.axhline(0, color="0.6", lw=0.8)
line.set(xlabel="Time (s)", ylabel="First component", xlim=(0, 180), title="Features over time")
line.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98), borderpad=0)

centered = windows - windows.mean(0)
centered /= np.linalg.norm(centered, axis=1, keepdims=True)
image = alike.imshow(centered @ centered.T, extent=(0, 180, 180, 0), cmap="PuOr", vmin=-1, vmax=1)
fig.colorbar(image, ax=alike, shrink=0.75, label="Similarity (cosine)", pad=0.02)
alike.set(xlabel="Time (s)", ylabel="Time (s)", title="Windows that are alike",
          xticks=range(0, 181, 40), yticks=range(0, 181, 40))
plt.show()

# %%
# The change was made large so that it can be seen by eye. For a small one, train a classifier on
# the features and test it on held-out subjects: examples 06, 07 and 09.
