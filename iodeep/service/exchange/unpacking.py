"""Media from a folder, a ZIP file or a sealed one, as a folder of plain files whose listing was accepted.

A folder is used where it lies. A ZIP file is unpacked into a folder of our own, entry by entry, each no longer than it said.
"""

from __future__ import annotations

import shutil
import struct
import zipfile
import zlib
from pathlib import Path

from iodeep.errors import InputError, IntegrityError, LocalStorageError
from iodeep.model_object.local_files import storage_errors
from iodeep.ports import Progress, ProgressSink, no_progress
from iodeep.service.exchange.listing import Entry, list_folder, list_zip, opened_zip
from iodeep.service.exchange.sealing import is_sealed, unseal

_CHUNK = 1 << 20


def open_media(
    media: Path, workspace: Path, *, key: Path | None = None, progress: ProgressSink = no_progress
) -> tuple[Path, list[Entry]]:
    """The folder with the media's files, and what is in it. ``key``: opens what was encrypted to us.

    Raises ObjectError for anything about the listing, IntegrityError for bytes that are not those that were packed,
    InputError where ``media`` is neither; then nothing of it is in ``workspace``.
    """
    if media.is_dir():
        return media, list_folder(media)
    if not media.is_file():
        raise InputError(f"{media} does not exist", expected="a folder or a ZIP file that `iodeep export` wrote")
    if is_sealed(media):
        opened = workspace / "opened.zip"
        unseal(media, key, opened)
        return open_media(opened, workspace, progress=progress)
    if key is not None:
        raise InputError(f"{media} is not encrypted", remedy="Leave --key out.")
    folder = workspace / "media"
    return folder, _unpack(media, folder, progress)


def _unpack(path: Path, folder: Path, progress: ProgressSink) -> list[Entry]:
    with opened_zip(path) as archive:
        listed = list_zip(archive)
        total = sum(entry.length for entry, _ in listed)
        _need_room(folder.parent, total)
        try:
            done = 0
            for entry, info in listed:
                _extract(archive, info, entry, folder.joinpath(*entry.parts))
                done += entry.length
                progress(Progress("unpack", done, total, "bytes"))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return [entry for entry, _ in listed]


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, entry: Entry, target: Path) -> None:
    """``zipfile`` hands out no more than the declared length, and checks the CRC at its end."""
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    with file:
        written = 0
        try:
            with archive.open(info) as packed:
                while piece := packed.read(_CHUNK):
                    written += len(piece)
                    with storage_errors(target):
                        file.write(piece)
        except (
            zipfile.BadZipFile,
            zlib.error,
            struct.error,
            EOFError,
            OSError,
            NotImplementedError,
            ValueError,
        ) as error:
            raise _damaged(entry, str(error)) from error
        if written != entry.length:
            raise _damaged(entry, f"{written} of {entry.length} bytes")


def _damaged(entry: Entry, found: str) -> IntegrityError:
    return IntegrityError(
        f"{entry.name} in the ZIP file is damaged",
        found=found,
        remedy="Ask the hospital that gave it for another copy.",
    )


def _need_room(folder: Path, length: int) -> None:
    free = shutil.disk_usage(folder).free
    if length > free:
        raise LocalStorageError(
            f"there is no room to unpack the media in {folder}",
            expected=f"{length} bytes",
            found=f"{free} bytes",
            remedy="Free some space, or set TMPDIR to a folder on another disk.",
        )
