"""One command at a time in a folder; a call that was refused leaves nothing behind."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import artifacts

NAME = ".lock"


@contextlib.contextmanager
def only_one(
    out: str | Path, command: str, timeout_s: float = 0, option: str = "--out"
) -> Iterator[None]:
    """Hold the folder's lock: a second command into the same folder is told, and ends.

    timeout_s: how long it waits before. option: by which the folder is named.

    Raises
    ------
    ValueError
        Another process works in the folder.
    """
    from filelock import FileLock, Timeout

    out = Path(out)
    made = [each for each in (out, *out.parents) if not each.exists()]
    fresh = not (out / NAME).exists()
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / NAME)
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout:
        raise ValueError(f"{option} {out}: another neurofm is working in this folder; wait for "
                         f"it, or choose another {option} for this `neurofm {command}`") from None
    try:
        yield
    except ValueError:
        if fresh:  # refused: a folder of other things stays as it was
            (out / NAME).unlink(missing_ok=True)
        raise
    finally:
        if made and {path.name for path in out.iterdir()} <= {NAME}:  # refused: leave nothing
            (out / NAME).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                for folder in made:
                    folder.rmdir()
        lock.release()


@contextlib.contextmanager
def leave_no_claim(out: Path) -> Iterator[None]:
    """A call that is refused before it wrote anything leaves no claim."""
    try:
        yield
    except ValueError:
        if {path.name for path in out.iterdir()} <= {artifacts.CLAIM, NAME}:
            (out / artifacts.CLAIM).unlink(missing_ok=True)
        raise


def refuse_foreign(out: Path, names: Iterable[str] | None = None) -> None:
    """Raise ValueError where a folder holds things that no command is making; names: of these
    names alone."""
    inside = {path.name for path in out.iterdir()} - {NAME} if out.is_dir() else set()
    claimed = artifacts.CLAIM in inside
    if names is not None:
        inside &= set(names)
    if inside and not claimed:
        shown = ", ".join(sorted(inside)[:3])
        raise ValueError(f"--out {out}: wanted a new folder, but it holds other things ({shown}); "
                         f"choose another --out, or delete it")
