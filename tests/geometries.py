"""One volume, lying in the patient and stored in other ways."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

Floats = npt.NDArray[np.float32]
Affine = npt.NDArray[np.float64]
ORDER = (2, 0, 1)


def sagittal_and_oblique(voxels: Floats, affine: Affine) -> tuple[Floats, Affine]:
    """An axial volume's own voxels with its columns as slices, these in the other order, and all turned by 20 degrees."""
    found = affine.copy()
    found[:3, :3] = affine[:3, list(ORDER)]
    stored = voxels.transpose(ORDER)
    found[:3, 3] += found[:3, 0] * (stored.shape[0] - 1)
    found[:3, 0] *= -1
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (20, -15, 10), degrees=True).as_matrix()
    return np.ascontiguousarray(stored[::-1]), turn @ found


def as_it_was(voxels: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What :func:`sagittal_and_oblique` did to the voxels, undone."""
    return voxels[::-1].transpose(np.argsort(ORDER))
