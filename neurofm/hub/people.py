"""People: labels of subjects that say who somebody is, and what stands for them in public.

A label such as `07`, `sub-07`, `S007`, `NYU_0050952` is a number that a study gave. A name,
initials or a date is not: `sub-0001` is published for it, and the table of who that is stays at
home.
"""

import contextlib
import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from .rules import Rule

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# What a study calls people in general, and labels that are nobody's.
WORDS = frozenset({
    "sub", "subj", "subject", "pat", "patient", "pt", "participant", "part", "person", "proband",
    "vp", "pp", "id", "control", "ctrl", "con", "healthy", "hc", "case", "volunteer", "donor",
    "twin", "session", "ses", "run", "rec", "recording", "task", "rest", "eyes", "open", "closed",
    "eeg", "meg", "fmri", "bold", "raw", "emptyroom", "phantom", "unknown", "average", "fsaverage",
    "template", "sample", "test", "train", "demo", "simulated", "synthetic", "group", "site",
    "male", "female", "left", "right", "pre", "post", "baseline", "day", "night", "stim", "sham",
})
_PIECE = re.compile(r"[^\W\d_]+")
# Codes: of hexadecimal digits, of the NDA, and of the TUH archive, which counts in letters.
_CODE = re.compile(r"(?=.*\d)(?:[0-9a-f]{8,}|[0-9A-F]{8,}|NDAR\w{6,}|[0-9a-f-]{32,36})|"
                   r"a{4,}[a-z]{1,4}(?:_s\d+)?(?:_t\d+)?")
# Subjects of the Human Connectome Project whose numbers could be dates. Any number of six digits is
# one of theirs where the data set is called so.
_HCP = re.compile("(?<![a-z])hcp(?![a-z])", re.IGNORECASE)
_HCP_DATES = frozenset({"100307", "100408", "101107", "101309", "101915", "103111", "110411",
                        "111312", "111716", "120111", "201111"})
# Columns of a table of subjects that say who or when somebody was born.
_TELLING = re.compile(
    r"^name$|(?:^|[_ -])(?:(?:first|last|full|given|family|middle|sur|patients?|subject)[_ -]?name|"
    r"forename|nachname|vorname|birth[_ -]?(?:day|date)|date[_ -]?of[_ -]?birth|dob|"
    r"geburts(?:datum|tag)|e[_ -]?mail|(?:tele)?phone(?:[_ -]?(?:number|no))?|a(?:d|dd)resse?|"
    r"(?:zip|postal|post)[_ -]?code|(?:hospital|insurance|passport|medical[_ -]?record|"
    r"social[_ -]?security)[_ -]?(?:id|number|no|nr)|ssn|mrn|initials)$", re.IGNORECASE)
_BIDS = re.compile(r"[a-z]+-[A-Za-z0-9]+(?:_[a-z]+-[A-Za-z0-9]+)*(?:_[a-z]+)?|"
                   r"anat|func|ieeg|data|files|recordings|derivatives")
_SENSORS = ("ch_names", "channels")  # settings: "CZ" is a channel there, whoever has these initials
_HEADS = ("dataset", "label", "pseudonym")


def telling_columns(names: Iterable[str]) -> list[str]:
    """Those of a table of subjects that say who somebody is."""
    return [name for name in names
            if _TELLING.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))]


def telling_sources(recordings: pd.DataFrame) -> set[str]:
    """Paths of recordings in which a folder or file may be called by somebody's name, whatever
    the label is: a table may have given that."""
    found: set[str] = set()
    for dataset, some in recordings.groupby(recordings["dataset"].fillna("")):
        pieces, whose = dict[str, set[str]](), dict[str, set]()
        for source, subject in zip(some["source"].fillna(""), some["subject"], strict=True):
            path = PurePosixPath(str(source))
            pieces[source] = {*path.parts[1:-1], path.name.removesuffix(".gz").rsplit(".", 1)[0]}
            for piece in pieces[source]:
                whose.setdefault(piece, set()).add(subject)
        # A folder of several people is called by none of them.
        named = telling((piece for piece, of in whose.items()
                         if len(of) < 3 and not _BIDS.fullmatch(piece)), str(dataset))
        found |= {source for source, own in pieces.items() if own & named.keys()}
    return found


def telling(labels: Iterable[str], dataset: str = "") -> dict[str, str]:
    """Label → why it may say who somebody is, of the labels of one data set."""
    all_labels = sorted({label for label in labels if label})
    pieces = {label: [each.casefold() for each in _PIECE.findall(_bare(label))]
              for label in all_labels}
    common = Counter(piece for each in pieces.values() for piece in set(each))
    scheme = max(2, min(3, len(all_labels) / 2))  # so many with one piece, and it is nobody's name
    numbers = [re.sub(r"\D", "", label) for label in all_labels]
    as_dates = not _HCP.search(dataset) and not {*numbers} <= _HCP_DATES and _all_dates(numbers)
    found = {}
    for label in all_labels:
        digits = re.sub(r"\D", "", label)
        few = len(digits) < 3  # "anna_1", "anna_2": sessions of one person
        odd = [piece for piece in pieces[label] if len(piece) > 1 and piece not in WORDS
               and (common[piece] < scheme or (few and len(piece) > 3 and common[piece] < 5
                    and 2 * common[piece] <= len(all_labels)))
               and not (len(all_labels) == 1 and len(piece) <= 3 and digits)]
        if re.search(r"(?<!\d)(?:19|20)\d\d[-_.](?:0?[1-9]|1[0-2])[-_.]\d{1,2}(?!\d)|"
                     r"(?<!\d)\d{1,2}[-_.](?:0?[1-9]|1[0-2])[-_.](?:19|20)\d\d(?!\d)", label):
            found[label] = "a date"
        elif _CODE.fullmatch(_bare(label)) and not re.fullmatch(r"\d{8}", _bare(label)):
            continue
        elif odd:
            found[label] = "initials" if max(map(len, odd)) <= 3 else "a name"
        elif any(_is_date(run, 8) for run in re.findall(r"\d+", label)) or (
                as_dates and len(digits) == 6):
            found[label] = "a date"
        elif not digits and not WORDS & {*pieces[label]} and len(_bare(label)) > 1:
            found[label] = "initials" if len(_bare(label)) <= 3 else "a name"
    return found


def _bare(label: str) -> str:
    return label.removeprefix("sub-")


def _is_date(digits: str, length: int) -> bool:
    """YYYYMMDD, DDMMYYYY or MMDDYYYY of somebody who can be measured."""
    if len(digits) != length:
        return False
    for year, one, two in ((digits[:4], digits[4:6], digits[6:]),
                           (digits[4:], digits[2:4], digits[:2]),
                           (digits[4:], digits[:2], digits[2:4])):
        if 1900 <= int(year) <= 2035 and 1 <= int(one) <= 12 and 1 <= int(two) <= 31:
            return True
    return False


def _all_dates(digits: list[str]) -> bool:
    """Whether numbers of six digits are dates in one order: of some numbers a part always is."""
    six = [each for each in digits if len(each) == 6]
    if not six or len(six) < len(digits):
        return False
    orders = ((slice(2, 4), slice(4, 6)), (slice(2, 4), slice(0, 2)), (slice(0, 2), slice(2, 4)))
    return any(all(1 <= int(each[month]) <= 12 and 1 <= int(each[day]) <= 31 for each in six)
               for month, day in orders)


@dataclass
class Pseudonyms:
    """What stands for whom: (dataset, label) → pseudonym; itself where a label may stay."""

    of: dict[tuple[str, str], str] = field(default_factory=dict)
    recordings: dict[str, str] = field(default_factory=dict)  # name → its public name
    _kept: tuple = field(default=(), init=False, repr=False, compare=False)

    @classmethod
    def read(cls, path: str | Path) -> "Pseudonyms":
        """The table in a file; empty where there is none yet."""
        path = Path(path).expanduser()
        if not path.exists():
            return cls()
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [*csv.DictReader(file, delimiter="\t")]
        if rows and not {*_HEADS} <= rows[0].keys():
            raise ValueError(f"{path}: wanted a table with the columns {', '.join(_HEADS)}, "
                             f"separated by tabs")
        return cls({(row["dataset"], row["label"]): row["pseudonym"] for row in rows})

    def write(self, path: str | Path) -> None:
        """Write the table, for its owner alone."""
        path = Path(path).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  newline="") as file:
            table = csv.writer(file, delimiter="\t", lineterminator="\n")
            table.writerow(_HEADS)
            table.writerows([*key, value] for key, value in sorted(self.of.items()))
        temporary.replace(path)

    def add(
        self, keys: Iterable[str], names: Iterable[tuple[str, str]] = ()
    ) -> dict[str, str]:
        """Give a pseudonym to everybody whose label says who that is; returns label → why, of
        those who had none.

        Parameters
        ----------
        keys
            "dataset/label" of everybody.
        names
            ("dataset/label", recording) of their recordings.
        """
        new, by_dataset = dict[str, str](), dict[str, set[str]]()
        for key in keys:
            dataset, _, label = key.rpartition("/")
            by_dataset.setdefault(dataset, set()).add(label)
        for dataset, labels in sorted(by_dataset.items()):
            given = [int(value[4:]) for (of, _), value in self.of.items()
                     if of == dataset and re.fullmatch(r"sub-\d+", value)]
            free = (f"sub-{number:04d}" for number in range(max(given, default=0) + 1, 10**6)
                    if not labels & {f"sub-{number:04d}", f"{number:04d}"})
            for label, why in telling(labels, dataset).items():
                if (dataset, label) not in self.of:
                    self.of[dataset, label] = next(free)
                    new[label] = why
        counts: Counter[str] = Counter()
        for key, recording in sorted(set(names)):
            dataset, _, label = key.rpartition("/")
            if (public := self.of.get((dataset, label), label)) != label:
                counts[key] += 1
                self.recordings[recording] = "-".join(
                    filter(None, (dataset, public, f"{counts[key]:02d}")))
        return new

    @property
    def changed(self) -> dict[tuple[str, str], str]:
        """Those that are not the label itself."""
        return {key: value for key, value in self.of.items() if key[1] != value}

    def subject(self, dataset: str | None, label: str | None) -> str | None:
        """What stands for a label in the tables."""
        return self.of.get((dataset or "", label or ""), label)

    def renamed(self, value: Any) -> Any:
        """Plain values with pseudonyms in the place of labels, keys of dicts too."""
        if isinstance(value, dict):
            return {self.renamed(key): each if key in _SENSORS else self.renamed(each)
                    for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.renamed(each) for each in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        if text in self.recordings:
            return self.recordings[text]
        names, labels = self._places()
        for name in names:
            if name in text:
                text = text.replace(name, self.recordings[name])
        for pattern, public in labels:
            text = pattern.sub(public.replace("\\", r"\\"), text)
        return text

    def _places(self) -> tuple[list[str], list[tuple[re.Pattern, str]]]:
        """Names of recordings, and patterns of labels with what stands for them: the longest first,
        and before all those with their data set, since people of two may have one label."""
        known = len(self.of), len(self.recordings)
        if not self._kept or self._kept[0] != known:
            rows = sorted(self.changed.items(), key=lambda row: -len(row[0][1]))
            labels = [(_whole(label, f"{dataset}/"), f"{dataset}/{public}")
                      for (dataset, label), public in rows if dataset]
            labels += [(_whole(label), public) for (_, label), public in rows]
            self._kept = known, sorted(self.recordings, key=len, reverse=True), labels
        return self._kept[1:]


@contextlib.contextmanager
def alone(path: str | Path) -> Iterator[None]:
    """Others who would write the same table wait: nobody's row is lost. The lock is the folder's,
    so that no file is left."""
    folder = Path(path).expanduser().parent
    folder.mkdir(parents=True, exist_ok=True)
    number = os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def rules_of(labels: Iterable[str]) -> list[Rule]:
    """Rules that find these labels, and the names in them, wherever they stand."""
    words: dict[str, str] = {}
    for label in labels:
        bare = _bare(label)
        for word in (bare, *(each for each in _PIECE.findall(bare) if len(each) > 3)):
            if word.casefold() not in WORDS and len(word) > 1:
                words.setdefault(word, label)
    return [Rule(f"a subject's label ({label})", _whole(word)) for word, label in words.items()]


def _whole(label: str, before: str = "") -> re.Pattern:
    """The label as a word of its own, spelled in any way that a file name may have it."""
    parts = [re.escape(part) for part in re.split(r"[\W_]+", _bare(label)) if part]
    spelled = "[^A-Za-z0-9]{0,2}".join(parts) or re.escape(label)
    left, right = r"(?<![^\W_])", r"(?![^\W_])"
    if not _PIECE.search(_bare(label)):  # digits alone: not those of 0.850312
        left, right = rf"{left}(?<!\d[.])", rf"{right}(?![.]\d)"
    return re.compile(rf"{left}{re.escape(before)}(?:sub-)?{spelled}{right}",
                      re.IGNORECASE if len(_bare(label)) > 3 else 0)


def of_ledger(ledger: dict) -> Iterator[tuple[str, str]]:
    """("dataset/label", recording) of everybody in a training ledger."""
    for entry in ledger.get("recordings", []):
        yield entry["subject"], entry["recording"]


def without_names(recordings: pd.DataFrame, pseudonyms: Pseudonyms) -> pd.DataFrame:
    """The table of recordings with pseudonyms, and without columns and paths that say who somebody
    is."""
    table, rows, named = recordings.copy(), [], telling_sources(recordings)
    for row in recordings.to_dict("records"):
        public = pseudonyms.subject(row["dataset"], row["subject"])
        about = json.loads(row["attributes"] or "{}")
        gone = telling_columns(about)
        name, source = pseudonyms.renamed(row["recording"]), pseudonyms.renamed(row["source"])
        if public != row["subject"] or row["source"] in named:
            source = f"{row['dataset'] or 'recordings'}/{name}{Path(str(source)).suffix[:8]}"
        rows.append((name, public, source,
                     json.dumps(pseudonyms.renamed({key: value for key, value in about.items()
                                                    if key not in gone}),
                                sort_keys=True, ensure_ascii=False)))
    for number, name in enumerate(("recording", "subject", "source", "attributes")):
        table[name] = [row[number] for row in rows]
    for name in ("session", "task", "run", "bads"):
        table[name] = table[name].map(pseudonyms.renamed, na_action="ignore")

    def quality(text: str) -> str:
        """Of its texts: a number stays one, whatever labels are."""
        said = json.loads(text or "{}")
        public = pseudonyms.renamed(said)
        return text if public == said else json.dumps(public, sort_keys=True, ensure_ascii=False)

    table["quality"] = table["quality"].map(quality, na_action="ignore")
    return table
