"""Frames -> a stack of parallel, evenly spaced slices, by their positions alone; anything else is refused with figures.

What a header says of spacing and order (Spacing Between Slices, Instance Number, Gantry/Detector Tilt) is never trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iodeep.errors import GeometryError
from iodeep.volume.frames import Frame
from iodeep.volume.repeats import refuse_repeats

SAME_POSITION_MM = 0.01
"""Slices nearer than this lie at one position: no scanner steps by less."""
COSINE_TOLERANCE = 1e-4
"""Direction cosines may differ by rounding: 0.05 mm at the far side of a 500 mm image."""
UNIT_TOLERANCE = 1e-3
"""Direction cosines with three decimals are still taken for unit vectors at right angles."""
SPACING_TOLERANCE = 1e-4
"""Pixel spacings may differ by this share: 0.05 mm over 500 mm."""
LEAN_TOLERANCE = 5e-4
"""A stack may lean by this share of its length (0.03 degrees: cosines of three decimals), or by 0.1 mm (rounded positions).

Within it the slices are taken to lie along their normal, as every other reader does.
"""

LEAST_SPACING_MM, GREATEST_SPACING_MM = 1e-4, 1e3
FARTHEST_MM = 1e5

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stack:
    """Frames in slice order and their affine (slice, row, column) -> LPS mm."""

    frames: tuple[Frame, ...]
    affine: npt.NDArray[np.float64]
    warnings: tuple[str, ...]


def position_tolerance_mm(spacing: float) -> float:
    """How far a slice may lie from its place in an even stack.

    0.1 mm, because positions are seen that are rounded to 0.1 mm and because it is a fifth of the 0.5 mm that results are
    held to; 1 % of the spacing where that is more; and never over a fifth of the spacing.
    """
    return min(max(0.1, 0.01 * spacing), 0.2 * spacing)


def stack_of(frames: Sequence[Frame]) -> Stack:
    """Sort frames along the normal of their plane and place them.

    Errors: :class:`GeometryError` for mixed or impossible orientations and pixel spacings, several frames at one position,
    missing slices, uneven spacing and a stack that leans.
    """
    along_row, along_column = _directions(frames)
    normal = np.cross(along_row, along_column)
    pixel_spacing = _pixel_spacing(frames)
    positions = np.array([frame.position for frame in frames])
    if np.abs(positions).max() > FARTHEST_MM:
        raise GeometryError(
            "a slice lies nowhere near its patient",
            expected=f"Image Position (Patient) within {FARTHEST_MM:g} mm",
            found=f"{np.abs(positions).max():g} mm",
        )
    order = np.argsort(positions @ normal, kind="stable")
    ordered, positions = [frames[i] for i in order], positions[order]
    refuse_repeats(ordered, positions @ normal, SAME_POSITION_MM)
    step, warnings = _step(ordered, positions, normal)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = along_column * pixel_spacing[0]
    affine[:3, 2] = along_row * pixel_spacing[1]
    affine[:3, 3] = positions[0]
    return Stack(tuple(ordered), affine, warnings)


def _directions(frames: Sequence[Frame]) -> tuple[Vectors, Vectors]:
    """The one pair of unit vectors along rows and columns (PS3.3 C.7.6.2.1.1)."""
    orientations = np.array([frame.orientation for frame in frames])
    _refuse_mixed_orientations(frames, orientations)
    along_row, along_column = orientations[0, :3], orientations[0, 3:]
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    skew = float(along_row @ along_column)
    if abs(lengths[0] - 1) > UNIT_TOLERANCE or abs(lengths[1] - 1) > UNIT_TOLERANCE or abs(skew) > UNIT_TOLERANCE:
        raise GeometryError(
            f"Image Orientation (Patient) of {frames[0].name} is not made of two unit vectors at right angles",
            expected="lengths 1 and 1, scalar product 0",
            found=f"lengths {lengths[0]:.4f} and {lengths[1]:.4f}, scalar product {skew:.4f}",
        )
    return along_row / lengths[0], along_column / lengths[1]


def _refuse_mixed_orientations(frames: Sequence[Frame], orientations: Vectors) -> None:
    off = np.abs(orientations - orientations[0]).max(axis=1)
    if off.max() <= COSINE_TOLERANCE:
        return
    kinds = len(np.unique(np.round(orientations, 3), axis=0))
    worst = int(off.argmax())
    raise GeometryError(
        "the slices of the series do not lie parallel",
        expected="one orientation, as in a stack of slices",
        found=f"{max(kinds, 2)} orientations in {len(frames)} slices, such as {_list(orientations[0])} in {frames[0].name}"
        f" and {_list(orientations[worst])} in {frames[worst].name}",
        remedy="It looks like a localizer or a radial scan; choose a series of parallel slices.",
    )


def _pixel_spacing(frames: Sequence[Frame]) -> tuple[float, float]:
    spacings = np.array([frame.pixel_spacing for frame in frames])
    if spacings.min() <= 0:
        raise GeometryError("Pixel Spacing must be positive", found=f"{spacings.min():g} mm")
    if spacings.min() < LEAST_SPACING_MM or spacings.max() > GREATEST_SPACING_MM:
        raise GeometryError(
            "no scanner has such a Pixel Spacing",
            expected=f"{LEAST_SPACING_MM:g} to {GREATEST_SPACING_MM:g} mm",
            found=f"{spacings.min():g} to {spacings.max():g} mm",
        )
    if np.abs(spacings / spacings[0] - 1).max() > SPACING_TOLERANCE:
        raise GeometryError(
            "the slices of the series have different pixel spacings",
            found=f"{spacings.min():g} to {spacings.max():g} mm",
            remedy="Choose a series with one field of view.",
        )
    return float(spacings[0, 0]), float(spacings[0, 1])


def _step(frames: Sequence[Frame], positions: Vectors, normal: Vectors) -> tuple[Vectors, tuple[str, ...]]:
    """The vector from one slice to the next."""
    if len(frames) == 1:
        return _single_step(frames[0], normal)
    _refuse_gaps(frames, positions, positions @ normal)
    step: Vectors = (positions[-1] - positions[0]) / (len(positions) - 1)
    _refuse_lean(frames, step, normal)
    _refuse_uneven(positions, step)
    spacing = float(step @ normal)
    return normal * spacing, _recorded_spacing(frames, spacing)


def _single_step(frame: Frame, normal: Vectors) -> tuple[Vectors, tuple[str, ...]]:
    thickness = frame.thickness or frame.spacing_between
    if not thickness or thickness < 0:
        raise GeometryError(
            "the series has a single slice and does not say how thick it is",
            expected="Slice Thickness or Spacing Between Slices",
            found=f"{thickness}",
        )
    source = "Slice Thickness" if frame.thickness else "Spacing Between Slices"
    return normal * thickness, (f"a single slice: its extent of {thickness:g} mm is {source}, not measured",)


def _refuse_gaps(frames: Sequence[Frame], positions: Vectors, along: Vectors) -> None:
    """Missing slices: gaps that are several of the usual ones."""
    gaps = np.diff(along)
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    steps = np.round(gaps / usual)
    holes = np.flatnonzero(steps > 1)
    even = np.abs(gaps - np.maximum(steps, 1) * usual).max() <= 2 * position_tolerance_mm(usual)
    if not len(holes) or not even:
        return
    missing = int((steps[holes] - 1).sum())
    first = int(holes[0])
    raise GeometryError(
        f"{missing} slice{'s are' if missing > 1 else ' is'} missing from the series",
        expected=f"slices {usual:.3f} mm apart",
        found=f"{gaps[first]:.3f} mm between {_list(positions[first])} ({frames[first].name}) and "
        f"{_list(positions[first + 1])} ({frames[first + 1].name})"
        + (f", and {len(holes) - 1} more such gaps" if len(holes) > 1 else ""),
        remedy="Fetch or send the whole series again.",
    )


def _refuse_lean(frames: Sequence[Frame], step: Vectors, normal: Vectors) -> None:
    """A stack whose slices shift sideways: gantry tilt or a sheared reconstruction."""
    along = float(step @ normal)
    sideways = float(np.linalg.norm(step - along * normal))
    shift, length = sideways * (len(frames) - 1), along * (len(frames) - 1)
    if shift <= max(0.1, LEAN_TOLERANCE * length):
        return
    recorded = frames[0].value("GantryDetectorTilt")
    raise GeometryError(
        f"the stack leans by {np.degrees(np.arctan2(sideways, along)):.2f} degrees (gantry tilt or shear)",
        expected="slices stacked along their normal",
        found=f"a sideways shift of {shift:.2f} mm over {length:.1f} mm"
        + (f", Gantry/Detector Tilt {recorded}" if recorded else ""),
        remedy="Choose or reconstruct a series without tilt.",
    )


def _refuse_uneven(positions: Vectors, step: Vectors) -> None:
    even = positions[0] + np.arange(len(positions))[:, np.newaxis] * step
    off = np.linalg.norm(positions - even, axis=1)
    spacing = float(np.linalg.norm(step))
    tolerance = position_tolerance_mm(spacing)
    if off.max() <= tolerance:
        return
    gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    raise GeometryError(
        "the slices are not evenly spaced",
        expected=f"each within {tolerance:.3f} mm of an even {spacing:.3f} mm spacing",
        found=f"{off.max():.3f} mm off at {_list(positions[int(off.argmax())])}, "
        f"spacings from {gaps.min():.3f} to {gaps.max():.3f} mm",
        remedy="Choose a series with one slice spacing.",
    )


def _recorded_spacing(frames: Sequence[Frame], spacing: float) -> tuple[str, ...]:
    recorded = frames[0].spacing_between
    if recorded is None or abs(abs(recorded) - spacing) <= position_tolerance_mm(spacing):
        return ()
    return (
        f"Spacing Between Slices says {recorded:g} mm, but the positions are {spacing:.3f} mm apart: they are used",
    )


def _list(values: Vectors) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"
