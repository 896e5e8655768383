"""One run's results: built, checked against the patient's geometry, and only then handed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from iodeep.card import ModelCard
from iodeep.errors import InferenceError
from iodeep.model_object.identity import ModelIdentity
from iodeep.prediction import Classification, Prediction
from iodeep.results.geometry_check import check_geometry
from iodeep.results.kinds import SegKind
from iodeep.results.provenance import Provenance
from iodeep.results.report import build_report
from iodeep.results.segmentation import build_segmentation
from iodeep.results.source import prepare_sources
from iodeep.results.uids import ResultUids, images_of, result_uids
from iodeep.results.voxel_counts import voxel_counts
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
    decision: Mapping[str, Any] | None = None,
    now: datetime | None = None,
    further_series: Sequence[ImageSeries] = (),
) -> Results:
    """SEG and SR of one run, with the geometry of the SEG checked.

    ``decided``: one line on why this model was chosen, for SEG and SR. ``decision``: the whole record of the choice, as
    :func:`iodeep.selection.decision_record` gives it, for the SR. ``now``: when the result was made; pass a job's own time and a
    repeated job gives the same bytes. ``further_series``: what else the network was given, beside the first input.
    Errors: :class:`iodeep.errors.GeometryError` where the encoded segments don't lie where the prediction has them;
    :class:`iodeep.errors.InferenceError` for a prediction that can't be encoded.
    """
    _refuse_mismatch(series, prediction, card)
    parameters = dict(run_parameters or {})
    uids = result_uids(tuple(map(images_of, (series, *further_series))), identity, kind, parameters)
    provenance = Provenance(card, identity, now or datetime.now(), prediction.engine, parameters, decided)
    sources = prepare_sources(series)
    further = tuple(image for one in further_series for image in prepare_sources(one).images)
    segmentation, volumes = None, dict[int, float]()
    if prediction.segmentation is not None:
        counts = voxel_counts(prediction.segmentation)
        volumes = {number: count * _voxel_ml(series) for number, count in counts.items()}
        segmentation = build_segmentation(sources, further, prediction.segmentation, kind, provenance, uids)
        check_geometry(segmentation, series, prediction.segmentation, counts)
    report = build_report(
        [*sources.images, *further], segmentation, volumes, prediction.classifications, provenance, uids, decision
    )
    return Results(segmentation, report, uids, volumes, _sentences(card, volumes, prediction.classifications))


def _voxel_ml(series: ImageSeries) -> float:
    """One voxel's volume: as deep as the slices are apart, whatever their thickness."""
    return float(abs(np.linalg.det(series.geometry.affine[:3, :3]))) / 1000.0


def _refuse_mismatch(series: ImageSeries, prediction: Prediction, card: ModelCard) -> None:
    found = prediction.segmentation
    if found is None and not prediction.classifications:
        raise InferenceError("the run gave neither a segmentation nor a classification")
    if found is None:
        return
    described = 0 if card.segmentation is None else len(card.segmentation.segments)
    if found.segment_count != described:
        raise InferenceError(
            "the run gave other segments than the card describes",
            expected=f"{described}",
            found=f"{found.segment_count}",
        )
    shape = found.labels.shape if found.labels is not None else found.mask(1).shape
    if shape != series.geometry.shape:
        raise InferenceError(
            "the segmentation is not on the series' grid",
            expected=" x ".join(map(str, series.geometry.shape)),
            found=" x ".join(map(str, shape)),
        )
    if found.labels is not None and int(found.labels.max()) > described:
        raise InferenceError(f"the run gave label {found.labels.max()}, which the card doesn't describe")


def _sentences(
    card: ModelCard, volumes: Mapping[int, float], classifications: Sequence[Classification]
) -> tuple[str, ...]:
    segments = () if card.segmentation is None or not volumes else card.segmentation.segments
    return (
        *(volume_sentence(segment.label, volumes[segment.number]) for segment in segments),
        *(
            f"{head.name}: {answer.code.meaning} {'present' if answer.present else 'absent'}"
            f" (probability {answer.probability:.2f})"
            for head in classifications
            for answer in head.classes
        ),
    )


def volume_sentence(label: str, millilitres: float) -> str:
    """What a person reads first: a segment's name and volume."""
    if millilitres == 0:
        return f"{label}: not found (0 ml)"
    return f"{label}: {millilitres:.0f} ml" if millilitres >= 100 else f"{label}: {millilitres:.3g} ml"
