"""Figures of what a tokenizer or model has learned."""

from pathlib import Path

import numpy as np
import torch

from neurofm.data.corpus import Corpus
from neurofm.pages.figure import COLORS, MEASURED, save, subplots

BLUE, GRAY = COLORS[0], MEASURED
_TICKS_HZ = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)


@torch.inference_mode()
def reconstruction_figure(
    tokenizer, corpus: Corpus, windows: np.ndarray, path: Path, *, seconds: float = 4.0,
    n_rows: int = 8,
) -> None:
    """Original and reconstructed traces of a few channels, and their spectra, one row a width
    of layout."""
    widths = corpus.widths(windows)
    firsts = [windows[np.flatnonzero(widths == width)[0]] for width in dict.fromkeys(widths)][:6]
    sfreq = corpus.contract.one_rate
    figure, axes = subplots(len(firsts), 2, figsize=(11, 3.6 * len(firsts)), squeeze=False,
                            width_ratios=[2.4, 1])
    for (left, right), window in zip(axes, firsts, strict=True):
        batch = corpus.batch(np.array([window]))
        n_times = batch.signal.shape[-1]
        decoded = tokenizer.reconstruct(batch)[1][0].numpy()
        signal = batch.signal[0].numpy()
        scale = signal.std(1, keepdims=True) / np.maximum(decoded.std(1, keepdims=True), 1e-9)
        if not tokenizer.keeps_scale:
            decoded = decoded * scale
        rows = np.linspace(0, len(signal) - 1, min(n_rows, len(signal))).round().astype(int)
        shown = slice(0, round(seconds * sfreq))
        time = np.arange(n_times)[shown] / sfreq
        step = 4 * np.median(signal.std(1))
        for place, row in enumerate(rows):
            offset = -place * step
            left.plot(time, signal[row, shown] + offset, color=GRAY, lw=0.8)
            left.plot(time, decoded[row, shown] + offset, color=BLUE, lw=0.8, alpha=0.9)
        sensors = corpus.layout(window)
        left.set_yticks([-place * step for place in range(len(rows))],
                        [sensors.names[row] for row in rows])
        left.set_xlabel("time (s)")
        left.set_title(corpus.source(window).rsplit("/", 1)[-1], fontsize=9)
        frequency = np.fft.rfftfreq(n_times, 1 / sfreq)
        for trace, color, label in ((signal, GRAY, "recorded"), (decoded, BLUE, "reconstructed")):
            tapered = trace * np.hanning(n_times)
            power = (np.abs(np.fft.rfft(tapered)) ** 2).mean(0)
            smooth = np.convolve(power, np.ones(9) / 9, mode="same")
            right.loglog(frequency[8:], smooth[8:], color=color, lw=1, label=label)
        right.set_xlabel("frequency (Hz)")
        right.set_xticks([hz for hz in _TICKS_HZ if frequency[8] <= hz <= frequency[-1]])
        right.xaxis.set_major_formatter("{x:g}")
        right.xaxis.set_minor_formatter("")
        right.set_ylabel("power (relative)")
        right.legend(fontsize=8)
    save(figure, path)
