"""The canonical haemodynamic response: what a moment of activity does to blood afterwards.

A gamma density that peaks at 5 s, less a sixth of one that peaks at 15 s (Friston et al. 1998,
"Event-related fMRI: characterizing differential responses"; the numbers are the defaults of SPM).
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import gamma

LENGTH_S = 32.0
_PEAK, _UNDERSHOOT, _RATIO = 6.0, 16.0, 6.0  # shapes of the two densities, of scale 1 s


def canonical(delay_s: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Response per second of activity so long ago; 0 before it and after `LENGTH_S`, integral 1."""
    response = (gamma.pdf(delay_s, _PEAK) - gamma.pdf(delay_s, _UNDERSHOOT) / _RATIO) / _INTEGRAL
    return np.where((delay_s >= 0) & (delay_s < LENGTH_S), response, 0.0)


_INTEGRAL = (gamma.cdf(LENGTH_S, _PEAK) - gamma.cdf(LENGTH_S, _UNDERSHOOT) / _RATIO)


def convolved(
    frames: Float[np.ndarray, "frame feature"], frame_s: Float[np.ndarray, " frame"], hop_s: float,
    volume_s: Float[np.ndarray, " volume"],
) -> Float[np.ndarray, "volume feature"]:
    """Frames ⊛ the canonical response, at the times of volumes. frame_s: when activity was, the
    middle of each frame. What was before the first frame counts as 0."""
    return canonical(volume_s[:, None] - frame_s) * hop_s @ frames
