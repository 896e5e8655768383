"""WADO-RS routes (PS3.18 10.4): instances, metadata, bulk data, frames, pictures."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from typing import BinaryIO, TypeVar

from fastapi import APIRouter, Request, Response

from iodeep.errors import InputError
from iodeep.ports import Level
from pacs_bridge.gateway import dicom_json, frames, instances, media, rendered
from pacs_bridge.gateway.cache import Entry, SeriesKey
from pacs_bridge.gateway.errors import NotThereError
from pacs_bridge.gateway.frames import Frames
from pacs_bridge.gateway.gateway import Access, Parts, key_of
from pacs_bridge.gateway.instances import Multipart
from pacs_bridge.gateway.rendered import Rendering
from pacs_bridge.gateway.retrieve_answers import (
    asked_bare,
    body_part,
    bulk_bytes,
    followed_by,
    frame_numbers,
    frame_shown,
    frame_type,
    instance_path,
    json_array,
    metadata_of,
    picture_type,
    retrieve_url,
    whole_number,
)
from pacs_bridge.gateway.streams import Holding, Stream

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
                yield from body_part(frame, path, wanted, f"{retrieve_url(root, key)}/instances/{uid}")

        return self._series_by_series(keys, first, pieces, frame.content_type, (b"", b"", frame.end))

    async def instance(self, request: Request) -> Response:
        """One instance, bare or as the only part."""
        wanted = instances.delivery(media.wishes(request), one=True)
        key, uid = key_of(request), request.path_params["instance"]
        entry = await self._hold(request, key)
        try:
            path = instance_path(entry, uid)
            await self._workers.short(lambda: instances.check([path], wanted))
        except BaseException:
            self._parts.cache.release(entry)
            raise
        if wanted.single:
            syntax, content = await self._workers.short(lambda: instances.content(path, wanted))
            return self._stream(entry, content, f"{media.DICOM}; transfer-syntax={syntax}")
        frame = Multipart(media.DICOM)
        part = body_part(frame, path, wanted, f"{retrieve_url(self._parts.root(request), key)}/instances/{uid}")
        return self._stream(entry, followed_by(part, frame.end), frame.content_type)

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
            return json_array(
                metadata_of(path, f"{retrieve_url(root, key)}/instances/{each}") for each, path in chosen.items()
            )

        return self._series_by_series(keys, first, pieces, media_type, (b"[", b",", b"]"))

    async def bulk(self, request: Request) -> Response:
        """One bulk value, as a part or bare."""
        single = asked_bare(request, media.OCTETS)
        where = request.path_params["where"]
        entry = await self._hold(request, key_of(request))
        try:
            path = instance_path(entry, request.path_params["instance"])
            bulk = await self._workers.short(lambda: dicom_json.bulk(path, where))
        except BaseException:
            self._parts.cache.release(entry)
            raise
        if bulk.encapsulated:
            self._parts.cache.release(entry)
            return await self._frames(request, None)
        body = bulk_bytes(path, bulk)
        if single:
            headers = {"Content-Length": str(bulk.length)}
            return self._stream(entry, body, media.OCTETS, headers)
        frame = Multipart(media.OCTETS)
        opening = frame.opening(media.OCTETS, str(request.url), bulk.length)
        whole = followed_by(body, frame.closing + frame.end, opening)
        return self._stream(entry, whole, frame.content_type)

    async def frames(self, request: Request) -> Response:
        """Frames by their numbers (PS3.18 10.4.1.1.6)."""
        return await self._frames(request, frame_numbers(request.path_params["numbers"]))

    async def rendered(self, request: Request) -> Response:
        """A frame as a picture; the first where none is named."""
        how = rendered.rendering_of(request.query_params, picture_type(request))
        headers = {}
        if values := request.query_params.get("annotation"):
            words = f"The following annotation values are not supported: {values}"
            headers["Warning"] = f"299 {self._parts.root(request)}: {words}"
        return await self._picture(request, how, headers)

    async def thumbnail(self, request: Request) -> Response:
        """A small picture of the frame, or of the one in the middle."""
        how = rendered.rendering_of(request.query_params, picture_type(request), thumbnail=True)
        return await self._picture(request, how, {})

    async def _picture(self, request: Request, how: Rendering, headers: dict[str, str]) -> Response:
        named = request.path_params.get("numbers")
        numbers = frame_numbers(named) if named else [0]
        if len(numbers) != 1:
            raise InputError("one frame is drawn at a time", found=named)
        key, uid = await self._middle(request)

        def draw(cancel: threading.Event) -> tuple[bytes, int]:
            with closing(self._opened(key, uid, cancel)) as file:
                count = rendered.frame_count(file)
                return rendered.render(file, numbers[0] or frame_shown(request, count), how), count

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
            how = frame_type(asked, found, one=len(wanted) == 1)
            first = await self._workers.short(lambda: how.read(file, found, wanted[0]))
        except BaseException:
            file.close()
            raise
        if how.single:
            file.close()
            return Response(first, media_type=how.content_type)
        frame = Multipart(how.media_type)
        url = f"{retrieve_url(self._parts.root(request), key)}/instances/{uid}/frames"

        def pieces() -> Iterator[bytes]:
            with file:
                for number in wanted:
                    octets = first if number == wanted[0] else how.read(file, found, number)
                    yield frame.opening(how.content_type, f"{url}/{number}", len(octets)) + octets + frame.closing
            yield frame.end

        return Stream(self._workers.stream(pieces()), frame.content_type, file.close)

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
            ordered = sorted(found, key=lambda each: (whole_number(each["InstanceNumber"]), each["SOPInstanceUID"]))
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
        holding = Holding(self._parts.cache, first)
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

        return Stream(body(), media_type, holding.close)

    def _stream(
        self, entry: Entry, pieces: Iterator[bytes], media_type: str, headers: dict[str, str] | None = None
    ) -> Response:
        holding = Holding(self._parts.cache, entry)
        return Stream(self._workers.stream(pieces), media_type, holding.close, headers)

    async def _next(self, key: SeriesKey) -> Entry:
        cache, source = self._parts.cache, self._parts.source(key)
        return await self._workers.alone(
            lambda cancel: cache.hold(key, source, cancel), threading.Event(), cache.release
        )


_NO_PICTURES = frozenset({"SR", "PR", "KO", "OT", "DOC", "RTSTRUCT", "RTPLAN", "SEG", "REG"})
