"""`neurofm COMMAND`: finds the commands by entry point, imports only the one that is asked for.

Another package adds a command by declaring an entry point in the group `neurofm.commands` whose
object takes the remaining words and returns an exit status.
"""

import ast
import errno
import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

ORDER = (
    "demo", "simulate", "ingest", "pair", "pretrain", "tokenize", "import", "finetune", "decode",
    "stream", "explain", "generate", "synthesize", "export", "evaluate", "federate", "publish",
    "show", "from_moabb",
)
# Packages that not everybody needs → the extra that brings them.
EXTRAS = {"flwr": "federated", "ray": "federated", "moabb": "moabb", "mne_lsl": "stream"}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    commands = {command.name: command for command in entry_points(group="neurofm.commands")}
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview(commands))
        return 0
    if argv[0] == "--version":
        from .artifacts import code_version

        print(" ".join(f"{key} {value}" for key, value in code_version().items()))
        return 0
    command = commands.get(argv[0])
    if command is None:
        hint = nearest(argv[0], commands)
        sys.stderr.write(f"neurofm: unknown command {argv[0]!r}; {hint}\n")
        return 2
    try:
        return command.load()(argv[1:]) or 0
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in EXTRAS:
            raise
        sys.stderr.write(f"neurofm {argv[0]}: needs {package}, which is not installed: "
                         f"pip install 'neurofm[{EXTRAS[package]}]'\n")
        return 1
    except (ValueError, OSError) as error:
        # Ours say what was wanted, what came and what to do, and the system's name the file (no
        # space, no permission): a traceback would bury that.
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        hint = "; make room, then the same command continues" if full else ""
        sys.stderr.write(f"neurofm {argv[0]}: {error}{hint}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\nneurofm {argv[0]}: interrupted; the same command continues\n")
        return 130


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"


def _overview(commands: dict[str, EntryPoint]) -> str:
    known = [name for name in ORDER if name in commands]
    names = known + sorted(set(commands) - set(known))
    width = max(map(len, names), default=0)
    lines = [f"  {name:<{width}}  {first_line(commands[name])}" for name in names]
    return "\n".join([
        "usage: neurofm COMMAND [--config FILE.yaml] [--key value …]",
        "",
        "A recording flows one way, and rests on disk between the stages:",
        "files → ingest → corpus → pretrain, tokenize → checkpoint → finetune, decode → results",
        "",
        *lines,
        "",
        "neurofm COMMAND --help lists the keys of a command.",
    ])


def first_line(command: EntryPoint) -> str:
    """First line of a command's module docstring, read without running any of it."""
    first, *rest = command.module.split(".")
    spec = importlib.util.find_spec(first)  # finds a top-level package without running it
    if spec is None:
        return "(not installed)"
    folder = Path(spec.origin).parent if spec.origin else Path()
    if first == "neurofm" and rest and not (folder / rest[0]).exists():  # a checkout without links
        folder = folder.parent
    path = folder.joinpath(*rest).with_suffix(".py")
    if not path.exists():
        path = path.with_suffix("") / "__init__.py"
    docstring = ast.get_docstring(ast.parse(path.read_text())) if path.exists() else None
    return (docstring or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
