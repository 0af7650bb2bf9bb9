"""A file in which a library goes in circles is an error of that file (10^5 cases found one)."""

import signal
from pathlib import Path

import pytest

from neurofm import processes
from neurofm.preprocessing.readers import apart


def work(job: tuple[str, float]) -> str:
    """Busy for so many seconds of the processor, in a file that may take one."""
    import resource
    import time

    name, seconds = job
    apart._SECONDS = 1
    before = resource.getrlimit(resource.RLIMIT_CPU)
    with apart.in_time(Path(name)):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
    assert resource.getrlimit(resource.RLIMIT_CPU) == before
    return "read"


@pytest.mark.parametrize(("name", "seconds", "said"), [
    ("a.snirf", 60.0, "it took far longer than files of its size"), ("a.h5", 0.1, "read"),
    ("a.edf", 2.5, "read")])
def test_hostile_file_that_never_ends(name, seconds, said):
    _, found = next(processes.run(work, [(name, seconds)], 1))
    assert said in str(found)
    assert said == "read" or found == processes.Death(-signal.SIGXCPU)
