"""Instances -> DICOM files: the header is written by pydicom, the payload streamed behind it."""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset, FileDataset
from pydicom.filewriter import dcmwrite

from iodeep.model_object import private_block as block
from iodeep.model_object.attributes import descriptor_attributes, file_meta, part_attributes, put_private_header
from iodeep.model_object.local_files import read_range, whole_file
from iodeep.model_object.manifest import Manifest, PartEntry, Role

MEDIA_TYPES = {".onnx": "application/onnx", ".json": "application/json"}
OTHER_MEDIA_TYPE = "application/octet-stream"


def write_descriptor(target: Path, manifest: Manifest, encoded: bytes, sha256: str, self_test: bytes | None) -> None:
    """The descriptor: attributes, manifest, self-test."""
    dataset = descriptor_attributes(manifest)
    put_private_header(dataset, sha256)
    block.put(dataset, block.MANIFEST, encoded)
    if self_test is not None:
        block.put(dataset, block.SELF_TEST, self_test)
    write_instance(target, dataset)


def write_part(
    target: Path, manifest: Manifest, part: PartEntry, manifest_sha256: str, source: BufferedReader, offset: int
) -> None:
    """One part: its header, and its bytes of ``source`` as the last element, padded to even length (PS3.5 7.1.1)."""
    role = next(file.role for file in manifest.files if file.name == part.file)
    dataset = part_attributes(manifest, part, role)
    put_private_header(dataset, manifest_sha256)
    _put_part_header(dataset, part, role)
    with whole_file(target) as file:
        _write_header(file, dataset)
        _write_payload(file, part.length, source, offset)


def write_instance(target: Path, dataset: Dataset) -> Path:
    """A small instance, whole or not at all."""
    with whole_file(target) as file:
        _write_header(file, dataset)
    return target


def _put_part_header(dataset: Dataset, part: PartEntry, role: Role) -> None:
    known = MEDIA_TYPES.get(Path(part.file).suffix) if role is not Role.EXTERNAL_DATA else None
    block.put(dataset, block.MEDIA_TYPE, known or OTHER_MEDIA_TYPE)
    block.put(dataset, block.PART_INDEX, str(part.index))
    block.put(dataset, block.PART_COUNT, str(part.count))
    block.put(dataset, block.PART_LENGTH, str(part.length))
    block.put(dataset, block.PART_SHA256, part.sha256)
    block.put(dataset, block.FILE_NAME, part.file)
    block.reserve_block(dataset, block.PAYLOAD_GROUP)


def _write_header(file: BinaryIO, dataset: Dataset) -> None:
    meta = file_meta(dataset.SOPInstanceUID)
    whole = FileDataset("", dataset, preamble=b"\0" * 128, file_meta=meta)
    dcmwrite(file, whole, enforce_file_format=True, implicit_vr=False, little_endian=True)


def _write_payload(file: BinaryIO, length: int, source: BufferedReader, offset: int) -> None:
    padded = length + length % 2
    tag = block.PAYLOAD.tag()
    file.write((tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little"))
    file.write(b"OB\0\0" + padded.to_bytes(4, "little"))
    file.writelines(read_range(source, offset, length))
    file.write(b"\0" * (padded - length))
