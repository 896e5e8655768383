"""What a WADO-RS answer is made of (PS3.18 8.7, 10.4): media types, frame numbers, and the pieces of bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from fastapi import Request
from pydicom.uid import UID

from iodeep.errors import InputError
from pacs_bridge.gateway import dicom_json, frames, instances, media, rendered
from pacs_bridge.gateway.cache import Entry, SeriesKey
from pacs_bridge.gateway.errors import NotThereError
from pacs_bridge.gateway.frames import Frames
from pacs_bridge.gateway.instances import Delivery, Multipart

_MOST_FRAMES = 10_000


class FrameType:
    """How frames go out: their media type, decoded or as stored, one bare or all as parts."""

    def __init__(self, found: Frames, *, as_stored: bool, single: bool) -> None:
        syntax = found.transfer_syntax if as_stored and found.encapsulated else media.EXPLICIT
        self.media_type = media.MEDIA_TYPE_OF.get(syntax, media.OCTETS)
        self.content_type = f"{self.media_type}; transfer-syntax={syntax}"
        self.single = single
        self.read = frames.stored if as_stored else frames.decoded


def frame_type(asked: Sequence[media.MediaRange], found: Frames, *, one: bool) -> FrameType:
    """The first of the client's wishes that can be met (PS3.18 8.7.3.3)."""
    stored_as = media.MEDIA_TYPE_OF.get(found.transfer_syntax, media.OCTETS)
    for wish in asked:
        content, syntax = wish.content, wish.transfer_syntax
        single = one and not wish.multipart and wish.media_type in (media.OCTETS, stored_as)
        if content in (stored_as, "image/*") and found.encapsulated and syntax in ("", "*", found.transfer_syntax):
            return FrameType(found, as_stored=True, single=single)
        if content in (media.OCTETS, "", "*/*", media.RELATED, "multipart/*") or wish.media_type == media.ANY:
            if syntax in (media.AS_STORED, found.transfer_syntax):
                return FrameType(found, as_stored=True, single=single)
            if syntax in ("", media.EXPLICIT):
                return FrameType(found, as_stored=False, single=single)
    raise media.not_acceptable(asked, media.OCTETS, f"{stored_as} ({UID(found.transfer_syntax).name})")


def picture_type(request: Request) -> str:
    """JPEG unless the client would rather have PNG."""
    for wish in media.wishes(request):
        for possible in rendered.FORMATS:
            if wish.takes(possible):
                return possible
    raise media.not_acceptable(media.wishes(request), *rendered.FORMATS)


def asked_bare(request: Request, media_type: str) -> bool:
    """Whether the client wants the value alone rather than as a part."""
    for wish in media.wishes(request):
        if wish.media_type == media_type:
            return True
        if wish.takes(media.RELATED) and wish.content in (media_type, "", "*/*", media.ANY):
            return False
    raise media.not_acceptable(media.wishes(request), media_type, f'{media.RELATED}; type="{media_type}"')


def frame_numbers(text: str) -> list[int]:
    """The frames that a frame list names (PS3.18 10.4.1.1.6), from 1. Errors: :class:`iodeep.errors.InputError`."""
    numbers = [int(part) for part in text.replace("%2C", ",").split(",") if part.isdecimal() and len(part) < 9]
    if not numbers or len(numbers) != len(text.replace("%2C", ",").split(",")) or len(numbers) > _MOST_FRAMES:
        raise InputError("the list of frames is ill-formed", expected="numbers from 1 with commas between", found=text)
    return numbers


def frame_shown(request: Request, count: int) -> int:
    """Which of ``count`` frames a picture shows where none is named: the first, or the middle one for a thumbnail."""
    return (count + 1) // 2 if request.url.path.endswith("/thumbnail") else 1


def whole_number(text: str) -> int:
    """A number as data sets have it in text; 0 where there is none."""
    return int(text) if text.strip().lstrip("-").isdecimal() else 0


def retrieve_url(root: str, key: SeriesKey) -> str:
    """Where a series is retrieved."""
    return f"{root}/studies/{key.study}/series/{key.series}"


def instance_path(entry: Entry, uid: str) -> Path:
    """The file of an instance. Errors: :class:`NotThereError`."""
    if uid not in entry.uids:
        raise NotThereError(f"the archive has no instance {uid} in this series", remedy="Check the UIDs.")
    return entry.path(uid)


def body_part(frame: Multipart, path: Path, wanted: Delivery, location: str) -> Iterator[bytes]:
    """An instance as one part of a multipart body."""
    syntax, content = instances.content(path, wanted)
    yield frame.opening(f"{media.DICOM}; transfer-syntax={syntax}", location)
    yield from content
    yield frame.closing


def metadata_of(path: Path, url: str) -> bytes:
    """An instance without its bulk data, as DICOM JSON (PS3.18 F)."""
    document = dicom_json.metadata(path, lambda where: f"{url}/bulkdata/{where}")
    return json.dumps(document, ensure_ascii=False).encode()


def json_array(documents: Iterator[bytes]) -> Iterator[bytes]:
    """Documents as one JSON array, as they come; the brackets are the caller's."""
    for number, document in enumerate(documents):
        yield (b"," if number else b"") + document


def followed_by(body: Iterator[bytes], end: bytes, opening: bytes = b"") -> Iterator[bytes]:
    """A body with what stands before and after it."""
    yield opening
    yield from body
    yield end


def bulk_bytes(path: Path, bulk: dicom_json.Bulk) -> Iterator[bytes]:
    """What a bulk data URI names, in pieces."""
    if bulk.value is not None:
        yield bulk.value
        return
    with path.open("rb") as file:
        file.seek(bulk.offset)
        left = bulk.length
        while left and (chunk := file.read(min(instances.CHUNK, left))):
            left -= len(chunk)
            yield chunk
