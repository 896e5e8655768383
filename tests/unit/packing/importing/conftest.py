"""One network, trained once."""

from __future__ import annotations

import pytest

from tests.sources import Trained, trained_once


@pytest.fixture(scope="session")
def weights() -> Trained:
    return trained_once()
