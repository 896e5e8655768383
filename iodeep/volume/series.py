"""A checked series: once it is open its geometry is known, and its pixels can be read into a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from iodeep.card import SlicePlane
from iodeep.ports import Cancellation, ProgressSink, no_progress
from iodeep.volume.files import SeriesFiles
from iodeep.volume.geometry import SeriesGeometry
from iodeep.volume.grid import Volume


@dataclass(frozen=True)
class ImageSeries:
    """A series whose geometry is certain.

    ``headers`` (without pixel data) and ``paths`` are in slice order; a multi-frame series has one of each.
    """

    headers: tuple[Dataset, ...]
    paths: tuple[Path, ...]
    geometry: SeriesGeometry
    warnings: tuple[str, ...] = ()

    @property
    def modality(self) -> str:
        """Modality (0008,0060)."""
        return str(self.headers[0].Modality)

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID (0020,000D)."""
        return str(self.headers[0].StudyInstanceUID)

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID (0020,000E)."""
        return str(self.headers[0].SeriesInstanceUID)

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID (0008,0016)."""
        return str(self.headers[0].SOPClassUID)

    @property
    def frame_count(self) -> int:
        """Number of slices."""
        return self.geometry.slice_count

    @property
    def plane(self) -> SlicePlane:
        """The plane of the slices."""
        return self.geometry.plane

    def read_volume(self, progress: ProgressSink = no_progress, cancel: Cancellation | None = None) -> Volume:
        """Voxel values after the modality's rescale (PS3.3 C.11.1): int16 where all are integers that fit, else float32.

        Errors: :class:`iodeep.errors.InputError` naming the file that is truncated, garbled or too large;
        :class:`iodeep.errors.CancelledError`.
        """
        raise NotImplementedError


def open_series(files: SeriesFiles | Sequence[Path]) -> ImageSeries:
    """Check a series and place its slices in the patient; no pixel is read.

    Errors: :class:`iodeep.errors.GeometryError` with the reason and the figures.
    """
    raise NotImplementedError
