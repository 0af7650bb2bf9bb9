"""Pages of results from committed files: `docs/results/data/NAME/results.json` holds every number
and every sentence about numbers, `docs/results/pages.yaml` says which file stands on which page and
how its table is laid out. `make results` writes pages, figures and the table of the README.

A new measurement replaces a file: copy the `results.json` of its folder over it.
"""

import re
import textwrap
from pathlib import Path

import yaml

from neurofm.results import Results

from . import picture, results_figure, results_table

DOCS = Path(__file__).resolve().parent.parent
README = DOCS.parent / "README.md"
# Notes on choices that were made with the scores in sight.
_IN_SIGHT = r"\bin (?:sight|view)\b|\bflatter|\bon these test people\b"
START, END = "<!-- results: written by make results -->", "<!-- end of results -->"


def layout() -> dict:
    """docs/results/pages.yaml."""
    return yaml.safe_load((DOCS / "results" / "pages.yaml").read_text())


def found(name: str) -> Results:
    """The file of a section."""
    return Results.load(DOCS / "results" / "data" / name)


def pages() -> dict[str, str]:
    """File → text."""
    plan = layout()
    made = {f"results/{name}.md": _page(page, plan["datasets"])
            for name, page in plan["pages"].items()}
    lines = ["# Results", "", *_wrapped(plan["about"]), "",
             "| page | question |", "|---|---|"]
    for name, page in plan["pages"].items():
        questions = "; ".join(section["title"] for section in page["sections"])
        lines.append(f"| [{page['title']}]({name}.md) | {questions} |")
    lines += ["", "```{toctree}", ":hidden:", "", *plan["pages"], "```", ""]
    return {"results/index.md": "\n".join(lines), **made}


def _page(page: dict, datasets: dict[str, str]) -> str:
    lines = [f"# {page['title']}", "", *_wrapped(page["about"]), ""]
    for section in page["sections"]:
        lines += [f"## {section['title']}", "", *_section(section, datasets)]
    return "\n".join(lines)


def _section(section: dict, datasets: dict[str, str]) -> list[str]:
    name = section["data"]
    result = found(name)
    warnings = warned(result)
    lines = [*_wrapped(result.summary), ""]
    for text in warnings:
        lines += [":::{warning}", *_wrapped(text), ":::", ""]
    if "figure" in section:
        lines += [f"![{section['title']}](figures/{name}.svg)", ""]
    for table in section["tables"]:
        lines += [results_table.markdown(result, table), ""]
    for text in result.notes:
        if text not in warnings:
            lines += textwrap.wrap(f"- {_escaped(text)}", 99, subsequent_indent="  ",
                                   break_long_words=False, break_on_hyphens=False)
    lines += ["", *_wrapped(_origin(name, result)), ""]
    lines += [f"- Data: {datasets[one]}" for one in section["datasets"]]
    return [*lines, "", "```bash", *result.command.splitlines(), "```", ""]


def warned(result: Results) -> list[str]:
    """LEAK and DOUBT, and notes on choices that were made with the scores in sight."""
    return [*map(str, result.flags),
            *(text for text in result.notes if re.search(_IN_SIGHT, text))]


def _origin(name: str, result: Results) -> str:
    versions = result.versions
    commit = f"commit `{versions['commit']}`" if "commit" in versions else "an unknown commit"
    when = f" on {versions['date']}" if "date" in versions else ""
    if old := versions.get("transcribed"):
        text = f"**Measured at {commit}{when}; not repeated since** (copied from {old})."
    else:
        text = f"Measured at {commit}{when}."
    people = f" {result.subjects} subject{'s' * (result.subjects != 1)}." if result.subjects else ""
    return f"{text}{people} Numbers: [results.json](data/{name}/results.json)."


def _escaped(text: str) -> str:
    return text.replace("*", r"\*").replace("_", r"\_").replace("<", r"\<").replace("~", r"\~")


def _wrapped(text: str) -> list[str]:
    text = text if "](" in text else _escaped(text)
    return textwrap.wrap(text, 99, break_long_words=False, break_on_hyphens=False)


def headline() -> str:
    """The table of the README, between its markers."""
    rows, marked = [], False
    for row in layout()["headline"]:
        result = found(row["data"])
        ours, other = (results_table.one(result, {"method": method, **row.get("where", {})})
                       for method in (row["ours"], row["beside"]))
        first, second = (results_table.cell(one, row.get("decimals")) for one in (ours, other))
        mark = " †" if warned(result) else ""
        marked = marked or bool(mark)
        rows.append([f"[{row['question']}](docs/results/{row['page']}.md){mark}",
                     str(ours["n"] or ""), ours["metric"], first,
                     f"{second} {row.get('called', row['beside'])}",
                     results_table.number(ours.get("chance"))])
    heads = ["question", "people", "score", "neurofm", "beside", "chance"]
    note = ("\n† Read the warning there: a choice was made with test scores in sight, or people "
            "judged\nare in the training data.\n" if marked else "")
    return f"{START}\n{results_table.lines(heads, rows)}\n{note}{END}"


def with_headline(readme: str) -> str:
    """The README with today's table."""
    before, rest = readme.split(START)
    return before + headline() + rest.split(END)[1]


def main() -> None:
    """Write pages, figures and the README's table and picture."""
    for name, text in pages().items():
        (DOCS / name).write_text(text)
    for page in layout()["pages"].values():
        for section in page["sections"]:
            if "figure" in section:
                results_figure.draw(found(section["data"]), section["figure"],
                                    DOCS / "results" / "figures" / f"{section['data']}.svg")
    picture.draw(DOCS / "_static" / "pipeline.svg")
    README.write_text(with_headline(README.read_text()))

