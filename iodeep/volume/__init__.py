"""DICOM series <-> volume with geometry; doubt ends in a refusal."""

from __future__ import annotations

from iodeep.volume.files import SeriesFiles, SeriesScan, UnreadableFile, find_series
from iodeep.volume.geometry import SeriesGeometry, SliceSource
from iodeep.volume.grid import Volume
from iodeep.volume.series import ImageSeries, open_series

__all__ = [
    "ImageSeries",
    "SeriesFiles",
    "SeriesGeometry",
    "SeriesScan",
    "SliceSource",
    "UnreadableFile",
    "Volume",
    "find_series",
    "open_series",
]
