"""Files go to an archive, and are proved to be there: storing is not stored until verified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from iodeep.errors import InputError
from iodeep.model_object import ObjectKind, recognise
from iodeep.ports import Archive, Cancellation, ProgressSink, StoreReport, no_progress

_PREAMBLE = 128
_MAGIC = b"DICM"


def dicom_files(paths: Sequence[Path]) -> list[Path]:
    """The DICOM files among ``paths`` and in their folders; a file that was named and isn't DICOM is an error."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist", expected="DICOM files, or folders of them")
        if path.is_dir():
            found += [file for file in sorted(path.rglob("*")) if file.is_file() and _is_dicom(file)]
        elif _is_dicom(path):
            found.append(path)
        else:
            raise InputError(
                f"{path} is not a DICOM file",
                expected="the letters DICM after 128 bytes (PS3.10 7.1)",
                remedy="Convert it first; to store a network, pack it: iodeep pack.",
            )
    found = [file for file in dict.fromkeys(found) if file.name != "DICOMDIR"]
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: no DICOM file in there")
    return found


def store_and_prove(
    archive: Archive,
    files: Sequence[Path],
    *,
    progress: ProgressSink = no_progress,
    cancel: Cancellation | None = None,
) -> StoreReport:
    """Send, find again, retrieve and compare; raises where anything is refused, missing or altered.

    Models' descriptors go last, so that a model is found only once its parts are there.
    """
    files = sorted(files, key=lambda path: recognise(path).kind is ObjectKind.DESCRIPTOR)
    report = archive.store(files, progress=progress, cancel=cancel)
    archive.verify_stored(files, progress=progress)
    return report


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(_PREAMBLE + 4)[_PREAMBLE:] == _MAGIC
