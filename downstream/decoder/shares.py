"""The second level of a stack: how much each view counts.

Weights are not negative, and drawn to one another: where windows are few all views count alike,
where there are many the data decide. The prior is worth as much as `PRIOR` windows. Targets are
smoothed as if there were one window more of each class (Platt 1999): where all held-out windows are
told apart, answers are not made infinitely sure.
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

PRIOR = 5.0
HEATS = np.logspace(-2, 2, 41)


def smoothed(target: np.ndarray, n_classes: int) -> Float[np.ndarray, "window class"]:
    """Probabilities that are wanted of the answers."""
    share = n_classes / (len(target) + n_classes)
    return (1 - share) * np.eye(n_classes)[target] + share / n_classes


def entropy(
    outputs: Float[np.ndarray, "window class"], wanted: Float[np.ndarray, "window class"],
    weight: Float[np.ndarray, " window"],
) -> float:
    """Mean cross-entropy of softmax(outputs), nats."""
    outputs = outputs - outputs.max(axis=1, keepdims=True)
    log = outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True))
    return float(-(weight * (log * wanted).sum(axis=1)).sum() / weight.sum())


def best_factor(
    outputs: Float[np.ndarray, "window output"], target: np.ndarray, weight: np.ndarray,
    n_classes: int,
) -> tuple[float, float]:
    """(loss, factor) of the factor on outputs at which held-out windows are told best. Of numbers
    the factor is on deviations from their mean, and the loss their share of unexplained variance.
    """
    if not n_classes:
        away, wanted = outputs[:, 0] - target.mean(), target - target.mean()
        factor = max(0.0, float(away @ wanted / max(away @ away, 1e-300)))
        return float(np.square(wanted - factor * away).sum() / max(wanted @ wanted, 1e-300)), factor
    soft = smoothed(target, n_classes)
    return min((entropy(factor * outputs, soft, weight), float(factor)) for factor in HEATS)


def shares(
    outputs: Float[np.ndarray, "view window output"], target: np.ndarray, weight: np.ndarray,
    n_classes: int,
) -> Float[np.ndarray, " view"]:
    """Weights of the views' held-out outputs; of numbers, on deviations from the target's mean."""
    n = outputs.shape[1]
    wanted = smoothed(target, n_classes) if n_classes else (target - target.mean())[:, None]
    spread = max(float(target.std()), 1e-12)

    def loss(share: np.ndarray) -> tuple[float, np.ndarray]:
        total = np.tensordot(share, outputs, 1)
        if n_classes:
            value = entropy(total, wanted, weight)
            gone = np.exp(total - total.max(axis=1, keepdims=True))
            gone = gone / gone.sum(axis=1, keepdims=True) - wanted
        else:
            gone = (total - wanted) / spread**2
            value = float((weight * np.square(gone[:, 0] * spread)).sum() / 2 / weight.sum())
        gone *= weight[:, None] / weight.sum()
        apart = share - share.mean()
        return (value + PRIOR / n * (apart @ apart) / 2,
                np.einsum("wo,vwo->v", gone, outputs) + PRIOR / n * apart)

    start = np.full(len(outputs), 1 / len(outputs))
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start)).x
