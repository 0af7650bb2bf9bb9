"""Numbers, scores and contracts in words: the same on the terminal, on pages and on cards."""

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

DASH = "–"  # where there is no number


def number(value: float, decimals: int = 3, signed: bool = False) -> str:
    """A number with a true minus sign; "–" where there is none.

    Parameters
    ----------
    value
        None, NaN and infinity are no number.
    decimals
        After the point.
    signed
        Write + before positive numbers, as of differences.
    """
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    if float(text) == 0:
        text = text.replace("-", "+" if signed else "")
    return text.replace("-", "−")


def digits(value: float, n: int = 4) -> str:
    """A number with `n` significant digits, and without a power of ten from 10⁻⁴ up to 10⁹.

    Parameters
    ----------
    value
        None, NaN and infinity are no number.
    n
        Significant digits; all digits before the point are written.
    """
    if not _is_number(value):
        return DASH
    text = f"{value:.{n}g}"
    if "e+" in text and abs(value) < 1e9:
        text = f"{value:,.0f}"
    return text.replace("-", "−")


def estimate(
    mean: float, low: float = math.nan, high: float = math.nan, *, signed: bool = False,
    decimals: int | None = None,
) -> str:
    """A mean and its interval, such as "0.692 [0.538, 0.808]".

    Parameters
    ----------
    mean, low, high
        NaN or None where there is none: without an interval the mean stands alone.
    signed
        See `number`.
    decimals
        None: three below 2, two below 10, else one, since no error is known to a thousandth of a
        year.
    """
    known = [mean, low, high] if all(map(_is_number, (low, high))) else [mean]
    if not _is_number(mean):
        return DASH
    if decimals is None:
        most = max(map(abs, known))
        decimals = 3 if most < 2 else 2 if most < 10 else 1
    first, *ends = (number(value, decimals, signed) for value in known)
    return f"{first} [{', '.join(ends)}]" if ends else first


def three_digits(value: float) -> int:
    """Decimals that show three significant digits of a number."""
    if not _is_number(value) or value == 0:
        return 3
    return max(0, 2 - math.floor(math.log10(abs(value))))


def score(
    mean: float, low: float = math.nan, high: float = math.nan, subjects: int | None = None,
    chance: float | None = None,
) -> str:
    """A score, such as "0.692 [0.538, 0.808], 26 subjects, chance 0.500".

    Parameters
    ----------
    mean, low, high
        See `estimate`.
    subjects
        Number of subjects; None leaves it out.
    chance
        Score by chance; None or NaN leaves it out.
    """
    parts = [estimate(mean, low, high)]
    parts += [] if subjects is None else [count(subjects, "subject")]
    parts += [f"chance {estimate(chance)}"] if _is_number(chance) else []
    return ", ".join(parts)


def count(n: int, one: str, many: str = "") -> str:
    """"1 subject", "26 subjects". many: the plural where it is not one + "s"."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def listed(parts: Sequence[str]) -> str:
    """"a", "a and b", "a, b and c"."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def percent(share: float) -> str:
    """0.92 → "92 %"; "–" where there is none."""
    return f"{100 * share:.0f} %" if _is_number(share) else DASH


def p_value(p: float) -> str:
    """Three decimals, "< 0.001" below; "–" where there is none."""
    if not _is_number(p):
        return DASH
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def p_is(p: float) -> str:
    """"p = 0.012", "p < 0.001"."""
    said = p_value(p)
    return f"p {said}" if said.startswith("<") else f"p = {said}"


def contract_in_words(contract: Any) -> list[tuple[str, str]]:
    """Preprocessing before the model, and the corpus that it was trained on, as (name, value)."""
    return [*contract.described(),
            *([("Trained on corpus", contract.corpus)] if contract.corpus else [])]


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
