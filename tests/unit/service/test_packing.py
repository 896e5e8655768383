"""Packing leaves an object that was read back, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from iodeep.errors import IntegrityError
from iodeep.inference import Engine
from iodeep.service import packing
from iodeep.settings import RunSettings
from tests.networks import tiny_segmenter
from tests.unit.inference.helpers import NETWORK, card


def test_an_object_that_cannot_be_read_back_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def unreadable(path: Path) -> None:
        written.extend(path.parent.iterdir())
        raise IntegrityError("the disk gave back other bytes")

    network = tiny_segmenter(tmp_path / NETWORK)
    with Engine(RunSettings()) as engine:
        monkeypatch.setattr(packing, "read_descriptor", unreadable)
        with pytest.raises(IntegrityError, match="other bytes"):
            packing.pack_network(network, card(), tmp_path / "object", engine)
        assert len(written) > 1
        assert not [path for path in (tmp_path / "object").rglob("*") if path.is_file()]
