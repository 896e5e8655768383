"""Results as files: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset

from iodeep.errors import LocalStorageError
from iodeep.results.building import Results

Writer = Callable[[BinaryIO], None]


def write_results(results: Results, folder: Path) -> list[Path]:
    """Write each data set as ``<SOP Instance UID>.dcm`` (PS3.10, Explicit VR Little Endian); gives the paths.

    Errors: :class:`iodeep.errors.LocalStorageError`; nothing half-written stays.
    """
    return write_files({folder / f"{dataset.SOPInstanceUID}.dcm": _part_10(dataset) for dataset in results.datasets})


def write_files(writers: Mapping[Path, Writer]) -> list[Path]:
    """Write all files, and give them their names only once every one is on disk."""
    partials = {path: path.with_name(f"{path.name}.partial") for path in writers}
    try:
        for path in writers:
            path.parent.mkdir(parents=True, exist_ok=True)
        _write_all(writers, partials)
    except OSError as error:
        raise LocalStorageError(
            f"{error.filename or next(iter(writers)).parent} cannot be written: {error.strerror}",
            remedy="Free space there or choose another folder; nothing half-written was left.",
        ) from error
    return list(writers)


def _write_all(writers: Mapping[Path, Writer], partials: Mapping[Path, Path]) -> None:
    try:
        for path, writer in writers.items():
            _write(partials[path], writer)
        for path, partial in partials.items():
            partial.replace(path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)


def _part_10(dataset: Dataset) -> Writer:
    def write(file: BinaryIO) -> None:
        dataset.save_as(file, enforce_file_format=True)

    return write


def _write(path: Path, writer: Writer) -> None:
    with path.open("wb") as file:
        writer(file)
        file.flush()
        os.fsync(file.fileno())
