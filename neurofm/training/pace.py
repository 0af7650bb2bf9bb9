"""How fast a training is: windows, tokens and floating-point operations a second, and what of the
machine it uses."""

from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator

from ..data.batch import Tokens
from ..models.flops import training_flops
from . import machine
from .sampler import WindowSource

# Names in the log that differ from run to run: of what was measured, not of what was learned.
MEASURED = ("time", "windows_per_s", "data_wait", "tokens_per_s", "tflop_per_s", "share_of_peak",
            "memory_gb", "reserved_gb", "rss_gb", "energy_wh")


@dataclass
class Pace:
    """What a window is worth.

    Parameters
    ----------
    flops
        Floating-point operations of a training step, a window; None = not known.
    tokens
        Tokens of a window (places × frames); None where the model reads signals.
    peak
        FLOP/s that all processes could do together; None = not known.
    """

    flops: float | None = None
    tokens: int | None = None
    peak: float | None = None

    def rates(self, windows_per_s: float) -> dict[str, float]:
        """Numbers for the log."""
        found = {}
        if self.tokens is not None:
            found["tokens_per_s"] = self.tokens * windows_per_s
        if self.flops is not None:
            found["tflop_per_s"] = self.flops * windows_per_s / 1e12
            if self.peak:
                found["share_of_peak"] = self.flops * windows_per_s / self.peak
        return found


def pace_of(model: torch.nn.Module, source: WindowSource, windows: np.ndarray,
            accelerator: Accelerator, say=print) -> Pace:
    """Measure what a window is worth, on the main process; the others write no log."""
    if not accelerator.is_main_process:
        return Pace()
    first = source.batch(windows[:1], np.zeros(1, dtype=np.int64))
    tokens = (first.ids.shape[1] * first.ids.shape[2]) if isinstance(first, Tokens) else None
    peak = machine.peak_flops(accelerator.device)
    try:
        flops = training_flops(model, source, windows)
    except (RuntimeError, ValueError, NotImplementedError) as problem:
        say(f"FLOP/s are not logged: this model's operations could not be counted ({problem})")
        flops = None
    return Pace(flops, tokens, peak * accelerator.num_processes if peak else None)
