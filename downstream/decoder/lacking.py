"""What a recording lacks of what a model was trained on, what that costs, and whether it is taken.

One rule, `--lacking known`: a recording that lacks part of the band, some channels or clean samples
is taken where the model knows what that costs (`robustness.json`) and stays better than chance. A
model that does not know takes recordings of the whole band alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from neurofm.checkpoints.contracts import contract_of
from neurofm.checkpoints.robustness import Robustness
from neurofm.data import worse
from neurofm.data.contract import Contract, InputContract
from neurofm.data.corpus import Corpus
from neurofm.data.lacks import Lacks
from neurofm.data.sensors import Sensors
from neurofm.models.protocol import WindowDecoder
from neurofm.pages import words
from neurofm.preprocessing import quality as quality_of
from neurofm.preprocessing.standardize import ContractError, Standardized, StandardizedScan
from neurofm.preprocessing.steps import band

from .robustness import Cost, cost

Lacking = Literal["known", "accept", "refuse"]

_FEW_CHANNELS = 0.75  # contracts let nearly a third be bad, so training recordings miss some too
# Artifacts are moments at which a tenth of the channels are 10 robust standard deviations off;
# blinks are not.
_ARTIFACT, _OF_CHANNELS, _MANY_ARTIFACTS = 10.0, 0.1, 0.002
_SAMPLES = 20_000
_NEAR_M = 0.04  # way along the head over which splines interpolate; further, they guess
_UNEVEN = 0.2  # difference of shares of recordings between labels


@dataclass(frozen=True)
class Worth:
    """What a recording is worth to a model."""

    lacks: Lacks = field(default_factory=Lacks)
    cost: Cost | None = None  # None where nothing lacks, or it is not known
    said: tuple[str, ...] = ()  # sentences; none where nothing lacks

    def beside(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of answers with the expected score of such recordings, where there is one."""
        if self.cost is None or not self.cost.known:
            return table
        return table.assign(expected_score=round(self.cost.score, 4),
                            expected_low=round(self.cost.low, 4),
                            expected_high=round(self.cost.high, 4))


def standardized(lacking: Lacking) -> band.Lacking:
    """For `standardize`: what is refused or not by `worth` is standardized first."""
    return "refuse" if lacking == "refuse" else "accept"


def worth(
    made: Standardized | StandardizedScan, model, place: str, lacking: Lacking
) -> Worth:
    """What a standardized recording lacks and what that costs; raises ContractError where it is not
    taken.

    model: loaded; place: its folder or repository, "" where it is not known.
    """
    if not isinstance(made, Standardized):
        return Worth()
    filled = len(made.quality["interpolated"])
    return of(made.quality, model, place, lacking, made.source,
              n_channels=len(made.sensors) - filled, artifacts=_artifacts(made.signal),
              sensors=made.sensors)


def of(
    quality: dict, model, place: str, lacking: Lacking, source: str, *,
    n_channels: int, artifacts: float = 0.0, sensors: Sensors | None = None,
) -> Worth:
    """As `worth`, of a recording of which these are known. n_channels: that can be used. sensors:
    of the windows."""
    contract = contract_of(model)
    if not isinstance(contract, InputContract):
        return Worth()
    measured = Robustness.read(place) if place and isinstance(model, WindowDecoder) else None
    ends_hz, trained_hz = band.end_hz(quality, contract), _trained_hz(model)
    alike = ends_hz is not None and trained_hz is not None and ends_hz >= 0.99 * trained_hz
    share = n_channels / measured.n_channels if measured else 1.0
    way_m = (model.distances_m(sensors) if sensors and isinstance(model, WindowDecoder) else {})
    if way_m:
        _check_interpolated(n_channels, source)
        near = sum(far <= _NEAR_M for far in way_m.values())
        share = max(min(n_channels, near), 1) / len(way_m)
    lowest_hz = model.lowest_end_hz if isinstance(model, WindowDecoder) else None
    seen = ends_hz is not None and lowest_hz is not None and ends_hz >= 0.99 * lowest_hz
    lacks = Lacks(None if alike else ends_hz, share if share < _FEW_CHANNELS else None,
                  artifacts if artifacts >= _MANY_ARTIFACTS else 0.0)
    same = _interpolated(model.interpolated(sensors), way_m) if way_m and sensors else ()
    if alike:
        same += (f"The training recordings end at {trained_hz:g} Hz as well.",)
    elif seen:
        same += (f"At least a tenth of the training recordings end at {lowest_hz:g} Hz as well.",)
    # What it was trained on, a decoder takes: the cost is stated, not a reason to refuse.
    cut = lacks.lowpass_hz is not None and not seen
    if lacks.nothing or (measured is None and lacks.lowpass_hz is None
                         and (lacks.channels is None or not way_m)):
        return Worth(said=same)
    found, more = _cost(place, lacks) if measured else (None, ())
    if found is None:
        unknown = "What this costs is not known: " + (
            "the decoder was not measured on recordings as bad as this." if measured else
            "the model has no robustness curve (robustness.json of neurofm finetune).")
        # Of a model that takes its own channels alone, no share of them is measured.
        sparse = lacks.channels is not None and (bool(way_m) or (measured is not None and any(
            each.lacks.channels for each in measured.conditions)))
        if lacking == "known" and (cut or sparse):
            usual = len(way_m) or (measured.n_channels if measured else 0)
            wanted = (f"{round(_FEW_CHANNELS * usual)} channels or more, spread over the head"
                      if way_m and sparse else f"{round(_FEW_CHANNELS * usual)} channels or more"
                      if sparse else _wanted(contract))
            raise ContractError(source, wanted,
                                f"it has {words.listed(lacks.parts())} ({unknown.rstrip('.')})",
                                f"give one that has it, or {band.ACCEPT}")
        return Worth(lacks, None, (lacks.words(), *same, unknown))
    degraded = cut or lacks.channels is not None  # artifacts are said alone
    if lacking == "known" and degraded and found.holds_chance:
        raise ContractError(
            source, "a recording on which the decoder is known to be better than chance",
            f"it has {words.listed(lacks.parts())} ({found.words().rstrip('.')})",
            f"give one that lacks less, or {band.ACCEPT}")
    return Worth(lacks, found, (lacks.words(), *same, found.words(), *more))


def _check_interpolated(n_channels: int, source: str) -> None:
    """Raise ContractError where there are too few electrodes for splines."""
    if n_channels < worse.LEAST_CHANNELS:
        raise ContractError(source, f"{worse.LEAST_CHANNELS} electrodes at least, from which the "
                                    f"decoder's own are interpolated",
                            words.count(n_channels, "electrode") + " with a usable signal",
                            "record with more")


def _interpolated(names: Sequence[str], way_m: dict[str, float]) -> tuple[str, ...]:
    """A sentence where a decoder interpolates channels."""
    if not names:
        return ()
    most = max(names, key=way_m.__getitem__)
    return (f"{len(names)} of the decoder's {len(way_m)} electrodes were interpolated by spherical "
            f"splines: {words.listed([*names][:8])}{', …' if len(names) > 8 else ''}. The farthest "
            f"from an electrode of the recording is {most}, by {1000 * way_m[most]:.0f} mm.",)


def _wanted(contract: Contract) -> str:
    return f"the band up to {contract.lowpass_hz or 0.4 * contract.one_rate:g} Hz"


def _cost(place: str, lacks: Lacks) -> tuple[Cost | None, tuple[str, ...]]:
    """The cost, and a sentence where artifacts could not be counted in."""
    found = cost(place, lacks)
    if found is None and lacks.artifacts:
        clean = replace(lacks, artifacts=0.0)
        found = None if clean.nothing else cost(place, clean)
        return found, ("Its artifacts cost more than that; they were not measured.",)
    return found, ()


def _trained_hz(model) -> float | None:
    return model.band_end_hz if isinstance(model, WindowDecoder) else None


def _artifacts(signal: np.ndarray) -> float:
    """Share of samples with an artifact."""
    part = signal[:, ::max(1, signal.shape[1] // _SAMPLES)]
    low, middle, high = np.percentile(part, [25, 50, 75], axis=1, keepdims=True)
    spread = np.maximum((high - low) / 1.349, 1e-30)
    off = (np.abs(part - middle) > _ARTIFACT * spread).mean(axis=0)
    return float((off > _OF_CHANNELS).mean())


def of_corpus(corpus: Corpus, lacking: Lacking = "known") -> list[str]:
    """What its recordings lack, in a sentence; [] where they lack nothing. What is trained on them
    is also tested on them, so its score tells the cost. Raises ValueError for "refuse"."""
    ends = [hz for hz in _ends(corpus) if hz is not None]
    if not ends:
        return []
    counts = ", ".join(f"nothing above {hz:g} Hz in {ends.count(hz)}" for hz in sorted(set(ends)))
    said = (f"{len(ends)} of {len(corpus.recordings)} recordings do not hold "
            f"{_wanted(corpus.contract)}: {counts}.")
    if lacking == "refuse":
        raise ValueError(f"{corpus.folder}: {said} --lacking accept takes them")
    return [said, *_goes_with_labels(corpus)]


def _goes_with_labels(corpus: Corpus) -> list[str]:
    """A sentence where recordings of one label lack the end of the band more often than those of
    another: a decoder may then tell the filter, and not the state."""
    table = corpus.windows[["recording", "label"]].dropna().drop_duplicates()
    lacks = np.array([hz is not None for hz in _ends(corpus)])
    share = pd.Series(lacks[table["recording"]], index=table["label"]).groupby(level=0).mean()
    if len(share) < 2 or share.max() - share.min() < _UNEVEN:
        return []
    return [f"They are {words.percent(share.max())} of the recordings with {share.idxmax()} and "
            f"{words.percent(share.min())} of those with {share.idxmin()}: a decoder may tell the "
            f"filter of a recording instead of its state."]


class TrainedBand(NamedTuple):
    """Where the bands of training recordings end, as `DecoderConfig` has it."""

    band_end_hz: float | None  # of most; None = where the contract's does
    lowest_end_hz: float | None  # of at least a tenth


def trained_band(ends_hz: Sequence[float | None]) -> TrainedBand:
    """Of the ends of the bands of training recordings, Hz; None = the contract's, the highest."""
    found = sorted(np.inf if hz is None else hz for hz in ends_hz) or [np.inf]
    most, lowest = found[(len(found) - 1) // 2], found[(len(found) - 1) // 10]
    return TrainedBand(*(None if np.isinf(hz) else float(hz) for hz in (most, lowest)))


def band_of(corpus: Corpus, rows: np.ndarray) -> TrainedBand:
    """Where the bands of these recordings end."""
    ends = _ends(corpus)
    return trained_band([ends[row] for row in rows])


def _ends(corpus: Corpus) -> list[float | None]:
    contract = corpus.contract
    if not isinstance(contract, InputContract):
        return [None] * len(corpus.recordings)
    return [band.end_hz(quality_of.from_text(text), contract)
            for text in corpus.recordings["quality"]]
