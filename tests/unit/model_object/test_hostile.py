"""Files of any content end in one of our errors, quickly and in little memory, whatever they declare."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from iodeep.card import card_document
from iodeep.errors import IODeepError, ObjectError
from iodeep.model_object import ModelDescriptor, ObjectKind, PackedModel, explain_legacy, read_descriptor, recognise
from iodeep.model_object.manifest import canonical_json, manifest_bytes, manifest_digest, manifest_of_bytes

from .models import ROOT, edit, pack_ensemble


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    return pack_ensemble(tmp_path_factory.mktemp("ensemble"))


@pytest.fixture(scope="module")
def descriptor(packed: PackedModel) -> ModelDescriptor:
    return read_descriptor(packed.descriptor)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # pydicom warns of what is wrong in what it reads
def test_a_descriptor_with_any_damage_is_read_right_or_refused(
    packed: PackedModel, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(packed.descriptor.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path_factory.mktemp("damaged") / "file.dcm"
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)

    recognise(damaged)
    with suppress(IODeepError):
        assert read_descriptor(damaged).identity == packed.identity


@settings(max_examples=100, deadline=None)
@given(
    content=st.binary(max_size=400), prefix=st.sampled_from([b"", bytes(128) + b"DICM", b"\x02\0\0\0", b"\x08\0\x16\0"])
)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_arbitrary_bytes_are_something_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, prefix: bytes
) -> None:
    path = tmp_path_factory.mktemp("noise") / "noise"
    path.write_bytes(prefix + content)

    assert recognise(path).kind is ObjectKind.OTHER
    with pytest.raises(IODeepError):
        read_descriptor(path)
    with pytest.raises(IODeepError):
        explain_legacy(path)


def test_a_header_that_declares_gigabytes_is_refused_without_allocating_them(
    tmp_path: Path, packed: PackedModel
) -> None:
    content = packed.descriptor.read_bytes()
    element = content.index(b"\x99\x00\x12\x10OB")
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(content[: element + 8] + (0xFFFF_FFF0).to_bytes(4, "little") + content[element + 12 :])

    tracemalloc.start()
    try:
        with pytest.raises(ObjectError, match="header that is too large"):
            read_descriptor(bomb)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_an_encapsulated_payload_of_undefined_length_is_refused(tmp_path: Path, packed: PackedModel) -> None:
    content = packed.parts[0].read_bytes()
    element = content.index(b"\xe1\x7f\x30\x10OB")
    odd = tmp_path / "odd.dcm"
    odd.write_bytes(content[: element + 8] + b"\xff\xff\xff\xff" + content[element + 12 :])

    from iodeep.model_object.dicom_file import locate_payload, read_header

    with pytest.raises(ObjectError, match="ends in the middle of an element"):
        locate_payload(read_header(odd))


def test_an_image_is_something_else() -> None:
    found = recognise(ROOT / "sample_data" / "mr-head" / "brain_001.dcm")

    assert found.kind is ObjectKind.OTHER
    assert "without the private block" in found.reason


def test_recognising_never_reads_the_payload(packed: PackedModel, tmp_path: Path) -> None:
    content = packed.parts[0].read_bytes()
    headless = tmp_path / "cut.dcm"
    headless.write_bytes(content[: content.index(b"\xe1\x7f\x30\x10OB")])

    found = recognise(headless)

    assert found.kind is ObjectKind.PART
    assert found.manifest_sha256 == packed.identity.manifest_sha256
    assert found.study_instance_uid == packed.study_instance_uid


def test_a_schema_of_the_future_asks_for_an_update(packed: PackedModel, tmp_path: Path) -> None:
    path = tmp_path / "future.dcm"
    path.write_bytes(packed.descriptor.read_bytes())

    def renew(dataset: Dataset) -> None:
        dataset.private_block(0x0099, "IODEEP AIMODEL 1")[0x10].value = "2.25.99"

    edit(path, renew)

    with pytest.raises(ObjectError, match="Update IODeep"):
        read_descriptor(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"patient_id": "AIM1.CT.LIVER.ANY.X"}, "patient_id is not the card's"),
        ({"parents": ["2.25.1"]}, "parents are not the card's"),
        ({"schema_uid": "2.25.1"}, "schema_uid"),
        ({"extra": 1}, "extra"),
        ({"study_instance_uid": "not a uid"}, "study_instance_uid"),
        ({"files": []}, "files"),
        ({"parts": []}, "parts"),
        ({"packed_at": "2026-01-01T00:00:00"}, "time zone"),
        ({"self_test": {"length": 10**30, "sha256": "x"}}, "self_test"),
        ({"card": {}}, "card"),
        ({"card": None}, "card"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    descriptor: ModelDescriptor, change: dict[str, object], problem: str
) -> None:
    document = descriptor.manifest.model_dump(mode="json") | {"card": card_document(descriptor.card)} | change

    with pytest.raises(ObjectError, match=problem):
        manifest_of_bytes(canonical_json(document), "forged")


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("index", 3),
        ("count", 9),
        ("length", 999),
        ("file", "../../etc/passwd"),
        ("file", "other.onnx"),
        ("series_instance_uid", "2.25.5"),
        ("length", -1),
        ("sha256", "z" * 64),
    ],
)
def test_a_manifest_whose_parts_do_not_add_up_is_refused(
    descriptor: ModelDescriptor, where: str, value: object
) -> None:
    document = descriptor.manifest.model_dump(mode="json") | {"card": card_document(descriptor.card)}
    document["parts"][0][where] = value

    with pytest.raises(ObjectError, match="not valid"):
        manifest_of_bytes(canonical_json(document), "forged")


@pytest.mark.parametrize(
    "encoded",
    [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":1,"a":2}', b"NaN", b"1" * 5000],
    ids=["empty", "list", "cut", "no UTF-8", "deep", "twice", "NaN", "long number"],
)
def test_a_manifest_that_is_no_document_is_refused(encoded: bytes) -> None:
    with pytest.raises(ObjectError):
        manifest_of_bytes(encoded, "forged")


def test_only_the_canonical_form_is_a_manifest(descriptor: ModelDescriptor) -> None:
    encoded = manifest_bytes(descriptor.manifest)

    assert manifest_of_bytes(encoded, "itself") == descriptor.manifest
    assert manifest_digest(encoded) == descriptor.identity.manifest_sha256
    with pytest.raises(ObjectError, match="canonical"):
        manifest_of_bytes(b" " + encoded, "spaced")
    with pytest.raises(ObjectError, match="canonical"):
        manifest_of_bytes(encoded.replace(b'{"card":', b'{"card":null,"card":', 1), "doubled")


def test_a_manifest_from_before_a_card_got_a_new_optional_field_is_still_read(descriptor: ModelDescriptor) -> None:
    card = card_document(descriptor.card)
    del card["self_test"]["maximum_probability_difference"], card["network"]["batch_size"]
    document = descriptor.manifest.model_dump(mode="json") | {"card": card}

    assert manifest_of_bytes(canonical_json(document), "an older one") == descriptor.manifest
