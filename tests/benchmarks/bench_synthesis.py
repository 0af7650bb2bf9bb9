"""Regions of a 10-minute scan from EEG: the whole scan in one pass, and each volume from a window
of its own, as published for NeuroBOLT.
"""

import statistics
import time

import torch

from neurofm.data.pair_batch import PairBatch
from neurofm.models.neurobolt_sequence import NeuroBOLTSequence, NeuroBOLTSequenceConfig
from tests.support.by_windows import predict_by_windows

CHANNELS, SFREQ, T_R, SECONDS, REPEATS = 32, 200.0, 2.1, 600, 3


def seconds(work) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    torch.manual_seed(0)
    rois = tuple(f"roi{k}" for k in range(64))
    model = NeuroBOLTSequence(NeuroBOLTSequenceConfig(rois=rois, sfreq=SFREQ)).eval()
    place = torch.nn.functional.normalize(torch.randn(1, CHANNELS, 3), dim=-1)
    n = int((SECONDS - 10) / T_R)
    batch = PairBatch(
        torch.randn(1, CHANNELS, round(SECONDS * SFREQ)),
        torch.cat([place, torch.zeros_like(place)], dim=-1),
        torch.zeros(1, CHANNELS, dtype=torch.long), torch.ones(1, CHANNELS, dtype=torch.bool),
        torch.tensor([round(SECONDS * SFREQ)]), (5 + T_R * torch.arange(n))[None],
        torch.full((1, n, len(rois)), torch.nan))
    with torch.no_grad():
        known = model.statistics(batch)
        whole = seconds(lambda: model.predict(batch, known))
        windows = seconds(lambda: predict_by_windows(model, batch, known))
        apart = (model.predict(batch, known) - predict_by_windows(model, batch, known)).abs().max()
    print(f"{torch.get_num_threads()} threads; median of {REPEATS}; {n} volumes, {CHANNELS} "
          f"channels")
    print(f"whole scan {whole:.2f} s, window by window {windows:.2f} s: {windows / whole:.1f} x; "
          f"largest difference {apart:.1e}")


if __name__ == "__main__":
    main()
