"""`neurofm pretrain --continue_with` and `--sweep`: what may be changed, what is then trained, and
what the checkpoint says of it."""

import json
import math
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from neurofm import artifacts, checkpoints
from neurofm.checkpoints import sweeps
from neurofm.hub.show import main as show
from neurofm.lock import only_one
from neurofm.pretrain.history import History
from neurofm.pretrain.train import PretrainConfig, last_values, main
from neurofm.run import STOPPED
from neurofm.training.loop import TrainConfig
from neurofm.training.schedule import Schedule, Slope
from tests.pretrain.test_train import stop_after
from tests.support import corpora
from tests.support.corpora import write_yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(tokens_folder, tokenizer_folder, tmp_path):
    return {
        "data": str(tokens_folder), "tokenizer": str(tokenizer_folder), "model": "brainomni",
        "architecture": {**corpora.BRAINOMNI, "dropout": 0.1},
        "train": {"steps": 8, "batch_windows": 8, "log_every": 2, "validate_every": 4},
    }  # fmt: skip


def start(settings, out, *words) -> int:
    return main([f"--config={write_yaml(out.parent / 'run', settings)}", f"--out={out}", *words])


def lines(out) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def weights(out) -> dict:
    return artifacts.open_sealed(out, hashes=True).files["model.safetensors"]


def test_resume_of_a_finished_run_that_is_made_longer(settings, tmp_path, capsys, monkeypatch):
    """With its optimizer (--keep_state) or without, stopped on the way or not; history, ledger,
    card and `show` tell of it; the same command again does nothing."""
    longer = "--continue_with={train.steps: 14, train.batch_windows: 4}"
    kept, parts, plain = (tmp_path / name for name in ("kept", "parts", "plain"))
    for out in (kept, parts):
        assert start(settings, out, "--keep_state=true") == 0
        assert [path.name for path in (out / "state").glob("step*")] == ["step-00000008"]
    assert start(settings, plain) == 0
    assert not (plain / "state").exists()
    assert weights(plain) == weights(kept)
    capsys.readouterr()

    assert start(settings, kept, longer, "--keep_state=true") == 0
    said = capsys.readouterr().out
    assert ("leg 2 from step 8: train.steps 8 → 14, train.batch_windows 8 → 4; optimizer kept; "
            "learning rate from 9.7e-05 to 0.001 over 1 steps, then cosine to 5e-05 at step 14"
            ) in said
    assert "continuing at step 8" in said
    assert start(settings, kept, longer) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert start(settings, kept) == 0  # as it was begun, too
    assert "nothing to do" in capsys.readouterr().out

    stop_after(monkeypatch, 11)
    assert start(settings, parts, longer) == STOPPED
    assert not artifacts.is_sealed(parts)
    monkeypatch.undo()
    assert start(settings, parts) == 0  # the leg is known: it need not be named again
    assert weights(parts) == weights(kept)

    assert start(settings, plain, longer) == 0
    assert "the optimizer begins anew: the finished run kept no state" in capsys.readouterr().out
    assert weights(plain) != weights(kept)
    rates = {line["step"]: line["lr"] for line in lines(plain) if "lr" in line}
    assert rates[8] < rates[10] <= 1e-3
    assert rates[14] < rates[12]

    ledger = json.loads((plain / "training_data.json").read_text())
    assert [(leg["first"], leg["last"], leg["batch_windows"], leg["optimizer"])
            for leg in ledger["legs"]] == [(0, 8, 8, "new"), (8, 14, 4, "new")]
    card = (kept / "README.md").read_text()
    assert "- steps 9 to 14: train.steps 8 → 14, train.batch_windows 8 → 4; optimizer kept" in card
    assert show([str(kept)]) == 0
    assert "trained in 2 legs" in capsys.readouterr().out
    checkpoints.load(kept)


def test_resume_after_a_kill_while_a_finished_run_is_begun_again(settings, tmp_path, monkeypatch):
    """The leg was noted but not trained: it is, by the same command."""
    longer = "--continue_with={train.steps: 12}"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for out in (whole, killed):
        assert start(settings, out) == 0
    assert start(settings, whole, longer) == 0

    def kill(*_):
        raise KeyboardInterrupt
    for name in ("unseal", "write_json"):  # before the folder is unfinished again, and a leg noted
        monkeypatch.setattr(artifacts, name, kill)
        with pytest.raises(KeyboardInterrupt):
            start(settings, killed, longer)
        monkeypatch.undo()
        assert artifacts.is_sealed(killed)
    checkpoints.load(killed)
    assert start(settings, killed, longer) == 0
    assert weights(whole) == weights(killed)
    assert json.loads((killed / "training_data.json").read_text())["legs"][1]["optimizer"] == "new"


def test_resume_with_another_rate_on_the_way(settings, tmp_path, capsys, monkeypatch):
    """What is refused without the option, with the words to type; these words, then work."""
    out = tmp_path / "run"
    stop_after(monkeypatch, 4)
    assert start(settings, out) == STOPPED
    monkeypatch.undo()
    with pytest.raises(artifacts.ArtifactError, match="begun with other settings") as refused:
        start(settings, out, "--train.lr=5e-4", "--train.steps=10")
    line = re.search(r"on purpose: neurofm pretrain (.*)$", str(refused.value), re.DOTALL)[1]
    words = shlex.split(line)
    assert words[-2:] == ["--continue_with", "{train.steps: 10, train.lr: 0.0005}"]
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "leg 2 from step 4: train.steps 8 → 10, train.lr 0.001 → 0.0005; optimizer kept" in said
    assert lines(out)[-1]["step"] == 10
    with pytest.raises(artifacts.ArtifactError, match="made with other settings") as refused:
        start(settings, out, "--train.seed=1")
    assert "train.seed cannot be changed: the order of the data follows from it" in str(
        refused.value)


@pytest.mark.parametrize(("changes", "told"), [
    ("{train.seed: 1}", "train.seed cannot be changed within a run: the order of the data follows"),
    ("{architecture.dim: 8}", "architecture.dim cannot be changed within a run: the weights are"),
    ("{train.lrr: 1}", "unknown key 'train.lrr'; did you mean 'train.lr'?"),
    ("{train.log_every: 1}", "train.log_every may be changed at any time; give it by itself"),
    ("{train.lr: fast}", "train.lr: wanted a number, got 'fast'"),
    ("{train.batch_windows: 5, train.accumulate: 2}", "must be a multiple of"),
])
def test_bad_input_continue_with(settings, tmp_path, capsys, changes, told):
    with pytest.raises(SystemExit):
        start(settings, tmp_path / "run", f"--continue_with={changes}")
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_bad_input_nothing_to_continue(settings, tmp_path):
    with pytest.raises(ValueError, match="holds no state of a run that could be continued"):
        start(settings, tmp_path / "run", "--continue_with={train.steps: 9}")
    settings["train"] = {"steps": 2, "batch_windows": 8}
    assert start(settings, tmp_path / "run") == 0
    with pytest.raises(ValueError, match=r"made 2 steps, and train.steps is 2: name more"):
        start(settings, tmp_path / "run", "--continue_with={train.lr: 1.0e-4}")
    assert artifacts.is_sealed(tmp_path / "run")


def test_best_weights_are_the_checkpoint(settings, tmp_path):
    """keep_best: here of something that is lowest before the end."""
    settings["train"] |= {"keep_best": "val/accuracy_0", "validate_every": 1, "lr": 0.02}
    out = tmp_path / "run"
    assert start(settings, out, "--keep_state=true") == 0
    values = [line["val/accuracy_0"] for line in lines(out) if "val/accuracy_0" in line]
    assert values.index(min(values)) < 7
    best, last = (load_file(out / "state" / name) for name in (
        "chosen.safetensors", "step-00000008/model.safetensors"))
    model = checkpoints.load(out).state_dict()
    assert all(model[name].equal(best[name]) for name in best)
    assert not all(model[name].equal(last[name]) for name in best)
    assert f"| val/accuracy_0 | {min(values):.4g} |" in (out / "README.md").read_text()


def test_legs_that_made_no_step_are_one(settings, tmp_path):
    """Changed twice at one step: one leg, from the settings before the first change."""
    run = PretrainConfig(**{**settings, "train": TrainConfig(**settings["train"])},
                         out=str(tmp_path))
    history = History.of(run)
    history.add(4, {"train.lr": 1e-4, "train.steps": 12}, "new")
    history.add(4, {"train.lr": 1e-5, "train.batch_windows": 4}, "kept")
    assert [leg.first for leg in history.legs] == [0, 4]
    assert history.legs[1].changed == {
        "train.lr": [1e-3, 1e-5], "train.steps": [8, 12], "train.batch_windows": [8, 4]}
    assert history.legs[1].optimizer == "new"
    assert history.effective(run).train.batch_windows == 4
    history.write(tmp_path)
    assert History.read(tmp_path) == history
    assert history.moved(2)
    assert history.legs[1].first == 2
    assert not history.moved(3)
    history.add(6, {"train.weight_decay": 0.0}, "kept")
    assert history.legs[2].schedule == "learning rate as before"
    assert len(history.schedule().slopes) == 2


def test_a_leg_whose_state_is_damaged_is_changed(settings, tmp_path):
    """Legs stay in order: the run goes on from a state that is older than its last leg."""
    run = PretrainConfig(**{**settings, "train": TrainConfig(**settings["train"])},
                         out=str(tmp_path))
    history = History.of(run)
    history.add(4, {"train.lr": 1e-4}, "kept")
    history.add(2, {"train.lr": 1e-5}, "kept")
    assert [leg.first for leg in history.legs] == [0, 2]
    assert history.legs[1].changed == {"train.lr": [1e-3, 1e-5]}
    assert [(leg["first"], leg["last"]) for leg in history.told()] == [(0, 2), (2, 8)]
    assert history.schedule().rate(7) < 1e-5


def test_schedule_of_two_slopes():
    """The second begins where the first was left; what anneals never falls back."""
    schedule = Schedule([Slope(0, 100, 1.0, 0.1, 0.05), Slope(100, 200, 0.5, 0.2, 0.1)])
    rates = [schedule.rate(step) for step in range(200)]
    one = Schedule([Slope(0, 100, 1.0, 0.1, 0.05)])
    assert rates[:100] == [one.rate(step) for step in range(100)]
    assert rates[99] < rates[100] < rates[101] < rates[119] == 0.5
    assert rates[199] == pytest.approx(0.05, abs=1e-3)
    shares = [schedule.progress(step) for step in range(200)]
    assert shares == sorted(shares)
    early = Schedule([Slope(0, 100, 1.0, 0.1, 0.05), Slope(50, 1000, 1.0, 0.1, 0.05)])
    assert early.progress(49) == 0.49 < early.progress(50) == 0.5 < early.progress(51) < 0.51


def test_sweep(settings, tmp_path, capsys):
    """Runs, table, script; a task of the array trains its run; `show` compares them."""
    grid, out = tmp_path / "grid.yaml", tmp_path / "sweep"
    grid.write_text("train.lr: [1e-3, 3.0e-3]\narchitecture.n_blocks: [1, 2]\n")
    assert start(settings, out, f"--sweep={grid}") == 0
    assert "4 runs in" in capsys.readouterr().out
    rows = [line.split("\t") for line in (out / "runs.tsv").read_text().splitlines()]
    assert rows[0] == ["number", "folder", "train.lr", "architecture.n_blocks"]
    assert rows[1] == ["1", "lr=0.001,n_blocks=1", "0.001", "1"]
    third = yaml.safe_load((out / "configs/3.yaml").read_text())
    assert (third["train"]["lr"], third["architecture"]["n_blocks"]) == (0.003, 1)
    assert start(settings, out, f"--sweep={grid}") == 0  # again: the same
    script = (out / "sweep.sbatch").read_text()
    assert "#SBATCH --array=1-4\n" in script
    named = subprocess.run(
        ["bash", out / "sweep.sbatch", "more"], capture_output=True, text=True, cwd=ROOT,
        env={"SCRIPT": _echo(tmp_path), "SLURM_ARRAY_TASK_ID": "3", "PATH": "/usr/bin:/bin"})
    assert named.stdout.split() == ["--config", f"{out}/configs/3.yaml", "more"]
    for number in (2, 3):
        assert main([f"--config={out}/configs/{number}.yaml"]) == 0
    capsys.readouterr()
    assert show([str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 of 4 runs are finished" in said
    assert said.count("not begun") == 2
    found = [float(line.split()[-2]) for line in said.splitlines() if "finished " in line]
    assert found == sorted(found)


def _echo(tmp_path) -> str:
    (tmp_path / "echo.sh").write_text('echo "$@"\n')
    return str(tmp_path / "echo.sh")


@pytest.mark.parametrize(("grid", "told"), [
    ("train.lrr: [1]", "unknown key 'train.lrr'; did you mean 'train.lr'?"),
    ("architecture.dimm: [1]", "unknown key 'dimm'; did you mean 'dim'?"),
    ("train.lr: 1", "train.lr: wanted a list of values"),
    ("out: [a]", "out is of the whole sweep"),
    ("train.seed: [1, 2, 3]", "3 combinations, more than --sweep_limit 2"),
    ("[1]", "wanted names of settings"),
])
def test_bad_input_sweep(settings, tmp_path, capsys, grid, told):
    (tmp_path / "grid.yaml").write_text(grid)
    with pytest.raises((SystemExit, ValueError)) as problem:
        start(settings, tmp_path / "out", f"--sweep={tmp_path / 'grid.yaml'}", "--sweep_limit=2")
    assert told in f"{problem.value}{capsys.readouterr().err}"
    assert not (tmp_path / "out").exists()


def test_bad_input_changes_that_are_no_names_with_values(settings, tmp_path, capsys):
    with pytest.raises(SystemExit):
        start(settings, tmp_path / "out", "--continue_with=runs/first")
    said = capsys.readouterr().err
    assert "continue_with: wanted names with values, {name: value}, got runs/first" in said


def test_hostile_lists_of_sweeps(settings, tmp_path, capsys):
    """A list that was changed, and logs of anything, are said; other settings overwrite nothing."""
    grid, out = tmp_path / "grid.yaml", tmp_path / "sweep"
    grid.write_text("train.lr: [1e-3, 3.0e-3]\n")
    assert start(settings, out, f"--sweep={grid}") == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"holds another sweep \(1.yaml differs\)"):
        start(settings, out, f"--sweep={grid}", "--train.weight_decay=0.5")
    with only_one(out, "pretrain"), pytest.raises(ValueError, match="another neurofm is working"):
        start(settings, out, f"--sweep={grid}")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (out / "lr=0.001").mkdir()
    for log in ("null\n", "[]\n", '{"step": "a"}\n', '{"step": 1, "loss": "b"}\n', "[" * 10**5):
        (out / "lr=0.001" / "log.jsonl").write_text(log)
        assert "0 of 2 runs are finished" in sweeps.said(out)
    listing = json.loads((out / sweeps.FILE_NAME).read_text())
    run = listing["runs"][0]
    for runs in ([{**run, "name": "../../etc"}], [{**run, "name": 3}], [{**run, "settings": []}],
                 [{}], [3], 3, [], [{**run, "name": "/etc"}]):
        artifacts.write_json(out / sweeps.FILE_NAME, {"runs": runs}, checked=True)
        with pytest.raises(ValueError, match=r"sweep\.json"):
            sweeps.said(out)
    listing["runs"][0]["name"] = "lr=0.003"
    (out / sweeps.FILE_NAME).write_text(json.dumps(listing))
    with pytest.raises(ValueError, match=r"sweep\.json: is damaged .*checksum"):
        sweeps.said(out)


def test_bad_input_sweep_of_a_run_that_is_continued(settings, tmp_path, capsys):
    grid = tmp_path / "grid.yaml"
    grid.write_text("train.lr: [1e-3]")
    with pytest.raises((SystemExit, ValueError)) as problem:
        start(settings, tmp_path / "out", f"--sweep={grid}", "--continue_with={train.steps: 9}")
    told = f"{problem.value}{capsys.readouterr().err}"
    assert "a sweep writes new runs, and continue_with changes one" in told
    assert not (tmp_path / "out").exists()


def test_values_of_the_best_validation():
    """One that is not a number is not the best, and comes in place of none."""
    lines = [{"step": 1, "loss": 3.0}, {"step": 1, "val/loss": math.nan, "val/r": 0.1},
             {"step": 2, "val/loss": 0.5, "val/r": 0.2}, {"step": 3, "val/loss": 0.7, "val/r": 0.3},
             {"step": 4, "val/loss": math.nan, "val/r": 0.4}, {"step": 4, "loss": 2.0}]
    assert last_values(lines, "val/loss") == {
        "step": 4, "loss": 2.0, "val/loss": 0.5, "val/r": 0.2}
    assert last_values(lines, "")["val/r"] == 0.4
    assert "val/r" not in last_values(lines[:2], "val/loss")
    # Lowest in steps that were then passed over: of that validation nothing else is known.
    assert last_values(lines, "val/loss", 0.4) == {"step": 4, "loss": 2.0, "val/loss": 0.4}
