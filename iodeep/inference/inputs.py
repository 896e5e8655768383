"""The series of a card's inputs become the channels of one image, on the grid of the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from iodeep.errors import InputError
from iodeep.inference.image import Affine, Floats, Image, Scan, SourceAxis

if TYPE_CHECKING:
    from iodeep.card import ModelCard

LEAST_OVERLAP = 0.5
"""Share of the first input's voxels that each other input must cover."""
SAME_GRID_MM = 1e-3


def channels_of(card: ModelCard, scans: Mapping[str, Scan]) -> Image:
    """One channel an input, in the card's order; that the frames of reference agree is the caller's to know.

    float32, but a single input of integers is handed on as it is, to be read only.
    """
    names = [network_input.name for network_input in card.inputs]
    if set(names) != set(scans):
        raise InputError(
            "the series given are not those that the model needs",
            expected=", ".join(sorted(names)),
            found=", ".join(sorted(scans)) or "none",
        )
    first = scans[names[0]]
    for name in names:
        _check(name, scans[name])
    voxels = first.voxels[None]
    if len(names) > 1 or first.voxels.dtype.kind not in "iu":
        voxels = np.empty((len(names), *first.voxels.shape), np.float32)
        for channel, name in zip(voxels, names, strict=True):
            _fill(channel, scans[name], first, name)
    slices, rows, columns = first.voxels.shape
    axes = SourceAxis.whole(0, slices), SourceAxis.whole(1, rows), SourceAxis.whole(2, columns)
    return Image(voxels, axes, (slices, rows, columns), np.asarray(first.affine, np.float64))


def _check(name: str, scan: Scan) -> None:
    if scan.voxels.ndim != 3 or not scan.voxels.size or scan.voxels.dtype.kind not in "biuf":
        raise InputError(
            f"the volume for input {name!r} is not one of grey values",
            expected="three axes of integers or floats",
            found=f"{scan.voxels.dtype} {scan.voxels.shape}",
        )
    if np.shape(scan.affine) != (4, 4) or not abs(np.linalg.det(scan.affine)) > 1e-9:
        raise InputError(f"the volume for input {name!r} has no usable place in the patient", found=f"{scan.affine}")


def _fill(channel: Floats, scan: Scan, grid: Scan, name: str) -> None:
    """``scan`` read at the grid's centres, linearly; its minimum where it has nothing to say."""
    if scan.voxels.shape == grid.voxels.shape and np.allclose(scan.affine, grid.affine, rtol=0, atol=SAME_GRID_MM):
        np.copyto(channel, scan.voxels, casting="unsafe")
        _refuse_nonfinite(channel, scan, name)
        return
    voxels = scan.voxels.astype(np.float32)
    _refuse_nonfinite(voxels, scan, name)
    to_other = np.linalg.inv(scan.affine) @ grid.affine
    outside = _outside(to_other, voxels.shape, grid.voxels.shape)
    covered = 1 - float(outside.mean())
    if covered < LEAST_OVERLAP:
        raise InputError(
            f"the series for input {name!r} shows another part of the body than the first input",
            expected=f"at least {LEAST_OVERLAP:.0%} of it covered",
            found=f"{covered:.0%}",
            remedy="Choose series of the same examination that cover the same region.",
        )
    from scipy import ndimage  # a third of a second that a single input doesn't need

    ndimage.affine_transform(voxels, to_other[:3, :3], to_other[:3, 3], output=channel, order=1, mode="nearest")
    channel[outside] = voxels.min()


def _refuse_nonfinite(floats: Floats, scan: Scan, name: str) -> None:
    if scan.voxels.dtype.kind == "f" and not np.isfinite(floats).all():
        raise InputError(
            f"the series for input {name!r} holds values that are not numbers",
            found=f"{int((~np.isfinite(floats)).sum())} of {floats.size} voxels NaN or infinite",
        )


def _outside(to_other: Affine, other: tuple[int, ...], grid: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which voxels of the grid lie beyond the corners of the other volume."""
    indices: list[Any] = [
        np.arange(n, dtype=np.float32).reshape([-1 if d == a else 1 for d in range(3)]) for a, n in enumerate(grid)
    ]
    outside = np.zeros(grid, np.bool_)
    for axis, size in enumerate(other):
        row = to_other[axis].astype(np.float32)
        place = row[0] * indices[0] + row[1] * indices[1] + row[2] * indices[2] + row[3]
        outside |= (place < -0.5 - 1e-3) | (place > size - 0.5 + 1e-3)
    return outside
