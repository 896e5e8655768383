"""A volume and its place in the patient: the type that the whole house hands around."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Volume:
    """Voxels with axes (slice, row, column) and the affine that maps an index to the patient.

    ``affine``: float64 (4, 4); ``affine @ (k, r, c, 1)`` is the centre of voxel [k, r, c] in mm in DICOM's
    patient coordinates (LPS, PS3.3 C.7.6.2.1.1). After preprocessing the axes need no longer be slice, row, column.
    """

    voxels: npt.NDArray[np.generic]
    affine: npt.NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each array axis, in mm."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0
