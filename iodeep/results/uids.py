"""A result's UIDs follow from what it was made of, so that a job that runs twice stores once.

The same images, model object, kind and parameters give the same UIDs; a series that has got more images since gives others. Bytes under them are the same only where ``now``
is too, and no UID may ever name two different data sets: ask the archive for :func:`result_uids` before storing, and
send nothing when it has them. ``RESULT_FORMAT`` is raised with every change of what a result holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iodeep.model_object.identity import ModelIdentity
from iodeep.results.kinds import SegKind
from iodeep.terms import deterministic_uid

if TYPE_CHECKING:
    from iodeep.volume import ImageSeries

RESULT_FORMAT = "2"


@dataclass(frozen=True)
class ResultUids:
    """The UIDs of one run's results (PS3.3 C.7.3.1, C.12.1)."""

    segmentation: str
    segmentation_series: str
    report: str
    report_series: str
    dimension_organization: str
    seed: tuple[str, ...]

    def tracking(self, what: str) -> str:
        """Tracking UID (0062,0021) of a segment or finding of this run."""
        return deterministic_uid(*self.seed, "tracking", what)


def images_of(series: ImageSeries) -> str:
    """What a result was made of: the series and every image of it, whatever their order."""
    images = "\n".join(sorted(str(header.SOPInstanceUID) for header in series.headers))
    return f"{series.series_instance_uid} sha256={hashlib.sha256(images.encode()).hexdigest()}"


def result_uids(
    sources: tuple[str, ...],
    identity: ModelIdentity,
    kind: SegKind = SegKind.BINARY,
    run_parameters: Mapping[str, str] | None = None,
) -> ResultUids:
    """The UIDs of the results that ``identity`` makes of ``sources``: :func:`images_of` each input, in the card's order."""
    seed = (
        "result",
        RESULT_FORMAT,
        *(f"series={uid}" for uid in sources),
        identity.sop_instance_uid,
        identity.manifest_sha256,
        identity.version,
        kind.value,
        *(f"{name}={value}" for name, value in sorted((run_parameters or {}).items())),
    )
    made = {
        name: deterministic_uid(*seed, name)
        for name in ("segmentation", "segmentation_series", "report", "report_series", "dimension_organization")
    }
    return ResultUids(seed=seed, **made)
