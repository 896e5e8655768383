"""Results as DICOM files: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from pydicom.dataset import Dataset

from iodeep.errors import LocalStorageError
from iodeep.results.building import Results


def write_results(results: Results, folder: Path) -> list[Path]:
    """Write each data set as ``<SOP Instance UID>.dcm`` (PS3.10, Explicit VR Little Endian); gives the paths.

    Errors: :class:`iodeep.errors.LocalStorageError`; nothing half-written stays.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for dataset in results.datasets:
            written.append(_write(dataset, folder / f"{dataset.SOPInstanceUID}.dcm"))
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise LocalStorageError(
            f"results cannot be written to {folder}: {error.strerror}",
            remedy="Free space or choose another folder; nothing was left there.",
        ) from error
    return written


def _write(dataset: Dataset, path: Path) -> Path:
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            dataset.save_as(file, enforce_file_format=True)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
