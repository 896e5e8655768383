"""Files on disk -> series, by their headers alone; whatever is left out is counted or named, never swallowed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from pydicom.dataset import Dataset

from iodeep.errors import InputError
from iodeep.volume.image_file import ImageFile, LeftOut, read_image_file


@dataclass(frozen=True)
class SeriesFiles:
    """The image files of one series, in the order in which they were found."""

    files: tuple[ImageFile, ...]

    @property
    def headers(self) -> tuple[Dataset, ...]:
        """Data sets without pixel data; ``headers[i]`` belongs to ``paths[i]``."""
        return tuple(file.header for file in self.files)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where the files are."""
        return tuple(file.path for file in self.files)

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID (0020,000D) of the first image."""
        return str(self.files[0].header.StudyInstanceUID)

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID (0020,000E)."""
        return str(self.files[0].header.SeriesInstanceUID)

    @property
    def modality(self) -> str:
        """Modality (0008,0060) of the first image."""
        return str(self.files[0].header.Modality)

    @property
    def sop_class_uids(self) -> tuple[str, ...]:
        """The SOP classes that occur, each once."""
        return tuple(dict.fromkeys(str(file.header.SOPClassUID) for file in self.files))


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
    series: dict[str, list[ImageFile]] = {}
    unreadable: list[UnreadableFile] = []
    left_out: Counter[LeftOut] = Counter()
    for path in _files([where] if isinstance(where, Path) else where):
        try:
            found = read_image_file(path)
        except InputError as error:
            unreadable.append(UnreadableFile(path, str(error)))
            continue
        if isinstance(found, LeftOut):
            left_out[found] += 1
        else:
            series.setdefault(str(found.header.SeriesInstanceUID), []).append(found)
    return SeriesScan(
        tuple(SeriesFiles(tuple(files)) for files in series.values()),
        tuple(unreadable),
        left_out[LeftOut.NOT_DICOM],
        left_out[LeftOut.NOT_AN_IMAGE],
    )


def read_files(paths: Iterable[Path]) -> SeriesFiles:
    """The given image files, which should be of one series.

    Errors: :class:`iodeep.errors.InputError` for the first that is unreadable or no image.
    """
    files = []
    for path in _files(paths):
        found = read_image_file(path)
        if isinstance(found, LeftOut):
            raise InputError(f"{path} is {found.value}", expected="DICOM images of one series")
        files.append(found)
    if not files:
        raise InputError("no file is given", expected="DICOM images of one series")
    return SeriesFiles(tuple(files))


def _files(where: Iterable[Path]) -> Iterator[Path]:
    """Every regular file once, folders walked in name order."""
    seen = set()
    for start in where:
        if not start.exists():
            raise InputError(f"{start} does not exist", expected="a DICOM file or a folder of them")
        for path in _walk(start) if start.is_dir() else (start,):
            if path not in seen and path.is_file():
                seen.add(path)
                yield path


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(root, name) for name in sorted(names))
