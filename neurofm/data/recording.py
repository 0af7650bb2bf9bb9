"""Recording: one continuous stretch of signal with its sensors, its events and where it came from.

The common form of EEG, MEG and ROI time series between a reader and the standardized windows.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .sensors import Sensors


@dataclass(frozen=True, eq=False)
class Events:
    """Events of a recording.

    Parameters
    ----------
    onset_s
        Seconds from the first sample, float64 `[event]`.
    duration_s
        Seconds, float64 `[event]`.
    label
        Label of each event.
    """

    onset_s: np.ndarray
    duration_s: np.ndarray
    label: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def none(cls) -> "Events":
        """No events.

        Returns
        -------
        Events
            Without any event.
        """
        return cls(np.zeros(0), np.zeros(0), ())


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording: signals in SI units, sensors, events and BIDS identity.

    Parameters
    ----------
    signal
        Float32 [channel, time] in SI units.
    sfreq
        Sampling rate, Hz (1 / t_r for fMRI).
    sensors
        Sensor of each channel.
    events
        Events of the recording.
    subject, session, task, run, dataset
        BIDS identity, None where unknown.
    source
        The file.
    bads
        Names of sensors marked bad by the file or found bad.
    attributes
        Further columns known of the subject or the recording (age, sex, diagnosis …).
    band_hz
        What the recorder or an earlier filter let through (high-pass, low-pass edge), None
        where unknown.
    image
        Full path of the image whose regions these are, for what lies beside it; "" where it is
        no image.
    info
        MNE's description of the device (`mne.Info`, its channels named as here and at least
        these), for head models; None where there is none.
    folder
        Where the file lies, for the same.
    notes
        What the reader did that a person should know of, a sentence each.
    left_out
        Channels of the file that are not here → the reason.
    n_template_places
        Electrodes without a place in the file that have that of the template, by name.
    n_epochs
        Epochs of one length that are laid end to end in the signal; 0 = it is continuous.
    epoch_tmin_s
        Time of the first sample of each epoch relative to its event, s.
    """

    signal: np.ndarray
    sfreq: float
    sensors: Sensors
    events: Events = field(default_factory=Events.none)
    subject: str | None = None
    session: str | None = None
    task: str | None = None
    run: str | None = None
    dataset: str | None = None
    source: str = ""
    bads: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    band_hz: tuple[float | None, float | None] = (None, None)
    image: str = ""
    info: Any = None
    folder: str = ""
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    n_template_places: int = 0
    n_epochs: int = 0
    epoch_tmin_s: float = 0.0

    def __post_init__(self):
        if self.signal.ndim != 2 or self.signal.shape[0] != len(self.sensors):
            raise ValueError(
                f"{self.source or 'Recording'}: signal must be [channel, time] with "
                f"{len(self.sensors)} channels, got {self.signal.shape}"
            )
        if not self.sfreq > 0:
            raise ValueError(f"{self.source or 'Recording'}: sfreq must be > 0 Hz, "
                             f"got {self.sfreq}")

    @property
    def n_channels(self) -> int:
        return self.signal.shape[0]

    @property
    def n_times(self) -> int:
        return self.signal.shape[1]

    @property
    def duration_s(self) -> float:
        return self.n_times / self.sfreq

    @property
    def digest(self) -> str:
        """sha256 of the signal: what tells a recording under another name, beside its subject."""
        return hashlib.sha256(np.ascontiguousarray(self.signal).data).hexdigest()

    def with_(self, **changes) -> "Recording":
        """A copy with some fields changed.

        Parameters
        ----------
        **changes
            Field and its value.

        Returns
        -------
        Recording
            Signal arrays are shared, not copied.
        """
        return replace(self, **changes)

    def pick(self, index) -> "Recording":
        """Choose channels.

        Parameters
        ----------
        index
            Mask, slice or integers.

        Returns
        -------
        Recording
            A copy with these channels.
        """
        return replace(self, signal=self.signal[index], sensors=self.sensors[index])
