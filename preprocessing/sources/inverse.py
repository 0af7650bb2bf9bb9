"""From sensors to points of the brain: LCMV beamformer or minimum norm, as MNE computes them.

Both are linear, so MNE's public functions applied to the identity give their matrix.
"""

import numpy as np
from jaxtyping import Float

SNR = 3.0  # of the minimum norm


def weights(
    info, forward, covariance: Float[np.ndarray, "channel channel"], n_times: int, method: str,
    regularization: float,
) -> Float[np.ndarray, "point channel"]:
    """Signal of each point, in the direction that has most power there; its sign is arbitrary.

    info: of the channels, average-referenced where they are EEG. covariance: of their signals.
    regularization: of the beamformer: share of the sensors' mean power added to each.
    """
    import mne

    info = _referenced(info)
    names = info["ch_names"]
    data = mne.Covariance(covariance, names, bads=[], projs=[], nfree=n_times, verbose="ERROR")
    noise = mne.make_ad_hoc_cov(info, verbose="ERROR")
    evoked = mne.EvokedArray(np.eye(len(names)), info, verbose="ERROR")
    if method == "lcmv":
        rank = mne.compute_rank(data, info=info, verbose="ERROR")
        made = mne.beamformer.make_lcmv(
            info, forward, data, reg=regularization, noise_cov=noise, pick_ori="max-power",
            weight_norm="unit-noise-gain", rank=rank, reduce_rank=_silent(forward), verbose="ERROR")
        return mne.beamformer.apply_lcmv(evoked, made, verbose="ERROR").data
    made = mne.minimum_norm.make_inverse_operator(info, forward, noise, loose=1.0, depth=0.8,
                                                  verbose="ERROR")
    vector = mne.minimum_norm.apply_inverse(evoked, made, 1 / SNR**2, "MNE", pick_ori="vector",
                                            verbose="ERROR").data
    power = np.einsum("pxc,cd,pyd->pxy", vector, covariance, vector, optimize=True)
    direction = np.linalg.eigh(power)[1][:, :, -1]
    return np.einsum("px,pxc->pc", direction, vector)


def _referenced(info):
    """With the projection of the average reference, which MNE wants to see for EEG."""
    import mne

    if not mne.pick_types(info, meg=False, eeg=True).size:
        return info
    probe = mne.EvokedArray(np.zeros((len(info["ch_names"]), 1)), info.copy(), verbose="ERROR")
    return probe.set_eeg_reference(projection=True, verbose="ERROR").info


def _silent(forward) -> bool:
    """Whether one direction at each point is not seen at all: radial ones of MEG in a sphere."""
    gain = forward["sol"]["data"]
    some = gain.reshape(len(gain), -1, 3)[:, :: max(1, gain.shape[1] // 60)].transpose(1, 0, 2)
    seen = np.linalg.svd(some, compute_uv=False)
    return bool(np.median(seen[:, 2] / seen[:, 0]) < 1e-3)
