"""`neurofm COMMAND`: finds the commands by entry point, imports only the one that is asked for.

Another package adds a command by declaring an entry point in the group `neurofm.commands` whose
object takes the remaining words and returns an exit status.
"""

import ast
import contextlib
import gc
import importlib.util
import os
import select
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from . import integrity
from .extras import EXTRAS, missing
from .permission import remedy
from .terminal import printable

# As `neurofm --help` shows them. Commands of other packages follow under "Other".
GROUPS = {
    "Data": ("ingest", "pair", "simulate"),
    "Pretrain": ("plan", "pretrain", "consolidate", "tokenize", "import"),
    "Use": ("finetune", "decode", "stream", "embed", "explain", "generate", "synthesize", "export"),
    "Judge": ("evaluate",),
    "Share": ("federate", "federate join", "publish", "show", "verify", "list"),
    "Try": ("demo",),
}

NOBODY_READS = 128 + 13  # exit status of what SIGPIPE ends


def main(argv: list[str] | None = None) -> int:
    try:
        status = _main(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        return NOBODY_READS


def _main(argv: list[str]) -> int:
    commands = {command.name: command for command in entry_points(group="neurofm.commands")}
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview(commands))
        return 0
    if argv[0] == "--version":
        from .artifacts import code_version

        print(" ".join(f"{key} {value}" for key, value in code_version().items()))
        return 0
    if argv[0] == "help":  # `neurofm help COMMAND`
        return main([*argv[1:3], "--help"])
    name, words = _split(argv, commands)
    command = commands.get(name)
    if command is None:
        hint = nearest(name, commands)
        sys.stderr.write(f"neurofm: unknown command {name!r}; {hint}\n")
        return 2
    _let_others_work()
    if words and not {"-h", "--help"} & {*words}:
        _warm_up(name)
    try:
        with integrity.scope():
            return _loaded(command)(words) or 0
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in EXTRAS:
            raise
        sys.stderr.write(f"neurofm {name}: {missing(package)}\n")
        return 1
    except (ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return NOBODY_READS
        # Ours say what was wanted, what came and what to do, and the system's name the file (no
        # space, no permission): a traceback would bury that.
        hint = remedy(error) if isinstance(error, OSError) else ""
        sys.stderr.write(printable(f"neurofm {name}: {error}{hint}\n"))
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\nneurofm {name}: interrupted; the same command continues\n")
        return 130


def _nobody_reads() -> bool:
    """Whether what is printed goes nowhere any more: `neurofm show runs/decoder | head -3`."""
    try:
        number, ends = sys.stdout.fileno(), select.poll()
    except (AttributeError, OSError, ValueError):
        return False  # it is no file, or this is no system with pipes of this kind
    ends.register(number, 0)
    if ends.poll(0):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)  # for the last flush
        return True
    return False


def _let_others_work() -> None:
    """Threads that wait for each other give their core away soon. libgomp lets them spin for
    milliseconds: where another program wants a core, all of both then take ten times as long, while
    a quiet machine gains a tenth. Whoever sets one of these variables decides."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "5000"


def _warm_up(name: str) -> None:
    """Workers load what they share while the command itself is loaded."""
    for shared in entry_points(group="neurofm.workers"):
        if shared.name == name:
            from . import processes

            processes.warm_up([shared.value])


def _split(argv: list[str], commands: Iterable[str]) -> tuple[str, list[str]]:
    """(name of a command, of one word or two: "federate join"; the words after it)."""
    both = " ".join(argv[:2])
    return (both, argv[2:]) if both in commands else (argv[0], argv[1:])


def _loaded(command: EntryPoint) -> Callable[[list[str]], int | None]:
    """What a command's entry point names. While it is imported nothing becomes garbage, and to look
    for some takes a fifth of the time."""
    looks = gc.isenabled()
    gc.disable()
    try:
        return command.load()
    finally:
        if looks:
            gc.enable()


def command(line: str | Sequence[object], *, cwd: str | Path = ".") -> int:
    """Run a command in this process, as it is typed after `neurofm`: for notebooks and scripts.

    Parameters
    ----------
    line
        Such as "ingest recordings --out corpus", quoted as in a shell; or its words.
    cwd
        Folder that relative paths start from.

    Returns
    -------
    int
        Exit status: 0, or 3 where some recordings failed.

    Raises
    ------
    ValueError
        The command or an option is not known, or the command cannot do what is asked; also what
        else the command raises.

    Examples
    --------
    >>> neurofm.command("simulate --subjects 4 --out archive")  # doctest: +SKIP
    0
    """
    argv = shlex.split(line) if isinstance(line, str) else [*map(str, line)]
    commands = {each.name: each for each in entry_points(group="neurofm.commands")}
    name, words = _split(argv, commands) if argv else ("", [])
    if name not in commands:
        raise ValueError(f"unknown command {name!r}; {nearest(name, commands)}")
    with contextlib.chdir(cwd):
        try:
            with integrity.scope():
                return _loaded(commands[name])(words) or 0
        except SystemExit as end:  # of the command line: its message is printed
            if not end.code:
                return 0
            raise ValueError(f"neurofm {name}: wrong options, see the message above") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"


def _overview(commands: dict[str, EntryPoint]) -> str:
    questions = {f"evaluate {point.name}": point
                 for point in entry_points(group="neurofm.benchmarks")}
    if questions:
        commands = {**commands, **questions}
        del commands["evaluate"]
    grouped = {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, "Judge": (*GROUPS["Judge"], *questions),
              "Other": tuple(sorted(set(commands) - grouped - set(questions)))}
    width = max(map(len, commands), default=0)
    lines = []
    for title, names in groups.items():
        rows = [f"  {name:<{width}}  {first_line(commands[name])}"
                for name in names if name in commands]
        lines += ["", title, *rows] if rows else []
    return "\n".join([
        "usage: neurofm COMMAND [--config FILE.yaml] [--key value …]",
        "",
        "Recordings flow one way, and rest on disk between the stages:",
        "files → ingest → corpus → pretrain, tokenize → checkpoint → finetune, decode → results",
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
    inside = [folder / rest[0], folder / f"{rest[0]}.py"] if rest else []
    if first == "neurofm" and rest and not any(map(Path.exists, inside)):  # without links
        folder = folder.parent
    path = folder.joinpath(*rest).with_suffix(".py")
    if not path.exists():
        path = path.with_suffix("") / "__init__.py"
    docstring = ast.get_docstring(ast.parse(path.read_text())) if path.exists() else None
    return (docstring or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
