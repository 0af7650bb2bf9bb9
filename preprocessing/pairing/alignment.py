"""When each volume of fMRI was measured, in the EEG's clock.

The scanner writes a trigger into the EEG at each volume; the k-th is that of the k-th volume. Times
are a straight line through the triggers, first_volume_s + k · t_r: single triggers are late or
early by a sample. Where nobody recorded triggers, a delay and the repetition time say it.
"""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from neurofm.data.recording import Events

from ..steps.refusal import ContractError, some

MOST_APART = 2  # triggers more or less than volumes
_MEDIAN, _EACH = 0.01, 0.05  # how far spacings may be from the repetition time, as a share of it
_DRIFT_S = 0.01  # by which clocks may part over a scan before the EEG's own t_r is taken
_FEWEST = 10  # volumes


@dataclass(frozen=True)
class Alignment:
    """When the volumes of a scan were measured, by the clock of the EEG."""

    first_volume_s: float  # first_volume_s, t_r: by the EEG's clock
    t_r: float
    # the volumes that have a time within the EEG, of which the first is at first_volume_s
    kept: slice
    notes: tuple[str, ...]  # what a person should know


def triggers(events: Events, label: str, source: str) -> Float64[np.ndarray, " trigger"]:
    """Onsets (seconds, ascending) of events called `label`, or whose name has it as a word: R149
    finds BrainVision's 'Response/R149'."""
    names = Counter(events.label)
    word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(label)}(?![A-Za-z0-9])")
    found = [label] if label in names else [name for name in names if word.search(name)]
    if len(found) != 1:
        listed = some([f"{name} ({n})" for name, n in names.most_common()])
        raise ContractError(
            source, f"an annotation {label} at each volume",
            f"{len(found)} kinds have it as a part: {some(found)}" if found
            else f"it has {listed or 'no annotations'}",
            "give trigger: the whole name" if found
            else "give trigger: its name, or delay_s and t_r where no triggers were recorded",
        )
    onset_s = [at for at, name in zip(events.onset_s, events.label, strict=True)
               if name == found[0]]
    return np.unique(np.round(np.asarray(onset_s, dtype=np.float64), 6))


def by_triggers(
    onset_s: Float64[np.ndarray, " trigger"], n_volumes: int, t_r: float | None,
    duration_s: float, source: str,
) -> Alignment:
    """t_r: as the files say it; None = the spacing of the triggers. duration_s: of the EEG."""
    n, notes = min(len(onset_s), n_volumes), []
    if abs(len(onset_s) - n_volumes) > MOST_APART or n < 2:
        raise ContractError(
            source, f"a trigger for each volume ({MOST_APART} more or fewer pass)",
            f"there are {len(onset_s)} triggers and {n_volumes} volumes",
            "check that both files are of one scan, and that trigger names the right annotation",
        )
    if len(onset_s) > n:
        notes.append(f"the last {len(onset_s) - n} of {len(onset_s)} triggers have no volume")
    if n_volumes > n:
        notes.append(f"the last {n_volumes - n} of {n_volumes} volumes have no trigger: dropped")
    onset_s = onset_s[:n]
    spacing = np.diff(onset_s)
    if t_r is None:
        t_r = round(float(np.median(spacing)), 4)
    _check_spacing(onset_s, spacing, t_r, source)
    volume = np.arange(n)
    slope = float(np.polyfit(volume, onset_s, 1)[0])
    if abs(slope - t_r) * n > _DRIFT_S:
        notes.append(f"the EEG's clock measures a repetition time of {slope:.6g} s, the scanner's "
                     f"{t_r:g} s: the EEG's is taken")
        t_r = round(slope, 7)
    first_s = round(float(np.median(onset_s - volume * t_r)), 6)
    off = np.abs(onset_s - first_s - volume * t_r)
    if off[far := int(off.argmax())] > _EACH * t_r:
        raise ContractError(
            source, "triggers on a line", f"trigger {far + 1} (at {onset_s[far]:.3f} s) is "
            f"{off[far]:.3f} s from where a volume every {t_r:g} s would be",
            "cut the recording there, or leave the scan out")
    return _within(first_s, t_r, n, duration_s, notes, source)


def by_delay(delay_s: float, n_volumes: int, t_r: float, duration_s: float, source: str
             ) -> Alignment:
    """The first volume is `delay_s` after the EEG's first sample."""
    return _within(delay_s, t_r, n_volumes, duration_s, [], source)


def _check_spacing(onset_s, spacing, t_r: float, source: str) -> None:
    middle = float(np.median(spacing))
    if abs(middle - t_r) > _MEDIAN * t_r:
        raise ContractError(
            source, f"a trigger every {t_r:g} s, the repetition time",
            f"they are {middle:.4g} s apart (median)",
            "correct the repetition time, or give the trigger that stands for a whole volume",
        )
    bad = np.flatnonzero(np.abs(spacing - t_r) > _EACH * t_r)
    if len(bad):
        k = int(bad[0])
        raise ContractError(
            source, f"a trigger every {t_r:g} s, the repetition time",
            f"from trigger {k + 1} (at {onset_s[k]:.3f} s) to the next it is {spacing[k]:.3f} s "
            f"({len(bad)} of {len(spacing)} spacings are off by more than {_EACH:.0%})",
            "add the triggers that are missing, take out those that are none, or leave the scan "
            "out",
        )


def _within(first_s: float, t_r: float, n: int, duration_s: float, notes: list[str], source: str
            ) -> Alignment:
    """Without the volumes at which there is no EEG."""
    at_s = first_s + np.arange(n) * t_r
    before, after = int((at_s < 0).sum()), int((at_s > duration_s).sum())
    if before:
        notes.append(f"the first {before} volumes are before the EEG begins: dropped")
    if after:
        notes.append(f"the last {after} volumes are after the EEG ends ({duration_s:.1f} s): "
                     f"dropped")
    if n - before - after < _FEWEST:
        raise ContractError(
            source, f"at least {_FEWEST} volumes during the EEG",
            f"of {n} volumes from {first_s:.1f} s on {max(0, n - before - after)} are within its "
            f"{duration_s:.1f} s", "check delay_s, or that both files are of one scan",
        )
    return Alignment(round(first_s + before * t_r, 6), t_r, slice(before, n - after),
                     tuple(notes))
