"""Steps that change values and not places; each works in place on voxels that the image owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from iodeep.errors import InputError
from iodeep.inference.image import Floats
from iodeep.inference.postprocessing import cavities

if TYPE_CHECKING:
    from iodeep.card import Clip, ClipPercentiles, Preprocessing, ScaleRange, ScaleShift, Window, ZScore


def applied(voxels: Floats, step: Preprocessing) -> Floats:
    """``voxels`` (channel and three axes) after ``step``, taken channel by channel; of masks, only nonzero_filled is that of all channels."""
    work = _STEPS[step.step]
    kind = getattr(step, "mask", None)
    filled = nonzero_filled(voxels) if kind == "nonzero_filled" else None
    for number, channel in enumerate(voxels):
        if getattr(step, "channels", ()) and number not in step.channels:  # type: ignore[union-attr]
            continue
        if kind is None:
            work(channel, step)
        else:
            mask = channel != 0 if filled is None else filled
            values = channel[mask]
            work(values, step)
            channel[mask] = values
    return voxels


def nonzero_filled(voxels: Floats) -> npt.NDArray[np.bool_]:
    """Voxels that are not 0 in any channel, and cavities of these (nnU-Net's ``create_nonzero_mask``)."""
    mask: npt.NDArray[np.bool_] = np.any(voxels != 0, axis=0)
    if not mask.all():
        mask |= cavities(mask, open_ends=(0, 1, 2))
    return mask


def window(channel: Floats, step: Window) -> None:
    """CT window: clip and scale to 0..1."""
    low = step.center - step.width / 2
    np.clip(channel, low, low + step.width, out=channel)
    channel -= np.float32(low)
    channel /= np.float32(step.width)


def clip(channel: Floats, step: Clip) -> None:
    """Clip to fixed values."""
    np.clip(channel, step.low, step.high, out=channel)


def clip_percentiles(channel: Floats, step: ClipPercentiles) -> None:
    """Clip to percentiles, interpolated linearly as ``numpy.percentile`` does."""
    low, high = np.percentile(_foreground(channel, step.foreground_above), [step.lower, step.upper])
    np.clip(channel, low, high, out=channel)


def z_score(channel: Floats, step: ZScore) -> None:
    """Mean 0 and standard deviation 1; sums are taken in float64."""
    mean, deviation = _moments(_foreground(channel, step.foreground_above))
    _refuse_flat(deviation)
    channel -= np.float32(mean)
    channel /= np.float32(deviation)


def scale_range(channel: Floats, step: ScaleRange) -> None:
    """Minimum and maximum to ``low`` and ``high``."""
    least, most = float(channel.min()), float(channel.max())
    _refuse_flat(most - least)
    channel -= np.float32(least)
    channel *= np.float32((step.high - step.low) / (most - least))
    channel += np.float32(step.low)


def scale_shift(channel: Floats, step: ScaleShift) -> None:
    """Multiply, then add."""
    channel *= np.float32(step.scale)
    channel += np.float32(step.shift)


_STEPS: Mapping[str, Callable[[Floats, Any], None]] = {
    "window": window,
    "clip": clip,
    "clip_percentiles": clip_percentiles,
    "z_score": z_score,
    "scale_range": scale_range,
    "scale_shift": scale_shift,
}


def _foreground(channel: Floats, above: float | None) -> Floats:
    if above is None:
        return channel
    values = channel[channel > above]
    if not values.size:
        raise InputError(
            "the image has no foreground",
            expected=f"voxels above {above:g}",
            found=f"values up to {channel.max():g}",
            remedy="Check that the series shows what the model was made for.",
        )
    return values


def _moments(values: Floats) -> tuple[float, float]:
    """Mean and population standard deviation, without a second array of their size."""
    rows = values.reshape(1, -1) if values.ndim == 1 else values
    mean = sum(float(row.sum(dtype=np.float64)) for row in rows) / values.size
    squares = sum(float(np.square(row - np.float32(mean)).sum(dtype=np.float64)) for row in rows)
    return mean, (squares / values.size) ** 0.5


def _refuse_flat(spread: float) -> None:
    if spread <= 0:
        raise InputError(
            "the image has the same value everywhere", remedy="Check that the series holds an image of a patient."
        )
