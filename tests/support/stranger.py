"""Somebody else, who knows the name of a repository and has an empty cache."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.support.loopback_hub import LoopbackHub


@contextlib.contextmanager
def hub_here(patch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A Hub on this machine, which client and commands take for theirs until `patch` is undone.

    It is the caller's, who may patch the same names again: two of them, undone out of order,
    would leave the Hub of one test to the next.
    """
    assert constants.HUGGINGFACE_CO_URL_TEMPLATE.startswith(constants.ENDPOINT), (
        "an earlier test left its Hub behind")
    with LoopbackHub() as server:
        patch.setattr("time.sleep", lambda seconds: None)  # the client's pauses between tries
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        patch.setattr(constants, "ENDPOINT", server.endpoint)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE",
                      server.endpoint + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setenv("HF_TOKEN", "hf_test_write")
        yield server
    assert not [each for each in server.requests if "hf_test" in each.path]
    assert not server.unknown


def fresh(
    server: LoopbackHub, home: Path, *code: str, **env: str
) -> subprocess.CompletedProcess:
    """Python in another process, whose cache is in `home`."""
    words = {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(home / "home"), "PATH": "",
             "NO_PROXY": "127.0.0.1,localhost", "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1",
             "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": "hf_test_read", "HOME": str(home), **env}
    return subprocess.run([sys.executable, *code], env=words, capture_output=True, text=True)
