"""What a command shows of the library's log: messages of level INFO and above, as plain lines.

Library code logs to `neurofm.<package>`. Who imports it sees warnings alone, as of any library.
"""

import contextlib
import logging
from collections.abc import Iterator


class _Lines(logging.Handler):
    """Prints to what `sys.stdout` is at that moment; a broken pipe is an error, as of `print`."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), flush=True)


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
