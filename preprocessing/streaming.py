"""A live signal → what the contract says, window by window, from the past alone.

The steps are those of a file, in the same order (`steps.ORDER`); each says how it lives in a
stream. What depends on the sensors alone is done once. Filters and the new rate run along. What has
no memory is done when a window closes: amplitudes of the window, spectra of the last half minute,
interpolation, reference, scale. A step that cannot follow a stream is refused by its name. What
differs from a file is said by `differences`, in words for people.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from neurofm.data.contract import EEG_MEG, Contract, InputContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import Sensors

from . import quality as quality_of
from . import steps
from .steps import AtStart, Causal, PerWindow, Step, band
from .steps.band import Lacking
from .steps.refusal import ContractError
from .steps.step import PAST_S


@dataclass(frozen=True, eq=False)
class LiveWindow:
    """A window of a stream that has just ended."""

    start_s: float  # start_s, stop_s: from the first sample of the stream
    stop_s: float
    last: int  # index of the last sample of the input inside it
    # scaled; None where it cannot be used, and `problem` says why
    signal: Float32[np.ndarray, "channel time"] | None
    sensors: Sensors
    quality: dict  # bads (name → reason), interpolated, left_out
    problem: str = ""


class CausalStandardizer:
    """Chunks [channel, time] in SI units go in, windows that meet the contract come out.

    template: a Recording that says what the stream is: sensors, sfreq, bads, band; its signal is
    not read. hop_s: from one window to the next; None = the contract's stride. lacking: as in
    `standardize`.
    Raises ContractError where no stream of these sensors at this rate can meet the contract.
    """

    def __init__(self, template: Recording, contract: Contract, hop_s: float | None = None,
                 lacking: Lacking = "refuse"):
        contract = followed(contract, template.source)
        order = steps.order(contract)
        _check(order, template, contract)
        self.contract, self.sfreq = contract, template.sfreq
        self._n_inputs = template.n_channels
        rows = np.arange(self._n_inputs, dtype=np.float32)[:, None]  # a row's value is its number
        quality: dict = {"bads": {name: "marked before the stream" for name in template.bads
                                  if name in template.sensors.names}}
        stream = template.with_(signal=rows)
        for step in order:
            if isinstance(step.live, AtStart):
                assert step.apply is not None, step.name
                stream = step.apply(stream, contract, quality)
        band.check(template.source, quality, contract, lacking)
        self.rows = stream.signal[:, 0].astype(int)
        self.sensors, self.marked = stream.sensors, quality.pop("bads")
        self.quality = quality
        # what a person should know of the recording before it streams
        read = {"reading": template.notes, "not_used": template.left_out,
                "template_places": template.n_template_places}
        self.remarks = [*quality_of.of_reading(read), *quality_of.of_places(read), *(
            text for step in order if isinstance(step.live, AtStart) and step.remarks
            for text in step.remarks(quality))]
        self._causal = []
        for step in order:
            if isinstance(step.live, Causal):
                self._causal.append(step.live.begin(stream, contract))
                stream = stream.with_(sfreq=self._causal[-1].sfreq)
        self._band_hz = (template.band_hz[0], band.end_hz(quality, contract))
        self._per_window = [(step, step.live) for step in order
                            if isinstance(step.live, PerWindow)]
        self.hop = contract.stride_samples if hop_s is None else round(hop_s * contract.sfreq)
        if self.hop < 1:
            raise ValueError(f"hop_s must be at least one sample ({1 / contract.sfreq:.4g} s), "
                             f"got {hop_s}")
        self._past = _Past(len(self.rows),
                           max(contract.window_samples, round(PAST_S * contract.sfreq)))
        self._next_stop = contract.window_samples

    @property
    def lookahead_s(self) -> float:
        """How long the newest standardized sample has waited for later ones."""
        return sum(step.lookahead_s for step in self._causal)

    def group_delay_s(self, frequency_hz) -> Float[np.ndarray, " frequency"]:
        """By how much oscillations come out later than they went in."""
        none = np.zeros(len(frequency_hz))
        return sum((step.group_delay_s(frequency_hz) for step in self._causal), none)

    def push(self, chunk: Float[np.ndarray, "channel time"]) -> list[LiveWindow]:
        """Take what came in; returns the windows that have closed by it."""
        if chunk.ndim != 2 or chunk.shape[0] != self._n_inputs:
            raise ValueError(f"wanted chunks [channel, time] of {self._n_inputs} channels, "
                             f"got {chunk.shape}")
        chunk = np.asarray(chunk[self.rows], dtype=np.float64)
        for step in self._causal:
            chunk = step.push(chunk)
        self._past.add(chunk.astype(np.float32), self._next_stop)
        closed = []
        while self._past.stop >= self._next_stop:
            closed.append(self._window(self._next_stop))
            self._next_stop += self.hop
        return closed

    def _window(self, stop: int) -> LiveWindow:
        contract, start = self.contract, stop - self.contract.window_samples
        times = (start / contract.sfreq, stop / contract.sfreq)
        last = int(np.floor((stop - 1) * self.sfreq / contract.sfreq + 1e-6))
        quality: dict = {"bads": dict(self.marked), "interpolated": [], "left_out": []}
        window = self._part(start, stop)
        past = self._part(max(0, stop - round(PAST_S * contract.sfreq)), stop)
        try:
            for live in self._causal:
                live.close(times[0], quality)
            for step, form in self._per_window:
                window = self._done(step, form, window, past, quality)
        except ContractError as error:
            return LiveWindow(*times, last, None, self.sensors, quality, error.reason)
        known = steps.statistics(lambda: [self._like(window, past, quality)], contract)
        signal = steps.cut(window.signal, window.sensors, contract, known)
        return LiveWindow(*times, last, signal, window.sensors, quality)

    def _done(self, step: Step, form: PerWindow, window: Recording, past: Recording, quality: dict
              ) -> Recording:
        if form.apply:
            return form.apply(window, past, self.contract, quality)
        return step.apply(window, self.contract, quality) if step.apply else window

    def _like(self, window: Recording, past: Recording, quality: dict) -> np.ndarray:
        """The past as the steps made the window: without the same channels, in its reference."""
        found = {**quality, "bads": dict(quality["bads"])}
        for step, form in self._per_window:
            if not form.judges:
                past = self._done(step, form, past, past, found)
        assert past.sensors.names == window.sensors.names
        return past.signal

    def _part(self, start: int, stop: int) -> Recording:
        return Recording(self._past.part(start, stop), self.contract.sfreq, self.sensors,
                         band_hz=self._band_hz)

    def differences(self) -> list[str]:
        """What a stream gets that a file would not, each in a sentence."""
        return [*(text for step in self._causal for text in step.differences()),
                *(text for _, form in self._per_window if form.differs
                  for text in form.differs(self.contract))]


def followed(contract: Contract | None, whose: str) -> InputContract:
    """The contract, where it is of signals that a stream can have.

    whose: what messages name: the model, or the recording. Raises ContractError.
    """
    if isinstance(contract, InputContract):
        return contract
    came = "there is none" if contract is None else f"this one is of {contract.modality}"
    if contract and contract.steps_of_whole:
        came += f", and these steps need the whole recording: {', '.join(contract.steps_of_whole)}"
    raise ContractError(whose, f"a contract of {EEG_MEG}", came, "decode a file (neurofm decode)")


def _check(order: list[Step], template: Recording, contract: InputContract) -> None:
    """Every step can follow a stream, and in this order."""
    causal = [at for at, step in enumerate(order) if isinstance(step.live, Causal)]
    for at, step in enumerate(order):
        reason = step.refusal(contract)
        if (reason is None and step.apply and isinstance(step.live, PerWindow)
                and at < max(causal, default=-1)):
            reason = (f"it is done window by window, but {order[causal[-1]].name}, which follows "
                      f"it, runs along with the samples")
        if reason:
            raise ContractError(
                template.source, "steps that can follow a stream",
                f"the step {step.name} cannot: {reason}",
                "decode a file (neurofm decode), or take a model without this step")


class _Past:
    """The last standardized samples [channel, time], in a buffer that is moved now and then."""

    def __init__(self, n_channels: int, keep: int):
        self._keep, self.stop, self._fill = keep, 0, 0
        self._buffer = np.zeros((n_channels, 3 * keep), dtype=np.float32)

    def add(self, more: np.ndarray, still_wanted: int) -> None:
        """Append; samples from `still_wanted` − keep on stay."""
        n, room = more.shape[1], self._buffer.shape[1]
        if self._fill + n > room:
            kept = min(self._fill, self._keep + max(0, self.stop - still_wanted))
            if kept + n > room:  # one very long chunk
                grown = np.zeros((len(self._buffer), kept + n + self._keep), dtype=np.float32)
                grown[:, :kept] = self._buffer[:, self._fill - kept:self._fill]
                self._buffer = grown
            else:
                self._buffer[:, :kept] = self._buffer[:, self._fill - kept:self._fill].copy()
            self._fill = kept
        self._buffer[:, self._fill:self._fill + n] = more
        self._fill, self.stop = self._fill + n, self.stop + n

    def part(self, start: int, stop: int) -> np.ndarray:
        """A copy of samples start … stop of the stream."""
        shift = self._fill - self.stop
        return self._buffer[:, start + shift:stop + shift].copy()
