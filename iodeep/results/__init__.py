"""Results as DICOM: segmentation (SEG), measurements (TID 1500 SR), provenance, and pictures for people."""

from __future__ import annotations

from iodeep.results.building import Results, build_results, volume_sentence
from iodeep.results.geometry_check import check_geometry
from iodeep.results.kinds import SegKind, accepted_kind, segmentation_sop_class, sop_classes_to_propose
from iodeep.results.overlay import overlay_png
from iodeep.results.reading import volumes_of_report
from iodeep.results.uids import ResultUids, result_uids
from iodeep.results.writing import write_results

__all__ = [
    "ResultUids",
    "Results",
    "SegKind",
    "accepted_kind",
    "build_results",
    "check_geometry",
    "overlay_png",
    "result_uids",
    "segmentation_sop_class",
    "sop_classes_to_propose",
    "volume_sentence",
    "volumes_of_report",
    "write_results",
]
