"""Contract: what contracts of every kind of signal answer, and what commands ask of them.

A new kind of signal is a subclass that another package names by an entry point of the group
`neurofm.contracts`, with its way of `preprocessing.standardize.by_kind`: a corpus is opened, shown,
checked against models, decoded and embedded by what the class answers here.
"""

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from .contract_file import FILE_NAME, fields_of
from .contract_words import check_version
from .sensors import GeometryRule


@dataclass(frozen=True)
class Contract:
    """What contracts of every modality can do. A contract is a frozen dataclass with the fields
    `corpus`, `contract_version` and what happens to a signal."""

    FREE = frozenset({"corpus"})  # fields in which signals may differ and still be alike
    if TYPE_CHECKING:  # fields of every contract, or constants of its class

        @property
        def modality(self) -> str: ...

        @property
        def kinds(self) -> tuple[str, ...]: ...

        @property
        def geometry(self) -> GeometryRule: ...

        @property
        def positions(self) -> str: ...

        @property
        def scale(self) -> str: ...

        @property
        def sfreq(self) -> float | None:
            """Sampling rate of all windows; None = each recording keeps its own."""

        @property
        def window_samples(self) -> int | None:
            """Length of all windows; None = they have unlike ones."""

        @property
        def highpass_hz(self) -> float | None: ...

        @property
        def lowpass_hz(self) -> float | None: ...

        @property
        def window_s(self) -> float | None: ...

        @property
        def stride_s(self) -> float | None: ...

        @property
        def corpus(self) -> str: ...

        @property
        def contract_version(self) -> int: ...

        @property
        def steps(self) -> Mapping[str, dict[str, Any]]: ...
    else:
        steps = MappingProxyType({})  # of other packages: where a contract has none

    @property
    def fingerprint(self) -> str:
        """16 hex digits of what happens to a signal (the corpus it was used on left out)."""
        fields = {**self.to_dict(), "corpus": ""}
        fields.pop("contract_version")
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]

    def differences(self, other: "Contract") -> list[str]:
        """Fields in which signals of `other` differ, except those of `FREE`.

        Parameters
        ----------
        other
            The contract to compare with.

        Returns
        -------
        list[str]
            A line per field, 'field: this, other'.
        """
        if type(self) is not type(other):
            return [f"modality: {self.modality}, {other.modality}"]
        ours, theirs = self.to_dict(), other.to_dict()
        def short(name: str, value) -> str:
            return f"those of {len(value)} regions" if name == "statistics" else str(value)

        return [f"{name}: {short(name, ours.get(name))}, {short(name, theirs.get(name))}"
                for name in dict.fromkeys([*ours, *theirs])
                if name not in self.FREE and ours.get(name) != theirs.get(name)]

    CHANNELS = "sensors"  # what its signals have, in words
    RECORDING = "raw"  # what a user calls a recording, in an example
    # What baselines can see of its windows (`SEES`); the first is what simple features are made of.
    # Not annotated: fields of a config are.
    VIEWS = tuple(["covariances", "signals"])

    @property
    def grid(self) -> tuple[int, int, int] | None:
        """Voxels of its images; None where its windows are signals."""
        return None

    @property
    def identifies(self) -> str:
        """Why a person could be recognized in its windows, and what to do; "" = they could not."""
        return ""

    @property
    def name(self) -> str:
        """The kind of signal in messages."""
        return self.modality

    @property
    def tags(self) -> list[str]:
        """The kinds of signal, for the Hub."""
        return [self.modality]

    @property
    def one_rate(self) -> float:
        """Sampling rate of all windows, Hz. Raises ValueError where each recording has its own."""
        if self.sfreq is None:
            raise ValueError(f"wanted signals of one sampling rate, such as EEG or MEG; recordings "
                             f"of {self.name} keep their own")
        return self.sfreq

    def t_r(self, sfreq) -> Any:
        """Repetition times of recordings, for models that read them.

        Parameters
        ----------
        sfreq
            Sampling rates of the recordings, Hz.

        Returns
        -------
        ndarray or None
            Seconds; None where all windows have one rate.
        """
        return None if self.sfreq is not None else 1 / np.asarray(sfreq, dtype=float)

    def read(self, signal: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """A window as models read it.

        Parameters
        ----------
        signal
            A window as a corpus keeps it, `[channel, time]`.
        names
            Names of its channels.

        Returns
        -------
        ndarray
            `[channel, time]`.
        """
        return signal

    def unscaled(self, signal: np.ndarray, names: Sequence[str], quality: dict) -> np.ndarray:
        """A window in the unit of its file, as far as this contract divided it out.

        Parameters
        ----------
        signal
            A window as models read it, `[channel, time]`.
        names
            Names of its channels.
        quality
            Quality of its recording.

        Returns
        -------
        ndarray
            `[channel, time]`.
        """
        return signal

    def of_cut(self, durations_s: Sequence[float], kinds: Collection[str]):
        """The contract of recordings that are cut already, one window each.

        The shortest length counts: at different sampling rates, MNE epochs differ by up to one
        sample.

        Parameters
        ----------
        durations_s
            Length of each recording, s.
        kinds
            Kinds of their sensors.

        Returns
        -------
        Contract
            A copy with their length of windows.

        Raises
        ------
        ValueError
            Lengths differ by more than one sample.
        """
        if self.sfreq is None:
            return self.with_(window_s=None, stride_s=None)
        lengths = {floor(seconds * self.sfreq + 1e-6) for seconds in durations_s}
        if max(lengths) - min(lengths) > 1:
            raise ValueError(f"wanted epochs of one length, got {min(lengths)} to {max(lengths)} "
                             f"samples at {self.sfreq:g} Hz; crop them: epochs.crop(tmin, tmax)")
        if min(lengths) == 0:
            raise ValueError("wanted epochs with samples, got epochs of length 0")
        return self.with_(window_s=min(lengths) / self.sfreq, stride_s=None)

    @property
    def steps_of_whole(self) -> list[str]:
        """Names of what is done to a whole recording at once, so that no stream can follow it."""
        return []

    @property
    def of_pieces(self):
        """The contract of pieces too short to judge a channel by."""
        return self

    def how_to_ingest(self, path: str, sfreq: np.ndarray, window_s: float | None) -> str:
        """What to do about a corpus that does not meet this contract.

        Parameters
        ----------
        path
            Folder of the corpus.
        sfreq
            Sampling rates of its recordings, Hz.
        window_s
            Length of its windows, s; None = whole scans.

        Returns
        -------
        str
            What to do.
        """
        raise NotImplementedError

    def described(self) -> list[tuple[str, str]]:
        """Rows (title, text) that say what becomes of a recording: the one wording of a contract,
        for pages, cards and the terminal."""
        raise NotImplementedError

    def in_words(self) -> str:
        """`described` as lines, for cards and the terminal."""
        (_, takes), *rows = self.described()
        return "\n".join([
            f"Takes {takes}. `neurofm decode` and `neurofm.embed` bring a recording there:\n",
            *(f"- {title}: {text}" for title, text in rows)])

    def length(self, n_times: int, sfreq: float) -> str:
        """Length of a recording in words.

        Parameters
        ----------
        n_times
            Number of samples.
        sfreq
            Sampling rate, Hz.

        Returns
        -------
        str
            Such as "10.0 s at 256 Hz".
        """
        return f"{n_times / sfreq:.1f} s at {sfreq:g} Hz"

    @property
    def held_kinds(self) -> tuple[str, ...]:
        """Kinds of the channels of windows."""
        return self.kinds

    def for_networks(self, geometry: GeometryRule | None = None):
        """The contract of a network trained on such signals.

        Parameters
        ----------
        geometry
            Position and orientation of the sensors, `[batch, channel, 6]`.

        Returns
        -------
        Contract
            A copy, or the same object.
        """
        return self

    def of_kinds(self, kinds):
        """The contract of signals that hold only these kinds of sensors.

        Parameters
        ----------
        kinds
            Kinds of sensors.

        Returns
        -------
        Contract
            A copy, or the same object.
        """
        return self

    def with_(self, **changes):
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict:
        """Plain values.

        Returns
        -------
        dict
            As JSON holds it.
        """
        return {name: list(value) if isinstance(value, tuple) else value
                for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: dict, where: str = "contract"):
        """Contract from plain values.

        Parameters
        ----------
        fields
            Plain values, as of `to_dict`.
        where
            What messages call it.

        Returns
        -------
        Contract
            Of the class.

        Raises
        ------
        ValueError
            A field is unknown or has a wrong value.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for key in fields.keys() - known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {sorted(known)}"
            raise ValueError(f"{where}: unknown field {key!r}{hint}")

        def tuples(value):
            if isinstance(value, dict):
                return {name: tuples(inner) for name, inner in value.items()}
            return tuple(value) if isinstance(value, list) else value

        return cls(**{name: tuples(value) for name, value in fields.items()})

    def _check(self, name: str) -> None:
        """Raise ValueError for fields that no contract can have. name: of the contract in messages.
        """
        check_version(self.contract_version)
        low_hz, high_hz = self.highpass_hz, self.lowpass_hz
        if low_hz is not None and high_hz is not None and not low_hz < high_hz:
            raise ValueError(f"{name}.highpass_hz ({low_hz}) must be below {name}.lowpass_hz "
                             f"({high_hz})")

    def save(self, folder: str | Path) -> Path:
        """Write `preprocessor_config.json` into `folder`."""
        path = Path(folder) / FILE_NAME
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n")
        return path

    @classmethod
    def load(cls, folder: str | Path):
        """The contract in a folder; `contracts.load` for one of any modality."""
        return cls.from_dict(fields_of(folder), where=str(Path(folder) / FILE_NAME))
