"""What a descriptor is compared with when it is read is what it was written with."""

from __future__ import annotations

from pathlib import Path

from iodeep.card import read_card
from iodeep.model_object import read_descriptor
from iodeep.model_object.attributes import (
    AGREE_IF_PRESENT,
    REQUIRED_TO_AGREE,
    compared_attributes,
    descriptor_attributes,
)
from tests.unit.selection.support import BRAIN_CARD, packed


def test_the_compared_attributes_are_those_that_are_written(tmp_path: Path) -> None:
    packed(tmp_path, read_card(BRAIN_CARD))
    manifest = read_descriptor(next((tmp_path / "packed").rglob("descriptor.dcm"))).manifest
    compared, written = compared_attributes(manifest), descriptor_attributes(manifest)

    for keyword in (*REQUIRED_TO_AGREE, *AGREE_IF_PRESENT, "AnatomicRegionSequence"):
        assert keyword in written, keyword
        assert compared.get(keyword) == written.get(keyword), keyword
