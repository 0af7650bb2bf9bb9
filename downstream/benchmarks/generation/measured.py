"""What is measured of every person in every source: real halves, models, linear baselines.

People are read one after the other, so that memory holds what was measured, not the signals.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...scoring import bursts, covariances, envelopes, fingerprint, spectra
from ...scoring.stretches import Stretches, seconds, shorten
from . import linear
from .signals import Compared

REAL = "real"  # the second half: what every source is compared with
OTHER = "real, other half"  # the ceiling: the first half, as long as what was generated
TRACE_S = 5.0


@dataclass(frozen=True)
class Settings:
    """What is measured, and beside which baselines."""

    ar_order: int  # ar_order, mvar_order: of the baselines
    mvar_order: int
    ridge: float  # of the multivariate one
    bands: dict[str, list[float]]  # of the envelopes
    high_hz: float  # where spectra end
    seed: int

    @property
    def baselines(self) -> tuple[str, str]:
        return f"AR({self.ar_order})", f"MVAR({self.mvar_order})"


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of one person in one source."""

    seconds: float
    frequency: Float[np.ndarray, " frequency"]
    spectrum: Float[np.ndarray, "channel frequency"]  # in dB
    # for the fingerprint, of all pairs of channels and of single ones
    features: dict[str, Float[np.ndarray, " feature"]]
    envelopes: dict[str, Float[np.ndarray, "channel channel"]]
    bursts: dict[str, float]
    trace: Float[np.ndarray, "channel time"]  # the first 5 s


def measure(
    compared: Compared, settings: Settings, model: bursts.Bursts, n_segment: int
) -> dict[str, list[Measured]]:
    """Source → each of the people; `REAL` first, then models, baselines and `OTHER`. model,
    n_segment: from `prepare`."""
    sfreq = compared.sfreq
    single, joint = settings.baselines
    found: dict[str, list] = {name: [] for name in (REAL, *compared.folders, single, joint, OTHER)}
    for number, person in enumerate(compared.people):
        first, second = compared.real(person)
        signals: dict[str, Stretches] = {REAL: second}
        for name in compared.folders:
            signals[name] = compared.generated(name, person)
        n = max(signals[name][0].shape[1] for name in compared.folders)
        signals |= {name: [drawn] for name, drawn in
                    draw_linear(first, n, sfreq, settings, settings.seed + number).items()}
        signals[OTHER] = shorten(first, n)
        for name, stretches in signals.items():
            frequency, spectrum = spectra.spectrum(stretches, sfreq, n_segment, settings.high_hz)
            covariance = covariances.lagged(stretches, fingerprint.N_LAGS)
            found[name].append(Measured(
                seconds(stretches, sfreq), frequency, spectrum,
                {"all": fingerprint.feature(covariance, single=False),
                 "single": fingerprint.feature(covariance, single=True)},
                {band: envelopes.matrix(stretches, sfreq, edges)
                 for band, edges in settings.bands.items()},
                model.of(stretches), stretches[0][:, : round(TRACE_S * sfreq)],
            ))
    return found


def prepare(compared: Compared, settings: Settings) -> tuple[bursts.Bursts, int]:
    """(the model of bursts, samples of a segment for the spectra); reads everybody once."""
    rng = np.random.default_rng(settings.seed)
    sfreq = compared.sfreq
    n_pieces = int(np.ceil(bursts.FIT_ROWS / (bursts.PIECE_S * min(sfreq, 250.0))))
    each = -(-n_pieces // len(compared.people))
    fitted = rng.permutation(len(compared.people))[: -(-n_pieces // each)]
    pieces, longest = [], []
    for number, person in enumerate(compared.people):
        first, second = compared.real(person)
        generated = [compared.generated(name, person) for name in compared.folders]
        longest += [max(stretch.shape[1] for stretch in half)
                    for half in (first, second, *generated)]
        if number in fitted:
            pieces += bursts.draw(first, each, sfreq, settings.high_hz, rng)
    if not pieces:
        raise ValueError(f"{compared.corpus.folder}: stretches without a gap are too short to tell "
                         f"bursts; ingest longer windows")
    n_segment = spectra.segment(longest, sfreq)
    return bursts.fit(pieces, sfreq, settings.high_hz), n_segment


def draw_linear(
    first: Stretches, n: int, sfreq: float, settings: Settings, seed: int
) -> dict[str, Float[np.ndarray, "channel time"]]:
    """n samples of both autoregressions of a person's first half."""
    half = sum(stretch.shape[1] for stretch in first)
    if half < 4 * max(settings.ar_order, settings.mvar_order):
        raise ValueError(f"half of a person's signal has {half} samples: too few for "
                         f"autoregressions of order {settings.ar_order} and "
                         f"{settings.mvar_order}; set ar_order and mvar_order lower")
    weights, new = linear.fit_single(covariances.lagged_single(first, settings.ar_order + 1))
    single = linear.draw_single(weights, new, n, sfreq, seed)
    weights, new = linear.fit_joint(covariances.lagged(first, settings.mvar_order + 1),
                                    settings.ridge)
    joint = linear.draw_joint(weights, new, n, sfreq, seed + 1)
    return dict(zip(settings.baselines, (single, joint), strict=True))
