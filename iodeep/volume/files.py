"""Files on disk -> series, by their headers alone; whatever is left out is counted or named, never swallowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from pydicom.dataset import Dataset


@dataclass(frozen=True)
class SeriesFiles:
    """The image files of one series; ``headers[i]`` belongs to ``paths[i]`` and holds no pixel data."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    sop_class_uids: tuple[str, ...]
    paths: tuple[Path, ...]
    headers: tuple[Dataset, ...]


@dataclass(frozen=True)
class UnreadableFile:
    """A DICOM file that cannot be used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class SeriesScan(Sequence[SeriesFiles]):
    """What a scan found: a sequence of the image series, and what was left out."""

    series: tuple[SeriesFiles, ...]
    unreadable: tuple[UnreadableFile, ...] = ()
    """Truncated or garbled DICOM files: tell the user."""
    not_dicom: int = 0
    """Files that are no DICOM files, DICOMDIR included."""
    not_images: int = 0
    """DICOM files without pixels: model objects (Raw Data), reports, presentation states ..."""

    @overload
    def __getitem__(self, index: int) -> SeriesFiles: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SeriesFiles, ...]: ...
    def __getitem__(self, index: int | slice) -> SeriesFiles | tuple[SeriesFiles, ...]:
        return self.series[index]

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[SeriesFiles]:
        return iter(self.series)


def find_series(where: Path | Iterable[Path]) -> SeriesScan:
    """The image series in files and folders (searched recursively), grouped by Series Instance UID.

    Errors: :class:`iodeep.errors.InputError` where a path does not exist.
    """
    raise NotImplementedError
