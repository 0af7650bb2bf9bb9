"""What a baseline can be given, said before it goes wrong inside a library."""

import numpy as np

SHAPES = {"covariances": "[window, band, channel, channel]", "signals": "[window, channel, time]",
          "scans": "[window] of time series", "unscaled_scans": "[window] of time series"}


def check_training(
    sees: str, regression: bool, x: np.ndarray, target: np.ndarray, subjects: np.ndarray
) -> None:
    """Raise ValueError unless a baseline could be fitted to these windows."""
    check_windows(sees, x, subjects)
    target = np.asarray(target)
    if target.shape != (len(x),):
        raise ValueError(f"wanted one target for each of {len(x)} windows, got {target.shape}")
    if regression:
        if not np.isfinite(target).all():
            raise ValueError(f"{(~np.isfinite(target)).sum()} of {len(target)} training windows "
                             f"have no number to be predicted (NaN or Inf): leave them out")
        return
    if not np.issubdtype(target.dtype, np.integer):
        raise ValueError(f"wanted class indices (integers), got {target.dtype}; numbers are "
                         f"predicted by baselines for regression, such as tangent_ridge")
    found = np.unique(target).tolist()
    if len(found) < 2 or found != list(range(len(found))):
        raise ValueError(f"training windows must have every class from 0 on, two or more; found "
                         f"{found}: choose other classes, or splits in which all appear")


def check_windows(
    sees: str, x: np.ndarray, subjects: np.ndarray, like: tuple[int, ...] | None = None
) -> None:
    """Raise ValueError unless these are windows with subjects; like: shape of a training window."""
    if x.ndim != 1 + SHAPES[sees].count(",") or len(x) == 0:
        raise ValueError(f"wanted {sees} {SHAPES[sees]} of one or more windows, got {x.shape}")
    if len(subjects) != len(x):
        raise ValueError(f"wanted a subject for each of {len(x)} windows, got {len(subjects)}")
    if like is not None and x.shape[1:] != like:
        raise ValueError(f"fitted to windows of {like}, these are {x.shape[1:]} ({SHAPES[sees]}): "
                         f"give the same channels, in the same order, and the same length")
    finite = np.array([np.isfinite(window).all() for window in x])
    if not finite.all():
        raise ValueError(f"{(~finite).sum()} of {len(x)} windows hold NaN or Inf, the first is "
                         f"window {int(np.flatnonzero(~finite)[0])}: leave them out")
