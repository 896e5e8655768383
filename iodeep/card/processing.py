"""The small vocabulary of pre- and postprocessing: declared, reviewable, never code.

Steps run in the order given, each on the float32 volume that the step before left. Array axes are named by the
direction in which their index grows: after ``orient RAS`` axis 0 grows to the patient's right, 1 to anterior, 2 to superior.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from iodeep.card._base import CardPart, Positive


class Interpolation(StrEnum):
    """How values between voxels are made. ``nearest`` takes the voxel whose centre is nearest."""

    NEAREST = "nearest"
    LINEAR = "linear"
    CUBIC = "cubic"


class Orient(CardPart):
    """Permute and flip axes so that their indices grow as ``axes`` says (three letters of R/L, A/P, S/I)."""

    step: Literal["orient"]
    axes: Annotated[str, StringConstraints(pattern=r"^[RLAPSI]{3}$")]

    @model_validator(mode="after")
    def _each_direction_once(self) -> Self:
        if {letter.translate(str.maketrans("LPI", "RAS")) for letter in self.axes} != set("RAS"):
            raise ValueError(f"{self.axes!r} must name one of R/L, one of A/P and one of S/I")
        return self


Times = Annotated[float, Field(gt=1, allow_inf_nan=False)]


class ResampleSpacing(CardPart):
    """Resample to a voxel spacing in mm, one number an array axis; an axis of null keeps the image's."""

    step: Literal["resample_spacing"]
    mm: tuple[Positive | None, Positive | None, Positive | None]
    interpolation: Interpolation = Interpolation.LINEAR
    anisotropic: Times | None = None
    """Where the image's largest spacing (else that of ``mm``) is more than so many times the smallest and one axis alone
    has it, that axis is resampled last and by nearest, the other two before it, slice by slice (nnU-Net: 3)."""
    bounded: bool = False
    """Cubic: clipped to the range of the values before, each slice's own where it goes slice by slice (nnU-Net)."""
    grid: Literal["corners", "centres"] = "corners"
    """corners: the number of voxels that comes nearest to the spacing, the volume's corners kept (nnU-Net). centres: exactly
    this spacing, the first voxel's centre kept (MONAI's Spacing)."""
    came_later: ClassVar[frozenset[str]] = frozenset({"anisotropic", "bounded", "grid"})

    @model_validator(mode="after")
    def _centres_go_alone(self) -> Self:
        if self.grid == "centres" and (self.interpolation is Interpolation.CUBIC or self.anisotropic):
            raise ValueError("grid: centres is for interpolation linear or nearest, without anisotropic")
        return self


class Resize(CardPart):
    """Resize the whole volume to a fixed number of voxels an axis, corner to corner (half-pixel centres)."""

    step: Literal["resize"]
    shape: tuple[
        Annotated[int, Field(ge=1, le=4096)],
        Annotated[int, Field(ge=1, le=4096)],
        Annotated[int, Field(ge=1, le=4096)],
    ]
    interpolation: Interpolation = Interpolation.LINEAR


class IntensityStep(CardPart):
    """A step that changes values and not places."""

    channels: tuple[Annotated[int, Field(ge=0, le=15)], ...] = ()
    """Inputs that it is for, by their place from 0; all where none is named."""
    came_later: ClassVar[frozenset[str]] = frozenset({"channels"})


class Window(IntensityStep):
    """Clip to ``[center - width/2, center + width/2]`` (CT: HU) and scale that to 0..1."""

    step: Literal["window"]
    center: float
    width: Positive


class ClipPercentiles(IntensityStep):
    """Clip to two percentiles (0..100) of the volume, or of its voxels above ``foreground_above``."""

    step: Literal["clip_percentiles"]
    lower: Annotated[float, Field(ge=0, le=100)]
    upper: Annotated[float, Field(ge=0, le=100)]
    foreground_above: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lower >= self.upper:
            raise ValueError(f"lower ({self.lower:g}) must be less than upper ({self.upper:g})")
        return self


class ZScore(IntensityStep):
    """Subtract the mean and divide by the (population) standard deviation, of the volume or of its foreground."""

    step: Literal["z_score"]
    foreground_above: float | None = None
    mask: Literal["nonzero", "nonzero_filled"] | None = None
    """Measure and change only voxels that are not 0 (nonzero, MONAI), or that are not 0 in any of all inputs or lie in a
    cavity of these (nonzero_filled, nnU-Net)."""
    came_later: ClassVar[frozenset[str]] = frozenset({"channels", "mask"})

    @model_validator(mode="after")
    def _one_foreground(self) -> Self:
        if self.mask is not None and self.foreground_above is not None:
            raise ValueError("mask and foreground_above are two ways to say what counts: name one")
        return self


class ScaleRange(IntensityStep):
    """Map the volume's minimum and maximum linearly to ``low`` and ``high``."""

    step: Literal["scale_range"]
    low: float = 0.0
    high: float = 1.0


class ScaleShift(IntensityStep):
    """Multiply by ``scale``, then add ``shift``."""

    step: Literal["scale_shift"]
    scale: float = 1.0
    shift: float = 0.0


class Clip(IntensityStep):
    """Clip to fixed values."""

    step: Literal["clip"]
    low: float
    high: float


class CropForeground(CardPart):
    """Crop to the bounding box of voxels above ``above``, widened by ``margin`` voxels."""

    step: Literal["crop_foreground"]
    above: float = 0.0
    margin: Annotated[int, Field(ge=0, le=512)] = 0


class CropNonzero(CardPart):
    """Crop to the bounding box of voxels that are not 0 in any input (nnU-Net)."""

    step: Literal["crop_nonzero"]


class PadToMultiple(CardPart):
    """Pad each axis to a multiple of ``multiple`` voxels with ``value``."""

    step: Literal["pad_to_multiple"]
    multiple: Annotated[int, Field(ge=1, le=512)]
    value: float = 0.0
    sides: Literal["end", "both"] = "end"
    """both: half of it at the start, the odd voxel at the end."""
    came_later: ClassVar[frozenset[str]] = frozenset({"sides"})


class PadToSize(CardPart):
    """Pad each axis that is shorter to ``shape`` voxels with ``value``: half at the start, the odd voxel at the end."""

    step: Literal["pad_to_size"]
    shape: tuple[
        Annotated[int, Field(ge=1, le=4096)],
        Annotated[int, Field(ge=1, le=4096)],
        Annotated[int, Field(ge=1, le=4096)],
    ]
    value: float = 0.0


Preprocessing = Annotated[
    Orient
    | ResampleSpacing
    | Resize
    | Window
    | ClipPercentiles
    | ZScore
    | ScaleRange
    | ScaleShift
    | Clip
    | CropForeground
    | CropNonzero
    | PadToMultiple
    | PadToSize,
    Field(discriminator="step"),
]


class LargestComponent(CardPart):
    """Keep the largest connected component (26 neighbours in 3D) of each named segment; all where none is named."""

    step: Literal["largest_component"]
    segments: tuple[int, ...] = ()


class FillHoles(CardPart):
    """Fill the cavities of each named segment that do not reach the volume's border; all where none is named."""

    step: Literal["fill_holes"]
    segments: tuple[int, ...] = ()


class MinimumVolume(CardPart):
    """Remove connected components smaller than ``ml`` millilitres."""

    step: Literal["minimum_volume"]
    ml: Positive
    segments: tuple[int, ...] = ()


Postprocessing = Annotated[LargestComponent | FillHoles | MinimumVolume, Field(discriminator="step")]
