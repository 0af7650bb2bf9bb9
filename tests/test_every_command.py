"""Every command that makes an artifact keeps the promises of the frame.

Run twice it is finished; with another option it is refused by the option's name (ingest and pair
grow: by what they keep); two at once, one is told; interrupted in the middle of its work it
continues to the same bytes, at another place too; files get the user's umask; a training subject
is a LEAK and a published data set a DOUBT, on the terminal, in results.json and on the page.

A new command, or question of `evaluate`, needs a case in CHANGES.
"""

import contextlib
import dataclasses
import html
import io
import os
import re
import typing
from pathlib import Path

import pandas as pd
import pytest

from neurofm import artifacts, cli, contents
from neurofm.lock import only_one
from neurofm.progress import Progress
from neurofm.repository import LEDGER
from neurofm.results import Results
from neurofm.run import INTERRUPTED
from tests.support.elsewhere import Elsewhere
from tests.support.every_command import WORDS, Inputs, Writes, commands
from tests.support.flagged import changed

# Command → an option that counts windows, beyond any data. Steps of a training that would see
# windows several times are refused, by both numbers; what is only done in parts just works.
MORE = 10**6
REFUSED = {
    "pretrain": ("--train.batch_windows", ""),
    "finetune": ("--train.batch_windows", ""),
    "finetune ": ("--train_full.batch_windows", "--mode=full"),
    "evaluate decoding": ("--train.batch_windows", ""),
    "evaluate decoding ": ("--train_random.batch_windows", ""),
    "evaluate bold": ("--train_cnn.batch_windows", "--methods=[ours,cnn]"),
    "federate": ("--learning.train.batch_windows", ""),
}
WORKS = {
    "tokenize": "--batch_windows", "finetune": "--batch_windows", "decode": "--batch_windows",
    "embed": "--batch_windows", "explain": "--batch_windows", "generate": "--batch_windows",
    "evaluate reconstruction": "--batch_windows",
    "evaluate next-token": "--batch_windows", "evaluate next-token ": "--windows",
    "evaluate hidden-regions": "--n_runs",
}
# Commands that make no artifact.
ELSEWHERE = {"show", "publish", "verify", "list", "demo", "evaluate", "federate join", "plan",
             "consolidate"}
# Command → (an option that changes what is made, what the refusal says of it).
CHANGES = {
    "simulate": ("--seed=1", "made with other settings (seed: "),
    "ingest": ("--contract.window_s=4", "made with other settings (contract.window_s: "),
    "pair": ("--contract.sfreq=128", "made with other settings (contract.sfreq: "),
    "pretrain": ("--train.lr=0.5", "made with other settings (train.lr: "),
    "tokenize": None,  # has no such option
    "import": ("--datasets=[theirs]", "made with other settings (datasets: "),
    "finetune": ("--train.lr=0.5", "made with other settings (train.lr: "),
    "decode": ("--abstain_below=0.9", "made with other settings (abstain_below: "),
    "stream": ("--speed=39", "made with other settings (speed: "),
    "embed": ("--montage=biosemi64", "made with other settings (montage: "),
    "explain": ("--permutations=21", "made with other settings (permutations: "),
    "generate": ("--top_p=0.5", "made with other settings (top_p: "),
    "synthesize": ("--permutations=101", "made with other settings (permutations: "),
    "export": ("--max_channels=400", "made with other settings (max_channels: "),
    "federate": ("--learning.rounds=2", "made with other settings (learning.rounds: "),
    "evaluate decoding": ("--tuning=2", "made with other settings (tuning: "),
    "evaluate reconstruction": ("--split=train", "made with other settings (split: "),
    "evaluate hidden-regions": ("--seed=1", "made with other settings (seed: "),
    "evaluate next-token": ("--order=5", "made with other settings (order: "),
    "evaluate generation": ("--ar_order=5", "made with other settings (ar_order: "),
    "evaluate bold": ("--permutations=21", "made with other settings (permutations: "),
}
GROWS = {"ingest", "pair"}
# Calls share the folder, and each does what no other does: test_jobs.py of the question.
SHARED = {"evaluate decoding"}
# Command → somebody it judges; where a file is read, its folder names the data set.
JUDGES = {
    "finetune": "planted/10", "decode": "planted/09", "stream": "planted/09",
    "explain": "planted/10", "generate": "simulated/05", "synthesize": "archive/003",
    "federate": "planted/02", "evaluate decoding": "planted/10",
    "evaluate reconstruction": "simulated/05", "evaluate hidden-regions": "regions/p7",
    "evaluate next-token": "simulated/05", "evaluate generation": "simulated/05",
    "evaluate bold": "archive/003",
}
# Command → options that name files which are no sealed parents: their bytes are in the settings.
READING = {"arrays.channels", "images.atlas", "images.mesh", "images.mask"}
FILES = {
    "ingest": READING, "pair": {*READING, "rois"},
    "decode": {*READING, "paths", "table", "center_on"},
    "embed": {*READING, "paths"}, "stream": {"replay", "center_on"},
    "synthesize": {"paths", "atlas", "labels"}, "evaluate bold": {"ceiling"},
}
# Command → files that tell when, and not what, was made: windows a second, seconds, delays.
CLOCKS = {
    "export": {"model.pt2"}, "evaluate decoding": {"report.html"},  # places, shortened
    "pretrain": {"log.jsonl", "report.html"}, "federate": {"rounds.tsv"},
    "stream": {"predictions.tsv", "summary.json", "report.html", "streamed.png", "streamed.svg"},
}

TIMES = ["latency_ms", "took_s"]  # columns of their tables


@pytest.fixture(scope="module")
def inputs(planted, decoder, corpus_folder, tokenizer_folder, released, tmp_path_factory):
    return Inputs(tmp_path_factory.mktemp("inputs"), planted, decoder, corpus_folder,
                  tokenizer_folder, released("labram"))


@pytest.fixture(scope="module")
def writes():
    return Writes()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.parametrize("case", REFUSED)
def test_counts_of_windows_beyond_the_data_are_refused(inputs, case, tmp_path, capsys):
    command, (option, more) = case.strip(), REFUSED[case]
    words = [*inputs.words(command), *([more] if more else []), f"{option}={MORE}"]
    assert cli.main([*command.split(), *words, f"--out={tmp_path / 'out'}"]) != 0
    told = capsys.readouterr().err
    assert re.search(rf"{option[2:]} \({MORE}\) is more than the \d+ windows to train on", told)


@pytest.mark.parametrize("case", WORKS)
def test_counts_of_windows_beyond_the_data_just_work(inputs, case, tmp_path):
    command = case.strip()
    assert cli.main([*command.split(), *inputs.words(command), f"{WORKS[case]}={MORE}",
                     f"--out={tmp_path / 'out'}"]) == 0
    artifacts.open_sealed(tmp_path / "out")


@contextlib.contextmanager
def umask(mask: int):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> set[int]:
    """Permissions of a folder and of everything in it."""
    return {path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}


@pytest.fixture(scope="module")
def whole(inputs, writes, tmp_path_factory):
    """whole(command) → (folder with the finished `out`, files that it opened to write). While it
    worked, the same command was started a second time, and was told."""
    made = {}

    def of(command: str) -> tuple[Path, int]:
        if command not in made:
            line = [*command.split(), *inputs.words(command), "--out=out"]
            place, second = tmp_path_factory.mktemp("whole"), []

            def start() -> None:
                with contextlib.redirect_stderr(io.StringIO()) as said:
                    second.append((cli.main(line), said.getvalue()))

            with (pytest.MonkeyPatch.context() as patch, umask(0o077), writes.watched(
                    place / "out", meanwhile=None if command in SHARED else start)):
                patch.chdir(place)
                assert cli.main(line) == 0
            if command not in SHARED:
                ((status, said),) = second
                assert status == 1
                assert "--out out: another neurofm is working in this folder" in said
            made[command] = place, writes.count
            of.modes[command] = modes(place / "out")  # later calls have another umask
        return made[command]

    of.modes = {}
    return of


def test_every_command_has_a_case(repo):
    found = commands(repo)
    assert found.keys() - ELSEWHERE == CHANGES.keys() == WORDS.keys()
    for name in ELSEWHERE:
        assert not any(each.makes for each in found[name]), f"{name} makes an artifact"
    for name in CHANGES:
        assert found[name], f"{name} is not on the frame"
        assert all(each.makes and each.name == name for each in found[name])
    assert {name for name in CHANGES if any(each.grows for each in found[name])} == {
        *GROWS, "decode"}  # decode of several: tests/downstream/use/test_watch.py


def marked(config: type, above: str = "") -> set[str]:
    """Options whose files are told by their bytes."""
    kinds = typing.get_type_hints(config)
    return {above + each.name for each in dataclasses.fields(config)
            if contents.KEY in each.metadata}.union(*(
                marked(kind, f"{above}{name}.") for name, kind in kinds.items()
                if dataclasses.is_dataclass(kind)))


def test_every_command_knows_files_by_their_bytes(repo):
    """What a change of them does: tests/test_run.py."""
    assert {name: found for name, each in commands(repo).items()
            if (found := set().union(*(marked(one.config) for one in each)))} == FILES


@pytest.mark.parametrize("command", CHANGES)
def test_every_command_twice_changed_and_at_once(
    command, inputs, whole, tmp_path, monkeypatch, capsys
):
    line = [*command.split(), *inputs.words(command), "--out=out"]
    monkeypatch.chdir(tmp_path)
    if command not in SHARED:
        with only_one("out", "x"):
            assert cli.main(line) == 1
        assert "another neurofm is working in this folder" in capsys.readouterr().err
    monkeypatch.chdir(whole(command)[0])
    made = artifacts.open_sealed("out", hashes=True)
    capsys.readouterr()
    assert cli.main(line) == 0
    said = capsys.readouterr().out
    finished = "is finished and nothing is new" if command in GROWS else (
        f"is finished ({made.fingerprint})")
    assert f"{finished}: nothing to do" in said
    if CHANGES[command]:
        option, refusal = CHANGES[command]
        name = option.partition("=")[0]
        kept = [word for word in line if not word.startswith(f"{name}=")]
        assert cli.main([*kept, option]) == 1
        assert refusal in capsys.readouterr().err
    assert artifacts.open_sealed("out", hashes=True).fingerprint == made.fingerprint


@pytest.mark.parametrize("command", CHANGES)
def test_every_command_interrupted_halfway_and_elsewhere_has_the_same_bytes_and_fingerprint(
    command, inputs, whole, writes, elsewhere, tmp_path, monkeypatch
):
    """Of the same inputs at another place; what tells of times differs, and of places by these
    alone. None of it is in the fingerprint."""
    place, n_written = whole(command)
    monkeypatch.chdir(tmp_path)
    line = [*command.split(), *elsewhere.words(inputs.words(command), inputs.roots), "--out=out"]
    with umask(0o002):
        with writes.watched(tmp_path / "out", stop_at=max(2, n_written // 2)):
            assert cli.main(line) == INTERRUPTED
        assert not artifacts.is_sealed("out")
        assert modes(Path("out")) <= {0o664, 0o775}, "of an unfinished folder"
        assert cli.main(line) == 0
        assert modes(Path("out")) <= {0o664, 0o775}
    one, other = (artifacts.open_sealed(folder / "out", hashes=True)
                  for folder in (place, tmp_path))
    assert one.files == other.files
    assert one.fingerprint == other.fingerprint
    assert one.listed.keys() == other.listed.keys()
    differing = {name for name in one.beside if (place / "out" / name).read_bytes()
                 != elsewhere.back((tmp_path / "out" / name).read_bytes())}
    for name in [name for name in differing if name.endswith("/manifest.json")]:  # of inner results
        here, there = (artifacts.open_sealed((folder / "out" / name).parent, hashes=True)
                       for folder in (place, tmp_path))
        assert here.fingerprint == there.fingerprint, "only the time may differ"
        differing.remove(name)
    assert differing <= CLOCKS.get(command, set())
    for name in sorted(name for name in differing if name.endswith(".tsv")):
        tables = [pd.read_csv(folder / "out" / name, sep="\t").drop(columns=TIMES, errors="ignore")
                  for folder in (place, tmp_path)]
        assert tables[0].equals(tables[1])


@pytest.mark.parametrize("command", CHANGES)
def test_every_command_gives_files_the_umask_of_the_user(command, whole):
    """Here 077; what a group may read, and unfinished folders: the test above."""
    whole(command)
    assert whole.modes[command] <= {0o600, 0o700}


@pytest.mark.parametrize("command", sorted(GROWS))
def test_every_command_that_grows_does_what_is_new_alone(
    command, inputs, whole, tmp_path, monkeypatch, capsys
):
    """Interrupted after some recordings, or called before the last person came: only what is not
    there yet is done, and the bytes are those of one call."""
    line = [command, *inputs.words(command), "--out=out"]
    monkeypatch.chdir(tmp_path)
    assert cli.main([*line, "--exclude=[sub-002]"]) == 0
    before = artifacts.open_sealed("out").fingerprint
    advance, calls = Progress.advance, []

    def interrupted(self):
        advance(self)
        calls.append(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", interrupted)
        assert cli.main(line) == INTERRUPTED
    assert len(calls) == 1
    assert not artifacts.is_sealed("out")
    capsys.readouterr()
    assert cli.main(line) == 0
    assert "3 unchanged and already in out" in capsys.readouterr().out
    grown, at_once = (artifacts.open_sealed(folder / "out", hashes=True)
                      for folder in (tmp_path, whole(command)[0]))
    assert grown.fingerprint == at_once.fingerprint != before


@pytest.mark.parametrize("command", [name for name in CHANGES if name not in JUDGES])
def test_every_command_without_a_flag_judges_nobody(command, whole):
    assert not (whole(command)[0] / "out" / "results.json").exists() or not Results.load(
        whole(command)[0] / "out").subjects


@pytest.mark.parametrize("command", JUDGES)
def test_every_command_that_judges_says(command, inputs, tmp_path, capsys):
    """A person of the training data, and weights of others that were trained on the data set."""
    dataset, _, _ = JUDGES[command].partition("/")
    ledger = {
        "recordings": [{"recording": "another", "subject": JUDGES[command], "role": "train",
                        "hours": 1.0}],
        "published": [{"weights": "w", "paper": "p", "note": "n", "licence": "mit", "family": "f",
                       "role": "train", "datasets": [dataset.title()]}],
    }
    model = changed(inputs.model(command), tmp_path / "model", LEDGER, ledger)
    out = tmp_path / "out"
    capsys.readouterr()
    assert cli.main([*command.split(), *inputs.words(command, model), f"--out={out}"]) == 0
    said, page = capsys.readouterr().out, html.unescape((out / "report.html").read_text())
    assert [(flag.kind, flag.subjects) for flag in Results.load(out).flags] == [
        ("LEAK", (JUDGES[command],)), ("DOUBT", ())]
    for flag in Results.load(out).flags:
        assert str(flag) in said
        assert str(flag) in page
