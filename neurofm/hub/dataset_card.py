"""Corpora and token sets for others: which terms allow it, and the card that says so."""

import re

from ..pages import table as tables

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


def card(kind: str, data, terms: dict[str, dict], repo: str, license: str, title: str) -> str:
    """Markdown with front matter. kind: "corpus" or "tokens". data: a Corpus or TokenSet."""
    import yaml

    table = data.recordings
    fields: dict = {"license": license, "tags": ["brain", "neuroscience", "neurofm", kind],
                    "library_name": "neurofm"}
    if license == "other":
        fields["license_name"] = "terms-of-sources"
    lines = [f"---\n{yaml.safe_dump(fields, sort_keys=False)}---\n",
             f"# {title or repo.split('/')[-1]}\n",
             ("Standardized windows of brain recordings" if kind == "corpus" else
              "Codes of a tokenizer, for every window of brain recordings")
             + ", made by neurofm.\n",
             f"{data.contract.in_words()}\n"]
    rows = []
    for name, part in table.groupby(table["dataset"].fillna("")):
        said = terms.get(name, {})
        rows.append([said.get("name", name), part["subject"].nunique(), len(part),
                     f"{part['duration_s'].sum() / 3600:.2f}", said.get("licence", "not stated"),
                     said.get("acknowledge") or said.get("doi")])
    splits = ", ".join(f"{name} {n}" for name, n in
                       table.groupby("split")["n_windows"].sum().items())
    heads = ["data set", "subjects", "recordings", "hours", "terms", "to be cited"]
    lines += [tables.markdown(heads, rows), "",
              f"{len(data)} windows ({splits}); splits are by subject. Works made from this data "
              f"must pass on the terms above.", "", "## Use", "", "```bash",
              f"hf download {repo} --repo-type dataset --local-dir data/", "```", "", "```python",
              "import neurofm",
              f"data = neurofm.{'Corpus' if kind == 'corpus' else 'TokenSet'}.open(\"data\")",
              "```", ""]
    return "\n".join(lines)
