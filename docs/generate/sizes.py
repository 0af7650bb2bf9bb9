"""Tables of sizes for the pages of models, from `docs/models/sizes.json` (made by measure.py)."""

import json
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "models" / "sizes.json"
# Page → how the names of its networks begin.
PAGES = {
    "brainomni": ("BrainTokenizer", "BrainOmni"),
    "meg_gpt": ("EphysTokenizer", "MEG-GPT"),
    "brainmae": ("BrainMAE",),
    "labram_neurobolt": ("LaBraM", "NeuroBOLT"),
    "fleeg": ("FLEEG",),
}


def pages() -> dict[str, str]:
    """File → text; included by the page of the family."""
    rows = json.loads(FILE.read_text())
    return {f"models/_sizes_{page}.md": _table([row for row in rows
                                                if row["network"].startswith(names)])
            for page, names in PAGES.items()}


def _table(rows: list[dict]) -> str:
    lines = ["| network | parameters | one window | FLOPs, forward |", "|---|---|---|---|"]
    lines += [f"| {row['network']} | {row['parameters'] / 1e6:.2f} M | {row['window']} | "
              f"{_in_units(row['flops'])} |" for row in rows]
    return "\n".join([*lines, "", _NOTE, ""])


def _in_units(flops: int) -> str:
    return f"{flops / 1e9:.2f} G" if flops >= 1e8 else f"{flops / 1e6:.1f} M"


_NOTE = """\
Made by `python docs/models/measure.py`. A tokenizer is not counted in the model that holds it. A
multiplication and an addition are two FLOPs; matrix products, convolutions, attention and recurrent
layers are counted.
"""
