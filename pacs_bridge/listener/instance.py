"""One instance as the listener knows it: what its data set says of itself, and who sent it.

Only the elements up to Series Instance UID are read, from the first bytes while they pass; the pixels are never parsed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import split_dataset

from iodeep.errors import InputError
from pacs_bridge.part10 import UNREADABLE, is_uid

HEAD = 1 << 16
"""Bytes of a data set in which its series is looked for before the file is."""
_SERIES_INSTANCE_UID = 0x0020000E
_KEYWORDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "PatientID")


Header = dict[str, str]
"""Values by keyword: those of :data:`_KEYWORDS`."""


@dataclass(frozen=True)
class Received:
    """An instance in the spool. ``new`` is False where it was there already."""

    path: Path
    sop_class: str
    uid: str
    study: str
    series: str
    modality: str
    patient_id: str
    sender: str
    """Sending Application Entity Title (0002,0017)."""
    bytes: int
    new: bool = True


def header_of(head: bytes, transfer_syntax: str, path: Path) -> Header:
    """The identifying values of a data set that begins with ``head`` and lies in the Part 10 file ``path``.

    Raises :class:`~iodeep.errors.InputError` where it cannot be read, or has no usable study, series or instance.
    """
    try:
        dataset = _parsed(head, transfer_syntax)
        if dataset is None:
            dataset = dcmread(path, specific_tags=list(_KEYWORDS))
        header = {keyword: _text(dataset, keyword) for keyword in _KEYWORDS}
    except UNREADABLE as error:
        raise InputError(f"the data set cannot be read: {error}") from error
    wrong = [keyword for keyword in _KEYWORDS[:4] if not is_uid(header[keyword])]
    if wrong:
        raise InputError(f"no valid {', '.join(wrong)}")
    return header


def received_from_file(path: Path) -> Received:
    """An instance that lies in the spool; raises :class:`~iodeep.errors.InputError` where it is not readable."""
    try:
        meta, offset = split_dataset(path)
        with path.open("rb") as file:
            length = file.seek(0, SEEK_END)
            file.seek(offset)
            head = file.read(HEAD)
    except (*UNREADABLE, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    header = header_of(head, str(meta.get("TransferSyntaxUID", "")), path)
    return received(header, path, _text(meta, "SendingApplicationEntityTitle"), length)


def received(header: Header, path: Path, sender: str, length: int, *, new: bool = True) -> Received:
    """What is told of an instance."""
    sop_class, uid, study, series, modality, patient = (header[keyword] for keyword in _KEYWORDS)
    return Received(path, sop_class, uid, study, series, modality, patient, sender, length, new)


def _text(dataset: Dataset, keyword: str) -> str:
    """The value as it came: what a peer writes wrongly is not worth a warning each."""
    element = dataset.get_item(keyword)
    value = b"" if element is None or element.value is None else element.value
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ")


def _parsed(head: bytes, transfer_syntax: str) -> Dataset | None:
    """The elements before the first one behind Series Instance UID; None where the head does not reach so far."""
    reached: list[int] = []

    def behind(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001 - pydicom's signature
        if int(tag) > _SERIES_INSTANCE_UID:
            reached.append(int(tag))
        return bool(reached)

    deflated = transfer_syntax == DeflatedExplicitVRLittleEndian
    content = BytesIO(_inflated(head) if deflated else head)
    implicit = transfer_syntax == ImplicitVRLittleEndian
    try:
        header = read_dataset(content, implicit, transfer_syntax != ExplicitVRBigEndian, stop_when=behind)
    except EOFError:  # cut within an element
        header = Dataset()
    if deflated:
        return header if reached else Dataset()  # the file is not inflated: a small one may be gigabytes then
    return header if reached else None


def _inflated(head: bytes) -> bytes:
    """No more than :data:`HEAD` bytes (PS3.5 A.5: a raw deflate stream)."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, HEAD)
    except zlib.error as error:
        raise ValueError(f"its compression is damaged ({error})") from error
