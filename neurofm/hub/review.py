"""What a person looks at before anything is sent: free texts that are published, and findings.

Labels, events, tasks, sessions and channels are words that somebody typed, and any of them can be a
name; so can words of a title, of remarks on limits and of the name of a repository. Those that are
made of well-known words pass (`vocabulary`); all others are listed in a table at home, and
published once that table was given back as read (`--texts`).
"""

import csv
import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from .. import hashes, tsv, yaml_file
from ..data.windows import DATASETS
from ..manifest import FILE_NAME
from ..pages import words
from ..repository import LEDGER
from . import places, vocabulary
from .secrets import Secret

# Settings that hold words of data. Others are of neurofm: "cosine", "standard_1005".
_OF_DATA = {"classes", "only", "label", "rename", "mapping", "names", "exclude", "ch_names", "rois",
            "channels", "bads", "left_out", "not_used", "without_position", "windows_left_out"}
_BIDS = re.compile(r"(?:^|_)[a-z]+-(?=[A-Za-z0-9])")


@dataclass
class Lists:
    """Where the tables at home lie, and what was listed in this call.

    Parameters
    ----------
    folder, stem
        Names of the tables: folder/stem + "texts.tsv" and "findings.tsv".
    texts
        Free texts that are not known to be harmless → where they stand first.
    """

    folder: Path
    stem: str = ""
    texts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, repo: str, pseudonyms: str = "") -> "Lists":
        """Beside the table of pseudonyms, or else in neurofm's cache folder."""
        if pseudonyms:
            table = Path(pseudonyms).expanduser()
            return cls(table.parent, f"{table.name.removesuffix('.tsv')}.")
        return cls((hashes.cache_folder() or Path("neurofm-cache")) / "publish"
                   / repo.replace("/", "--"))

    def write(self, name: str, rows: Iterable[tuple], heads: tuple[str, ...]) -> Path:
        """A table for its owner alone; returns where it lies."""
        path = self.folder / f"{self.stem}{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        table = tsv.text(pd.DataFrame([*rows], columns=[*heads], dtype=str))
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="utf-8") as file:
            file.write(table)
        temporary.replace(path)
        return path

    def write_findings(self, found: list[Secret]) -> Path:
        """All of them."""
        return self.write("findings", ((each.file, each.place, each.what, each.text, each.times)
                                       for each in found),
                          ("file", "place", "kind", "text", "texts with it"))

    def write_texts(self) -> Path:
        """All of them, each once."""
        return self.write("texts", self.texts.items(), ("text", "where"))


def in_words(lists: Lists) -> str:
    """What is to be done with texts that nobody has looked at; writes their table."""
    path, texts = lists.write_texts(), lists.texts
    shown = ", ".join(f"{text!r} ({where})" for text, where in [*texts.items()][:8])
    more = f" and {len(texts) - 8} more" if len(texts) > 8 else ""
    return (f"{words.count(len(texts), 'text')} that may name somebody: {shown}{more}; all are in "
            f"{path}. Read it. What nobody else should see is renamed where the data is made "
            f"(label.mapping, rename, files of ingest), sessions, tasks and folders also by a row "
            f"of the table of --pseudonyms; if everybody may see all of it, add --texts "
            f"{shlex.quote(str(path))}")


def read(path: str | Path) -> set[str]:
    """Texts of a table that somebody has looked at. Raises ValueError where it is none."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"texts: there is no file {path}; a call without --texts writes it, and "
                         f"says where")
    return {*tsv.read(path, ("text",), dtype=str, quoting=csv.QUOTE_MINIMAL)["text"]}


def unknown(
    folder: Path, files: Iterable[str], but: Iterable[str] = (),
    typed: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Text → where it stands first, of the free texts in staged files that no vocabulary knows.

    but: texts that have been looked at. typed: option of `neurofm publish` → what it says; of these
    each word is a text.
    """
    seen, found = {*but}, dict[str, str]()
    datasets = _called(folder)
    for option, said in (typed or {}).items():
        for word in vocabulary.strangers(said, prose=option == "--limits"):
            if word not in seen and word.casefold() not in datasets:
                found.setdefault(word, option)
    for where, text in _called_so(folder, {*files}):
        if text not in seen and any(word.casefold() not in datasets
                                    for word in vocabulary.strangers(text)):
            found.setdefault(text, where)
    for where, text in _free(folder, {*files}):
        if text not in seen:
            seen.add(text)
            if not vocabulary.is_known(text):
                found[text] = where
    return dict(sorted(found.items()))


def _called(folder: Path) -> set[str]:
    """Words that data sets are called by: their terms state these, so they are public."""
    terms: dict = {}
    for name in (DATASETS, LEDGER):
        if (folder / name).is_file():
            said = json.loads((folder / name).read_text())
            terms |= said.get("datasets", {}) if name == LEDGER else said
    names = [*terms, *(str(each.get("name", "")) for each in terms.values())]
    return {word.casefold() for name in names for word in re.findall(r"[^\W\d_]+", name)}


def _called_so(folder: Path, files: set[str]) -> Iterator[tuple[str, str]]:
    """(where, name) of the folders and files that settings name."""
    from ..models import INDEX

    for name in ("run.yaml", FILE_NAME):
        if name in files:
            said = (yaml_file.read(folder / name) if name.endswith(".yaml")
                    else json.loads((folder / name).read_text())["config"])
            yield from ((f"{name}, {key}", text) for key, text in places.left(said)
                        if text not in INDEX)


def _free(folder: Path, files: set[str]) -> Iterator[tuple[str, str]]:
    """(where, text): labels and names as their makers typed them. Labels of subjects are looked at
    elsewhere (`people`)."""
    if "windows.parquet" in files:
        labels = pd.read_parquet(folder / "windows.parquet", columns=["label"])["label"]
        yield from (("label", str(each)) for each in labels.dropna().unique())
    if "recordings.parquet" in files:
        yield from _of_recordings(pd.read_parquet(folder / "recordings.parquet"))
    if "layouts.json" in files:
        for layout in json.loads((folder / "layouts.json").read_text()).values():
            yield from (("channel", str(each)) for each in layout["names"])
    if LEDGER in files:
        for entry in json.loads((folder / LEDGER).read_text()).get("recordings", []):
            yield from _of_name(entry["recording"], *entry["subject"].rpartition("/")[::2])
    for name in ("config.json", "preprocessor_config.json", "run.yaml"):
        if name in files:
            said = (yaml_file.read(folder / name) if name.endswith(".yaml")
                    else json.loads((folder / name).read_text()))
            yield from ((f"{name}, {key}", text) for key, text in _of_settings(said))


def _of_recordings(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    # The data set is called as whoever publishes has written beside its terms.
    for name in ("session", "task", "run"):
        yield from ((name, str(each)) for each in table[name].dropna().unique())
    for row in table.to_dict("records"):
        for key, value in json.loads(row["attributes"] or "{}").items():
            yield "attribute", str(key)
            yield f"attribute {key}", str(value)
        yield from (("channel", each) for each in str(row["bads"] or "").split(",") if each)
        said = json.loads(row["quality"] or "{}")
        # Reasons are sentences of neurofm, with numbers; channels are called as somebody typed.
        yield from _of_settings({key: [*value] if key in ("bads", "not_used") else value
                                 for key, value in said.items() if key != "windows_left_out"})
        path = PurePosixPath(str(row["source"] or ""))
        for part in (*path.parts[:-1], path.name.split(".")[0]):
            yield from _of_name(part, row["dataset"], row["subject"], "name of a file")


def _of_name(
    name: str, dataset: str | None, subject: str | None, where: str = "recording"
) -> Iterator[tuple[str, str]]:
    """What a name says besides the data set and the subject: session, task, run."""
    bare = re.sub(r"-[0-9a-f]{8}$", "", name)  # of its path
    for known in (dataset, subject):
        for each in {known or "", re.sub(r"[^A-Za-z0-9]+", "-", known or "")} - {""}:
            bare = re.sub(rf"(?<![A-Za-z0-9]){re.escape(each)}(?![A-Za-z0-9])", "", bare)
    pieces = _BIDS.sub("_", bare).split("_" if _BIDS.search(bare) else "-")
    yield from ((where, each) for each in pieces if each)


def _of_settings(said: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(setting, text) of those that hold words of data."""
    if isinstance(said, dict):
        for name, value in said.items():
            if key:
                yield key, str(name)
            yield from _of_settings(value, key or (name if name in _OF_DATA else ""))
    elif isinstance(said, list):
        for value in said:
            yield from _of_settings(value, key)
    elif isinstance(said, str) and key and said:
        yield key, said
