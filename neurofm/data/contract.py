"""InputContract: what a checkpoint was trained on, and what a new recording must become.

One contract describes an archive at ingest, travels with every tokenizer and model trained on it
(`preprocessor_config.json`), and is applied again, by the same code, to a person's new file. So
units, band and reference cannot drift apart between training and use.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .. import plugins
from ..limits import Positive, Share, limited
from .base_contract import FILE_NAME, Contract, fields_of
from .contract_words import band, windows
from .parcel_rule import ParcelRule
from .sensors import KINDS, GeometryRule

__all__ = ["EEG_MEG", "FILE_NAME", "Contract", "InputContract", "band", "fields_of", "of_signals",
           "windows"]

EEG_MEG = "EEG or MEG"  # modality of an InputContract


@dataclass(frozen=True)
@limited
class InputContract(Contract):
    """Standardization of EEG and MEG; the defaults are BrainOmni's (arXiv 2505.18185, app. B).

    Parameters
    ----------
    sfreq
        Sampling rate of the windows, Hz.
    highpass_hz
        Lower edge of the zero-phase band-pass, Hz; null = open.
    lowpass_hz
        Upper edge of the zero-phase band-pass, Hz; null = open.
    notch_hz
        Power-line frequencies to remove, with their harmonics inside the band, Hz.
    kinds
        Kinds of sensors to keep: eeg, mag, planar_grad, axial_grad.
    reference
        "average" subtracts the mean over the sensors of a kind at every sample; "none"
        keeps the reference of the recording.
    bad_channels
        "log_psd" finds EEG channels with an outlying log spectrum and interpolates them;
        "none" uses only the marks in the file.
    bad_channels_iqr
        Limit of log_psd: interquartile ranges outside the quartiles of the other channels.
    window_s
        Length of a window, s.
    stride_s
        Time from one window to the next, s; null = the length. The last window ends at the
        end of the recording.
    scale
        "kind_std" divides a window by its standard deviation over the sensors of a kind;
        "channel_std" z-scores each channel over the window; "recording_std" z-scores each
        channel over the recording; "none" keeps SI units.
    geometry
        Scaling of sensor positions: "head" = position in the head frame over 0.1 m;
        "centred" = centered and scaled over the sensors of a recording, as in BrainOmni.
    positions
        "required" leaves out sensors without a position; "optional" keeps them, for models
        and baselines that read no positions.
    amplitude_uv
        Lowest and highest plausible interquartile range of an EEG channel, µV.
    max_bad
        Share of bad channels above which a recording fails.
    parcels
        Projection of sensors to brain parcels; null = none.
    steps
        Settings of preprocessing steps from other packages, {name: {key: value}}; a step
        runs only if it is named here. Installed.
    corpus
        Fingerprint of the training corpus. Filled in by pretrain.
    contract_version
        Version of this format. Leave it.
    """

    sfreq: Positive = 256.0
    highpass_hz: Positive | None = 0.1
    lowpass_hz: Positive | None = 96.0
    notch_hz: tuple[Positive, ...] = (50.0, 60.0)
    kinds: tuple[str, ...] = ("eeg", "mag", "planar_grad", "axial_grad")
    reference: Literal["average", "none"] = "average"
    bad_channels: Literal["log_psd", "none"] = "log_psd"
    bad_channels_iqr: Positive = 10.0
    window_s: Positive = 10.0
    stride_s: Positive | None = None
    scale: Literal["kind_std", "channel_std", "recording_std", "none"] = "kind_std"
    geometry: GeometryRule = "head"
    positions: Literal["required", "optional"] = "required"
    amplitude_uv: tuple[float, Positive] = (0.1, 1000.0)
    max_bad: Share = 0.3
    parcels: ParcelRule | None = None
    steps: dict[str, dict[str, Any]] = field(
        default_factory=dict, hash=False,
        metadata={"choices": lambda: list(plugins.points("neurofm.steps")) or ["none installed"]})
    corpus: str = ""
    contract_version: int = 1

    PREFIX = "contract."
    modality = EEG_MEG
    # Length of windows, thresholds of quality; and whether places are required: what counts are
    # the sensors there (`Corpus.check_places`). Nor which parcels there are: whether there are any
    # counts (`differences`).
    FREE = frozenset({"corpus", "window_s", "stride_s", "amplitude_uv", "max_bad",
                      "bad_channels_iqr", "positions", "parcels"})

    def __post_init__(self):
        self._check("contract")
        for name in ("notch_hz", "kinds", "amplitude_uv"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "steps", json.loads(json.dumps(self.steps)))  # plain, as stored
        if self.parcels and "roi" in self.kinds:
            raise ValueError(f"contract.parcels makes parcels out of sensors, but contract.kinds "
                             f"({', '.join(self.kinds)}) has parcels (roi): leave one of them out")
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise ValueError(f"contract.kinds must be some of {list(KINDS)}, got {self.kinds}")
        if self.window_samples < 2:
            raise ValueError(f"contract.window_s must be two samples or more at contract.sfreq "
                             f"({self.sfreq:g} Hz), got {self.window_s:g} s")
        if self.stride_samples < 1:
            raise ValueError(f"contract.stride_s must be a sample or more at contract.sfreq "
                             f"({self.sfreq:g} Hz), got {self.stride_s:g} s")
        if self.stride_s is not None and self.stride_s > self.window_s:
            raise ValueError(
                f"contract.stride_s must be in (0, window_s = {self.window_s}], "
                f"got {self.stride_s}: a larger stride would drop signal in silence"
            )
        if self.lowpass_hz is not None and not self.lowpass_hz < self.sfreq / 2:
            raise ValueError(
                f"contract.lowpass_hz ({self.lowpass_hz}) must lie below half of contract.sfreq "
                f"({self.sfreq / 2} Hz)"
            )
        if not self.amplitude_uv[0] < self.amplitude_uv[1]:
            raise ValueError(f"contract.amplitude_uv must be [lowest, highest], ascending, got "
                             f"{list(self.amplitude_uv)}")

    @property
    def space(self) -> Literal["sensors", "parcels"]:
        """What the channels of windows are."""
        return "parcels" if self.parcels or self.kinds == ("roi",) else "sensors"

    @property
    def held_kinds(self) -> tuple[str, ...]:
        """Kinds of the channels of windows; `kinds` are those of the recordings."""
        return ("roi",) if self.parcels else super().held_kinds

    def differences(self, other: Contract) -> list[str]:
        """As in `Contract`; parcels made here and parcels that came as such are alike."""
        found = super().differences(other)
        if isinstance(other, InputContract) and self.space != other.space:
            return [f"space: {self.space}, {other.space}",
                    *(line for line in found if not line.startswith("kinds:"))]
        if isinstance(other, InputContract) and self.space == "parcels":
            return [line for line in found
                    if not line.startswith(("kinds:", "reference:", "bad_channels:"))]
        return found

    @property
    def window_samples(self) -> int:
        return round(self.window_s * self.sfreq)

    @property
    def stride_samples(self) -> int:
        return round((self.stride_s or self.window_s) * self.sfreq)

    def of_kinds(self, kinds) -> "InputContract":
        """The contract of signals that hold these kinds of sensor alone."""
        if self.parcels:
            return self
        return self.with_(kinds=tuple(kind for kind in self.kinds if kind in set(kinds)))

    def described(self) -> list[tuple[str, str]]:
        """See `Contract.described`."""
        notch = ", ".join(f"{line:g} Hz" for line in self.notch_hz)
        parcels = self.parcels
        return [
            ("Sensors", f"{', '.join(self.kinds)} signals"),
            ("Band", band(self.highpass_hz, self.lowpass_hz)
             + (f", notches at {notch} and harmonics" if notch else "")),
            ("Sampling rate", f"{self.sfreq:g} Hz"),
            ("Reference", {"average": "mean over the sensors of a kind",
                           "none": "as recorded"}[self.reference]),
            ("Bad channels", {
                "log_psd": f"marked in the file, or EEG with a spectrum beyond "
                           f"{self.bad_channels_iqr:g} interquartile ranges from the others'; at "
                           f"most {self.max_bad:.0%} may be bad",
                "none": "as marked in the file"}[self.bad_channels]),
            ("Sensors without a position", {
                "required": "left out",
                "optional": "kept without one; networks refuse them"}[self.positions]),
            *([("Parcels", f"{len(parcels.points)}, by {parcels.method}, {parcels.head} head"
                + (", orthogonalized" if parcels.orthogonalize else ""))] if parcels else []),
            ("Windows", windows(self.window_s, self.stride_s)),
            ("Scale", {
                "kind_std": "each window divided by its standard deviation over all sensors of a "
                            "kind",
                "channel_std": "each channel of each window to mean 0 and standard deviation 1",
                "recording_std": "each channel to mean 0 and standard deviation 1 over its "
                                 "recording",
                "none": "SI units, unscaled"}[self.scale]),
            *(row for name in self.steps for row in self._step_described(name)),
        ]

    def _step_described(self, name: str) -> list[tuple[str, str]]:
        """What the file of another package's step says of it; its settings where it is not here."""
        if name in plugins.points("neurofm.steps"):
            words = plugins.load("neurofm.steps", name).words
            if words is not None:
                return words(self)
        settings = ", ".join(f"{key} {value}" for key, value in self.steps[name].items())
        return [(f"Step {name}", settings or "as its package does it")]

    def for_networks(self, geometry: GeometryRule | None = None) -> "InputContract":
        """Networks read where sensors are."""
        return self.with_(positions="required", geometry=geometry or self.geometry)

    @property
    def tags(self) -> list[str]:
        """See `Contract.tags`."""
        kinds = {"eeg" if kind == "eeg" else "meg" for kind in self.kinds if kind != "roi"}
        return sorted(kinds or {"meg"})

    def of_cut(self, durations_s: Sequence[float], kinds: Collection[str]) -> "InputContract":
        """See `Contract.of_cut`."""
        present = tuple(kind for kind in self.kinds if kind in kinds)
        return super().of_cut(durations_s, kinds).with_(kinds=present or self.kinds)

    @property
    def of_pieces(self) -> "InputContract":
        """See `Contract.of_pieces`."""
        return self.with_(bad_channels="none")

    def how_to_ingest(self, path: str, sfreq: np.ndarray, window_s: float | None) -> str:
        """See `Contract.how_to_ingest`."""
        how = (f"ingest it again as the model wants it: neurofm ingest … "
               f"--contract={path}/{FILE_NAME} --contract.window_s={window_s or 0.0:g}")
        slow = sfreq[sfreq < 2 * (self.lowpass_hz or 0.0)]
        if len(slow):
            how += (f" --lacking=accept ({len(slow)} of its {len(sfreq)} recordings were sampled "
                    f"at {slow.min():g} Hz, so they hold nothing above {slow.min() / 2:g} Hz)")
        return how

    @classmethod
    def from_dict(cls, fields: dict, where: str = "contract") -> "InputContract":
        """As `Contract.from_dict`."""
        found = super().from_dict({**fields, "parcels": None}, where)
        rule = fields.get("parcels")
        return found.with_(parcels=ParcelRule.from_dict(rule, where)) if rule else found

    def to_dict(self) -> dict:
        """Plain values. `positions`, `parcels` and `steps` only where they are not the defaults:
        corpora and checkpoints made before they were there, and the same made now, have the same
        fingerprints."""
        fields = super().to_dict()
        for name, default in (("positions", "required"), ("parcels", None), ("steps", {})):
            if fields[name] == default:
                fields.pop(name)
        return fields


def of_signals(contract: Contract | None) -> InputContract:
    """The contract, where it is one of EEG or MEG.

    Parameters
    ----------
    contract
        The contract.

    Returns
    -------
    InputContract
        The same object.
    """
    if not isinstance(contract, InputContract):
        came = "none" if contract is None else f"one of {contract.modality}"
        raise ValueError(f"wanted a contract of {EEG_MEG}, got {came}: choose another model, or "
                         f"another corpus")
    return contract
