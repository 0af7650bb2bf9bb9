"""channels.tsv → types, bad channels and units, row by row by the name of the channel.

mne-bids takes the file only where names and order are those of the recording. Labs write it in
another order or case, or for some channels alone; each row is of the channel that it names.
"""

from pathlib import Path

import numpy as np

from .. import montage, text
from .errors import ReadError

_TYPES = {"eeg": "eeg", "eog": "eog", "heog": "eog", "veog": "eog", "ecg": "ecg", "ekg": "ecg",
          "emg": "emg", "resp": "resp", "trig": "stim", "stim": "stim", "misc": "misc",
          "gsr": "gsr", "temp": "temperature", "ref": "misc", "other": "misc", "audio": "misc",
          "pupil": "misc", "eyegaze": "misc", "ppg": "misc", "sysclock": "syst", "photo": "misc"}


def apply(raw, sidecars: list[Path]) -> tuple[dict[str, str], list[str]]:
    """Types and bad channels go into `raw`; returns channel → unit of its values, and notes.

    sidecars: those of the recording, the nearest first.
    """
    path = next((file for file in sidecars if file.name.endswith("channels.tsv")), None)
    if path is None:
        return {}, []
    columns, rows = text.read_table(path)
    if rows and "name" not in columns:
        raise ReadError(path, f"wanted a column name, got {', '.join(columns)}; name the column of "
                              f"the channels so")
    found = {str(row["name"]).strip(): row for row in rows if row.get("name")}
    named, strange = _matched(list(found), raw.ch_names)
    types, bads, units = {}, set(raw.info["bads"]), {}
    of_file = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    for row_name, name in named.items():
        row = {key: (value or "").strip() for key, value in found[row_name].items() if key}
        kind = _TYPES.get(row.get("type", "").casefold())
        if kind and of_file[name] not in ("mag", "grad", "ref_meg"):
            types[name] = kind
        elif _unsaid(row) and np.isfinite(montage.look_up([name], "standard_1005")[1]).all():
            types[name] = "eeg"  # mne-bids takes n/a for "misc"
        if row.get("status", "").casefold() == "bad":
            bads.add(name)
        units[name] = row.get("units", "")
    raw.set_channel_types(types, on_unit_change="ignore", verbose="ERROR")
    raw.info["bads"] = [name for name in raw.ch_names if name in bads]
    notes = []
    if strange:
        notes.append(f"channels in {path.name} that the recording does not have: "
                     f"{', '.join(strange[:8])}{', …' if len(strange) > 8 else ''}")
    lacking = [name for name in raw.ch_names if name not in named.values()
               and of_file[name] == "eeg"]
    if lacking:
        notes.append(f"EEG channels that {path.name} does not list, kept as EEG: "
                     f"{', '.join(lacking[:8])}{', …' if len(lacking) > 8 else ''}")
    return units, notes


def _unsaid(row: dict[str, str]) -> bool:
    return row.get("type", "").casefold() in ("", "n/a", "nan")


def _matched(rows: list[str], names: list[str]) -> tuple[dict[str, str], list[str]]:
    """Row → channel by the name as it stands, else without case, else by the electrode, else by
    its number where all others stand in the same order; and rows without a channel. A name that
    would fit two channels fits none."""
    named, free = {}, list(names)
    for key in (str, str.casefold, lambda name: montage.clean_name(name).casefold()):
        keys = [key(name) for name in free]
        for row in rows:
            if row not in named and keys.count(key(row)) == 1:
                named[row] = free[keys.index(key(row))]
        free = [name for name in free if name not in named.values()]
    if len(rows) == len(names) and all(rows.index(row) == names.index(name)
                                       for row, name in named.items()) and named:
        named |= {row: names[at] for at, row in enumerate(rows) if row not in named}
    return named, [row for row in rows if row not in named]
