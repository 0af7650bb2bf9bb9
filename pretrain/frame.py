"""The frame of `pretrain`: that of any command (`neurofm.run`), runs that are continued with other
settings on purpose, and sweeps."""

import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import Accelerator

from neurofm import artifacts, checkpoints
from neurofm.run import Command, Job, flat
from neurofm.training import state
from neurofm.training.loop import CHOSEN

from . import sweep
from .history import CHANGES, FIXED, History

if TYPE_CHECKING:
    from .train import PretrainConfig


def continued(run: "PretrainConfig", job: Job, accelerator: Accelerator) -> History:
    """The history of the run, with a new leg where its settings are changed on purpose. A finished
    run is begun again from its last state, or from its weights. Every process takes part."""
    out, states, main = job.out, job.out / "state", accelerator.is_main_process
    told, sealed = History.read(out), artifacts.is_sealed(out)
    found = state.newest(states, accelerator, job.say)
    if told is None or not (sealed or found):
        if run.continue_with:
            raise ValueError(f"--continue_with: {out} holds no state of a run that could be "
                             f"continued; give the settings by themselves")
        told = History.of(run)
    elif changes := told.pending(run):
        first = (told.legs[-1].settings["train.steps"] if sealed or found is None else
                 state.step_of(found))
        if sealed and found and (state.step_of(found) != first or state.weights_alone(found)):
            found = None  # left by a kill
        told.add(first, changes, "kept" if found else "new")
        accelerator.wait_for_everyone()  # all have looked, before anything is written
        if not found and run.train.keep_best:
            state.save_weights(states / CHOSEN, checkpoints.load(out), accelerator)
        if main:
            if not found:
                state.begin(states, first, checkpoints.load(out).state_dict())
            told.write(states)
            artifacts.unseal(out)
        job.say(f"leg {len(told.legs)} {told.legs[-1].in_words()}")
        if not found:
            job.say("the optimizer begins anew: the finished run kept no state (--keep_state)")
    elif found and told.moved(state.step_of(found)):
        job.say(f"the last leg begins at step {state.step_of(found)}: its own state is damaged")
    accelerator.wait_for_everyone()
    return told


class Pretrain(Command):
    """A command whose finished folder may be extended."""

    def run(self, run: Any, words: Iterable[str] = ()) -> int:
        """Run with a config that is made already; returns the exit status."""
        words = list(words)
        return sweep.write(run, words) if run.sweep else super().run(run, words)

    def _framed(self, run: Any, words: list[str]) -> int:
        try:
            return super()._framed(run, words)
        except artifacts.ArtifactError as problem:
            raise artifacts.ArtifactError(f"{problem}{self._how(run, words)}") from problem

    def _finished(self, out: Path, settings: dict, parents: dict[str, str],
                  quiet: bool = False) -> bool:
        """As of any command; a finished run that is to be continued with other settings is not."""
        if not super()._finished(out, settings, parents, quiet=True):
            return False
        history, wanted = History.read(out), settings["continue_with"]
        if wanted and history is None:
            raise ValueError(f"{out} was made by an earlier version, which kept no history of its "
                             f"settings: train on with --init {out} into another --out")
        if history and any(history.legs[-1].settings[name] != value
                           for name, value in artifacts.as_json(wanted).items()):
            return False
        return super()._finished(out, settings, parents, quiet)

    def tidy(self, out: Path) -> None:
        """Of a run with --keep_state the last state stays, and the weights that were best."""
        if not artifacts.read_manifest(out).config.get("keep_state"):
            shutil.rmtree(out / "state", ignore_errors=True)
            return
        for old in state.finished(out / "state")[:-1]:
            state.remove(old)

    def _decisive(self, settings: dict) -> dict:
        """Settings that decide what is made; a leg's are told by the history."""
        return super()._decisive({**settings, "continue_with": {}})

    def _how(self, run: Any, words: list[str]) -> str:
        """How the same run is continued with these settings, where that may be; else "" or why it
        may not be."""
        out = Path(run.out).expanduser()
        if artifacts.is_sealed(out):
            made = flat({**artifacts.as_json(self._defaults()),
                         **artifacts.read_manifest(out).config})
        elif (out / artifacts.CLAIM).is_file():
            made = artifacts.read_json(out / artifacts.CLAIM)
        else:
            return ""
        here = artifacts.as_json(self._decisive(self._settings(run, out)))
        other = {name: value for name, value in here.items()
                 if name in made and made[name] != value}
        if fixed := [name for name in other if name not in CHANGES]:
            why = [f"{name} cannot be changed: {text}" for name in fixed
                   for key, text in FIXED.items() if name == key or name.startswith(f"{key}.")]
            return f". {'; '.join(why)}" if why else ""
        if not other:
            return ""
        changes = ", ".join(f"{name}: {_yaml(value)}" for name, value in other.items())
        back = [f"--{name}={_yaml(made[name])}" for name in other]
        line = shlex.join([*words, *back, "--continue_with", f"{{{changes}}}"])
        return (f". To continue this run with these settings on purpose: neurofm {self.name} "
                f"{line}")

    def _defaults(self) -> dict:
        from neurofm import config

        return config.defaults(self.config)


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, default_flow_style=True).partition("\n")[0].strip()
