"""Corpora and token sets for others: which terms allow it, and the card that says so."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..checkpoints import citations, dataset_ids
from ..checkpoints.card import contract_in_markdown
from ..pages import table as tables
from . import windows

if TYPE_CHECKING:
    from ..data.corpus import Corpus
    from ..data.tokens import TokenSet

# Spellings of licenses that let others have what was made of a data set. Share-alike and
# non-commercial ones do, under their own terms; no-derivatives do not.
_OPEN = re.compile(
    r"cc-?0|public domain|pddl|cc[- ]by(-sa|-nc|-nc-sa)?\b|odc-?by|odbl|mit|bsd|apache|mpl|gpl",
    re.IGNORECASE)
_CLOSED = re.compile(r"-nd\b|no.?deriv|not? (be )?redistribut|restricted|confidential|"
                     r"all rights reserved|proprietary", re.IGNORECASE)


def problems(datasets: list[str], terms: dict[str, dict]) -> list[str]:
    """Why data made of these data sets may not be published; none = it may."""
    found = []
    for name in datasets:
        license = terms.get(name, {}).get("licence", "")
        if not license:
            found.append(f"{name or 'a data set without a name'}: its terms were not stated; "
                         f"ingest again with --terms '{{{name or 'NAME'}: LICENSE}}'")
        elif _CLOSED.search(license):
            found.append(f"{name}: its terms ({license}) forbid passing on what is made of it")
        elif not _OPEN.search(license):
            found.append(f"{name}: it is not known whether its terms ({license}) allow passing on "
                         f"what is made of it; say so with a known license (--terms at ingest)")
    return found


@dataclass(frozen=True)
class Said:
    """What a person says of published data."""

    license: str
    license_name: str = ""
    license_link: str = ""
    title: str = ""
    citation: str = ""
    limits: str = ""


def card(
    kind: str, data: "Corpus | TokenSet", repo: str, said: Said, files: list[str]
) -> str:
    """Markdown with front matter. kind: "corpus" or "tokens". files: those that are published."""
    import yaml

    table, terms = data.recordings, data.datasets
    fields: dict = {"license": said.license}
    if said.license == "other":
        fields["license_name"] = said.license_name or "terms-of-sources"
        fields["license_link"] = (said.license_link
                                  or f"https://huggingface.co/datasets/{repo}#terms")
    fields |= {"pretty_name": said.title or repo.split("/")[-1],
               "tags": [*data.contract.tags, "brain", "neuroscience", "neurofm", kind]}
    if ids := dataset_ids.listed(terms, table["dataset"].fillna("")):
        fields["source_datasets"] = [f"extended|{each}" for each in ids]
    fields["configs"] = windows.card_config(files)
    rows = []
    for name, part in table.groupby(table["dataset"].fillna("")):
        stated = terms.get(name, {})
        rows.append([stated.get("name", name), part["subject"].nunique(), len(part),
                     f"{part['duration_s'].sum() / 3600:.2f}",
                     stated.get("licence", "not stated"),
                     stated.get("acknowledge") or stated.get("doi")])
    splits = ", ".join(f"{name} {n}" for name, n in
                       table.groupby("split")["n_windows"].sum().items())
    heads = ["data set", "subjects", "recordings", "hours", "terms", "to be cited"]
    title = said.title or repo.split("/")[-1]
    return "\n".join([
        f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---\n",
        f"# {tables.plain(title)}\n",
        ("Standardized windows of brain recordings" if kind == "corpus" else
         "Codes of a tokenizer, for every window of brain recordings") + ", made by neurofm.\n",
        "## Use\n", _USE[kind].format(repo=repo), _columns(kind, data),
        "## Signals\n", contract_in_markdown(data.contract),
        "## Terms\n", tables.markdown(heads, rows), "",
        f"{len(data)} windows ({tables.plain(splits)}); splits are by subject. Works made from "
        f"this data must pass on the terms above.\n",
        *([f"## Limits\n\n{said.limits.strip()}\n"] if said.limits.strip() else []),
        citations.section(said.citation, title, repo, "datasets/"),
    ])


_USE = {
    "corpus": """\
```python
from datasets import load_dataset

data = load_dataset("{repo}")  # or with streaming=True: nothing is kept
split = next(iter(data.values())).with_format("numpy")
row = next(iter(split))
print(row["signal"].dtype, row["signal"].shape, row["label"], row["subject"], row["ch_names"])
```

With neurofm (`pip install neurofm`), which maps the files and copies nothing:

```python
import neurofm

corpus = neurofm.load_windows("{repo}")
print(len(corpus), corpus.signal(0).shape, corpus.layout(0).names)
```
""",
    "tokens": """\
```python
from datasets import load_dataset

data = load_dataset("{repo}")  # or with streaming=True: nothing is kept
split = next(iter(data.values())).with_format("numpy")
row = next(iter(split))
print(row["ids"].dtype, row["ids"].shape, row["label"], row["subject"])
```

With neurofm (`pip install neurofm`), which maps the files and copies nothing:

```python
import neurofm

tokens = neurofm.load_windows("{repo}")
print(len(tokens), tokens.ids(0).shape)
```
""",
}


def _columns(kind: str, data: "Corpus | TokenSet") -> str:
    identity = [["`label`", "text", "of the window; none where it has none"],
                ["`dataset`, `subject`, `session`, `task`, `run`, `recording`", "text",
                 "whose and which recording"],
                ["`start_s`", "float64", "start of the window in the recording, s"]]
    if kind == "tokens":
        rows = [["`ids`", "int16 [source, frame, level]", "codes of the window"], *identity]
    else:
        grid = data.contract.grid
        held = (["`signal`", "float32 [1, voxel]", f"image of {' × '.join(map(str, grid))} voxels, "
                 f"the last axis fastest; 0 outside the brain"] if grid else
                ["`signal`", "float32 [channel, time]", "standardized window"])
        rows = [held, *identity,
                ["`sfreq`", "float64", "sampling rate, Hz"],
                ["`ch_names`, `ch_types`", "list of texts", "name and kind of each sensor"],
                ["`ch_positions`", "float32 [channel, 3]",
                 "places in the head frame, m; NaN where unknown"]]
    return tables.markdown(["column", "type", "content"],
                           [[tables.Markup(each) for each in row] for row in rows]) + "\n"
