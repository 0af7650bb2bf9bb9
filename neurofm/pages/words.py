"""Sentences about contracts, the same in every report, card and page."""

from typing import Any


def contract_in_words(contract: Any) -> list[tuple[str, str]]:
    """What becomes of a recording before a model sees it, and where the contract is from."""
    return [*contract.described(),
            *([("Trained on corpus", contract.corpus)] if contract.corpus else [])]
