"""One run's results: built, checked against the patient's geometry, and only then handed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset

from iodeep.card import ModelCard
from iodeep.model_object.identity import ModelIdentity
from iodeep.prediction import Prediction
from iodeep.results.kinds import SegKind
from iodeep.results.uids import ResultUids
from iodeep.volume import ImageSeries


@dataclass(frozen=True)
class Results:
    """What is written back to the archive, and the sentences that a person reads first.

    ``volumes_ml``: Segment Number -> millilitres.
    """

    segmentation: Dataset | None
    report: Dataset
    uids: ResultUids
    volumes_ml: dict[int, float]
    sentences: tuple[str, ...]

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Everything to store: the segmentation first, because the report refers to it."""
        return (self.report,) if self.segmentation is None else (self.segmentation, self.report)


def build_results(
    series: ImageSeries,
    prediction: Prediction,
    card: ModelCard,
    identity: ModelIdentity,
    *,
    kind: SegKind = SegKind.BINARY,
    run_parameters: Mapping[str, str] | None = None,
    decided: str | None = None,
    now: datetime | None = None,
    further_series: Sequence[ImageSeries] = (),
) -> Results:
    """SEG and SR of one run, with the geometry of the SEG checked.

    ``decided``: one line on why this model was chosen. ``now``: when the result was made; pass a job's own time and a
    repeated job gives the same bytes. ``further_series``: what else the network was given, beside the first input.
    Errors: :class:`iodeep.errors.GeometryError` where the encoded segments don't lie where the prediction has them;
    :class:`iodeep.errors.InferenceError` for a prediction that can't be encoded.
    """
    raise NotImplementedError
