"""Judge a model on a question: decoding, reconstruction, hidden regions, next token and others.

    neurofm evaluate QUESTION --data corpus/ --model runs/model --out results/

A question is a folder of `benchmarks` with a `COMMAND`, declared in the entry-point group
`neurofm.benchmarks`; another package adds one by declaring its own.
"""

import sys
from importlib.metadata import EntryPoint, entry_points

from neurofm import cli

GROUP = "neurofm.benchmarks"


def main(argv: list[str] | None = None) -> int:
    """Exit status of the question's command; 2 where no question, or an unknown one, is asked."""
    argv = sys.argv[1:] if argv is None else argv
    questions = {point.name: point for point in entry_points(group=GROUP)}
    if not argv or argv[0] in ("-h", "--help"):
        print(overview(questions))
        return 0
    if argv[0] not in questions:
        near = cli.nearest(argv[0], questions)
        sys.stderr.write(f"neurofm evaluate: unknown question {argv[0]!r}; {near}\n")
        return 2
    return questions[argv[0]].load()(argv[1:]) or 0


def overview(questions: dict[str, EntryPoint]) -> str:
    """The questions with a line each, read without importing any."""
    width = max(map(len, questions), default=0)
    return "\n".join([
        "usage: neurofm evaluate QUESTION [--config FILE.yaml] [--key value …]", "",
        *(f"  {name:<{width}}  {cli.first_line(questions[name])}" for name in sorted(questions)),
        "", "neurofm evaluate QUESTION --help lists the keys of a question.",
    ])
