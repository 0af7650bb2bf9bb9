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

from .use.one import DecodeConfig, decode_single


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return decode(config.parse(DecodeConfig, argv, command="decode", positional="recording"))


def decode(run: DecodeConfig) -> int:
    """Decode what is asked for; prints what it does. Returns the exit status."""
    first = Path(run.recording[0]).expanduser()
    if run.watch:
        from .use.watch import watch

        return watch(run)
    if len(run.recording) > 1 or (first.is_dir() and not readers.claims(first)):
        from .use.many import decode_many

        return decode_many(run)
    return decode_single(run)


if __name__ == "__main__":
    sys.exit(main())
