"""Signs of parcels that agree between sessions: no inverse can know them.

Source: MEG-GPT's pipeline (arXiv 2510.18080) flips parcels so that the covariance of a session,
delays included, is like that of a template. Here the best flips are found without random search: s
maximizes sᵀ M s, where M is the product, entry by entry, of the session's correlations at some lags
with the template's; its largest eigenvector is where the search begins.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float


def lagged(
    stretches: Iterable[Float[np.ndarray, "parcel time"]], lags: Sequence[int]
) -> Float[np.ndarray, "lag parcel parcel"]:
    """Correlation of parcel i now with parcel j some samples later; not within a parcel, where
    signs do not show."""
    total: Any = 0.0
    power: Any = 0.0
    for stretch in stretches:
        signal = np.asarray(stretch, dtype=np.float64)
        signal = signal - signal.mean(axis=1, keepdims=True)
        power = power + np.square(signal).sum(axis=1)
        total = total + np.stack([signal[:, :-lag] @ signal[:, lag:].T for lag in lags])
    size = np.sqrt(np.maximum(power, 1e-30))
    found = total / size / size[:, None]
    return found * (1 - np.eye(found.shape[1]))


def flips(
    found: Float[np.ndarray, "lag parcel parcel"], template: Float[np.ndarray, "lag parcel parcel"]
) -> Float[np.ndarray, " parcel"]:
    """±1 for each parcel. Both s and −s agree as well: of the two it is the one by which most stays
    as it is, parcels weighted by how much they have in common with others in the template."""
    agreement = (found * template).sum(axis=0)
    agreement = agreement + agreement.T
    tried = [np.ones(len(agreement)), np.sign(np.linalg.eigh(agreement)[1][:, -1] + 1e-12)]
    best = max((_climbed(agreement, start) for start in tried), key=lambda s: s @ agreement @ s)
    weight = np.abs(template).sum(axis=(0, 1))
    return best if best @ weight >= 0 else -best


def _climbed(agreement: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Turn the sign that gains most, until none does."""
    signs = signs.copy()
    for _ in range(20 * len(signs)):
        gain = -signs * (agreement @ signs)
        worst = int(gain.argmax())
        if gain[worst] <= 1e-12:
            break
        signs[worst] = -signs[worst]
    return signs


def template_of(all_found: list[Float[np.ndarray, "lag parcel parcel"]]) -> np.ndarray:
    """The mean of all sessions, aligned with the one that is most like the others."""
    flat = np.array([np.abs(found).ravel() for found in all_found])
    likeness = np.corrcoef(flat) if len(flat) > 1 else np.ones((1, 1))
    template = all_found[int(likeness.sum(axis=0).argmax())]
    for _ in range(2):
        turned = []
        for found in all_found:
            signs = flips(found, template)
            turned.append(signs[:, None] * found * signs)
        template = np.mean(turned, axis=0)
    return template
