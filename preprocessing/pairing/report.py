"""What pair says at its end: a summary, notes, what looks wrong, failures."""

import json
from collections.abc import Callable
from pathlib import Path

from neurofm.data.windows import SPLITS
from neurofm.seen import subject_keys

from ..report import common_notes, say_failures
from ..splits import SplitRule
from ..steps.refusal import some
from .gradient_residue import Residue


def say_pairs(scans, failures: dict[str, dict], out: Path, rule: SplitRule, found, *,
              say: Callable[..., None], seconds: float) -> None:
    """scans: the table. found: what `archive.find` gave."""
    hours = scans["duration_s"].sum() / 3600
    say(f"\npairs       {out}")
    say(f"scans       {len(scans)} ({hours:.2f} h, {scans['n_volumes'].sum()} volumes), "
        f"{len(failures)} failed, {seconds:.1f} s")
    subjects = subject_keys(scans)
    shares = [f"{split} {subjects[scans['split'] == split].nunique()} "
              f"({(scans['split'] == split).sum()} scans)" for split in SPLITS]
    say(f"subjects    {subjects.nunique()}: {', '.join(shares)}")
    say(f"eeg         {_span(scans['n_channels'])} channels, {scans['layout'].nunique()} layouts")
    say(f"bold        every {_span(scans['t_r'])} s, {_span(scans['n_volumes'])} volumes a scan")
    if residues := [residue for _, residue in _residues(scans)]:
        say(f"gradients   lines of the scanner are {max(r.median_db for r in residues):.1f} dB "
            f"above their neighbors at most (median of lines), single lines "
            f"{max(r.peak_db for r in residues):.1f} dB")
    for note in _notes(scans, rule, found):
        say(f"note        {note}")
    if suspicious := _suspicious(scans):
        say(f"warning     {some(suspicious)}: looks as if gradient artifacts were not taken out; "
            f"correct the EEG first (template subtraction), or leave these out (exclude)")
    say_failures(failures, say)


def _notes(scans, rule: SplitRule, found) -> list[str]:
    said: dict[str, list[str]] = {}
    for source, text in zip(scans["source"], scans["quality"], strict=True):
        for note in json.loads(text)["notes"]:
            said.setdefault(note, []).append(source)
    notes = [f"{some(sources, 4)}: {note}" for note, sources in said.items()]
    notes += common_notes(scans, found, rule)
    if short := int(scans["gradient_residue"].isna().sum()):
        notes.append(f"{short} scans are too short to tell whether gradient artifacts are left")
    return notes


def _suspicious(scans) -> list[str]:
    return [f"{source} ({residue.median_db:g} dB; {residue.peak_db:g} dB at "
            f"{residue.peak_hz:g} Hz)" for source, residue in _residues(scans)
            if residue.suspicious]


def _residues(scans) -> list[tuple[str, Residue]]:
    """(source, residue) of scans in which it could be measured."""
    found = [(source, json.loads(text)["gradient"])
             for source, text in zip(scans["source"], scans["quality"], strict=True)]
    return [(source, Residue(**residue)) for source, residue in found if residue]


def _span(values) -> str:
    low, high = values.min(), values.max()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
