"""What is packed comes out byte for byte, however it was cut and in whatever order it arrives; what is altered doesn't."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iodeep.card import ModelCard, read_card
from iodeep.errors import ObjectError
from iodeep.model_object import PackedModel, assemble, pack_model, read_descriptor
from iodeep.model_object.dicom_file import locate_payload, read_header

from .models import BRAIN_CARD, ENSEMBLE, ensemble_card, flip_byte, pack_ensemble, write_payloads

SEVERAL = settings(max_examples=25, deadline=None)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def one_file_card() -> ModelCard:
    return read_card(BRAIN_CARD)


@SEVERAL
@given(
    lengths=st.lists(st.integers(1, 2500), min_size=5, max_size=5),
    part_size=st.integers(64, 3000),
    order=st.randoms(use_true_random=False),
)
def test_any_part_size_and_any_lengths_come_back_identical_in_any_order(
    lengths: list[int], part_size: int, order: object
) -> None:
    with folder() as here:
        files = write_payloads(here / "files", dict(zip(ENSEMBLE, lengths, strict=True)))
        packed = pack_model(ensemble_card(), files, here / "packed", part_size=part_size)
        arrived = list(packed.parts)
        order.shuffle(arrived)  # type: ignore[attr-defined]

        back = assemble(read_descriptor(packed.descriptor), arrived, here / "back")

        assert {name: path.read_bytes() for name, path in back.items()} == {
            name: path.read_bytes() for name, path in files.items()
        }


@pytest.mark.parametrize("length", [1, 2, 7, 8])
@pytest.mark.parametrize("part_size", [1, 2, 3, 8, 9])
def test_the_smallest_parts_and_odd_lengths_come_back(tmp_path: Path, length: int, part_size: int) -> None:
    files = write_payloads(tmp_path / "files", {"brain-extraction.onnx": length})
    packed = pack_model(one_file_card(), files, tmp_path / "packed", part_size=part_size)

    assert len(packed.parts) == -(-length // part_size)
    back = assemble(read_descriptor(packed.descriptor), packed.parts, tmp_path / "back")
    assert back["brain-extraction.onnx"].read_bytes() == files["brain-extraction.onnx"].read_bytes()


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    return pack_ensemble(tmp_path_factory.mktemp("ensemble"))


@SEVERAL
@given(data=st.data())
def test_any_flipped_payload_byte_is_found(ensemble: PackedModel, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(ensemble.parts))
    payload = locate_payload(read_header(part))
    true_length = next(
        entry.length
        for entry in read_descriptor(ensemble.descriptor).parts
        if entry.sop_instance_uid == read_header(part).text("SOPInstanceUID")
    )
    offset = payload.offset + data.draw(st.integers(0, true_length - 1))
    flip_byte(part, offset)
    try:
        with folder() as here, pytest.raises(ObjectError, match="was altered"):
            assemble(read_descriptor(ensemble.descriptor), ensemble.parts, here / "back")
    finally:
        flip_byte(part, offset)


@SEVERAL
@given(data=st.data())
def test_any_flipped_manifest_byte_is_found(ensemble: PackedModel, data: st.DataObject) -> None:
    content = ensemble.descriptor.read_bytes()
    start = content.index(b'{"card":')
    end = content.index(b'"}', content.rindex(b'"trainable":')) + 2
    offset = data.draw(st.integers(start, end - 1))
    flip_byte(ensemble.descriptor, offset)
    try:
        with pytest.raises(ObjectError, match="was altered"):
            read_descriptor(ensemble.descriptor)
    finally:
        flip_byte(ensemble.descriptor, offset)
