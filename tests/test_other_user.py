"""Another user of the machine: reads what one made, writes nothing there, goes on where both may.

The other user is a process that has given up root; where the tests are not root's these are
skipped. Which permissions files get: test_every_command.py.
"""

import contextlib
import errno
import multiprocessing
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurofm import artifacts, cli
from neurofm.permission import remedy
from neurofm.run import INTERRUPTED, Command, Made
from tests.support.one_person import save_raw

OTHER, GROUP = 65533, 65532  # nobody has these numbers
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0,
                          reason="only root can become another user")


@pytest.fixture
def place():
    """A folder that everybody may enter; pytest's own are its user's alone."""
    folder = Path(tempfile.mkdtemp(prefix="neurofm-other-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def home(place):
    """A folder of the other user."""
    (place / "home").mkdir()
    os.chown(place / "home", OTHER, GROUP)
    return place / "home"


def _as_other(run, argv, mask, said, groups):
    os.setgroups(groups)
    os.setgid(OTHER)
    os.setuid(OTHER)
    os.umask(mask)
    os.chdir("/")
    with open(said, "w") as file, contextlib.redirect_stdout(file), \
            contextlib.redirect_stderr(file):
        status = run(argv)
    os._exit(status)


def other_user(home, *argv, run=cli.main, mask=0o022, groups=()) -> tuple[int, str]:
    """(exit status of a command, what it said). What it imports must be imported here already."""
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=_as_other, args=(
        run, [*map(str, argv)], mask, home / "said.txt", list(groups)))
    child.start()
    child.join(120)
    return child.exitcode, (home / "said.txt").read_text()


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns
            for path in sorted(folder.rglob("*"))}


@root
def test_other_user_reads_a_read_only_folder_and_leaves_nothing_there(decoder, place, home):
    ours = place / "ours"
    shutil.copytree(decoder, ours / "decoder", ignore=shutil.ignore_patterns(".*"))
    recording = save_raw(ours / "somebody_raw.fif")
    words = ["decode", recording, f"--model={ours / 'decoder'}"]
    assert cli.main([*map(str, words), f"--out={ours / 'decoded'}"]) == 0
    assert cli.main(["show", str(ours / "decoder")]) == cli.main(["verify", str(ours)]) == 0
    (ours / "decoded" / ".lock").unlink()
    for path in (ours, *ours.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    before = files(ours)

    assert other_user(home, *words, f"--out={home / 'out'}")[0] == 0
    assert other_user(home, "show", ours / "decoder")[0] == 0
    assert "0 damaged" in other_user(home, "verify", ours)[1]
    status, said = other_user(home, *words, f"--out={ours / 'decoded'}")
    assert status == 0
    assert "nothing to do" in said
    status, said = other_user(home, *words, f"--out={ours / 'new' / 'out'}")
    assert status == 1
    assert f"you may not write in {ours}, which belongs to root: choose another --out" in said
    assert f"(chmod -R g+w {ours})" in said
    assert said.count("\n") == 1
    assert files(ours) == before

    weights = ours / "decoder" / "model.safetensors"
    weights.chmod(0o600)
    for command in (["show", ours / "decoder"], [*words, f"--out={home / 'out2'}"]):
        status, said = other_user(home, *command)
        assert status == 1
        assert f"{weights}: cannot be read (Permission denied); you may not read this file" in said
        assert f"which belongs to root: ask for it (chmod g+r {weights})" in said
        assert "copy it again" not in said
    status, said = other_user(home, "verify", ours / "decoder")
    assert status == 1
    assert "this checkpoint cannot be checked by this user" in said
    (ours / "decoder").chmod(0o700)
    status, said = other_user(home, "show", ours / "decoder")
    assert status == 1
    assert f"you may not read the folder {ours / 'decoder'}, which belongs to root" in said


@dataclass
class CountConfig:
    """Count.

    Parameters
    ----------
    out
        Folder of the result.
    stop
        Stop in the middle.
    """

    out: str
    stop: bool = False


def _count(run: CountConfig, job) -> Made:
    (job.out / "state").mkdir(exist_ok=True)
    for k in range(3):
        if not (job.out / "state" / f"{k}.txt").exists():
            artifacts.write_json(job.out / "state" / f"{k}.txt", {"by": os.getuid()})
        if run.stop and k == 1:
            raise KeyboardInterrupt
    artifacts.write_json(job.out / "sum.json", {"sum": 3})
    return Made(["sum.json"])


COUNT = Command("count", CountConfig, _count, makes="results", free=frozenset({"stop"}))


def count(argv: list[str]) -> int:
    """As `neurofm.cli` ends it."""
    try:
        return COUNT(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        print(f"{error}{remedy(error)}")
        return 1


@root
@pytest.mark.parametrize(("mask", "goes_on"), [(0o002, True), (0o022, False)])
def test_other_user_goes_on_in_a_shared_folder_where_the_umask_lets_a_group_write(
    place, home, mask, goes_on
):
    shared = place / "shared"
    shared.mkdir()
    os.chown(shared, 0, GROUP)
    shared.chmod(0o2775)
    before = os.umask(mask)
    try:
        assert count([f"--out={shared / 'out'}", "--stop=true"]) == INTERRUPTED
    finally:
        os.umask(before)
    status, said = other_user(home, f"--out={shared / 'out'}", run=count, mask=0o002,
                              groups=[GROUP])
    if goes_on:
        assert status == 0, said
        artifacts.open_sealed(shared / "out", "results", hashes=True)
        assert artifacts.read_json(shared / "out" / "state" / "0.txt")["by"] == 0
        assert artifacts.read_json(shared / "out" / "state" / "2.txt")["by"] == OTHER
        assert count([f"--out={shared / 'out'}"]) == 0  # and the first finds it finished
    else:
        assert status == 1
        assert f"you may not write in {shared / 'out'}, which belongs to root" in said
        assert not artifacts.is_sealed(shared / "out")
        assert count([f"--out={shared / 'out'}"]) == 0


def test_other_user_and_a_disk_that_cannot_be_written(tmp_path):
    """What is said, by kind of error."""
    path = str(tmp_path / "new" / "file")
    assert remedy(OSError(errno.ENOSPC, "", path)) == "; make room, then the same command continues"
    assert remedy(OSError(errno.EROFS, "", path)) == (
        f"; {tmp_path} is mounted read-only: choose another --out")
    assert remedy(OSError(errno.EIO, "", path)) == remedy(OSError(errno.EACCES, "")) == ""
    assert remedy(OSError(errno.EACCES, "", os.fsencode(path))).startswith(
        f"; you may not write in {tmp_path}, which belongs to ")
