"""Sentences about contracts, the same in every report, card and page."""

from typing import Any


def p_value(p: float) -> str:
    """Three decimals; "–" where there is none."""
    if p != p:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< .001"


def contract_in_words(contract: Any) -> list[tuple[str, str]]:
    """What becomes of a recording before a model sees it, and where the contract is from."""
    return [*contract.described(),
            *([("Trained on corpus", contract.corpus)] if contract.corpus else [])]
