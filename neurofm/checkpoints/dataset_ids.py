"""Ids by which data sets are known: of OpenNeuro (ds000117) and of the Hub (org/name)."""

import re
from collections.abc import Iterable

_OPENNEURO = re.compile(r"(?<![A-Za-z0-9])(ds\d{6})(?:[./_-]?v?(\d+\.\d+\.\d+))?(?!\d)",
                        re.IGNORECASE)
_HUB = re.compile(r"huggingface\.co/datasets/([\w.-]+/[\w.-]+?)(?:@([\w.-]+)|/tree/([\w.-]+))?"
                  r"(?:[\s/?#]|$)")


def found(name: str, terms: dict[str, str]) -> tuple[str, str]:
    """(id, version) of a data set by its name and what was stated of it; "" where not known.

    Parameters
    ----------
    name
        As the corpus calls it.
    terms
        Its entry in datasets.json: name, license, acknowledge, doi.
    """
    for text in (terms.get("doi", ""), name, terms.get("name", "")):
        if on_hub := _HUB.search(text):
            return on_hub[1], on_hub[2] or on_hub[3] or ""
        if accession := _OPENNEURO.search(text):
            return accession[1].lower(), accession[2] or ""
    return "", ""


def listed(terms: dict[str, dict], names: Iterable[str]) -> list[str]:
    """Ids of the data sets of these names, as far as they are known."""
    ids = (found(name, terms.get(name, {}))[0] for name in dict.fromkeys(names))
    return [*dict.fromkeys(filter(None, ids))]
