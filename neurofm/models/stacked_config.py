"""Settings of a `Stacked` decoder: which views, of which channels, in which bands."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from ..data.sensors import KINDS
from ..limits import Count, Limit, Positive, Unchecked, Whole
from ..pretrained import NeuroFMConfig
from . import find
from .protocol import BackboneConfig

RECENTERED = "_recentered"
# Of EEG and MEG. What each view is; those of EVENTS need windows that begin at an event.
EVENTS = {
    "evoked_50ms": "means over 50 ms",
    "evoked_200ms": "means over 200 ms",
    "evoked_covariance": "evoked responses and their covariance, in tangent space",
}
SIGNALS = {
    "power": "log band power",
    "covariance": "covariance in tangent space",
    "filter_bank": "covariance in each band, in tangent space",
    "spatial_patterns": "alpha and beta power through common spatial patterns",
    **EVENTS,
}
SCANS = {
    "mean": "mean of each region",
    "variance": "log variance of each region",
    "correlation": "correlations between regions",
    "connectivity": "covariance between regions, in tangent space",
}
OF_CLASSES = ("spatial_patterns", "evoked_covariance")  # need classes
NETWORK = "network"  # the pretrained model's features
KNOWN = {**SIGNALS, **SCANS, NETWORK: "features of the pretrained model"}
SEEN = "seen"  # 1 = a channel that windows are measured with, 0 = one that is missing
STRETCH_S = 0.025  # of the slow signal


def in_words(view: str) -> str:
    """What a view looks at.

    Parameters
    ----------
    view
        Its name.

    Returns
    -------
    str
        Words.
    """
    return KNOWN[view.removesuffix(RECENTERED)] + ", re-centered" * view.endswith(RECENTERED)


class StackedConfig(NeuroFMConfig):
    """Settings of a `Stacked` decoder.

    Parameters
    ----------
    classes
        Names of the classes, in the order of the probabilities. None at all = a number is
        predicted.
    views
        Names of the views, in the order of their weights; NAME_recentered takes the person's
        center away.
    channels
        Names of the channels or regions that views see.
    kinds
        Kind of each, an index into `neurofm.data.sensors.KINDS`.
    placed
        Whether any cap is brought to these channels by their places; else windows must have them,
        by name.
    average
        Whether the mean over channels is taken away after that.
    reads
        "signals" of EEG and MEG, or "scans" of fMRI.
    sfreq
        Sampling rate of signals, Hz; 0 = of scans.
    n_times
        Samples of a window, where views need all of them; 0 = any number.
    bands
        Edges of the bands of signals, Hz.
    n_components
        Components that covariances are of: the channels, or as many principal components.
    backbone
        Config of the pretrained model whose features are a view, None = none.
    pool
        How those are pooled, one of `backbone.pools`.
    calibration_windows
        Windows that chose the temperature; 0 = not known.
    band_end_hz, lowest_end_hz
        As in `DecoderConfig`.
    """

    model_type = "neurofm_stacked"
    sub_configs = {"backbone": NeuroFMConfig}  # noqa: RUF012 (transformers' convention)

    def __init__(
        self,
        classes: Annotated[Sequence[str], Unchecked()] = ("0", "1"),
        views: Annotated[Sequence[str], Unchecked()] = ("power",),
        channels: Annotated[Sequence[str], Unchecked()] = ("Cz",),
        kinds: Sequence[Annotated[int, Limit(0, len(KINDS) - 1)]] = (0,),
        placed: bool = False,
        average: bool = False,
        reads: Literal["signals", "scans"] = "signals",
        sfreq: float = 256.0,
        n_times: Whole = 0,
        bands: Annotated[Sequence[Sequence[float]], Unchecked()] = ((8.0, 13.0),),
        n_components: Count = 1,
        backbone: Any = None,
        pool: str = "",
        calibration_windows: int = 0,
        band_end_hz: Positive | None = None,
        lowest_end_hz: Positive | None = None,
        **of_transformers,
    ):
        if isinstance(backbone, dict):
            kind = str(backbone.get("model_type", "")).removeprefix("neurofm_")
            backbone = find(kind).config_class(**backbone)
        self.classes = tuple(str(name) for name in classes)
        self.views = tuple(str(name) for name in views)
        self.channels = tuple(str(name) for name in channels)
        self.kinds = tuple(kinds)
        self.placed = placed
        self.average = average
        self.reads = reads
        self.sfreq = sfreq
        self.n_times = n_times
        self.bands = tuple((float(low), float(high)) for low, high in bands)
        self.n_components = n_components
        self.backbone = backbone
        self.pool = pool or (backbone.pools[0] if backbone is not None else "")
        self.calibration_windows = calibration_windows
        self.band_end_hz = band_end_hz
        self.lowest_end_hz = lowest_end_hz
        super().__init__(**of_transformers)
        known = SCANS if reads == "scans" else SIGNALS
        unknown = [name for name in self.views
                   if name.removesuffix(RECENTERED) not in (*known, NETWORK)]
        self.require(bool(self.views) and not unknown,
                     f"views of {reads} are {', '.join((*known, NETWORK))}, each also as "
                     f"NAME{RECENTERED}; got {', '.join(unknown) or 'none'}")
        self.require(len(set(self.views)) == len(self.views),
                     f"wanted each view once, got {', '.join(self.views)}")
        self.require(bool(self.classes) or not set(OF_CLASSES) & set(self.names),
                     f"views {', '.join(OF_CLASSES)} tell classes apart, and a number is predicted "
                     f"here; leave them out")
        self.require(len(set(self.classes)) == len(self.classes) != 1,
                     f"classes must be at least two different names (or none at all, to predict a "
                     f"number), got {self.classes}")
        self.require(len(self.kinds) == len(self.channels) == len(set(self.channels)) > 0,
                     f"wanted channels of different names, and a kind of each, got "
                     f"{len(self.channels)} channels and {len(self.kinds)} kinds")
        self.require(1 <= n_components <= len(self.channels),
                     f"n_components must be 1 to {len(self.channels)}, the number of channels, got "
                     f"{n_components}")
        self.require(backbone is None or isinstance(backbone, BackboneConfig),
                     "backbone must be the config of a model with features")
        self.require((NETWORK in self.names) == (backbone is not None),
                     f"view {NETWORK} needs a pretrained model, and such a model this view: give "
                     f"both, or none")
        self.require(reads == "scans" or (sfreq > 0 and all(0 <= low < high <= sfreq / 2
                                                           for low, high in self.bands)),
                     f"bands must be inside 0 … {sfreq / 2:g} Hz, half the sampling rate, got "
                     f"{self.bands}")
        self.require(reads == "scans" or len(self.bands) > 0, "wanted at least one band")
        self.require(not self.of_events or self.n_slow > 0,
                     f"views of events need windows of {STRETCH_S:g} s at least: n_times is "
                     f"{n_times}")

    @property
    def names(self) -> tuple[str, ...]:
        """Views without whether they are re-centered, each once."""
        return tuple(dict.fromkeys(name.removesuffix(RECENTERED) for name in self.views))

    @property
    def of_events(self) -> bool:
        """Whether any view looks at when things happen."""
        return any(name in EVENTS for name in self.names)

    @property
    def recentered(self) -> bool:
        """Whether any view takes the person's center away."""
        return any(name.endswith(RECENTERED) for name in self.views)

    @property
    def regression(self) -> bool:
        """True where a number is predicted."""
        return not self.classes

    @property
    def n_slow(self) -> int:
        """Samples of the slow signal."""
        return int(self.n_times / self.sfreq / STRETCH_S + 1e-6) if self.sfreq else 0

    @property
    def sections(self) -> dict[str, int]:
        """What a window is measured by: section → numbers."""
        n, m = len(self.channels), self.n_components
        if self.reads == "scans":
            widths = {"mean": n, "variance": n, "correlation": n * (n - 1) // 2,
                      "connectivity": n * (n + 1) // 2}
            found = {name: widths[name] for name in SCANS if name in self.names}
        else:
            pairs = m * (m + 1) // 2
            found = {"power": len(self.bands) * n, "covariance": (len(self.bands) + 1) * pairs}
            if self.of_events:
                found["slow"] = m * self.n_slow
            if self.placed:
                found[SEEN] = n
        if self.backbone is not None:
            found[NETWORK] = self.backbone.n_pooled(self.pool)
        return found
