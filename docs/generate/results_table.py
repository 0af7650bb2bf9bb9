"""Tables of a results.json in Markdown.

A table is laid out by

    rows      keys of a score whose values name a row; [method] where it is not said
    by        keys whose values name a column; [metric] where it is not said
    where     {key: value or values}: which scores
    of        comparisons: rows of `comparisons` instead, "a minus b" in place of the method
    minus     {column: method}: differences from this method, in a column of their own
    titles    {name of a column or row: what is written}
    count     title of a column with the number of people
    decimals  a number, "as measured", or {column: one of these}

Columns named by numbers are in their order.
"""

import re

from neurofm.pages import words
from neurofm.results import Results


def lines(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    body = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(text.replace("|", r"\|") for text in row) + " |"
                     for row in body)


def number(value: float | None, decimals: int = 3) -> str:
    """A number, "" where there is none."""
    return "" if value is None else words.number(value, decimals)


def cell(row: dict, decimals: int | str | None = None, signed: bool = False) -> str:
    """A score or a difference with its interval and p. decimals "as measured": those it has."""
    if decimals == "as measured":
        held = (row["value"], row.get("low"), row.get("high"))
        decimals = max(len(f"{value:g}".partition(".")[2]) for value in held if value is not None)
    text = words.estimate(row["value"], row.get("low"), row.get("high"), decimals=decimals,
                          signed=signed)
    text = re.sub(r", (?=[^ ]+\]$)", ",\N{NO-BREAK SPACE}", text)  # an interval stays on one line
    return text + (f", {words.p_is(row['p'])}" if row.get("p") is not None else "")


def _as_scores(result: Results) -> list[dict]:
    return [{**row, "method": f"{row['a']} minus {row['b']}", "value": row["difference"]}
            for row in result.comparisons]


def _matches(row: dict, wanted: dict) -> bool:
    return all(row.get(key) in (value if isinstance(value, list) else [value])
               for key, value in wanted.items())


def one(result: Results, wanted: dict) -> dict:
    """The first score with these values.

    Raises
    ------
    ValueError
        There is none.
    """
    for row in result.scores:
        if _matches(row, wanted):
            return row
    raise ValueError(f"no score with {wanted} in the results of {result.command!r}")


def markdown(result: Results, table: dict) -> str:
    """A table laid out as the module says."""
    differences = table.get("of") == "comparisons"
    scores = [row for row in (_as_scores(result) if differences else result.scores)
              if _matches(row, table.get("where", {}))]
    keys, by = table.get("rows", ["method"]), table.get("by", ["metric"])
    titles, decimals = table.get("titles", {}), table.get("decimals")

    def column(row: dict) -> str:
        return ", ".join(str(row[key]) for key in by if key in row)

    names = list(dict.fromkeys(map(column, scores)))
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    grouped: dict[tuple, dict[str, dict]] = {}
    for row in scores:
        grouped.setdefault(tuple(row.get(key, "") for key in keys), {})[column(row)] = row
    minus = table.get("minus", {})
    count = [table["count"]] if "count" in table else []
    heads = [titles.get(name, name) for name in [*keys, *count, *names]] + list(minus)
    body = []
    for group, held in grouped.items():
        texts = [titles.get(str(value), str(value)) for value in group]
        texts += [str(next(iter(held.values())).get("n") or "") for _ in count]
        for name in names:
            digits = decimals.get(name) if isinstance(decimals, dict) else decimals
            texts.append(cell(held[name], digits, differences) if name in held else "")
        part = {key: value for key, value in zip(keys, group, strict=True) if key != "method"}
        for other in minus.values():
            texts.append(next((cell({**row, "value": row["difference"]}, signed=True)
                               for row in result.comparisons if row["b"] == other
                               and row["a"] == dict(zip(keys, group, strict=True)).get(
                                   "method", row["a"]) and _matches(row, part)), ""))
        body.append(texts)
    return lines(heads, body)
