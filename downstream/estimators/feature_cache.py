"""Features of epochs, computed at once or kept by a `joblib.Memory`: an entry an epoch.

The key of an entry is everything that decides it but the device: version and commit of the code,
weights and config of the model, pool, contract, the epoch's signal and sensors. Folds, clones and
settings that share epochs therefore share their features, and other processes (`n_jobs`) and later
sessions do, too.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurofm import artifacts
from neurofm.data.contract import Contract
from neurofm.data.recording import Recording
from neurofm.models.decoder import Decoder
from neurofm.models.protocol import Backbone

from ..decoder import features
from . import epochs


@torch.no_grad()
def pooled(
    decoder: Decoder, recordings: Sequence[Recording], contract: Contract, batch_windows: int,
    device: torch.device, memory: joblib.Memory | None = None,
) -> Float[Tensor, "epoch *place feature"]:
    """What the decoder's head sees of all epochs, on the CPU; the decoder comes back to the CPU.

    memory: None = nothing is kept.
    """
    if memory is None:
        return torch.cat(features.alike(_encoded(decoder, recordings, contract, batch_windows,
                                                 device)))
    kept = memory.cache(_kept, ignore=["make"], verbose=0)
    of_all = (artifacts.code_version(), of_model(decoder.backbone), decoder.config.pool,
              contract.fingerprint)
    infos: dict[int, str] = {}
    keys = [joblib.hash((of_all, _of_epoch(each, infos))) for each in recordings]
    missing = {key: k for k, key in enumerate(keys) if not kept.check_call_in_cache(key, None)}
    parts = _encoded(decoder, [recordings[k] for k in missing.values()], contract, batch_windows,
                     device)
    new = dict(zip(missing, (row for part in parts for row in part), strict=True))

    def make(k: int) -> np.ndarray:
        if keys[k] not in new:  # its entry was removed since
            new[keys[k]] = _encoded(decoder, [recordings[k]], contract, 1, device)[0][0]
        return new[keys[k]].numpy()

    rows = [torch.from_numpy(np.array(kept(key, partial(make, k)))) for k, key in enumerate(keys)]
    return torch.cat(features.alike([row[None] for row in rows]))


def of_model(backbone: Backbone) -> str:
    """Hash of a model's weights and config."""
    digest = hashlib.sha256(backbone.config.to_json_string().encode())
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _encoded(decoder: Decoder, recordings: Sequence[Recording], contract: Contract,
             batch_windows: int, device: torch.device) -> list[Tensor]:
    decoder.to(device).eval()
    try:
        return [decoder.pool(batch.to(device)).float().cpu()
                for batch in epochs.batches(recordings, contract, batch_windows)]
    finally:
        decoder.to("cpu")  # so that what was fitted on a GPU can be unpickled without one


def _of_epoch(recording: Recording, infos: dict[int, str]) -> tuple:
    """All of an epoch that its features depend on. infos: id of an `mne.Info` → its hash; epochs
    share one."""
    if recording.info is not None and id(recording.info) not in infos:
        infos[id(recording.info)] = joblib.hash(recording.info)
    beside = Path(recording.image).parent.glob("*confounds*") if recording.image else ()
    signal = np.ascontiguousarray(recording.signal)  # joblib hashes strides, too
    return (joblib.hash(signal), recording.sfreq, recording.sensors.fingerprint,
            recording.bads, recording.band_hz, recording.events, infos.get(id(recording.info)),
            recording.image, sorted((path.name, path.stat().st_mtime_ns) for path in beside))


def _kept(key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The features of the epoch with this key. joblib keeps what this returns, by the key alone."""
    return make()
