"""The networks of a model: which files, how they are put to the image, how several are combined."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from iodeep.card._base import CardPart

FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
TensorName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Size = Annotated[int, Field(ge=1, le=4096)]


class Dimensions(StrEnum):
    """How much of the volume one call sees: a slice, a slice with its neighbours as channels, a block."""

    TWO = "2D"
    TWO_AND_A_HALF = "2.5D"
    THREE = "3D"


class WholeVolume(CardPart):
    """The preprocessed volume (or each slice of it, in 2D) in one call."""

    mode: Literal["whole"]


class Patches(CardPart):
    """A sliding window over the preprocessed volume, blended by ``blending``; volumes smaller than it are padded."""

    mode: Literal["patches"]
    size: tuple[Size, ...]
    """Voxels an axis: three numbers in 3D, two in 2D and 2.5D."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the window that two neighbours have in common."""
    placement: Literal["stride", "even"] = "stride"
    """stride: ``size * (1 - overlap)`` apart, the last moved back to end with the axis (MONAI). even: at most that far apart,
    all the same distance (nnU-Net)."""
    blending: Literal["gaussian", "gaussian_on_voxel", "constant"] = "gaussian"
    """Gaussian: standard deviation of one eighth of the window an axis, its peak in the window's middle, or (nnU-Net) on
    the voxel ``size // 2``."""
    least_weight: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Weights of a Gaussian below this share of its peak are raised to it."""
    came_later: ClassVar[frozenset[str]] = frozenset({"placement", "least_weight"})


class Network(CardPart):
    """The networks to run. Tensors are N, channels, spatial axes; channels are the card's inputs in order."""

    files: Annotated[tuple[FileName, ...], Field(min_length=1, max_length=32)]
    """ONNX files. Several are an ensemble: the mean of their outputs after activation."""
    external_data: tuple[FileName, ...] = ()
    """ONNX external-data files that the networks name."""
    trainable: tuple[FileName, ...] = ()
    """The trainable form: safetensors and their architecture's JSON."""
    dimensions: Dimensions = Dimensions.THREE
    slice_axis: Annotated[int, Field(ge=0, le=2)] = 2
    """2D and 2.5D: the array axis along which slices are taken, after preprocessing."""
    context_slices: Annotated[int, Field(ge=0, le=16)] = 0
    """2.5D: neighbours on either side, as channels; at the ends the last slice is repeated."""
    input_tensor: TensorName = "input"
    inference: Annotated[WholeVolume | Patches, Field(discriminator="mode")] = WholeVolume(mode="whole")
    mirror_axes: tuple[Annotated[int, Field(ge=0, le=2)], ...] = ()
    """Test-time mirroring: every combination of these array axes is run and averaged."""
    batch_size: Annotated[int, Field(ge=1, le=256)] = 1

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        wanted = 3 if self.dimensions is Dimensions.THREE else 2
        if isinstance(self.inference, Patches) and len(self.inference.size) != wanted:
            raise ValueError(f"inference.size needs {wanted} numbers for {self.dimensions.value}")
        if (self.context_slices > 0) is not (self.dimensions is Dimensions.TWO_AND_A_HALF):
            raise ValueError("context_slices is for 2.5D, and 2.5D needs at least 1")
        if len(set(self.mirror_axes)) != len(self.mirror_axes):
            raise ValueError("mirror_axes names an axis twice")
        if self.dimensions is not Dimensions.THREE and self.slice_axis in self.mirror_axes:
            raise ValueError("mirror_axes names the slice_axis, along which 2D and 2.5D networks see nothing to mirror")
        names = [*self.files, *self.external_data, *self.trainable]
        if len({name.casefold() for name in names}) != len(names):
            raise ValueError("a file is named twice, or two names differ in case alone")
        return self
