"""A finished artifact made ready for others: without this machine's paths and without names of
people, with a card, checked.

What is sent is a folder of its own, of regular files that were copied or made anew: nothing done
there reaches the source. Weights are as they were; settings name files without the folders they lay
in here, labels that say who somebody is are replaced (`people`), the card is written anew. The
whole is searched for secrets. A fresh process then loads a checkpoint as anybody will, and must get
the same answers.
"""

import contextlib
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import yaml

from .. import artifacts, results, tsv, yaml_file
from ..checkpoints import golden, robustness
from ..checkpoints.card import About, card
from ..checkpoints.robustness import Robustness
from ..checkpoints.store import load
from ..data.corpus import Corpus
from ..data.tokens import TokenSet
from ..repository import LEDGER
from . import dataset_card, people, places, review, secrets, windows
from .log_hours import hours_of
from .people import Pseudonyms
from .rules import without_paths

RENAMED_FILES = ("config.json", "preprocessor_config.json", LEDGER, robustness.FILE_NAME)
PAGE = "quality.html"  # of a corpus


class NotPublishable(ValueError):
    """What a person must settle before anything is sent."""


@dataclass(frozen=True)
class Care:
    """What a person said of names and secrets.

    Parameters
    ----------
    pseudonyms
        File of the table of pseudonyms; "" = none are given.
    allow
        Texts that may stay although they look like what must not be published.
    dry_run
        The table is not written.
    texts
        File of free texts that somebody has looked at; "" = there is none.
    lists
        Tables of findings and of free texts, filled when something is staged; None = they are
        not written.
    typed
        Option of `neurofm publish` → a text in which somebody may be named.
    names
        Filled when something is staged: the table as it is then.
    """

    pseudonyms: str = ""
    allow: tuple[str, ...] = ()
    dry_run: bool = False
    texts: str = ""
    lists: review.Lists | None = None
    typed: dict[str, str] = field(default_factory=dict)
    names: Pseudonyms = field(default_factory=Pseudonyms)


def stage_checkpoint(
    source: Path, out: Path, about: About, repo: str, metrics: dict, care: Care | None = None
) -> list[str]:
    """Fill `out` with what will be published of a checkpoint; returns the names of its files.

    Raises ArtifactError for a damaged source, NotPublishable for what must not leave.
    """
    care = care or Care()
    manifest = artifacts.open_sealed(source, "checkpoint", hashes=True)
    out.mkdir(parents=True, exist_ok=True)
    model = load(source)
    if model.contract is None:
        raise NotPublishable(f"{source}: has no preprocessor_config.json: nobody would know which "
                             f"signals it takes")
    if LEDGER not in manifest.listed:
        raise NotPublishable(f"{source}: has no {LEDGER}: its training subjects would be unknown")
    found = {name: json.loads((source / name).read_text())
             for name in RENAMED_FILES if name in manifest.listed}
    if (source / results.FILE_NAME).exists():
        found[results.FILE_NAME] = _without_folders(source / results.FILE_NAME)
    names = _settled(care, [*_subjects(found)], people.of_ledger(found[LEDGER]))
    for name, content in found.items():
        changed = names.renamed(content)
        if changed == content and name in manifest.listed and name != results.FILE_NAME:
            copied(source, name, out)
        else:
            artifacts.write_json(out / name, changed)
    weights = [name for name in manifest.listed
               if name.endswith((".safetensors", ".safetensors.index.json"))
               and name != golden.FILE]  # of an earlier publication: made anew
    for name in weights:
        copied(source, name, out)
    settings = source / "run.yaml"
    said = yaml_file.read(settings) if settings.exists() else {}
    (out / "run.yaml").write_text(
        yaml.safe_dump(names.renamed(places.cut(said)), sort_keys=False, allow_unicode=True))
    golden.save(model, out)
    if about.hours is None and (hours := hours_of(source / "log.jsonl")) is not None:
        about = replace(about, hours=hours)
    ledger = json.loads((out / LEDGER).read_text())
    (out / "README.md").write_text(
        card(model, ledger, metrics, about, repo, Robustness.read(out)))
    files = sorted([*found, *weights, "run.yaml", golden.FILE, "README.md"])
    artifacts.seal(out, "checkpoint", config=names.renamed(places.cut(manifest.config)),
                   parents={**manifest.parents, "source": manifest.fingerprint}, files=files)
    _look_through(out, [*files, artifacts.FILE_NAME], names, care)
    check_in_fresh_process(out)
    return [*files, artifacts.FILE_NAME]


def stage_data(
    source: Path, out: Path, repo: str, card_of: dataset_card.Said, care: Care | None = None
) -> list[str]:
    """The same of a corpus or token set: shards that `datasets` reads, and the tables."""
    care = care or Care()
    manifest = artifacts.open_sealed(source, hashes=True)
    data = (Corpus if manifest.kind == "corpus" else TokenSet).open(source)
    table = data.recordings
    if why := data.contract.identifies:
        raise NotPublishable(f"not published: {why}")
    if problems := dataset_card.problems(sorted(set(table["dataset"].fillna(""))), data.datasets):
        raise NotPublishable("not published: " + "; ".join(problems))
    if (free := shutil.disk_usage(out).free) < (size := _bytes(manifest)):
        raise NotPublishable(f"{out}: {size / 1e9:.1f} GB are to be staged, {free / 1e9:.1f} GB "
                             f"are free there; name a folder on another disk with --staged")
    keys = (table["dataset"].fillna("") + "/" + table["subject"].fillna("")).tolist()
    columns = {name for text in table["attributes"] for name in json.loads(text or "{}")}
    names = _settled(care, keys, zip(keys, table["recording"], strict=True),
                     people.telling_columns(sorted(columns)))
    files = windows.write(data, out, people.without_names(table, names))
    for name in manifest.listed:
        if name in files or name.endswith(".arrow"):
            continue
        if name == "failures.tsv":
            _write_failures(source / name, out / name, names)
        elif name == PAGE and (names.changed or people.telling_sources(table)
                               or (source / "failures.tsv").read_text().count("\n") > 1):
            continue  # it names people and files
        else:
            copied(source, name, out)
        files.append(name)
    text = dataset_card.card(manifest.kind, data, repo, card_of, files)
    (out / "README.md").write_text(text)
    artifacts.seal(out, manifest.kind, config=names.renamed(places.cut(manifest.config)),
                   parents={**manifest.parents, "source": manifest.fingerprint}, files=files)
    everything = [*sorted(files), "README.md", artifacts.FILE_NAME]
    _look_through(out, everything, names, care)
    return everything


def check_in_fresh_process(folder: Path) -> None:
    """Load the folder as a stranger would, without network and strictly, and compare answers."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-m", "neurofm.hub.staging", str(folder)], env=env,
                          capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise NotPublishable(f"{folder}: does not load and answer as it did: "
                             f"{said[-1] if said else 'no reason was given'}")


def copied(source: Path, name: str, out: Path) -> None:
    """Copy a file of the folder `source` into `out`, under the same name.

    Raises
    ------
    NotPublishable
        The name leads out of the folder, or is no regular file.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or ":" in parts.parts[0]:
        raise NotPublishable(f"{source}: its manifest lists {name!r}, which is not in the folder")
    for inside in (*reversed(parts.parents), parts):
        if inside != PurePosixPath(".") and (source / inside).is_symlink():
            raise NotPublishable(f"{source / inside}: is a link; files of what is published lie in "
                                 f"its folder: copy it there")
    if not stat.S_ISREG((source / name).lstat().st_mode):
        raise NotPublishable(f"{source / name}: is no regular file")
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(source / name, os.O_RDONLY | os.O_NOFOLLOW), "rb") as there, \
            open(out / name, "xb") as here:
        shutil.copyfileobj(there, here, 2**24)


def _bytes(manifest: artifacts.Manifest) -> int:
    return sum(entry[0] for entry in manifest.listed.values())


def _subjects(found: dict[str, dict]) -> Iterable[str]:
    """ "dataset/label" of everybody whom the files of a checkpoint name."""
    yield from (entry["subject"] for entry in found[LEDGER].get("recordings", []))
    yield from found.get("config.json", {}).get("people") or []
    for each in found.get(robustness.FILE_NAME, {}).get("conditions", []):
        yield from each["subjects"]
    for flag in found.get(results.FILE_NAME, {}).get("flags", []):
        yield from flag["subjects"]


def _settled(
    care: Care, keys: list[str], recordings: Iterable[tuple[str, str]],
    columns: Iterable[str] = (),
) -> Pseudonyms:
    """Pseudonyms of all whose labels say who they are. Raises NotPublishable where there are some,
    and nobody said where the table of them is to be kept."""
    keeps = bool(care.pseudonyms) and not care.dry_run
    with people.alone(care.pseudonyms) if keeps else contextlib.nullcontext():
        if care.pseudonyms:
            care.names.of |= Pseudonyms.read(care.pseudonyms).of
        named = care.names.add(keys, recordings)
        if keeps:
            care.names.write(care.pseudonyms)
    if not care.pseudonyms and (named or (columns := [*columns])):
        labels = [f"{label} ({why})" for label, why in named.items()]
        shown = ", ".join(labels[:8]) + (", …" if len(labels) > 8 else "")
        told = [f"labels of {len(labels)} subjects may say who they are: {shown}"] if labels else []
        if columns:
            told.append(f"attributes of subjects say who they are: {', '.join(columns)}")
        raise NotPublishable(
            f"not published: {'; '.join(told)}. With --pseudonyms FILE, sub-0001 and so on are "
            f"published in place of such labels and such attributes are left out; FILE is the "
            f"table of who that is, and stays with you (a label that is its own pseudonym there "
            f"is published as it is)")
    return care.names


def _without_folders(path: Path) -> dict:
    """Results on held-out subjects, with the names of data and models, not their folders."""
    found = json.loads(path.read_text())
    kept = {"data": found["data"], "model": found["model"]}
    cut = {**places.cut(kept), "command": places.cut_words(found["command"])}
    return {**places.replaced(found, kept), **cut}


def _write_failures(source: Path, target: Path, names: Pseudonyms) -> None:
    """Reasons without the files: their names may be those of people whom no table knows."""
    table = tsv.read(source, ("source", "reason"), dtype=str)
    for number, row in enumerate(table.to_dict("records")):
        path, reason = row["source"], row["reason"]
        for part in sorted({path, Path(path).name, Path(path).stem, *Path(path).parts},
                           key=len, reverse=True):
            if len(part) > 3:
                reason = reason.replace(part, "FILE")
        table.loc[number, "source"] = f"recording {number + 1}"
        table.loc[number, "reason"] = names.renamed(without_paths(reason))
    tsv.write(table, target)


def _look_through(folder: Path, files: list[str], names: Pseudonyms, care: Care) -> None:
    """Raise NotPublishable where a file holds what nobody else should see, or free texts that
    nobody has looked at."""
    hidden = people.rules_of(label for _, label in names.changed)
    if found := secrets.found_in(folder, files, hidden, care.allow):
        all_in = f" (all are in {care.lists.write_findings(found)})" if care.lists else ""
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        passed = [*dict.fromkeys(each.text for each in found[:5] if each.text)] or ["TEXT"]
        raise NotPublishable(
            "not published: " + "; ".join(map(str, found[:5])) + more + all_in
            + ". Rename what the run called so, or train from other paths; where it may be seen "
              "by everybody, --allow "
            + shlex.quote(json.dumps([*care.allow, *passed], ensure_ascii=False))
            + " lets it pass (tokens and keys never)")
    if care.lists is None:
        return
    read = review.read(care.texts) if care.texts else set()
    care.lists.texts = texts = review.unknown(folder, files, {*read, *care.allow},
                                               care.typed)
    if texts and not care.dry_run:
        raise NotPublishable(f"not published: {review.in_words(care.lists)}")


if __name__ == "__main__":
    golden.check(load(sys.argv[1]), Path(sys.argv[1]))
