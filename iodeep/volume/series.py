"""A checked series: once it is open its geometry is known, and its pixels can be read into a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset

from iodeep.card import SlicePlane
from iodeep.errors import GeometryError, IODeepError
from iodeep.ports import Cancellation, ProgressSink, no_progress
from iodeep.volume.checks import check_headers, check_rescale
from iodeep.volume.files import SeriesFiles, read_files
from iodeep.volume.frames import Frame, frames_of
from iodeep.volume.geometry import SeriesGeometry
from iodeep.volume.grid import Volume
from iodeep.volume.image_file import ImageFile
from iodeep.volume.pixels import read_voxels
from iodeep.volume.stack import stack_of


@dataclass(frozen=True)
class ImageSeries:
    """A series whose geometry is certain; only :func:`open_series` makes one.

    ``files`` are in slice order (a multi-frame series has one), ``frames`` say where the pixels of each slice are.
    """

    files: tuple[ImageFile, ...]
    frames: tuple[Frame, ...]
    geometry: SeriesGeometry
    warnings: tuple[str, ...] = ()

    @property
    def headers(self) -> tuple[Dataset, ...]:
        """Data sets without pixel data, in slice order; one where the series is one multi-frame image."""
        return tuple(file.header for file in self.files)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where the files are, in the same order as ``headers``."""
        return tuple(file.path for file in self.files)

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

        MONOCHROME1 is not inverted and padding is left: values are what they are.
        Errors: :class:`iodeep.errors.InputError` naming the file that is truncated, garbled or cannot be decoded;
        :class:`iodeep.errors.CancelledError`.
        """
        voxels = read_voxels(self.files, self.frames, self.geometry.shape, progress, cancel)
        return Volume(voxels, self.geometry.affine)


def open_series(files: SeriesFiles | Sequence[Path]) -> ImageSeries:
    """Check a series and place its slices in the patient; no pixel is read.

    Errors: :class:`GeometryError` with the reason and the figures; :class:`iodeep.errors.InputError` for damaged files.
    """
    found = files if isinstance(files, SeriesFiles) else read_files(files)
    try:
        return _opened(found)
    except IODeepError:
        raise
    except Exception as error:  # the boundary of one series: pydicom converts values when they are asked for, or raises
        raise GeometryError(
            "a header of the series is garbled", found=" ".join(str(error).split())[:300] or type(error).__name__,
            remedy="Send or export the series again.",
        ) from error  # fmt: skip


def _opened(found: SeriesFiles) -> ImageSeries:
    check_headers(found.files)
    frames = frames_of(found.files)
    reference = str(found.headers[0].get("FrameOfReferenceUID") or "")
    if not reference:
        raise GeometryError(
            "the series has no Frame of Reference UID, so its positions have no common origin",
            expected="Frame of Reference UID (type 1, PS3.3 C.7.4.1)",
        )
    check_rescale(frames, found.headers[0])
    stack = stack_of(frames)
    shape = (len(stack.frames), int(found.headers[0].Rows), int(found.headers[0].Columns))
    sources = tuple(frame.source for frame in stack.frames)
    used = dict.fromkeys(frame.file for frame in stack.frames)
    return ImageSeries(
        tuple(found.files[number] for number in used),
        _renumbered(stack.frames, list(used)),
        SeriesGeometry(stack.affine, shape, reference, sources),
        stack.warnings,
    )


def _renumbered(frames: Sequence[Frame], order: list[int]) -> tuple[Frame, ...]:
    """Frames whose ``file`` counts in slice order."""
    place = {number: new for new, number in enumerate(order)}
    return tuple(replace(frame, file=place[frame.file]) for frame in frames)
