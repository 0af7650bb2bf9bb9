"""The Hub on this machine."""

import pytest

from tests.support.stranger import hub_here


@pytest.fixture
def server(monkeypatch):
    """A Hub on this machine, which client and commands take for theirs."""
    with hub_here(monkeypatch) as server:
        yield server
