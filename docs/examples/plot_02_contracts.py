"""
02. What a contract is, and a recording that misses it
======================================================

A model knows one kind of signal: its sampling rate, band, reference, kinds of sensor and scale. In
neurofm these are an ``InputContract``. It is chosen once, when a corpus is made. It travels with
every model trained on the corpus (``preprocessor_config.json``), and the same code applies it to
every new recording. What cannot meet it is refused, with the reason and the remedy.
"""

# %%
# A contract
# ----------

import mne
import numpy as np

import neurofm

contract = neurofm.InputContract(sfreq=128, highpass_hz=0.5, lowpass_hz=40, notch_hz=(50,),
                                 kinds=("eeg",), window_s=4)
print(contract.in_words())

# %%
# A recording that meets it
# -------------------------
#
# We simulate a minute of 19-channel EEG at 500 Hz, in a room with 50 Hz line noise, and loosen one
# electrode.

raw = neurofm.simulate_raw("eeg19", subject=3, minutes=1, noise=2)
rng = np.random.default_rng(0)
raw.apply_function(lambda x: x + 3e-3 * rng.standard_normal(len(x)), picks=["P4"])
print(raw)

met = neurofm.standardize(raw, contract)
print(f"\n{len(met)} windows [channel, time]: {met.windows.shape[1:]} at {met.sfreq:g} Hz")
print("bad channels:", met.quality["bads"])
print("interpolated:", met.quality["interpolated"])

# %%
# Recordings that miss it
# -----------------------
#
# Each refusal says what was wanted, what came, and what to do. It is a ``ValueError``, so a script
# can go on; ``neurofm ingest`` writes it to ``failures.tsv`` and goes on by itself.

slow = raw.copy().resample(64, verbose="error")
short = raw.copy().crop(0, 2)
unknown = raw.copy().rename_channels({name: f"X{i}" for i, name in enumerate(raw.ch_names)})
unknown.set_montage(None)
microvolts = raw.copy().apply_function(lambda x: 1e6 * x)  # numbers in µV that claim to be volts
magnetic = neurofm.simulate_raw("mag102", subject=3, minutes=1)

cases = {"64 Hz": slow, "2 s long": short, "no electrode positions": unknown,
         "wrong unit": microvolts, "MEG": magnetic}
for name, case in cases.items():
    try:
        neurofm.standardize(case, contract)
    except ValueError as refusal:
        print(f"{name}:\n    {refusal}\n")
    else:
        print(f"{name}: accepted\n")

# %%
# Two contracts can be compared. Window length is free; what changes the signal is not.

other = contract.with_(lowpass_hz=30, window_s=2)
print("differences:", contract.differences(other))

# %%
# Before and after
# ----------------
#
# Above, two seconds as recorded (P4 is cut off where it leaves its row); below, as every model sees
# them. The line noise is gone, P4 was interpolated from its neighbors, and amplitudes are in
# standard deviations of the recording.

import matplotlib.pyplot as plt

from neurofm.pages import figure

figure.style()
names = ["Fz", "Cz", "P4", "O1"]
begin = 20.0  # seconds
fig, axes = plt.subplots(2, 2, figsize=(10, 5), sharex="col", width_ratios=[2, 1],
                         layout="constrained")
stages = [
    ("As recorded, 500 Hz", 1e6 * raw.get_data(names), raw.info["sfreq"], "µV", 100),
    ("Meeting the contract, 128 Hz", met.whole[[met.sensors.names.index(n) for n in names]],
     met.sfreq, "SD", 5),
]
for (traces, spectra), (title, signal, sfreq, unit, gap) in zip(axes, stages, strict=True):
    seconds = np.arange(signal.shape[1]) / sfreq
    shown = (seconds >= begin) & (seconds < begin + 2)
    for row, (name, trace) in enumerate(zip(names, signal, strict=True)):
        color = figure.COLORS[1] if name == "P4" else figure.COLORS[0]
        trace = np.clip(trace[shown] - trace[shown].mean(), -0.6 * gap, 0.6 * gap)
        traces.plot(seconds[shown], trace - gap * row, color=color, lw=0.9)
    traces.set(title=title, yticks=[-gap * row for row in range(len(names))], yticklabels=names,
               xlim=(begin, begin + 2))
    traces.plot([begin + 2.03] * 2, [-gap * 3, -gap * 2], color="0.2", lw=2, clip_on=False)
    traces.text(begin + 2.05, -gap * 2.5, f"{gap} {unit}", va="center")
    power, hz = mne.time_frequency.psd_array_welch(signal.astype(float), sfreq, fmax=64,
                                                   n_fft=int(2 * sfreq), verbose="error")
    for name, line in zip(names, power, strict=True):
        color = figure.COLORS[1] if name == "P4" else figure.COLORS[0]
        spectra.semilogy(hz[1:], line[1:] / power[0].mean(), color=color, lw=1, alpha=0.8)
    spectra.set(ylabel="Power (relative)", ylim=(1e-4, 1e5), title="Spectra")
    spectra.axvline(50, color="0.6", ls=":", lw=1)
    spectra.set_xlim(0, 64)
axes[1, 0].set_xlabel("Time (s)")
axes[1, 1].set_xlabel("Frequency (Hz)")
axes[0, 1].text(51.5, 3e4, "50 Hz", color="0.4")
plt.show()
