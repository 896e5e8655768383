"""Two releases of a small model, packed once with the self-test that the packer makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from iodeep.card import ModelCard, read_card
from iodeep.inference import Engine
from iodeep.model_object import ModelDescriptor, read_descriptor
from iodeep.service.demonstration import sample_data, write_placeholder
from iodeep.service.library import local_model
from iodeep.service.packing import pack_network
from iodeep.settings import RunSettings


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """One process for all."""
    with Engine(RunSettings()) as engine:
        yield engine


@pytest.fixture(scope="session")
def releases(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the objects of versions 1.0.0 and 1.1.0; tests change copies alone."""
    card = read_card(next(path for path in sample_data(None).other_cards if path.stem == "cr-chest"))
    return tuple(_packed(card, version, engine, tmp_path_factory.mktemp("release")) for version in ("1.0.0", "1.1.0"))  # type: ignore[return-value]


def _packed(card: ModelCard, version: str, engine: Engine, folder: Path) -> Path:
    released = ModelCard.model_validate(card.model_dump() | {"version": version})
    write_placeholder(released, folder / "network")
    pack_network(folder / "network", released, folder / "object", engine)
    return folder / "object"


@pytest.fixture
def descriptors(releases: tuple[Path, Path]) -> tuple[ModelDescriptor, ModelDescriptor]:
    """What they say."""
    first, second = (read_descriptor(local_model(path).descriptor_path) for path in releases)
    return first, second
