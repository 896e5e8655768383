"""Results as DICOM files: whole or not at all."""

from __future__ import annotations

from pathlib import Path

from iodeep.results.building import Results


def write_results(results: Results, folder: Path) -> list[Path]:
    """Write each data set as ``<SOP Instance UID>.dcm`` (PS3.10, Explicit VR Little Endian); gives the paths.

    Errors: :class:`iodeep.errors.LocalStorageError`; nothing half-written stays.
    """
    raise NotImplementedError
