"""A step: one thing that is done to a recording, and what becomes of it in a stream.

A file of this folder (or of another package, by an entry point of the group `neurofm.steps`) holds
one, named STEP. Its live form is one of

    AtStart     depends on the sensors alone: done once, before the first sample
    Causal      runs along with the samples and keeps a state: a `LiveStep`
    PerWindow   has no memory: done when a window closes, on the window
    Refuses     cannot follow a stream, and says why

A step without a live form makes `neurofm stream` refuse, by its name.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from neurofm.data.contract import Contract, InputContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import Sensors

PAST_S = 30.0  # of a stream that steps of a window may look back on

Quality = dict[str, Any]
Stretches = Callable[[], list[np.ndarray]]
Signal = Float32[np.ndarray, "channel time"]


class LiveStep:
    """State of a causal step. `sfreq`: of what `push` returns, Hz."""

    lookahead_s = 0.0  # how long the newest sample of the output has waited for later ones

    def __init__(self, recording: Recording, contract: InputContract):
        """recording: what the stream is (sensors, sfreq); its signal is not read."""
        self.sfreq = recording.sfreq

    def push(self, chunk: Float[np.ndarray, "channel time"]) -> Float[np.ndarray, "channel time"]:
        """What can be given for the samples that came, perhaps nothing."""
        raise NotImplementedError

    def group_delay_s(self, frequency_hz) -> Float[np.ndarray, " frequency"]:
        """By how much oscillations come out later."""
        return np.zeros(len(frequency_hz))

    def close(self, start_s: float, quality: Quality) -> None:
        """Write into `quality` what was found since `start_s`; raise ContractError where the window
        that begins there cannot be used."""

    def differences(self) -> list[str]:
        """What a stream gets that a file would not, each in a sentence."""
        return []


@dataclass(frozen=True)
class AtStart:
    """Done once, on a recording whose rows tell which sensors are kept."""


@dataclass(frozen=True)
class Causal:
    """Runs along. begin: (what the stream is, contract) → the state."""

    begin: Callable[[Recording, InputContract], LiveStep]


@dataclass(frozen=True)
class PerWindow:
    """Done when a window closes."""

    # (window, the last `PAST_S` seconds up to its end, contract, quality) → window; None = as in a
    # file, on the window
    apply: Callable[[Recording, Recording, InputContract, Quality], Recording] | None = None
    # what a stream gets that a file would not, in sentences; by contract
    differs: Callable[[InputContract], list[str]] | None = None
    # it changes no sample, but finds what is bad: not repeated on the past, which is made like the
    # window before steps look at it (`Step.statistics`)
    judges: bool = False


@dataclass(frozen=True)
class Refuses:
    """Cannot follow a stream. when: of which contracts that holds; the others do not use it."""

    reason: str
    when: Callable[[InputContract], bool] | None = None


@dataclass(frozen=True)
class Step:
    """One step."""

    name: str  # as in messages; of another package: the name of its entry point
    # (recording, contract, quality) → recording; writes what it found into quality
    apply: Callable[[Recording, InputContract, Quality], Recording] | None = None
    # (window [channel, time], sensors, contract, statistics) → window; after the recording was cut
    # into windows
    window: Callable[[Signal, Sensors, InputContract, Any], Signal] | None = None
    # (function that gives the good stretches of the recording, contract) → what `window` needs to
    # know of all of it
    statistics: Callable[[Stretches, InputContract], Any] | None = None
    # what becomes of it in a stream; None = streams refuse it
    live: AtStart | Causal | PerWindow | Refuses | None = None
    # contract → rows (title, text) that say what it does; for steps of other packages (the fields
    # of a contract are described by the contract itself)
    words: Callable[[InputContract], list[tuple[str, str]]] | None = None
    # quality → what a person should look at, each in a few words
    remarks: Callable[[Quality], list[str]] | None = None
    after: str = "reference"  # of another package: the step that it follows
    # of another package: its settings, given as contract.steps: {name: {key: value}}
    defaults: dict[str, Any] = field(default_factory=dict)

    def settings(self, contract: Contract) -> dict[str, Any]:
        """Its settings in a contract, the others as in `defaults`. Raises ValueError for one that
        it does not have."""
        given = contract.steps.get(self.name) or {}
        for key in given.keys() - self.defaults.keys():
            near = difflib.get_close_matches(key, self.defaults, n=1)
            hint = (f"did you mean {near[0]!r}?" if near
                    else f"it has {', '.join(self.defaults) or 'none'}")
            raise ValueError(f"contract.steps.{self.name}: no setting {key!r}; {hint}")
        return {**self.defaults, **given}

    def refusal(self, contract: InputContract) -> str | None:
        """Why a stream cannot have it; None where it can."""
        if self.live is None:
            return "it does not say how it lives in a stream (Step.live)"
        if isinstance(self.live, Refuses) and (self.live.when is None or self.live.when(contract)):
            return self.live.reason
        return None
