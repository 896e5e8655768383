"""Several images at one position: say how many, and in what they differ, so that the right series can be chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from iodeep.errors import GeometryError
from iodeep.volume.frames import Frame

_DISTINCTIONS = {
    "EchoTime": "echo time",
    "EffectiveEchoTime": "echo time",
    "EchoNumbers": "echo number",
    "DiffusionBValue": "b-value",
    "DiffusionGradientOrientation": "diffusion direction",
    "TemporalPositionIdentifier": "temporal position",
    "TemporalPositionIndex": "temporal position",
    "TriggerTime": "trigger time",
    "NominalPercentageOfCardiacPhase": "cardiac phase",
    "InversionTime": "inversion time",
    "FlipAngle": "flip angle",
    "KVP": "tube voltage",
    "ConvolutionKernel": "kernel",
    "ContrastBolusAgent": "contrast agent",
    "ComplexImageComponent": "magnitude or phase",
    "ImageType": "image type",
    "FrameType": "image type",
    "AcquisitionNumber": "acquisition number",
    "AcquisitionTime": "acquisition time",
    "FrameAcquisitionDateTime": "acquisition time",
    "DimensionIndexValues": "dimension index",
    "InstanceNumber": "instance number",
}
"""What makes images at one position different, most telling first."""


def refuse_repeats(frames: Sequence[Frame], along: npt.NDArray[np.float64], same_mm: float) -> None:
    """Refuse frames (in slice order, ``along`` their normal in mm) of which several lie at one position."""
    places = _places(frames, along, same_mm)
    repeated = [place for place in places if len(place) > 1]
    if not repeated:
        return
    counts = {len(place) for place in places}
    first = repeated[0]
    if len(counts) == 1:
        found = f"{len(first)} images at each of {len(places)} positions, {_difference(first)}"
    else:
        found = (
            f"{len(repeated)} of {len(places)} positions with several, such as {_where(first)}, {_difference(first)}"
        )
    raise GeometryError(
        "the series holds several images at one position",
        expected="one image at each position",
        found=found,
        remedy="Split the series (by echo, phase, b-value ...) or choose one with a single image at each position.",
    )


def _places(frames: Sequence[Frame], along: npt.NDArray[np.float64], same_mm: float) -> list[list[Frame]]:
    places = [[frames[0]]]
    for frame, gap in zip(frames[1:], np.diff(along), strict=True):
        if gap < same_mm:
            places[-1].append(frame)
        else:
            places.append([frame])
    return places


def _where(place: Sequence[Frame]) -> str:
    names = ", ".join(frame.name for frame in place[:4])
    position = ", ".join(f"{value:.6g}" for value in place[0].position)
    return f"({position}) in {names}{' ...' if len(place) > 4 else ''}"


def _difference(place: Sequence[Frame]) -> str:
    if _side_by_side(place):
        return "lying side by side in one plane"
    for keyword, words in _DISTINCTIONS.items():
        values = list(dict.fromkeys(frame.value(keyword) for frame in place))
        if len(values) > 1:
            return f"differing in {words} ({', '.join(value or 'none' for value in values[:6])})"
    return "with nothing in their headers that tells them apart"


def _side_by_side(place: Sequence[Frame]) -> bool:
    positions = np.array([frame.position for frame in place])
    return bool(np.linalg.norm(positions - positions[0], axis=1).max() > 1.0)
