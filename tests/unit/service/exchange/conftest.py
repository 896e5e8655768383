"""The brain model with its real self-test, packed once; an engine that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from iodeep.card import read_card
from iodeep.inference import Engine
from iodeep.service.library import LocalModel, local_model
from iodeep.service.packing import pack_network
from iodeep.settings import RunSettings

BRAIN = Path(__file__).resolve().parents[4] / "sample_data" / "brain"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """One process for all."""
    with Engine(RunSettings()) as engine:
        yield engine


@pytest.fixture(scope="session")
def brain_folder(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The object, in five parts; tests copy it before they change anything."""
    out = tmp_path_factory.mktemp("brain") / "object"
    pack_network(BRAIN, read_card(BRAIN / "card.yaml"), out, engine, part_size=2_000_000)
    return out


@pytest.fixture
def brain(brain_folder: Path) -> LocalModel:
    """Where its files are."""
    return local_model(brain_folder)
