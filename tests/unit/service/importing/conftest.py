"""One network, trained once."""

from __future__ import annotations

import pytest

from tests.sources import Trained, trained


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("trained"))
