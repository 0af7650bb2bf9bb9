"""What a terminal is shown: lines without control characters, and of the library's log messages of
level INFO and above.

Library code logs to `neurofm.<package>`. Who imports it sees warnings alone, as of any library.
"""

import contextlib
import logging
import re
from collections.abc import Iterator

# Control characters but tab and line feed, and those that turn the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Text with control characters written out: names in files can hold commands to a terminal.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        "\\x1b[2J" instead of what clears the screen.
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Lines(logging.Handler):
    """Prints to what `sys.stdout` is at that moment; a broken pipe is an error, as of `print`."""

    def emit(self, record: logging.LogRecord) -> None:
        print(printable(self.format(record)), flush=True)


@contextlib.contextmanager
def log_shown() -> Iterator[None]:
    """While it is open, the logger `neurofm` prints, and passes nothing on to the root logger's
    handlers: each message is seen once. Within another, nothing changes."""
    logger = logging.getLogger("neurofm")
    if any(isinstance(handler, _Lines) for handler in logger.handlers):
        yield
        return
    lines, before = _Lines(), (logger.level, logger.propagate)
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(before[0])
        logger.propagate = before[1]
