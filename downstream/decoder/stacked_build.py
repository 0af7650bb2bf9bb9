"""An empty `Stacked` decoder for some training windows: its channels, bands, components and views.

Channels are those of the layout that most training windows have. If their places are known, and
they are electrodes, any cap is brought to them; else windows must have them by name.
"""

from collections.abc import Sequence

import numpy as np
import torch

from neurofm import artifacts
from neurofm.data.batch import Batch
from neurofm.data.contract import Contract
from neurofm.data.corpus import Corpus
from neurofm.data.sensors import Sensors, common_names
from neurofm.models.protocol import Backbone
from neurofm.models.stacked import Stacked
from neurofm.models.stacked_config import (
    EVENTS,
    NETWORK,
    RECENTERED,
    SCANS,
    SIGNALS,
    StackedConfig,
)
from neurofm.nn.views import spectra

from . import lacking
from .features import InMemory, OfCorpus
from .labeled import Labeled, sensors_of

MAX_COMPONENTS = 64
LOOKED_AT = 256  # windows that tell which bands have power, and which components
LEAST_WINDOWS = 4  # of a person, for anything to be left after re-centering
WHOLE_SCANS = ("variance", "correlation", "connectivity")


def build_stacked(
    data: Labeled, training: np.ndarray, backbone: Backbone | None = None, pool: str = "",
    views: tuple[str, ...] = (), everybody: np.ndarray | None = None,
) -> Stacked:
    """The decoder, before it is fitted.

    Parameters
    ----------
    data
        Labeled windows.
    training
        Those that it learns from.
    backbone
        Pretrained model whose features are one more view.
    pool
        How those are pooled; "" = its first way.
    views
        Names of views; none = all that fit the data.
    everybody
        All windows that it must read: of channels without places it takes those that they have in
        common. None = the training windows.

    Returns
    -------
    Stacked
        With the contract of the data.
    """
    corpus, contract = data.corpus, data.contract
    layout = channels_of(corpus, training, everybody)
    scans = contract.VIEWS[0] == "scans"
    drawn = training[looked_at(len(training))]
    few = None if scans else signals_of(corpus, drawn, layout)
    if backbone is not None and backbone.contract is not None:
        contract = data.contract_on(backbone.contract)
    known = views or views_of(data, training, scans, backbone is not None)
    return empty(layout, contract, few, data.classes, known, backbone, pool,
                 lacking.band_of(corpus, data.recordings("train")))


def looked_at(n: int) -> np.ndarray:
    """Numbers of the windows, of n, that tell which bands and components there are."""
    return np.linspace(0, n - 1, min(LOOKED_AT, n)).astype(int)


def empty(
    layout: Sensors, contract: Contract, few: torch.Tensor | None, classes: tuple[str, ...],
    views: tuple[str, ...], backbone: Backbone | None, pool: str, band: lacking.TrainedBand,
) -> Stacked:
    """The decoder of these channels. few: training windows, [window, channel, time]; None = of
    scans."""
    scans, n = few is None, len(layout)
    placed = bool(not scans and set(layout.kinds) == {"eeg"} and layout.has_position.all())
    sfreq = 0.0 if scans else contract.one_rate
    bands = () if few is None else usable_bands(few, sfreq)
    config = StackedConfig(
        classes=classes, views=views, channels=layout.names, kinds=layout.kind.tolist(),
        placed=placed, average=placed and getattr(contract, "reference", "") == "average",
        reads="scans" if scans else "signals", sfreq=sfreq,
        n_times=contract.window_samples or 0, bands=bands or ((8.0, 13.0),),
        n_components=n if scans else min(n, MAX_COMPONENTS),
        backbone=None if backbone is None else backbone.config, pool=pool)
    model = Stacked(config, backbone)
    model.contract = contract
    if placed:
        model.geometry.copy_(torch.from_numpy(layout.geometry(model.contract.geometry)))
    if few is not None:
        covariance = spectra.covariances(few, sfreq, config.bands).sum(dim=1)
        trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)
        # A power of ten: folds have it in common, and with it what windows are measured by.
        least = spectra.LEAST * float(trace.mean()) / n
        model.least.fill_(10.0 ** np.floor(np.log10(max(least, 1e-300))))
        if n > MAX_COMPONENTS:
            mean = (covariance / trace.clamp_min(1e-300)[:, None, None]).mean(dim=0)
            model.basis.copy_(torch.linalg.eigh(mean)[1].flip(1)[:, :MAX_COMPONENTS])
    model.config.band_end_hz, model.config.lowest_end_hz = band
    return model.eval()


def channels_of(
    corpus: Corpus, windows: np.ndarray, everybody: np.ndarray | None = None
) -> Sensors:
    """The layout that most of the windows have, without channels that cannot be had (by
    everybody)."""
    keys = corpus.recordings["layout"].to_numpy()[corpus.windows["recording"].to_numpy()]
    every = windows if everybody is None else everybody
    try:
        return common_channels([corpus.layouts[key] for key in keys[windows]],
                               [corpus.layouts[key] for key in np.unique(keys[every])])
    except ValueError as problem:
        raise ValueError(f"{corpus.folder}: {problem}") from None


def common_channels(training: Sequence[Sensors], every: Sequence[Sensors]) -> Sensors:
    """The layout that most of the training windows have, without channels that cannot be had (by
    every one)."""
    known = {layout.fingerprint: layout for layout in training}
    names, count = np.unique([layout.fingerprint for layout in training], return_counts=True)
    most = known[names[count.argmax()]]
    kinds = {kind for layout in known.values() for kind in layout.kinds}
    found = sorted({sensors_of(layout) for layout in known.values()})
    kept = " + ".join(dict.fromkeys(most.kinds))
    instead = (f"restrict it, such as with --only.kinds='{kept}' or "
               f"--only.sensors='{sensors_of(most)}', or train a network, which reads all of them: "
               f"--decoder network --model PRETRAINED")
    if "eeg" in kinds and len(kinds) > 1 and len(common_names([*known.values()])) < len(most):
        raise ValueError(f"recordings have unlike kinds of sensor ({'; '.join(found)}), which the "
                         f"views of an automatic decoder cannot mix; {instead}")
    if set(most.kinds) == {"eeg"} and most.has_position.all():
        return most
    if not (common := common_names([*every])):
        raise ValueError(f"recordings have no channel in common ({'; '.join(found)}), and only EEG "
                         f"with known places is brought to one cap; {instead}")
    return most[most.rows(common)]


def signals_of(corpus: Corpus, windows: np.ndarray, layout: Sensors) -> torch.Tensor:
    """Signals of those windows that have all channels of the layout, [window, channel, time]."""
    found = [corpus.signal(window, list(layout.names)) for window in windows.tolist()
             if set(layout.names) <= set(corpus.layout(window).names)]
    return torch.from_numpy(np.stack(found)).double()


def usable_bands(signal: torch.Tensor, sfreq: float) -> tuple[tuple[float, float], ...]:
    """Those bands that hold any power."""
    inside = tuple(band for band in spectra.BANDS if band[1] <= sfreq / 2)
    if not inside:
        raise ValueError(f"signals at {sfreq:g} Hz hold none of the bands that a decoder looks at, "
                         f"of which the lowest ends at {spectra.BANDS[0][1]:g} Hz")
    power = spectra.covariances(signal, sfreq, inside).diagonal(dim1=2, dim2=3).mean(dim=(0, 2))
    found = tuple(band for band, value in zip(inside, power.tolist(), strict=True) if value > 0)
    if not found:
        raise ValueError("no window has power in any band: they are too short, or empty (the "
                         "average reference leaves nothing of one channel: ingest with "
                         "--contract.reference none)")
    return found


def views_of(
    data: Labeled, training: np.ndarray, scans: bool, network: bool
) -> tuple[str, ...]:
    """All views that fit: those of events where windows are cut at events; re-centered ones where
    people have several windows."""
    _, count = np.unique(data.corpus.subjects(training), return_counts=True)
    return views_that_fit(scans, at_events(data), len(data.classes), network,
                          bool(np.median(count) >= LEAST_WINDOWS))


def views_that_fit(
    scans: bool, events: bool, n_classes: int, network: bool, several: bool
) -> tuple[str, ...]:
    """events: windows begin at events. n_classes: 0 = numbers. several: people have several
    windows."""
    known = [*(SCANS if scans else SIGNALS)]
    if not events or not n_classes:
        known = [name for name in known if name not in EVENTS]
    if not n_classes:
        known = [name for name in known if name != "spatial_patterns"]
    known += [NETWORK] if network else []
    return (*known, *(name + RECENTERED for name in known if several))


def at_events(data: Labeled) -> bool:
    """Whether windows begin at events."""
    label = artifacts.read_manifest(data.corpus.folder).config.get("label") or {}
    return label.get("source") == "event"


@torch.no_grad()
def measure(
    model: Stacked, data: Labeled, windows: np.ndarray, *, batch_windows: int = 16,
    device: torch.device | str = "cpu", change=None,
) -> InMemory:
    """What the model measures of windows, with their targets and subjects."""
    assert model.contract is not None
    source = OfCorpus(data.corpus, windows, data.target, model.contract.geometry, change)
    model.to(device).eval()
    parts = []
    for start in range(0, len(source.windows), batch_windows):
        batch: Batch = source.batch(source.windows[start : start + batch_windows])
        parts.append(model.pool(batch.to(device)).cpu())
    return source.with_(torch.cat(parts))
