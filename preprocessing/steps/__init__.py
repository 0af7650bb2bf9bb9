"""Steps from a recording to its contract: one file each, holding a `Step` named STEP.

A step changes the recording and writes what it found into `quality` (a dict that travels with the
recording). To add one: a file here and a name in `ORDER`; or another package's entry point in the
group `neurofm.steps`, which runs where a contract asks for it (contract.steps: {name: {…}}), so
that no corpus changes because something was installed.

The order and its reasons:
    select       first, so that nothing is spent on sensors of other kinds
    samples      NaN, infinite and flat samples are found before a filter would spread them
    positions    a sensor without a place is of no use to a network: dropped before the work,
                 unless the contract does without places
    resample     notch, band-pass and new rate in one pass; what follows works on fewer samples
    amplitude    after the filter, which takes away offsets and drifts of DC amplifiers
    bad_channels spectra are compared within the band that models see
    interpolate  needs the bad ones known, and must precede the reference
    reference    after it: a bad channel would leak into all others through the average
    parcels      where asked for: an inverse wants clean, referenced sensors
    scale        of each window by itself, once the recording is cut
Files and streams walk this one list: what becomes of a step in a stream is said by the step.
"""

from typing import Any

import numpy as np

from neurofm import plugins
from neurofm.data.contract import Contract, InputContract
from neurofm.data.sensors import Sensors

from . import (
    amplitude,
    bad_channels,
    interpolate,
    parcels,
    positions,
    reference,
    resample,
    samples,
    scale,
    select,
)
from .step import AtStart, Causal, LiveStep, PerWindow, Refuses, Step, Stretches

__all__ = ["GROUP", "ORDER", "AtStart", "Causal", "LiveStep", "PerWindow", "Refuses", "Step",
           "cut", "order", "statistics"]

GROUP = "neurofm.steps"
ORDER: tuple[Step, ...] = tuple(module.STEP for module in (
    select, samples, positions, resample, amplitude, bad_channels, interpolate, reference, parcels,
    scale))


def order(contract: Contract) -> list[Step]:
    """ORDER with the steps of other packages that the contract asks for, each after its `after`.

    Raises ValueError for a step that no installed package has, and for settings it does not have.
    """
    steps, added = list(ORDER), [installed(name) for name in contract.steps]
    for step in added:
        step.settings(contract)
    while added:
        names = [step.name for step in steps]
        known = next((step for step in added if step.after in names), None)
        if known is None:
            raise ValueError(f"step {added[0].name!r} follows {added[0].after!r}, which is none of "
                             f"{', '.join(names)}")
        steps.insert(names.index(known.after) + 1, known)
        added.remove(known)
    return steps


def installed(name: str) -> Step:
    """A step of another package by its name."""
    points = plugins.points(GROUP)
    if name not in points:
        there = ", ".join(sorted(points)) or "none"
        raise ValueError(f"contract.steps asks for the step {name!r}, which no installed package "
                         f"has (installed: {there}): install the package it comes from")
    step = plugins.load(GROUP, name)
    if not isinstance(step, Step) or step.name != name:
        raise ValueError(f"the entry point {name!r} of {GROUP} must name a Step called {name!r}, "
                         f"got {step!r}")
    return step


def statistics(stretches: Stretches, contract: InputContract) -> dict[str, Any]:
    """What steps need to know of a whole recording to do a window: name → that."""
    return {step.name: step.statistics(stretches, contract)
            for step in order(contract) if step.statistics}


def cut(window: np.ndarray, sensors: Sensors, contract: InputContract, known: dict[str, Any]
        ) -> np.ndarray:
    """A window [channel, time] as models see it: scaled, mostly. known: see `statistics`."""
    for step in order(contract):
        if step.window:
            window = step.window(window, sensors, contract, known.get(step.name))
    return window
