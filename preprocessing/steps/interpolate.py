"""Bad EEG channels are interpolated, bad MEG channels left out.

Spherical splines (Perrin et al. 1989) as MNE computes them. Models take any number of channels,
so a helmet with a few sensors missing needs no invented ones; EEG is interpolated because the
average reference should keep its meaning over sparse montages. What has no known place is neither
interpolated nor interpolated from, nor is a difference of two electrodes: bad ones are left out.
"""

import numpy as np
from jaxtyping import Float, Float32

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import HEAD_CENTER_M
from neurofm.pages import words

from .. import memory
from .refusal import ContractError, some
from .step import PerWindow, Step

_PIECE = 2**18
_MIN_GOOD_EEG = 8  # below, a spline over the head is a guess: bad channels are left out


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    """Refuses when more than contract.max_bad of the channels are bad."""
    bads = quality["bads"]
    sensors = recording.sensors
    bad = np.array([name in bads for name in sensors.names])
    quality["interpolated"] = []
    if bad.mean() > contract.max_bad:
        reason = next(iter(bads.values()))
        raise ContractError(
            recording.source, f"at most {contract.max_bad:.0%} bad channels",
            f"{bad.sum()} of {len(bad)} are ({some(bads, 5)}; the first: {reason})",
            "look at the file in a viewer; raise contract.max_bad only if they are truly usable",
        )
    is_eeg = (np.array(sensors.kinds) == "eeg") & sensors.has_position & ~sensors.is_difference
    good_eeg, bad_eeg = np.flatnonzero(is_eeg & ~bad), np.flatnonzero(is_eeg & bad)
    enough = (len(good_eeg) >= _MIN_GOOD_EEG
              and len(bad_eeg) <= contract.max_bad * is_eeg.sum())
    signal = recording.signal
    if len(bad_eeg) and enough:
        weights = spline_weights(sensors.position[good_eeg], sensors.position[bad_eeg])
        # `resample` made this array, so it may be written to; in pieces, as it may be large.
        for start in range(0, signal.shape[1], _PIECE):
            piece = slice(start, start + _PIECE)
            signal[bad_eeg, piece] = weights @ signal[good_eeg, piece]
        quality["interpolated"] = [sensors.names[row] for row in bad_eeg]
        bad[bad_eeg] = False
    quality["left_out"] = [sensors.names[row] for row in np.flatnonzero(bad)]
    return memory.pick(recording, np.flatnonzero(~bad)) if bad.any() else recording


def spline_weights(
    good: Float[np.ndarray, "good 3"], bad: Float[np.ndarray, "bad 3"]
) -> Float32[np.ndarray, "bad good"]:
    """Weights such that weights @ signal[good] are the interpolated channels.

    good, bad: positions in the head frame, meters. Interpolation is linear, so MNE's public
    function applied to the identity gives its matrix, once for any length of signal.
    """
    import mne

    n, total = len(good), len(good) + len(bad)
    names = [str(i) for i in range(total)]
    info = mne.create_info(names, 1.0, "eeg", verbose="ERROR")
    places = dict(zip(names, np.concatenate([good, bad]).astype(float), strict=True))
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="ERROR")
    identity = np.concatenate([np.eye(n), np.zeros((len(bad), n))])
    evoked = mne.EvokedArray(identity, info, verbose="ERROR")
    evoked.info["bads"] = names[n:]
    evoked.interpolate_bads(origin=tuple(HEAD_CENTER_M.astype(float)), method={"eeg": "spline"},
                            verbose="ERROR")
    return evoked.data[n:].astype(np.float32)


def remarks(quality: dict) -> list[str]:
    filled = quality["interpolated"]
    left = [name for name in quality["bads"] if name not in filled]
    return [f"{words.count(len(names), 'bad channel')} {what}: {', '.join(names)}"
            for names, what in ((filled, "interpolated"), (left, "left out")) if names]


STEP = Step("interpolate", apply, live=PerWindow(), remarks=remarks)
