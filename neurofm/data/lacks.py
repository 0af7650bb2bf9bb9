"""What a recording lacks of what a model was trained on: part of the band, channels, clean samples.

The same three numbers name a condition under which a decoder was measured (`robustness.json`).
"""

from dataclasses import dataclass

from ..pages import words


@dataclass(frozen=True)
class Lacks:
    """What a recording lacks of a contract, or of a decoder's training recordings.

    Parameters
    ----------
    lowpass_hz
        Highest frequency that the recording holds, Hz; None = the whole band.
    channels
        Share of the usual number of channels that it has, above 0, below 1; None = all.
    artifacts
        Share of samples with an artifact, from 0 up to 1.
    """

    lowpass_hz: float | None = None
    channels: float | None = None
    artifacts: float = 0.0

    def __post_init__(self):
        if self.lowpass_hz is not None and not self.lowpass_hz > 0:
            raise ValueError(f"lowpass_hz must be above 0 Hz, or None for the whole band, got "
                             f"{self.lowpass_hz}")
        if self.channels is not None and not 0 < self.channels < 1:
            raise ValueError(f"channels must be a share above 0 and below 1, or None for all, got "
                             f"{self.channels}")
        if not 0 <= self.artifacts <= 1:
            raise ValueError(f"artifacts must be a share of samples, 0 to 1, got {self.artifacts}")

    @property
    def nothing(self) -> bool:
        """True of a recording that lacks nothing."""
        return self == Lacks()

    def covers(self, other: "Lacks") -> bool:
        """Whether what `other` lacks is lacking here too.

        Parameters
        ----------
        other
            What another recording lacks.

        Returns
        -------
        bool
            True where this is in no respect better than `other`.
        """
        band = (self.lowpass_hz or float("inf")) <= (other.lowpass_hz or float("inf"))
        channels = (self.channels or 1.0) <= (other.channels or 1.0)
        return band and channels and self.artifacts >= other.artifacts

    def parts(self) -> list[str]:
        """What is lacking, one by one.

        Returns
        -------
        list[str]
            Such as ["nothing above 45 Hz", "50 % of the channels", "artifacts in 1 % of the
            samples"]; [] where nothing is lacking.
        """
        found = []
        if self.lowpass_hz is not None:
            found.append(f"nothing above {self.lowpass_hz:g} Hz")
        if self.channels is not None:
            found.append(f"{_percent(self.channels)} of the channels")
        if self.artifacts:
            found.append(f"artifacts in {_percent(self.artifacts)} of the samples")
        return found

    def words(self) -> str:
        """What is lacking, in a sentence.

        Returns
        -------
        str
            Such as "The recording has nothing above 45 Hz and 50 % of the channels."
        """
        if self.nothing:
            return "The recording has the whole band and all channels."
        return f"The recording has {words.listed(self.parts())}."


def _percent(share: float) -> str:
    """A small share keeps its first digit: 0.004 → "0.4 %"."""
    return words.percent(share) if share >= 0.01 else f"{100 * share:.1g} %"
