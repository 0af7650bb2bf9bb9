"""What a device measures of a brain: lead field times dipole moments, plus sensor noise.

The lead field is MNE's own forward solution for dipoles in a sphere: four shells for EEG
(Berg & Scherg 1994), the exact sphere for MEG (Sarvas 1987), where radial dipoles are silent.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from jaxtyping import Float

from .activity import SFREQ, Activity, shaped_noise
from .anatomy import Brain
from .devices import DEVICES, Device


@dataclass(frozen=True, eq=False)
class Measurement:
    """A simulated recording, with what is known of it."""

    raw: Any  # mne.io.RawArray with annotations
    clean: Float[np.ndarray, "channel time"]  # float32 [channel, time], noise-free, SI units
    # [channel, source], V (or T, T/m) a channel for 1 A·m of a source
    lead_field: Float[np.ndarray, "channel source"]


def record(
    brain: Brain,
    activity: Activity,
    device: str,
    seed: int | list[int],
    noise: float = 1.0,
) -> Measurement:
    """Record `activity` of `brain` with the device of that name.

    noise: factor on the device's noise and power line (0: a perfect device).
    """
    import mne

    if device not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    plan = DEVICES[device]
    rng = np.random.default_rng(seed)
    info: Any = plan.make_info()
    field = lead_field(brain, info, rng)  # also puts the head into the helmet
    moment = _resampled(activity.moment, plan.sfreq)
    clean = field.astype(np.float32) @ moment
    signal = clean + np.float32(noise) * _sensor_noise(rng, plan, *clean.shape)
    # What the anti-alias filter leaves whole.
    with info._unlock():
        info["lowpass"], info["line_freq"] = 0.4 * plan.sfreq, 50.0
    raw = mne.io.RawArray(signal, info, verbose="error")
    trials = activity.trials
    raw.set_annotations(
        mne.Annotations(
            [trial.onset_s for trial in trials],
            [trial.duration_s for trial in trials],
            [trial.label for trial in trials],
        )
    )
    return Measurement(raw, clean, field)


def lead_field(
    brain: Brain, info, rng: np.random.Generator
) -> Float[np.ndarray, "channel source"]:
    """Lead field of `brain` for the sensors of `info`, with today's fit of the device.

    A cap sits a little turned and its file does not know; a helmet's file knows where the head is:
    `info["dev_head_t"]` is set here.
    """
    import mne

    turn = _rotation(rng.normal(0, np.radians(2.0), 3))
    true = info.copy()
    if info["chs"][0]["kind"] == mne.io.constants.FIFF.FIFFV_EEG_CH:
        for ch in true["chs"]:
            ch["loc"][:3] = brain.center + turn @ (ch["loc"][:3] - brain.center)
    else:
        place = np.eye(4)
        place[:3, :3], place[:3, 3] = turn, brain.center + rng.normal(0, 0.003, 3)
        for made in (info, true):
            with made._unlock():
                made["dev_head_t"] = mne.transforms.Transform("meg", "head", place)
    sphere = mne.make_sphere_model(brain.center, brain.radius, info=None, verbose="error")
    n = len(brain.names)
    dipoles = mne.Dipole(
        np.arange(n) / 1000.0, brain.position, np.ones(n), brain.orientation, np.full(n, 100.0)
    )
    forward, _ = mne.make_forward_dipole(dipoles, sphere, true, trans=None, verbose="error")
    found = forward["sol"]["data"]
    assert found.shape == (len(info["ch_names"]), n), "MNE left dipoles or channels out"
    assert forward["sol"]["row_names"] == info["ch_names"]
    return found


def _resampled(moment: np.ndarray, sfreq: float) -> np.ndarray:
    """[source, time] at `SFREQ` → at `sfreq`, with the device's anti-alias filter.

    The spectrum is whole up to 0.4 · sfreq and falls to 0 at 0.5 · sfreq.
    """
    n_times = round(moment.shape[1] / SFREQ * sfreq)
    hz = np.fft.rfftfreq(n_times, 1 / sfreq)
    passed = 0.5 * (1 + np.cos(np.pi * np.clip((hz / sfreq - 0.4) / 0.1, 0, 1)))
    spectrum = scipy.fft.rfft(moment, axis=1)[:, : len(hz)]
    spectrum *= (passed * n_times / moment.shape[1]).astype(np.float32)
    return scipy.fft.irfft(spectrum, n_times, axis=1)


def _sensor_noise(
    rng: np.random.Generator, plan: Device, n_channels: int, n_times: int
) -> np.ndarray:
    """White and 1/f noise of each sensor and 50 Hz on all of them, float32 [channel, time]."""
    sensor = np.exp(rng.normal(0, 0.2, (n_channels, 1)))  # some contacts are worse

    def power(hz):
        return 1 + plan.noise_corner_hz / np.maximum(hz, 0.1)

    hz = np.fft.rfftfreq(n_times, 1 / plan.sfreq)[1:]
    variance = plan.noise_density**2 * power(hz).mean() * plan.sfreq / 2
    own = shaped_noise(rng, n_channels, n_times, plan.sfreq, power)
    own *= (sensor * np.sqrt(variance)).astype(np.float32)
    loop = plan.line * np.exp(rng.normal(0, 0.5, (n_channels, 1)))
    phase = rng.uniform(0, 2 * np.pi)
    mains = np.sin(2 * np.pi * 50.0 * np.arange(n_times) / plan.sfreq + phase)
    return own + (loop * mains).astype(np.float32)


def _rotation(angles: np.ndarray) -> np.ndarray:
    """3 × 3 rotation by a rotation vector (radians)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(angles).as_matrix()
