"""How published things are cited, as BibTeX that can be copied from a card."""

import re


def section(said: str, title: str, repo: str, kind: str = "") -> str:
    """The section of a card. said: BibTeX, or a citation in words; "" = the repository alone.

    kind: "datasets/" of a data set.
    """
    said = said.strip()
    entry = said if said[:1] == "@" else _entry(said, title, repo, kind)
    entry = entry.replace("```", "'''")  # which would end the fence
    return f"## Citation\n\n```bibtex\n{entry}\n```\n"


def _entry(said: str, title: str, repo: str, kind: str) -> str:
    key = re.sub(r"\W+", "_", repo).strip("_").lower()
    fields = [f"  title = {{{title}}}",
              f"  howpublished = {{\\url{{https://huggingface.co/{kind}{repo}}}}}",
              *([f"  note = {{{' '.join(said.split())}}}"] if said else [])]
    return f"@misc{{{key},\n" + ",\n".join(fields) + "\n}"
