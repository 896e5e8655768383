"""Instances on their way to a client: in the transfer syntax that it takes (PS3.18 8.7.3.5), never whole in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread, dcmwrite
from pydicom.dataset import FileDataset
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, ImplicitVRLittleEndian

from iodeep.errors import InputError
from pacs_bridge.gateway.errors import NotAcceptableError
from pacs_bridge.gateway.media import AS_STORED, DICOM, EXPLICIT, RELATED, MediaRange, not_acceptable
from pacs_bridge.part10 import UNREADABLE, is_rewritable

CHUNK = 1 << 20


@dataclass(frozen=True)
class Delivery:
    """How instances go out: alone or in parts, and in which transfer syntaxes, the preferred one first."""

    single: bool
    syntaxes: tuple[str, ...]

    def syntax_for(self, stored: str) -> str:
        """The one in which an instance goes that is stored in ``stored``; empty where none is possible."""
        return next((wanted for wanted in self.syntaxes if _possible(stored, wanted)), "")


def delivery(asked: Sequence[MediaRange], *, one: bool) -> Delivery:
    """What of the client's wishes can be done: parts by default, a bare instance where only one is asked for."""
    for wish in asked:
        parts = wish.multipart and wish.content in (DICOM, "", "*/*")
        if parts or wish.takes(RELATED) or (wish.takes(DICOM) and one):
            single = one and wish.media_type == DICOM
            same = [each for each in asked if each.multipart == wish.multipart and each.content == wish.content]
            syntaxes = tuple(dict.fromkeys(each.transfer_syntax or EXPLICIT for each in same))
            return Delivery(single, syntaxes)
    raise not_acceptable(asked, f'{RELATED}; type="{DICOM}"')


def transfer_syntax_of(path: Path) -> str:
    """The file's transfer syntax, from its meta information."""
    try:
        return str(read_file_meta_info(path).TransferSyntaxUID)
    except UNREADABLE as error:
        raise InputError(f"{path.stem} cannot be read", found=str(error)) from error


def check(paths: Sequence[Path], wanted: Delivery) -> None:
    """Whether each can be given, before the first byte of the answer."""
    syntaxes = {transfer_syntax_of(path) for path in paths}
    if impossible := [syntax for syntax in syntaxes if not wanted.syntax_for(syntax)]:
        raise NotAcceptableError(
            "not every instance can be given in a transfer syntax that was asked for",
            expected=", ".join(wanted.syntaxes),
            found=f"stored in {', '.join(UID(syntax).name for syntax in sorted(impossible))}",
            remedy="Ask for transfer-syntax=*.",
        )


def content(path: Path, wanted: Delivery) -> tuple[str, Iterator[bytes]]:
    """The transfer syntax and the bytes of a file as it goes out."""
    stored = transfer_syntax_of(path)
    target = wanted.syntax_for(stored)
    if target in (AS_STORED, stored):
        return stored, read(path.open("rb"))
    return target, iter([_converted(path, stored, target)])


def read(file: BinaryIO) -> Iterator[bytes]:
    """The file's bytes; it is closed at the end, or with the iterator."""
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


class Multipart:
    """The frame of a ``multipart/related`` answer (RFC 2387)."""

    def __init__(self, part_type: str) -> None:
        self._boundary = uuid.uuid4().hex
        self.content_type = f'{RELATED}; type="{part_type}"; boundary={self._boundary}'

    def opening(self, content_type: str, location: str = "", length: int | None = None) -> bytes:
        """What stands before a part."""
        lines = [f"--{self._boundary}", f"Content-Type: {content_type}"]
        lines += [f"Content-Location: {location}"] if location else []
        lines += [f"Content-Length: {length}"] if length is not None else []
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    closing = b"\r\n"

    @property
    def end(self) -> bytes:
        """What stands after the last part."""
        return f"--{self._boundary}--\r\n".encode()


def _possible(stored: str, wanted: str) -> bool:
    if wanted in (AS_STORED, stored):
        return True
    uncompressed = wanted in (EXPLICIT, str(ImplicitVRLittleEndian))
    return uncompressed and (is_rewritable(stored) or _decodable(stored))


def _decodable(syntax: str) -> bool:
    try:
        return UID(syntax).is_encapsulated and bool(get_decoder(UID(syntax)).is_available)
    except (NotImplementedError, ValueError):
        return False


def _converted(path: Path, stored: str, target: str) -> bytes:
    """One instance, rewritten or decompressed: this one is in memory."""
    try:
        dataset: FileDataset = dcmread(path)
        if not is_rewritable(stored):
            dataset.decompress(generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = UID(target)
        out = BytesIO()
        dcmwrite(out, dataset, implicit_vr=target == ImplicitVRLittleEndian, little_endian=True)
    except (*UNREADABLE, RuntimeError) as error:
        raise NotAcceptableError(
            f"{path.stem} cannot be decompressed", found=str(error), remedy="Ask for transfer-syntax=*."
        ) from error
    return out.getvalue()
