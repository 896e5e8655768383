"""Stored values -> modality values: int16 as long as every value is an integer that fits, float32 from the first that isn't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from iodeep.errors import InputError

_INT16 = np.iinfo(np.int16)
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


class RescaledVoxels:
    """An array that slices are put into, in any order; ``rescales[k]`` is slope and intercept of slice k."""

    def __init__(self, shape: tuple[int, int, int], rescales: Sequence[tuple[float, float]]) -> None:
        self._rescales = rescales
        whole = all(slope.is_integer() and intercept.is_integer() for slope, intercept in rescales)
        self.values: npt.NDArray[np.int16] | npt.NDArray[np.float32]
        self.values = np.zeros(shape, np.int16) if whole else np.zeros(shape, np.float32)

    def put(self, k: int, stored: npt.NDArray[np.integer[Any]]) -> None:
        """Rescale a slice (PS3.3 C.11.1.1.2) into its place."""
        slope, intercept = self._rescales[k]
        ends = sorted((int(stored.min()) * slope + intercept, int(stored.max()) * slope + intercept))
        if not -_LARGEST_FLOAT32 <= ends[0] <= ends[1] <= _LARGEST_FLOAT32:
            raise InputError(f"slice {k} rescales to {ends[0]:g} ... {ends[1]:g}, which is no image")
        if self.values.dtype == np.int16 and _INT16.min <= ends[0] and ends[1] <= _INT16.max:
            self._put_integers(k, stored, int(slope), int(intercept))
            return
        if self.values.dtype == np.int16:
            self.values = self.values.astype(np.float32)
        self.values[k] = stored * np.float64(slope) + intercept

    def _put_integers(self, k: int, stored: npt.NDArray[np.integer[Any]], slope: int, intercept: int) -> None:
        """Computed in 64 bits only where a factor asks for it: the ends are known to fit."""
        if slope == 1 and intercept == 0:
            self.values[k] = stored
        elif slope == 1:
            np.add(stored, intercept, out=self.values[k], dtype=np.int64, casting="unsafe")
        else:
            self.values[k] = stored.astype(np.int64) * slope + intercept
