"""Decode new recordings: a class or number per window, as a table, a figure and a page.

    neurofm decode recording.edf --model runs/decoder --out results/
    neurofm decode one.edf two.fif folder/ --model runs/decoder --out results/
    neurofm decode folder/ --watch true --model runs/decoder --out results/

Of several recordings each has a folder in `out`; a watched folder is looked at again and again.
"""

import sys
from pathlib import Path

from neurofm import config
from neurofm.preprocessing import readers
from neurofm.run import Command, Job

from .use.many import decode_many
from .use.one import ONE, DecodeConfig
from .use.watch import watch


def decode_several(run: DecodeConfig, job: Job) -> int:
    """Decode all that is found, or what comes into a watched folder; returns the exit status."""
    return watch(run, job) if run.watch else decode_many(run, job)


MANY = Command("decode", DecodeConfig, decode_several, makes="results", positional="paths",
               grows=True)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    run = config.parse(DecodeConfig, argv, command="decode", positional="paths")
    return command_for(run).run(run, words=argv)


def command_for(run: DecodeConfig) -> Command:
    """One recording makes one result; several, a folder or a watched folder make many."""
    first = Path(run.paths[0]).expanduser()
    several = len(run.paths) > 1 or (first.is_dir() and not readers.claims(first))
    return MANY if run.watch or several else ONE
