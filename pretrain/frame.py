"""The frame of `pretrain`: that of any command (`neurofm.run`), runs that are continued with other
settings on purpose, and sweeps."""

import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurofm import artifacts
from neurofm.run import Command, flat
from neurofm.training import state

from . import sweep
from .history import CHANGES, FIXED, History


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
