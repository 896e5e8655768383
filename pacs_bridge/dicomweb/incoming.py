"""WADO-RS (PS3.18 10.4): instances on their way to files, streamed; what is cut off or not asked for is an error."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from iodeep.errors import ArchiveError, InputError, LocalStorageError
from iodeep.ports import Wanted
from pacs_bridge.dicomweb.http import Service, excerpt, raise_for_status
from pacs_bridge.dicomweb.multipart import CHUNK, MultipartError, PartReader, parameters_of
from pacs_bridge.part10 import Instance, read_instance

ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_DICOM = "application/dicom"
_UNFINISHED = "incoming.part"


def urls_of(root: str, wanted: Wanted) -> list[str]:
    """One address for a study or series, one each for named instances."""
    if wanted.instances and not wanted.series:
        raise InputError("instances can be fetched of a series only", remedy="Name the series too.")
    entity = f"{root}/studies/{wanted.study}" + (f"/series/{wanted.series}" if wanted.series else "")
    return [f"{entity}/instances/{uid}" for uid in wanted.instances] or [entity]


@contextmanager
def folder_for(into: Path) -> Iterator[Path]:
    """A folder beside the final files that is gone afterwards; ``into`` too, where it was made and nothing came."""
    existed = into.exists()
    try:
        into.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=into))
    except OSError as error:
        raise LocalStorageError(
            f"{into} cannot be written: {error.strerror}", remedy="Choose another folder."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not existed:
            with suppress(OSError):
                into.rmdir()


def receive(
    service: Service, url: str, wanted: Wanted, folder: Path, received: Callable[[int], None]
) -> Iterator[Instance]:
    """Each instance that the address gives, as ``UID.dcm`` in ``folder``; ``received`` is told counts of bytes."""
    with service.speaking(url):
        headers = {"Accept": ACCEPT}
        with service.session.get(url, headers=headers, stream=True, timeout=service.timeout) as response:
            raise_for_status(url, response)
            try:
                for body in _bodies(url, response):
                    _write(folder / _UNFINISHED, body, received)
                    yield _kept(url, wanted, folder)
            except MultipartError as error:
                raise _cut_off(url, str(error)) from error


def move(folder: Path, uids: list[str], into: Path) -> list[Path]:
    """The complete files at their final place, in the order of ``uids``."""
    try:
        return [(folder / f"{uid}.dcm").replace(into / f"{uid}.dcm") for uid in uids]
    except OSError as error:
        raise LocalStorageError(f"{into} cannot be written: {error.strerror}") from error


def _bodies(url: str, response: requests.Response) -> Iterator[Iterator[bytes]]:
    """The content of each part; a server may give a single instance bare (PS3.18 8.7.4)."""
    media_type, parameters = parameters_of(response.headers.get("Content-Type", ""))
    if media_type == _DICOM:
        yield response.iter_content(CHUNK)
    elif media_type == "multipart/related" and parameters.get("boundary"):
        yield from _parts(url, PartReader(response.iter_content(CHUNK), parameters["boundary"]))
    else:
        raise _not_dicom(url, media_type, excerpt(response))


def _parts(url: str, reader: PartReader) -> Iterator[Iterator[bytes]]:
    while (header := reader.next_part()) is not None:
        media_type, _ = parameters_of(header.get("content-type", _DICOM))
        if media_type != _DICOM:
            raise _not_dicom(url, media_type, "")
        yield reader.body()


def _write(path: Path, body: Iterator[bytes], received: Callable[[int], None]) -> None:
    try:
        file = path.open("wb")
    except OSError as error:
        raise _not_written(path, error) from error
    with file:
        for chunk in body:
            try:
                file.write(chunk)
            except OSError as error:
                raise _not_written(path, error) from error
            received(len(chunk))


def _kept(url: str, wanted: Wanted, folder: Path) -> Instance:
    """The file under its UID, if it is what was asked for."""
    try:
        instance = read_instance(folder / _UNFINISHED)
    except InputError as error:
        raise _cut_off(url, error.problem) from error
    asked = (wanted.study, wanted.series or instance.series)
    if (instance.study, instance.series) != asked or (wanted.instances and instance.uid not in wanted.instances):
        raise ArchiveError(
            f"{url}: the archive gave an instance that was not asked for",
            found=f"{instance.uid} of series {instance.series}",
            remedy="Look into the server's log; nothing was kept.",
        )
    return _renamed(instance, folder / f"{instance.uid}.dcm")


def _renamed(instance: Instance, path: Path) -> Instance:
    instance.path.replace(path)
    return Instance(
        path,
        instance.sop_class,
        instance.uid,
        instance.transfer_syntax,
        instance.study,
        instance.series,
        instance.offset,
        instance.length,
    )


def _not_written(path: Path, error: OSError) -> LocalStorageError:
    return LocalStorageError(
        f"{path.parent} cannot be written: {error.strerror}", remedy="Make room, or choose another."
    )


def _cut_off(url: str, problem: str) -> ArchiveError:
    return ArchiveError(
        f"{url}: the answer is not whole", found=problem, remedy="Try again; if it stays, look into the server's log."
    )


def _not_dicom(url: str, media_type: str, said: str) -> ArchiveError:
    return ArchiveError(
        f"{url}: the archive gave something else than DICOM files",
        expected="multipart/related with application/dicom",
        found=f"{media_type or 'no content type'} {said}".strip(),
        remedy="Check that the address is the DICOMweb root.",
    )
