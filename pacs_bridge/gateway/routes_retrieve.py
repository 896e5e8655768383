"""WADO-RS routes (PS3.18 10.4): instances, metadata, bulk data, frames, pictures."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydicom.uid import UID
from starlette.types import Receive, Scope, Send

from iodeep.errors import InputError
from iodeep.ports import Level
from pacs_bridge.gateway import dicom_json, frames, instances, media, rendered
from pacs_bridge.gateway.cache import Entry, SeriesCache, SeriesKey
from pacs_bridge.gateway.errors import NotThereError
from pacs_bridge.gateway.frames import Frames
from pacs_bridge.gateway.gateway import Access, Parts, key_of
from pacs_bridge.gateway.instances import Delivery, Multipart
from pacs_bridge.gateway.rendered import Rendering

_STUDY = "/studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_MOST_FRAMES = 10_000
T = TypeVar("T")


def add(router: APIRouter, parts: Parts) -> None:
    """The retrieve resources of tables 10.4.1-1 to 10.4.1-4."""
    routes = _Routes(parts)
    paths: dict[str, Callable[[Request], Awaitable[Response]]] = {
        _STUDY: routes.instances,
        _SERIES: routes.instances,
        _INSTANCE: routes.instance,
        f"{_STUDY}/metadata": routes.metadata,
        f"{_SERIES}/metadata": routes.metadata,
        f"{_INSTANCE}/metadata": routes.metadata,
        f"{_INSTANCE}/bulkdata/{{where:path}}": routes.bulk,
        f"{_INSTANCE}/frames/{{numbers}}": routes.frames,
        f"{_INSTANCE}/rendered": routes.rendered,
        f"{_INSTANCE}/frames/{{numbers}}/rendered": routes.rendered,
        f"{_STUDY}/thumbnail": routes.thumbnail,
        f"{_SERIES}/thumbnail": routes.thumbnail,
        f"{_INSTANCE}/thumbnail": routes.thumbnail,
        f"{_INSTANCE}/frames/{{numbers}}/thumbnail": routes.thumbnail,
    }
    for path, answer in paths.items():
        router.add_api_route(path, answer, methods=["GET"], name=f"retrieve {path}")


class _Holding:
    """The series that an answer reads; it is let go when the answer has ended, however it ends."""

    def __init__(self, cache: SeriesCache, entry: Entry) -> None:
        self._cache = cache
        self._entry: Entry | None = entry

    def close(self) -> None:
        """Let go of it, once."""
        entry, self._entry = self._entry, None
        if entry is not None:
            self._cache.release(entry)

    def instead(self, entry: Entry) -> None:
        """Another series is read from now on."""
        self.close()
        self._entry = entry


class _Stream(StreamingResponse):
    """A body that is read from something which is closed with the answer, even where nobody read the body."""

    def __init__(
        self,
        body: AsyncIterator[bytes],
        media_type: str,
        closes: Callable[[], None],
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._closes = closes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._closes()


class _Routes:
    """One method a kind of resource."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._workers = parts.workers

    async def instances(self, request: Request) -> Response:
        """A study or a series, a series at a time."""
        wanted = instances.delivery(media.wishes(request), one=False)
        keys = await self._keys(request)
        first = await self._hold(request, keys[0])
        try:
            await self._workers.short(lambda: instances.check(list(first.paths.values()), wanted))
        except BaseException:
            self._parts.cache.release(first)
            raise
        frame = Multipart(media.DICOM)
        root = self._parts.root(request)

        def pieces(key: SeriesKey, entry: Entry) -> Iterator[bytes]:
            for uid, path in entry.paths.items():
                yield from _part(frame, path, wanted, f"{_url(root, key)}/instances/{uid}")

        return self._series_by_series(keys, first, pieces, frame.content_type, (b"", b"", frame.end))

    async def instance(self, request: Request) -> Response:
        """One instance, bare or as the only part."""
        wanted = instances.delivery(media.wishes(request), one=True)
        key, uid = key_of(request), request.path_params["instance"]
        entry = await self._hold(request, key)
        try:
            path = _path(entry, uid)
            await self._workers.short(lambda: instances.check([path], wanted))
        except BaseException:
            self._parts.cache.release(entry)
            raise
        if wanted.single:
            syntax, content = await self._workers.short(lambda: instances.content(path, wanted))
            return self._stream(entry, content, f"{media.DICOM}; transfer-syntax={syntax}")
        frame = Multipart(media.DICOM)
        part = _part(frame, path, wanted, f"{_url(self._parts.root(request), key)}/instances/{uid}")
        return self._stream(entry, _followed(part, frame.end), frame.content_type)

    async def metadata(self, request: Request) -> Response:
        """DICOM JSON of a study, a series or an instance, with URIs in place of bulk data."""
        media_type = media.require_json(request)
        uid = request.path_params.get("instance")
        keys = await self._keys(request)
        first = await self._hold(request, keys[0])
        if uid is not None and uid not in first.uids:
            self._parts.cache.release(first)
            raise NotThereError(f"the archive has no instance {uid} in this series", remedy="Check the UIDs.")
        root = self._parts.root(request)

        def pieces(key: SeriesKey, entry: Entry) -> Iterator[bytes]:
            chosen = {uid: entry.path(uid)} if uid is not None else entry.paths
            return _joined(_metadata(path, f"{_url(root, key)}/instances/{each}") for each, path in chosen.items())

        return self._series_by_series(keys, first, pieces, media_type, (b"[", b",", b"]"))

    async def bulk(self, request: Request) -> Response:
        """One bulk value, as a part or bare."""
        single = _bare(request, media.OCTETS)
        where = request.path_params["where"]
        entry = await self._hold(request, key_of(request))
        try:
            path = _path(entry, request.path_params["instance"])
            bulk = await self._workers.short(lambda: dicom_json.bulk(path, where))
        except BaseException:
            self._parts.cache.release(entry)
            raise
        if bulk.encapsulated:
            self._parts.cache.release(entry)
            return await self._frames(request, None)
        body = _slice(path, bulk)
        if single:
            headers = {"Content-Length": str(bulk.length)}
            return self._stream(entry, body, media.OCTETS, headers)
        frame = Multipart(media.OCTETS)
        opening = frame.opening(media.OCTETS, str(request.url), bulk.length)
        whole = _followed(body, frame.closing + frame.end, opening)
        return self._stream(entry, whole, frame.content_type)

    async def frames(self, request: Request) -> Response:
        """Frames by their numbers (PS3.18 10.4.1.1.6)."""
        return await self._frames(request, _numbers(request.path_params["numbers"]))

    async def rendered(self, request: Request) -> Response:
        """A frame as a picture; the first where none is named."""
        how = rendered.rendering_of(request.query_params, _picture_type(request))
        headers = {}
        if values := request.query_params.get("annotation"):
            words = f"The following annotation values are not supported: {values}"
            headers["Warning"] = f"299 {self._parts.root(request)}: {words}"
        return await self._picture(request, how, headers)

    async def thumbnail(self, request: Request) -> Response:
        """A small picture of the frame, or of the one in the middle."""
        how = rendered.rendering_of(request.query_params, _picture_type(request), thumbnail=True)
        return await self._picture(request, how, {})

    async def _picture(self, request: Request, how: Rendering, headers: dict[str, str]) -> Response:
        named = request.path_params.get("numbers")
        numbers = _numbers(named) if named else [0]
        if len(numbers) != 1:
            raise InputError("one frame is drawn at a time", found=named)
        key, uid = await self._middle(request)

        def draw(cancel: threading.Event) -> tuple[bytes, int]:
            with closing(self._opened(key, uid, cancel)) as file:
                count = rendered.frame_count(file)
                return rendered.render(file, numbers[0] or _shown(request, count), how), count

        picture, count = await self._told(request, key, 1, draw)
        if not named and count > 1 and "Warning" not in headers:
            words = f"Only one of {count} frames is shown; name it by /frames/NUMBER/rendered"
            headers["Warning"] = f"299 {self._parts.root(request)}: {words}"
        return Response(picture, headers=headers, media_type=how.media_type)

    async def _frames(self, request: Request, numbers: list[int] | None) -> Response:
        asked = media.wishes(request)
        key, uid = key_of(request), request.path_params["instance"]

        def opened(cancel: threading.Event) -> tuple[BinaryIO, Frames]:
            file = self._opened(key, uid, cancel)
            try:
                return file, frames.frames_of(file)
            except BaseException:
                file.close()
                raise

        file, found = await self._told(request, key, 1, opened, lambda pair: pair[0].close())
        try:
            wanted = numbers or list(range(1, found.count + 1))
            how = _frame_type(asked, found, one=len(wanted) == 1)
            first = await self._workers.short(lambda: how.read(file, found, wanted[0]))
        except BaseException:
            file.close()
            raise
        if how.single:
            file.close()
            return Response(first, media_type=how.content_type)
        frame = Multipart(how.media_type)
        url = f"{_url(self._parts.root(request), key)}/instances/{uid}/frames"

        def pieces() -> Iterator[bytes]:
            with file:
                for number in wanted:
                    octets = first if number == wanted[0] else how.read(file, found, number)
                    yield frame.opening(how.content_type, f"{url}/{number}", len(octets)) + octets + frame.closing
            yield frame.end

        return _Stream(self._workers.stream(pieces()), frame.content_type, file.close)

    def _opened(self, key: SeriesKey, uid: str, cancel: threading.Event) -> BinaryIO:
        return self._parts.cache.instance(key, uid, self._parts.source(key), cancel)

    async def _told(
        self,
        request: Request,
        key: SeriesKey,
        count: int,
        work: Callable[[threading.Event], T],
        unwanted: Callable[[T], None] = lambda _: None,
    ) -> T:
        """Work on a series, after its access was recorded."""

        def recorded(cancel: threading.Event) -> T:
            self._parts.accessed(request, Access("retrieve", key.pacs, key.study, key.series, count))
            return work(cancel)

        return await self._workers.run(request, recorded, unwanted)

    async def _hold(self, request: Request, key: SeriesKey) -> Entry:
        cache = self._parts.cache
        return await self._told(
            request, key, 0, lambda cancel: cache.hold(key, self._parts.source(key), cancel), cache.release
        )

    async def _keys(self, request: Request) -> list[SeriesKey]:
        """The series that a path means: its own, or all of its study."""
        key = key_of(request)
        if key.series:
            return [key]
        found = await self._workers.run(request, lambda _: self._series_of(key))
        if not found:
            raise NotThereError(f"the archive has no study {key.study}", remedy="Check the UID.")
        return [SeriesKey(key.pacs, key.study, series) for series in found]

    def _series_of(self, key: SeriesKey) -> list[str]:
        with self._parts.pool.archive(key.pacs) as archive:
            answers = archive.find(Level.SERIES, {"StudyInstanceUID": key.study}, ["Modality"])
        pictures_first = sorted(answers, key=lambda each: (each["Modality"] in _NO_PICTURES, each["SeriesInstanceUID"]))
        return [each["SeriesInstanceUID"] for each in pictures_first]

    async def _middle(self, request: Request) -> tuple[SeriesKey, str]:
        """The instance that a path names, or the one in the middle of its series."""
        key = (await self._keys(request))[0]
        if uid := request.path_params.get("instance"):
            return key, uid

        def middle(_: threading.Event) -> str:
            match = {"StudyInstanceUID": key.study, "SeriesInstanceUID": key.series}
            with self._parts.pool.archive(key.pacs) as archive:
                found = archive.find(Level.IMAGE, match, ["InstanceNumber"])
            if not found:
                raise NotThereError(f"the archive has nothing of series {key.series}", remedy="Check the UIDs.")
            ordered = sorted(found, key=lambda each: (_whole(each["InstanceNumber"]), each["SOPInstanceUID"]))
            return ordered[len(ordered) // 2]["SOPInstanceUID"]

        return key, await self._workers.run(request, middle)

    def _series_by_series(
        self,
        keys: Sequence[SeriesKey],
        first: Entry,
        pieces: Callable[[SeriesKey, Entry], Iterator[bytes]],
        media_type: str,
        around: tuple[bytes, bytes, bytes],
    ) -> Response:
        """What each series gives, fetched when the one before has been taken; one at a time is held.

        ``around``: what stands before, between and after the series.
        """
        holding = _Holding(self._parts.cache, first)
        opening, between, end = around

        async def body() -> AsyncIterator[bytes]:
            entry = first
            yield opening
            for number, key in enumerate(keys):
                if number:
                    entry = await self._next(key)
                    holding.instead(entry)
                    yield between
                async for piece in self._workers.stream(pieces(key, entry)):
                    yield piece
            yield end

        return _Stream(body(), media_type, holding.close)

    def _stream(
        self, entry: Entry, pieces: Iterator[bytes], media_type: str, headers: dict[str, str] | None = None
    ) -> Response:
        holding = _Holding(self._parts.cache, entry)
        return _Stream(self._workers.stream(pieces), media_type, holding.close, headers)

    async def _next(self, key: SeriesKey) -> Entry:
        cache, source = self._parts.cache, self._parts.source(key)
        return await self._workers.alone(
            lambda cancel: cache.hold(key, source, cancel), threading.Event(), cache.release
        )


_NO_PICTURES = frozenset({"SR", "PR", "KO", "OT", "DOC", "RTSTRUCT", "RTPLAN", "SEG", "REG"})


class _FrameType:
    """How frames go out: their media type, decoded or as stored, one bare or all as parts."""

    def __init__(self, found: Frames, *, as_stored: bool, single: bool) -> None:
        syntax = found.transfer_syntax if as_stored and found.encapsulated else media.EXPLICIT
        self.media_type = media.MEDIA_TYPE_OF.get(syntax, media.OCTETS)
        self.content_type = f"{self.media_type}; transfer-syntax={syntax}"
        self.single = single
        self.read = frames.stored if as_stored else frames.decoded


def _frame_type(asked: Sequence[media.MediaRange], found: Frames, *, one: bool) -> _FrameType:
    """The first of the client's wishes that can be met (PS3.18 8.7.3.3)."""
    stored_as = media.MEDIA_TYPE_OF.get(found.transfer_syntax, media.OCTETS)
    for wish in asked:
        content, syntax = wish.content, wish.transfer_syntax
        single = one and not wish.multipart and wish.media_type in (media.OCTETS, stored_as)
        if content in (stored_as, "image/*") and found.encapsulated and syntax in ("", "*", found.transfer_syntax):
            return _FrameType(found, as_stored=True, single=single)
        if content in (media.OCTETS, "", "*/*", media.RELATED, "multipart/*") or wish.media_type == media.ANY:
            if syntax in (media.AS_STORED, found.transfer_syntax):
                return _FrameType(found, as_stored=True, single=single)
            if syntax in ("", media.EXPLICIT):
                return _FrameType(found, as_stored=False, single=single)
    raise media.not_acceptable(asked, media.OCTETS, f"{stored_as} ({UID(found.transfer_syntax).name})")


def _picture_type(request: Request) -> str:
    """JPEG unless the client would rather have PNG."""
    for wish in media.wishes(request):
        for possible in rendered.FORMATS:
            if wish.takes(possible):
                return possible
    raise media.not_acceptable(media.wishes(request), *rendered.FORMATS)


def _bare(request: Request, media_type: str) -> bool:
    """Whether the client wants the value alone rather than as a part."""
    for wish in media.wishes(request):
        if wish.media_type == media_type:
            return True
        if wish.takes(media.RELATED) and wish.content in (media_type, "", "*/*", media.ANY):
            return False
    raise media.not_acceptable(media.wishes(request), media_type, f'{media.RELATED}; type="{media_type}"')


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.replace("%2C", ",").split(",") if part.isdecimal() and len(part) < 9]
    if not numbers or len(numbers) != len(text.replace("%2C", ",").split(",")) or len(numbers) > _MOST_FRAMES:
        raise InputError("the list of frames is ill-formed", expected="numbers from 1 with commas between", found=text)
    return numbers


def _shown(request: Request, count: int) -> int:
    return (count + 1) // 2 if request.url.path.endswith("/thumbnail") else 1


def _whole(text: str) -> int:
    return int(text) if text.strip().lstrip("-").isdecimal() else 0


def _url(root: str, key: SeriesKey) -> str:
    return f"{root}/studies/{key.study}/series/{key.series}"


def _path(entry: Entry, uid: str) -> Path:
    if uid not in entry.uids:
        raise NotThereError(f"the archive has no instance {uid} in this series", remedy="Check the UIDs.")
    return entry.path(uid)


def _part(frame: Multipart, path: Path, wanted: Delivery, location: str) -> Iterator[bytes]:
    syntax, content = instances.content(path, wanted)
    yield frame.opening(f"{media.DICOM}; transfer-syntax={syntax}", location)
    yield from content
    yield frame.closing


def _metadata(path: Path, url: str) -> bytes:
    document = dicom_json.metadata(path, lambda where: f"{url}/bulkdata/{where}")
    return json.dumps(document, ensure_ascii=False).encode()


def _joined(documents: Iterator[bytes]) -> Iterator[bytes]:
    for number, document in enumerate(documents):
        yield (b"," if number else b"") + document


def _followed(body: Iterator[bytes], end: bytes, opening: bytes = b"") -> Iterator[bytes]:
    yield opening
    yield from body
    yield end


def _slice(path: Path, bulk: dicom_json.Bulk) -> Iterator[bytes]:
    if bulk.value is not None:
        yield bulk.value
        return
    with path.open("rb") as file:
        file.seek(bulk.offset)
        left = bulk.length
        while left and (chunk := file.read(min(instances.CHUNK, left))):
            left -= len(chunk)
            yield chunk
