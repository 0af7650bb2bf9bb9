"""The table of a comparison as people read it, on the terminal and on the page."""

import pandas as pd

from neurofm.pages import table as tables
from neurofm.pages.words import DASH, p_value

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
        f"{TITLES[result.score]} [{over}]": tables.estimates(table, result.score, "low", "high"),
        # A range of a handful of values would be the score itself: left out.
        "by chance": tables.estimates(
            table.assign(chance_low=table["chance_low"].mask(few)), "chance", "chance_low",
            "chance_high"),
        "p of chance": table["p_chance"].map(p_value),
    })
    if "difference" in table:
        out[f"to best baseline [{over}]"] = tables.estimates(
            table, "difference", "difference_low", "difference_high", signed=True)
        out["p (Holm)"] = [
            ("best baseline" if name == result.best_baseline else DASH) if p != p else p_value(p)
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
