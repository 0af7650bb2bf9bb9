"""Numbers of a comparison as people read them: estimates with intervals, p values, the table."""

import pandas as pd

from neurofm.pages import page as report

from ...scoring.exchanges import ENUMERATED, FEW_LABELINGS
from .comparison import Comparison
from .comparison_figures import TITLES


def shown(result: Comparison) -> pd.DataFrame:
    """The table as people read it, best first: an estimate and its interval in one cell."""
    table = result.table.set_index("method").loc[result.by_score].reset_index()
    few = table["labelings"] < FEW_LABELINGS
    unit = result.unit
    over = f"95 % over {unit.many}" if unit.person else "95 %"
    out = pd.DataFrame({
        "method": table["method"], "kind": table["kind"], "seeds": table["seeds"],
        unit.many: table["units"],
        f"{TITLES[result.score]} [{over}]": cells(table, result.score, "low", "high"),
        # A range of a handful of values would be the score itself: left out.
        "by chance": cells(table.assign(chance_low=table["chance_low"].mask(few)), "chance",
                           "chance_low", "chance_high"),
        "p of chance": table["p_chance"].map(p_value),
    })
    if "difference" in table:
        out[f"to best baseline [{over}]"] = cells(
            table, "difference", "difference_low", "difference_high", True)
        out["p (Holm)"] = [
            ("best baseline" if name == result.best_baseline else "–") if p != p else p_value(p)
            for name, p in zip(table["method"], table["p_holm"], strict=True)
        ]
    return out


def ways(row: pd.Series) -> str:
    """How many exchanges of labels there are, and what was done with them."""
    n = int(row["labelings"])
    if n < 10**15:
        how = "all gone through" if n <= ENUMERATED else "1,000 drawn"
        return f"{n:,} ways, {how}"
    return "1,000 random permutations"


def cells(
    table: pd.DataFrame, mean: str, low: str, high: str, signed: bool = False
) -> list[str]:
    return [estimate(*values, signed=signed)
            for values in zip(table[mean], table[low], table[high], strict=True)]


def estimate(mean: float, low: float, high: float, signed: bool = False) -> str:
    """The mean and its interval, if there is one, with as many decimals as make sense: nobody's
    error is known to a thousandth of a year."""
    if mean != mean:
        return "–"
    known = [mean] if low != low else [mean, low, high]
    most = max(map(abs, known))
    decimals = 3 if most < 2 else 2 if most < 10 else 1
    first, *ends = (number(value, decimals, signed) for value in known)
    return f"{first} [{', '.join(ends)}]" if ends else first


def number(value: float, decimals: int = 3, signed: bool = False) -> str:
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    if float(text) == 0:
        text = text.replace("-", "+" if signed else "")
    return text.replace("-", "−")


def folded(frame: pd.DataFrame, at_most: int) -> str:
    """A small table with intervals under their estimates; one with more rows scrolls."""
    two = frame.map(lambda cell: cell.replace(" [", "\n[") if isinstance(cell, str) else cell)
    return report.table(two, scroll=len(two) > at_most, dense=True)


def p_value(value: float) -> str:
    return "–" if value != value else "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") \
        if value < 1 else "1"


def is_p(value: float) -> str:
    return p_value(value) if value < 0.001 else f"= {p_value(value)}"
