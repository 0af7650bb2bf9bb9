"""When each volume of fMRI was measured, in the EEG's clock.

The scanner writes a trigger into the EEG at each volume. Times are a straight line through the
triggers, first_volume_s + k · t_r: single triggers are late or early by a sample, or lost. As many
triggers as volumes: the k-th is that of the k-th volume. Else the sidecar of the fMRI (discarded
volumes), the ends of the EEG or the user (`AlignRule`) say which belongs to which. Where nobody
recorded triggers, a delay and the repetition time say it.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from neurofm.data.recording import Events
from neurofm.limits import limited
from neurofm.pages import words

from ..steps.refusal import ContractError, some

MOST_APART = 2  # volumes that may lack a trigger where the EEG begins or ends during the scan
_MEDIAN, _EACH = 0.01, 0.05  # how far spacings may be from the repetition time, as a share of it
_TWICE = 0.2  # share of the usual spacing below which two triggers are one
_DRIFT_S = 0.01  # by which clocks may part over a scan before the EEG's own t_r is taken
_FEWEST = 10  # volumes


@dataclass(frozen=True)
@limited
class AlignRule:
    """Which triggers and volumes belong together.

    Parameters
    ----------
    triggers
        Where there are more or fewer triggers than volumes: "first" = the first trigger is that of
        the first volume; "last" = the last is that of the last; "skip:N" = the first N triggers
        have no volume (dummy volumes). "" = by the sidecar of the fMRI and the ends of the EEG,
        and refused where both readings are possible.
    """

    triggers: str = ""

    PREFIX = "align."

    def __post_init__(self):
        if self.triggers and not re.fullmatch(r"first|last|skip:\d+", self.triggers):
            raise ValueError(f"align.triggers must be first, last or skip:N (such as skip:2), got "
                             f"{self.triggers!r}")

    def skip(self, more: int) -> int:
        """Triggers before that of the first volume. more: triggers than volumes."""
        if self.triggers.startswith("skip:"):
            return int(self.triggers.removeprefix("skip:"))
        return more if self.triggers == "last" else 0


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
    onset_s: Float64[np.ndarray, " trigger"], n_volumes: int | None, t_r: float | None,
    duration_s: float, source: str, rule: AlignRule | None = None,
    discarded: Mapping[str, int] | None = None,
) -> Alignment:
    """Volumes on a line through their triggers.

    n_volumes: None = one a trigger. t_r: as the files say it; None = the spacing of the triggers.
    duration_s: of the EEG. discarded: key of the fMRI's sidecar → volumes that are not in the file.
    """
    notes: list[str] = []
    onset_s = _without_doubles(onset_s, notes)
    if len(onset_s) < 2:
        raise _refusal(source, len(onset_s), n_volumes or 0, "", "")
    if t_r is None:
        t_r = round(float(np.median(np.diff(onset_s))), 4)
    onset_s = _one_a_volume(onset_s, t_r, source, n_volumes, notes)
    slot = _slots(onset_s, t_r, source, notes)
    n_slots = int(slot[-1]) + 1
    n = n_slots if n_volumes is None else n_volumes
    skip = _skipped(onset_s, n_slots, n, t_r, duration_s, source, rule or AlignRule(),
                    discarded or {}, notes)
    volume = slot - skip
    slope = float(np.polyfit(volume, onset_s, 1)[0])
    if abs(slope - t_r) * n_slots > _DRIFT_S:
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
    if n > (known := n_slots - skip):  # the scanner may have gone on alone
        notes.append(f"the last {n - known} of {n} volumes have no trigger: dropped")
        n = known
    return _within(first_s, t_r, n, duration_s, notes, source)


def _without_doubles(onset_s, notes: list[str]):
    """The first of triggers that follow each other far sooner than the others: one that was
    recorded twice, or its beginning and its end."""
    if len(onset_s) < 3:
        return onset_s
    usual = float(np.percentile(np.diff(onset_s), 90))
    kept = [onset_s[0]]
    for at_s in onset_s[1:]:
        if at_s - kept[-1] >= _TWICE * usual:
            kept.append(at_s)
    if len(kept) < len(onset_s):
        notes.append(f"{words.count(len(onset_s) - len(kept), 'trigger')} less than "
                     f"{_TWICE * usual:.3g} s after another: left out, as recorded twice")
    return np.array(kept)


def _one_a_volume(onset_s, t_r: float, source: str, n_volumes: int | None, notes: list[str]):
    """The first trigger of each volume, where there is one a slice."""
    spacing = np.diff(onset_s)
    middle = float(np.median(spacing))
    if abs(middle - t_r) <= _MEDIAN * t_r:
        return onset_s
    k = round(t_r / middle) if middle else 0
    if (k < 2 or abs(k * middle - t_r) > _MEDIAN * t_r or len(onset_s) % k
            or n_volumes is None or len(onset_s) < k * n_volumes
            or (np.abs(spacing - middle) > _EACH * middle).any()):
        raise ContractError(
            source, f"a trigger every {t_r:g} s, the repetition time",
            f"they are {middle:.4g} s apart (median)",
            "correct the repetition time, or give the trigger that stands for a whole volume",
        )
    notes.append(f"there are {k} triggers a volume, one a slice: the first of each volume counts")
    return onset_s[::k]


def _slots(onset_s, t_r: float, source: str, notes: list[str]) -> Int64[np.ndarray, " trigger"]:
    """Place of each trigger, in repetition times from the first: a lost one shows as a gap of
    twice the spacing."""
    spacing = np.diff(onset_s)
    steps = np.round(spacing / t_r).astype(np.int64)
    bad = np.flatnonzero((steps < 1) | (np.abs(spacing - steps * t_r) > _EACH * t_r))
    if len(bad):
        k = int(bad[0])
        raise ContractError(
            source, f"a trigger every {t_r:g} s, the repetition time",
            f"from trigger {k + 1} (at {onset_s[k]:.3f} s) to the next it is {spacing[k]:.3f} s "
            f"({len(bad)} of {len(spacing)} spacings are off by more than {_EACH:.0%})",
            "add the triggers that are missing, take out those that are none, or leave the scan "
            "out",
        )
    if len(gaps := np.flatnonzero(steps > 1)):
        notes.append(f"{words.count(int((steps - 1).sum()), 'trigger')} missing after "
                     f"{some([f'{onset_s[k]:.3f} s' for k in gaps], 4)}: the times of the volumes "
                     f"there are those of a line through the others")
    return np.concatenate([[0], np.cumsum(steps)])


def _skipped(
    onset_s, n_slots: int, n: int, t_r: float, duration_s: float, source: str, rule: AlignRule,
    discarded: Mapping[str, int], notes: list[str],
) -> int:
    """Triggers (lost ones too) before that of the first volume; negative where the first volumes
    have none. Refuses where the files allow two readings and the rule chooses none."""
    more = n_slots - n
    said = ", ".join(f"{key} {number}" for key, number in discarded.items())
    if rule.triggers:
        skip = rule.skip(more)
        if skip >= n_slots:
            raise ContractError(source, f"more than {skip} triggers (align.triggers: "
                                f"{rule.triggers})", f"there are {n_slots}", "skip fewer")
        notes.append(f"{n_slots} triggers, {n} volumes, align.triggers is {rule.triggers}: "
                     f"{_reading(skip)}")
        return skip
    if more == 0:
        if any(discarded.values()):
            notes.append(f"its sidecar says {said}, but there are as many triggers as volumes: "
                         f"{_reading(0)}")
        return 0
    numbers = [number for number in discarded.values() if number]
    if more > 0 and more in {*numbers, sum(numbers)}:
        notes.append(f"{n_slots} triggers, {n} volumes, and its sidecar says {said}: "
                     f"{_reading(more)}")
        return more
    # Missing ones can only be after the end of the EEG, or before its beginning.
    at_end, at_start = duration_s - onset_s[-1] < t_r, onset_s[0] < t_r
    if -MOST_APART <= more < 0 and at_end != at_start:
        skip = 0 if at_end else more
        notes.append(f"{n_slots} triggers, {n} volumes, and the EEG "
                     f"{'ends with the last' if at_end else 'begins with the first'} trigger: "
                     f"{_reading(skip)}")
        return skip
    raise _refusal(source, n_slots, n, said, (
        f"the first {more} may be of dummy volumes, or the last {more} of volumes that were not "
        f"kept" if more > 0 else f"the first {-more} or the last {-more} volumes may lack theirs"
    ) if abs(more) <= MOST_APART else "")


def _reading(skip: int) -> str:
    if skip < 0:
        return f"the first trigger is that of volume {1 - skip}"
    return f"trigger {skip + 1} is that of the first volume"


def _refusal(source: str, n_triggers: int, n: int, said: str, readings: str) -> ContractError:
    return ContractError(
        source, "a trigger for each volume",
        f"there are {n_triggers} triggers and {n} volumes"
        + (f"; its sidecar says {said}" if said else "") + (f"; {readings}" if readings else ""),
        "check that both files are of one scan and that trigger names the right annotation, then "
        "say which count: align.triggers first (the first is of the first volume), last (the last "
        "is of the last) or skip:N (the first N have no volume)")


def by_delay(delay_s: float, n_volumes: int, t_r: float, duration_s: float, source: str
             ) -> Alignment:
    """The first volume is `delay_s` after the EEG's first sample."""
    return _within(delay_s, t_r, n_volumes, duration_s, [], source)


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
