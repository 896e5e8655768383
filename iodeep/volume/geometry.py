"""Where the slices of a series lie in the patient; computed from headers alone and never guessed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iodeep.card import SlicePlane

OBLIQUE_BEYOND_DEGREES = 25.0
"""A normal further than this from every patient axis is OBLIQUE."""

_PLANES = (SlicePlane.SAGITTAL, SlicePlane.CORONAL, SlicePlane.AXIAL)


@dataclass(frozen=True)
class SliceSource:
    """The image that a slice came from (PS3.3 10.8, 10.3): ``frame_number`` counts from 1, None in single-frame images."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None = None


@dataclass(frozen=True)
class SeriesGeometry:
    """A stack of parallel, evenly spaced slices in patient coordinates (LPS, mm; PS3.3 C.7.6.2.1.1).

    ``affine``: float64 (4, 4), ``affine @ (k, r, c, 1)`` is the centre of voxel (slice k, row r, column c).
    ``slices``: the source of each slice, in the order of the affine, which ascends along the slices' normal.
    """

    affine: npt.NDArray[np.float64]
    shape: tuple[int, int, int]
    frame_of_reference_uid: str
    slices: tuple[SliceSource, ...]

    @property
    def slice_count(self) -> int:
        """Number of slices."""
        return self.shape[0]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along slices, rows and columns, in mm."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector along which the slices ascend: row direction x column direction."""
        normal = np.cross(self.affine[:3, 2], self.affine[:3, 1])
        unit: npt.NDArray[np.float64] = normal / np.linalg.norm(normal)
        return unit

    @property
    def coverage_mm(self) -> float:
        """Extent along the normal in mm, each slice counted as one slice spacing."""
        return self.slice_count * self.spacing[0]

    @property
    def plane(self) -> SlicePlane:
        """The plane of the slices, by the patient axis nearest to their normal."""
        axis = int(np.argmax(np.abs(self.normal)))
        degrees = np.degrees(np.arccos(min(1.0, abs(float(self.normal[axis])))))
        return SlicePlane.OBLIQUE if degrees > OBLIQUE_BEYOND_DEGREES else _PLANES[axis]

    def position(self, slice_index: int) -> tuple[float, float, float]:
        """Image Position (Patient) of a slice: the centre of its first voxel, in mm."""
        x, y, z = (self.affine @ np.array([slice_index, 0.0, 0.0, 1.0]))[:3]
        return float(x), float(y), float(z)
