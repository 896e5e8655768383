"""A listener that the examples of one property share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.pacs_bridge.listener.harness import Running, running


@pytest.fixture(scope="module")
def one_listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One for all tests of a module that leave nothing in it."""
    with running(tmp_path_factory.mktemp("listener")) as run:
        yield run
