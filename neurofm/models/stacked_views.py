"""The views of a `Stacked` decoder by their names."""

from ..nn.views.evoked import Evoked, EvokedCovariance
from ..nn.views.power import Difference
from ..nn.views.spatial_patterns import SpatialPatterns
from ..nn.views.tangent import Tangent
from ..nn.views.view import View
from .stacked_config import RECENTERED, STRETCH_S, StackedConfig


def view_of(name: str, config: StackedConfig) -> View:
    """An empty view.

    Parameters
    ----------
    name
        Name of the view.
    config
        Settings of its decoder.

    Returns
    -------
    View
        Before it is taught.
    """
    plain, recentered = name.removesuffix(RECENTERED), name.endswith(RECENTERED)
    n, widths = config.n_components, config.sections
    n_bands = len(config.bands)
    if plain in ("covariance", "filter_bank"):
        which = (n_bands,) if plain == "covariance" else tuple(range(n_bands))
        return Tangent("covariance", n, which, recentered)
    if plain == "spatial_patterns":
        which = tuple(k for k, (low, high) in enumerate(config.bands) if low >= 8 and high <= 30)
        return SpatialPatterns(n, which or tuple(range(n_bands)), len(config.classes), recentered)
    if plain == "connectivity":
        return Tangent("connectivity", len(config.channels), (0,), recentered)
    if plain == "evoked_covariance":
        return EvokedCovariance(n, config.n_slow, len(config.classes), recentered)
    if plain.startswith("evoked_"):
        length_s = int(plain.removeprefix("evoked_").removesuffix("ms")) / 1000
        together = round(length_s / STRETCH_S)
        return Evoked(n, config.n_slow, together, recentered)
    return Difference(plain, widths[plain], recentered)
