"""The self-test's bytes: deterministic, without pickle, and never larger in memory than allowed."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iodeep.errors import InputError, ObjectError
from iodeep.model_object import ExpectedClass, SelfTest
from iodeep.terms import Code
from iodeep.volume import Volume

from .models import brain_self_test

GLIOMA = Code("393564001", "SCT", "Glioma")


def same(first: SelfTest, second: SelfTest) -> bool:
    return (
        list(first.inputs) == list(second.inputs)
        and all(
            np.array_equal(first.inputs[name].voxels, second.inputs[name].voxels)
            and first.inputs[name].voxels.dtype.newbyteorder("<") == second.inputs[name].voxels.dtype
            and np.array_equal(first.inputs[name].affine, second.inputs[name].affine)
            for name in first.inputs
        )
        and first.expected_sha256 == second.expected_sha256
        and first.classes == second.classes
        and first.mean_foreground_probability == second.mean_foreground_probability
    )


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    dtype=st.sampled_from(["<i2", "|u1", "<f4", ">i2"]),
    kind=st.sampled_from(["u1", "u2", "masks", "none"]),
    probability=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_every_self_test_survives_its_encoding(
    shape: tuple[int, int, int], dtype: str, kind: str, probability: float, seed: int
) -> None:
    source = np.random.default_rng(seed)
    volume = Volume(source.integers(0, 100, shape).astype(dtype), source.normal(size=(4, 4)))
    test = SelfTest(
        inputs={"t1": volume, "flair": volume},
        labels=source.integers(0, 3, shape).astype(kind) if kind in ("u1", "u2") else None,
        masks=source.random((2, *shape)) > 0.5 if kind == "masks" else None,
        classes=(ExpectedClass("tumour", GLIOMA, probability),),
        mean_foreground_probability=probability,
    )

    back = SelfTest.decode(test.encode())

    assert same(test, back)
    assert back.encode() == test.encode()


def test_the_expected_digest_doesnt_depend_on_the_integer_type_of_labels() -> None:
    test = brain_self_test()
    assert test.labels is not None

    assert SelfTest(inputs=test.inputs, labels=test.labels.astype(np.uint16)).expected_sha256 == test.expected_sha256
    assert SelfTest(inputs=test.inputs, labels=test.labels * np.uint8(2)).expected_sha256 != test.expected_sha256


def test_numpy_opens_it_too() -> None:
    test = brain_self_test()
    assert test.labels is not None
    with np.load(io.BytesIO(test.encode()), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["labels"], test.labels)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"inputs": {}}, "no input"),
        ({"labels": None}, "expects nothing"),
        ({"labels": np.zeros((1, 1, 1), np.uint8)}, "grid"),
        ({"labels": np.zeros((4, 6, 5), np.int64)}, "uint8 or uint16"),
        ({"masks": np.zeros((1, 4, 6, 5), np.bool_)}, "labels and masks"),
        ({"mean_foreground_probability": 1.5}, "probability"),
        ({"mean_foreground_probability": float("nan")}, "probability"),
        ({"inputs": {"image": Volume(np.zeros((4, 6, 5), np.int64), np.eye(4))}}, "int16"),
        ({"inputs": {"image": Volume(np.zeros((4, 6), np.int16), np.eye(4))}}, "three axes"),
        ({"inputs": {"image": Volume(np.full((4, 6, 5), np.nan, np.float32), np.eye(4))}}, "finite"),
        ({"inputs": {"image": Volume(np.zeros((4, 6, 5), np.int16), np.eye(3))}}, "affine"),
    ],
)
def test_what_is_no_self_test_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        SelfTest(**{**vars(brain_self_test()), **change})


def rebuilt(change: Callable[[dict[str, bytes]], object]) -> bytes:
    """The bytes of a self-test with its members altered."""
    with zipfile.ZipFile(io.BytesIO(brain_self_test().encode())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def npy(array: npt.NDArray[Any], *, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=allow_pickle)
    return stream.getvalue()


def declared(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    """An array of one byte whose header declares another shape."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + b"\x01"


@pytest.mark.parametrize(
    "labels",
    [
        declared((1 << 40, 1 << 20, 1 << 20)),
        declared((-1, -1, 1)),
        declared((4, 6, 5)),
        npy(np.array([{"a": 1}], dtype=object), allow_pickle=True),
        pickle.dumps("labels"),
        b"",
        npy(np.zeros((4, 6, 5), np.uint8)),
    ],
    ids=["huge", "negative", "short", "objects", "pickle", "empty", "other content"],
)
def test_malformed_arrays_are_refused(labels: bytes) -> None:
    encoded = rebuilt(lambda members: members.update({"labels.npy": labels}))

    with pytest.raises(ObjectError, match=r"self-test of the model is malformed"):
        SelfTest.decode(encoded, "the model")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        b"{" * 100_000,
        b'{"inputs": 5}',
        json.dumps({"inputs": ["image"], "expects": "labels"}).encode(),
    ],
    ids=["empty", "no fields", "list", "deep", "numbers", "half"],
)
def test_malformed_documents_are_refused(document: bytes) -> None:
    encoded = rebuilt(lambda members: members.update({"self_test.json": document}))

    with pytest.raises(ObjectError, match="malformed"):
        SelfTest.decode(encoded)


@pytest.mark.parametrize("encoded", [b"", b"PK", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_zip_is_refused(encoded: bytes) -> None:
    with pytest.raises(ObjectError, match="malformed"):
        SelfTest.decode(encoded)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_any_damage_to_its_bytes_is_an_object_error_or_harmless(data: st.DataObject) -> None:
    encoded = bytearray(brain_self_test().encode())
    for _ in range(data.draw(st.integers(1, 5))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        back = SelfTest.decode(bytes(encoded))
    except ObjectError:
        return
    assert same(back, brain_self_test())


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = rebuilt(lambda members: members.update({"labels.npy": bytes(200 << 20)}))
    assert len(bomb) < 1 << 20

    tracemalloc.start()
    try:
        with pytest.raises(ObjectError, match="too large"):
            SelfTest.decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    bomb = bytearray(rebuilt(lambda members: members.update({"labels.npy": bytes(64 << 20)})))
    entry = bomb.rindex(b"labels.npy") - 46
    bomb[entry + 24 : entry + 28] = (100).to_bytes(4, "little")  # uncompressed size in the central directory

    tracemalloc.start()
    try:
        with pytest.raises(ObjectError, match="malformed"):
            SelfTest.decode(bytes(bomb))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_self_test_that_no_descriptor_should_carry_is_refused_before_it_is_packed() -> None:
    voxels = np.zeros((140, 1024, 1024), np.uint8)

    with pytest.raises(InputError, match="self-test is too large"):
        SelfTest(inputs={"image": Volume(voxels, np.eye(4))}, classes=(ExpectedClass("tumour", GLIOMA, 0.5),)).encode()


def test_what_cannot_be_compressed_is_refused_past_what_a_descriptor_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iodeep.model_object.self_test.MAX_ENCODED_BYTES", 100)

    with pytest.raises(InputError, match="encoded self-test is too large"):
        brain_self_test().encode()
