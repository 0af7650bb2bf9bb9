"""Put a sharded state together: whole weights and moments, as safetensors.

    neurofm consolidate runs/brainomni --out whole

Training needs no such step: a state goes on under any wrapper and any number of processes. It is
for other programs.
"""

from dataclasses import dataclass
from pathlib import Path

from neurofm import artifacts, lock
from neurofm.limits import limited
from neurofm.run import OK, Command, Job
from neurofm.training import sharded, state

_FILES = ("model.safetensors", "optimizer.safetensors")


@dataclass
@limited
class ConsolidateConfig:
    """Put a sharded state of a run together.

    Parameters
    ----------
    model
        Folder of a run that holds saved states.
    out
        New folder: model.safetensors, optimizer.safetensors, and a manifest with their hashes.
    step
        Finished steps of the state; 0 = the newest.
    """

    model: str
    out: str
    step: int = 0


def consolidate(run: ConsolidateConfig, job: Job) -> int:
    """Write the whole state."""
    out = Path(run.out)
    if out.is_file():
        raise ValueError(f"--out {out}: wanted a new folder; choose another --out")
    found = chosen(Path(run.model), run.step)
    saved = artifacts.open_sealed(found, "state", hashes=True).config
    ours = {lock.NAME, *_FILES} if (out / lock.NAME).exists() else set()  # of a call that ended
    with lock.only_one(out, "consolidate"):
        if {path.name for path in out.iterdir()} - {lock.NAME} - ours:
            raise ValueError(f"--out {out}: wanted a new folder; choose another --out")
        for name, tensors in zip(_FILES, sharded.whole(found), strict=True):
            state.write(tensors, out / name)
        artifacts.seal(out, "state", files=[*_FILES], code=False,
                       config={"step": saved["step"], "log": {}, "guard": {}})
        (out / lock.NAME).unlink(missing_ok=True)
    job.say(f"state of step {saved['step']} in {out}")
    return OK


def chosen(run: Path, step: int) -> Path:
    """The state of a step, or the newest (0). Raises ValueError where it is none, or whole."""
    states = {state.step_of(each): each for each in state.finished(run / "state")}
    if not states:
        raise ValueError(f"{run}: holds no saved state. A finished run keeps one where it was "
                         f"trained with --keep_state; its checkpoint is whole already")
    if step and step not in states:
        raise ValueError(f"{run}: has states of step {', '.join(map(str, sorted(states)))}; got "
                         f"--step {step}")
    found = states[step or max(states)]
    if not state.is_sharded(found):
        raise ValueError(f"{found} is whole already: model.safetensors and optimizer.safetensors "
                         f"lie in it")
    return found


COMMAND = Command("consolidate", ConsolidateConfig, consolidate, positional="model",
                  verifies=False)
main = COMMAND
