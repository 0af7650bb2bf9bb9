"""What ingest and pair say at their end: a summary, notes on what looks odd, failures."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neurofm.data.windows import SPLITS
from neurofm.seen import subject_keys

from . import quality, standardize_fmri, standardize_t1
from .labels import LabelRule
from .splits import SplitRule, unknown_names
from .steps import band
from .steps.refusal import some

_SHOWN_REASONS = 20
_ENOUGH_PEOPLE = 4  # held out: of fewer an interval is as wide as the scale


def say_corpus(
    tables, failures: dict[str, dict], out: Path, rule: SplitRule, found, label: LabelRule, *,
    say: Callable[..., None], seconds: float,
) -> None:
    """Recordings, hours, subjects a split, labels, layouts, size, place; notes; failures. found:
    what `archive.find` gave."""
    recordings, windows = tables.recordings, tables.windows
    hours = recordings["duration_s"].sum() / 3600
    images = bool(len(recordings)) and not hours  # which have no duration
    size = sum(file.stat().st_size for file in (out / "windows").glob("*.arrow"))
    say(f"\ncorpus      {out}")
    amount = "" if images else f" ({hours:.2f} h, {len(windows)} windows)"
    say(f"{'images    ' if images else 'recordings'}  {len(recordings)}{amount}, "
        f"{len(failures)} failed, {seconds:.1f} s")
    subjects = subject_keys(recordings)
    shares = []
    for split in SPLITS:
        chosen = recordings["split"] == split
        shares.append(f"{split} {subjects[chosen].nunique()} "
                      f"({recordings.loc[chosen, 'n_windows'].sum()} "
                      f"{'images' if images else 'windows'})")
    say(f"subjects    {subjects.nunique()}: {', '.join(shares)}")
    labels = windows["label"].dropna().value_counts().sort_index()
    if len(labels):
        say("labels      " + ", ".join(f"{label} {n}" for label, n in labels.items()))
    if label.at_events:
        say("windows     " + ("all that lie in an event of one label (label.within every)"
                              if label.every else
                              "one at the onset of each event (label.within onset)"))
    layouts = recordings.groupby("layout")["recording"].count().sort_values(ascending=False)
    listed = ", ".join(f"{describe(tables.layouts[key])} ({n} recordings)"
                       for key, n in layouts.head(6).items())
    if images:
        say(f"size        {size / 1e6:.1f} MB, {size / 1e6 / len(recordings):.1f} MB an image")
    else:
        say(f"layouts     {len(layouts)}: {listed}{', …' if len(layouts) > 6 else ''}")
        say(f"size        {size / 1e6:.1f} MB, {size / 1e6 / max(hours, 1e-9):.0f} MB an hour")
    say(f"quality     {out / 'quality.html'}")
    then = (f"finetune --data {out} --model MODEL --out decoder" if len(labels) else
            f"pretrain --data {out} --model MODEL --out model (models: neurofm list models)")
    say("next        look at that page" + ("" if images else f"; then neurofm {then}"))
    for note in notes(tables, found, rule, label):
        say(f"note        {note}")
    say_failures(failures, say)


def notes(tables, found, rule: SplitRule, label: LabelRule) -> list[str]:
    """What is no failure, but seldom meant: each in one line."""
    recordings, said = tables.recordings, common_notes(tables.recordings, found, rule)
    twins = [f"{first} = {second}" for first, second in _twins(recordings)]
    if twins:
        said.append(f"the same signal twice: {some(twins, 4)}; one subject under two names "
                    "could be in two splits (exclude: [pattern])")
    long_events = sum(json.loads(text).get("long_events", 0) for text in recordings["quality"])
    if long_events and not label.every:
        said.append(f"{long_events} events last two windows or longer and give one each: "
                    "--label.within every takes all windows in them")
    lacking = [f"{split} ({some(sorted(lost), 4)})" for split in SPLITS
               if (inside := _labels_in(tables, split)) and (
                   lost := set(tables.windows["label"].dropna()) - inside)]
    if lacking and len(set(tables.windows["label"].dropna())) <= len(recordings):
        said.append(f"labels that a split lacks: {'; '.join(lacking)}; name subjects with "
                    f"--splits.{SPLITS[1]} and --splits.{SPLITS[2]}")
    unseen = sorted(set(label.mapping.values()) - set(tables.windows["label"].dropna()))
    if unseen and label.source != "none":
        said.append(f"in label.mapping, but on no window: {', '.join(unseen)}")
    unplaced = [layout for layout in tables.layouts.values() if not layout.has_position.all()]
    if unplaced:
        said.append(f"{len(unplaced)} of {len(tables.layouts)} layouts have sensors without a "
                    f"known place: baselines take this corpus, networks refuse it")
    said += _of_reading(recordings)
    unlabeled = int(tables.windows["label"].isna().sum())
    if unlabeled == len(tables.windows) and label.source != "none":
        named = f" and label.name is {label.name}" if label.name else ""
        said.insert(0, f"NO WINDOW HAS A LABEL, although label.source is {label.source}{named}: "
                    f"look at the names of files and events, then ingest into another --out with "
                    f"other --label or --files")
    elif unlabeled and label.source != "none":
        said.append(f"{unlabeled} windows have no label")
    return said + _few_people(recordings, rule)


def _few_people(recordings, rule: SplitRule) -> list[str]:
    """A sentence where too few subjects are held out to choose and judge a decoder."""
    subjects = subject_keys(recordings)
    people = {split: sorted({*subjects[recordings["split"] == split]}) for split in SPLITS}
    few = [split for split in SPLITS[1:] if 0 < len(people[split]) < _ENOUGH_PEOPLE]
    spare = people["train"][:: max(1, len(people["train"]) // (2 * _ENOUGH_PEOPLE))]
    wanted = {split: [*people[split]] for split in SPLITS[1:]}
    while spare and any(len(names) < _ENOUGH_PEOPLE for names in wanted.values()):
        min(wanted.values(), key=len).append(spare.pop(0))
    if not few or len(people["train"]) < 2 * _ENOUGH_PEOPLE or rule.by != "subject":
        return []
    counts = " and ".join(f"{len(people[split])} for {split}" for split in few)
    named = " ".join(f"--splits.{split} '[{', '.join(bare(name) for name in sorted(names))}]'"
                     for split, names in wanted.items())
    return [f"few subjects are held out ({counts}): a decoder's score will hardly be told from "
            f"chance; hold out more, in every ingest of these subjects: {named}"]


def bare(subject_key: str) -> str:
    """The subject's own name in a key, "eegmat/sub-01" → "sub-01"."""
    return subject_key.rpartition("/")[2]


def _of_reading(recordings) -> list[str]:
    """What readers did and which channels they left out: each once, with its recordings."""
    sources: dict[str, list[str]] = {}
    for source, text in zip(recordings["source"], recordings["quality"], strict=True):
        known = quality.from_text(text)
        dropped = known.get("not_used")
        for said in (*known.get("reading", ()), *standardize_fmri.remarks(known),
                     *standardize_t1.remarks(known),
                     *(band.remarks(known) if known.get("band_missing_hz") else ()),
                     *([f"channels left out: {quality.in_words(dropped)}"] if dropped else ())):
            sources.setdefault(said, []).append(source)
    shown = list(sources.items())[:_SHOWN_REASONS]
    more = len(sources) - len(shown)
    return [*(f"{some(names, 3)}: {said}" for said, names in shown),
            *([f"… and {more} more, in quality.html"] if more else ())]


def _labels_in(tables, split: str) -> set[str]:
    chosen = np.flatnonzero(tables.recordings["split"] == split)
    windows = tables.windows
    return set(windows["label"][windows["recording"].isin(chosen)].dropna())


def common_notes(recordings, found, rule: SplitRule) -> list[str]:
    """Of any table of recordings: subjects that are guessed, names that nothing has."""
    said = []
    if found.guessed:
        said.append(f"{found.guessed} recordings have no subject: the file name is used (give "
                    "`files` or `table` if a subject has several recordings)")
    reasons: dict[str, list[str]] = {}
    for source, why in found.left_out.items():
        reasons.setdefault(why, []).append(source)
    said += [f"left out {', '.join(sources)}: {why}" for why, sources in reasons.items()]
    if found.unused:
        said.append(f"the table names files that were not found: {some(found.unused, 4)}")
    if found.idle:
        said.append(f"patterns of exclude that match no file: {some(found.idle, 4)}")
    for split, share in zip(SPLITS, rule.fractions, strict=True):
        if share and not (recordings["split"] == split).any():
            said.append(f"no subject is in {split}: name some with --splits.{split}")
    attributes = [json.loads(text) for text in recordings["attributes"]]
    guessed = list(dict.fromkeys(row["encoding"] for row in attributes if row.get("encoding")))
    if guessed:
        said.append(f"text that is not UTF-8 was read as latin-1 or cp1252 (--encoding states "
                    f"another): {some(guessed, 4)}")
    unknown = unknown_names(recordings.assign(attributes=attributes), rule)
    if unknown:
        said.append(f"named in splits, but in no recording: {', '.join(unknown)}")
    return said


def _twins(recordings) -> list[tuple[str, str]]:
    """Pairs of recordings whose windows are the same to the last bit."""
    return [(rows["source"].iat[0], rows["source"].iat[1])
            for _, rows in recordings.groupby("sha256", sort=False) if len(rows) > 1]


def say_failures(failures: dict[str, dict], say: Callable[..., None]) -> None:
    """Each reason once, with the recordings it holds for."""
    if not failures:
        return
    by_reason: dict[str, list[str]] = {}
    for record in failures.values():
        by_reason.setdefault(record["reason"], []).append(record["source"])
    say(f"failed      {len(failures)}:")
    for reason, sources in list(by_reason.items())[:_SHOWN_REASONS]:
        say(f"  {some(sources, 4)}: {reason}")
    if len(by_reason) > _SHOWN_REASONS:
        say("  … and more in failures.tsv")
    say("  fix them and run the same command again: only these are retried")


def describe(sensors) -> str:
    """'102 mag + 204 planar_grad + 60 eeg', and how many of them have no known place."""
    counts = {kind: sensors.kinds.count(kind) for kind in dict.fromkeys(sensors.kinds)}
    lost = int((~sensors.has_position).sum())
    return (" + ".join(f"{n} {kind}" for kind, n in counts.items())
            + (f", {lost} of them without a place" if lost else ""))
