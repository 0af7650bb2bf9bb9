"""Sensors become parcels of the brain, where the contract asks for them (see `sources`)."""

import numpy as np
from jaxtyping import Float

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import KINDS, Sensors

from .. import memory, segments
from ..sources import head_model, inverse, parcel_signals, parcellation, sign_alignment
from .refusal import ContractError
from .step import Refuses, Step

_PIECE = 2**15


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    """Refuses where a head, or the place of the sensors over it, is not known, and where there are
    more parcels than independent signals."""
    if contract.parcels is None:
        return recording
    if (pairs := recording.sensors.is_difference).any():
        raise ContractError(
            recording.source, "electrodes against one reference, for parcels",
            f"{pairs.sum()} channels are differences of two electrodes",
            "ingest it as sensors (space: sensors)")
    rule = parcellation.filled(contract.parcels)
    info = _info(recording)
    covariance = _covariance(recording)
    signals = _times(operator(recording, info, rule, covariance), recording.signal)
    if rule.signs:
        found = sign_alignment.lagged(_stretches(recording, signals), rule.lags)
        signals *= sign_alignment.flips(found, np.array(rule.signs))[:, None]
    quality["parcels"] = {"from": f"{recording.n_channels} sensors", "method": rule.method,
                          "head": rule.head}
    return recording.with_(signal=signals, sensors=layout(rule), bads=(), info=None)


def layout(rule) -> Sensors:
    """The parcels as sensors, at their middles (MNI space, meters)."""
    n = len(rule.points)
    return Sensors(rule.names, np.full(n, KINDS.index("roi")), parcellation.centers_m(rule),
                   np.zeros((n, 3)))


def operator(
    recording: Recording, info, rule, covariance: Float[np.ndarray, "channel channel"]
) -> Float[np.ndarray, "parcel channel"]:
    """Signals of the sensors → signals of the parcels. rule: with its points."""
    places = np.concatenate([np.asarray(points) for points in rule.points.values()]) / 1000
    of = np.repeat(np.arange(len(rule.points)), [len(points) for points in rule.points.values()])
    head = head_model.head_of(recording, info, rule.head, places)
    forward = head_model.forward(info, head)
    if forward["nsource"] != len(places):
        raise ContractError(
            recording.source, f"all {len(places)} points of the parcels inside the head",
            f"{len(places) - forward['nsource']} lie outside its inner skull",
            "check the coregistration (mne coreg) and talairach.xfm, or take the template head")
    weights = inverse.weights(info, forward, covariance, recording.n_times, rule.method,
                              rule.regularization)
    found = parcel_signals.first_components(weights, covariance, of)
    if rule.orthogonalize:
        try:
            found = parcel_signals.orthogonalized(found, covariance)
        except ValueError as error:
            raise ContractError(
                recording.source, "as many independent signals as parcels", str(error),
                "take fewer (parcels.n_parcels, a coarser atlas) or parcels.orthogonalize: false",
            ) from error
    scale = np.sqrt(np.diag(covariance))  # kinds of sensors have unlike units
    gain = forward["sol"]["data"].reshape(len(scale), -1, 3) / scale[:, None, None]
    middle = np.stack([gain[:, of == parcel].mean(axis=1) for parcel in range(len(found))])
    outward = np.stack([head.points[of == parcel].mean(axis=0) for parcel in range(len(found))])
    outward -= head.points.mean(axis=0)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    # Patterns in the units of the scaled field.
    return parcel_signals.pointing_out(found * scale, covariance / scale / scale[:, None], middle,
                                       outward) / scale


def _info(recording: Recording):
    """MNE's description of the channels that are left, electrodes where this corpus has them."""
    import mne

    sensors = recording.sensors
    if set(sensors.kinds) == {"roi"}:
        raise ContractError(recording.source, "sensors to make parcels of",
                            "the recording has parcels already",
                            "leave --space parcels out, and give contract.kinds: [roi]")
    lost = not sensors.has_position.all()
    if not lost and set(sensors.kinds) == {"eeg"}:
        info = mne.create_info(list(sensors.names), recording.sfreq, "eeg", verbose="ERROR")
        place = dict(zip(sensors.names, sensors.position.astype(float), strict=True))
        info.set_montage(mne.channels.make_dig_montage(place, coord_frame="head"), verbose="ERROR")
        return info
    if lost or recording.info is None or recording.info["dev_head_t"] is None:
        raise ContractError(
            recording.source, "to know where the sensors are over the head, to make parcels",
            "there is no device → head transform, or no place, for some",
            "give files with digitized heads (FIF, CTF …), or ingest sensors: leave --space out")
    # Bad channels were left out meanwhile, and the rate is another.
    info = mne.pick_info(recording.info, [recording.info["ch_names"].index(name)
                                          for name in sensors.names])
    with info._unlock():
        info["sfreq"], info["bads"], info["projs"] = float(recording.sfreq), [], []
        info["lowpass"] = min(info["lowpass"], recording.sfreq / 2)
    return info


def _stretches(recording: Recording, signal: np.ndarray) -> list[np.ndarray]:
    return [signal[:, start:stop] for start, stop in segments.continuous(recording)]


def _covariance(recording: Recording) -> Float[np.ndarray, "channel channel"]:
    """Of the sensors, over what was recorded and is not marked bad."""
    n = recording.n_channels
    good = np.zeros(recording.n_times, dtype=bool)
    for start, stop in segments.continuous(recording):
        good[start:stop] = True
    for begin_s, end_s in segments.bad_stretches(recording):
        good[int(begin_s * recording.sfreq) : int(np.ceil(end_s * recording.sfreq))] = False
    if not good.any():
        good[:] = True
    total, square, count = np.zeros(n), np.zeros((n, n)), 0
    for start in range(0, recording.n_times, _PIECE):
        piece = slice(start, start + _PIECE)
        part = recording.signal[:, piece][:, good[piece]].astype(np.float64)
        total += part.sum(axis=1)
        square += part @ part.T
        count += part.shape[1]
    mean = total / count
    return square / count - np.outer(mean, mean)


def _times(matrix: np.ndarray, signal: np.ndarray) -> np.ndarray:
    out = memory.empty((len(matrix), signal.shape[1]))
    for start in range(0, signal.shape[1], _PIECE):
        piece = slice(start, start + _PIECE)
        out[:, piece] = matrix @ signal[:, piece].astype(np.float64)
    return out


def _asked_for(contract: InputContract) -> bool:
    return contract.parcels is not None


STEP = Step("parcels", apply, live=Refuses("parcels need the covariance of a whole recording",
                                           when=_asked_for))
