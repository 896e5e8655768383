"""A file's instance is told from its header; a deflated one that is damaged, or a bomb, is refused and never inflated whole."""

from __future__ import annotations

import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pynetdicom.dsutils import split_dataset

from iodeep.errors import InputError
from pacs_bridge.part10 import read_instance
from tests.synthetic import write_series


@pytest.fixture
def deflated(tmp_path: Path) -> Path:
    (path,) = write_series(tmp_path, np.zeros((1, 8, 8), np.int16))
    image = dcmread(path)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(path)
    return path


def with_stream(path: Path, change: bytes) -> Path:
    _, offset = split_dataset(path)
    path.write_bytes(path.read_bytes()[:offset] + change)
    return path


def test_the_instance_of_a_deflated_file_is_told(deflated: Path) -> None:
    image = dcmread(deflated)
    found = read_instance(deflated)
    assert (found.uid, found.series) == (image.SOPInstanceUID, image.SeriesInstanceUID)


def test_a_damaged_stream_is_refused_in_a_sentence(deflated: Path) -> None:
    with pytest.raises(InputError, match="is not a DICOM file"):
        read_instance(with_stream(deflated, b"\x00\x01\x02\x03\x04" * 20))


def test_a_bomb_is_refused_without_being_inflated_whole(deflated: Path) -> None:
    _, offset = split_dataset(deflated)
    head = zlib.decompress(deflated.read_bytes()[offset:], -zlib.MAX_WBITS)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    stream = (
        deflater.compress(head) + b"".join(deflater.compress(bytes(1 << 20)) for _ in range(300)) + deflater.flush()
    )
    with_stream(deflated, stream)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="inflates to more than"):
            read_instance(deflated)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_uid_that_is_garbled_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, np.zeros((1, 8, 8), np.int16))
    element = b"\x20\x00\x0e\x00UI"
    content = path.read_bytes()
    assert element in content
    path.write_bytes(content.replace(element, element[:4] + b"FD"))
    with pytest.raises(InputError, match="is not a DICOM file"):
        read_instance(path)
