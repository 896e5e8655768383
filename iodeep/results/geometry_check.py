"""The last look at a segmentation before it leaves, by a reader that shares nothing with its writer."""

from __future__ import annotations

from pydicom.dataset import Dataset

from iodeep.prediction import Segmentation
from iodeep.volume import ImageSeries

TOLERANCE_MM = 0.5


def check_geometry(segmentation: Dataset, series: ImageSeries, predicted: Segmentation) -> None:
    """Compare each segment's physical centroid in the encoded SEG with the prediction's, to 0.5 mm.

    Errors: :class:`iodeep.errors.GeometryError` naming the segment and both places.
    """
    raise NotImplementedError
