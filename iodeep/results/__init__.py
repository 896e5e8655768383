"""Results as DICOM: segmentation (SEG), measurements (TID 1500 SR), provenance, and pictures for people.

Whatever writes or reads a result is imported when it is first asked for, because highdicom and its tables cost half a second
that most commands don't need. A command that will need it calls :func:`import_meanwhile` before it waits for something else.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from iodeep.results.kinds import SegKind, accepted_kind, segmentation_sop_class, sop_classes_to_propose
from iodeep.results.uids import ResultUids, images_of, result_uids

if TYPE_CHECKING:
    from iodeep.results.building import Results, build_results, volume_sentence
    from iodeep.results.decision_reading import decision_of_report
    from iodeep.results.geometry_check import check_geometry
    from iodeep.results.overlay import overlay_png
    from iodeep.results.reading import volumes_of_report
    from iodeep.results.writing import write_results

__all__ = [
    "ResultUids",
    "Results",
    "SegKind",
    "accepted_kind",
    "build_results",
    "check_geometry",
    "decision_of_report",
    "images_of",
    "import_meanwhile",
    "overlay_png",
    "result_uids",
    "segmentation_sop_class",
    "sop_classes_to_propose",
    "volume_sentence",
    "volumes_of_report",
    "write_results",
]

_WHEN_ASKED_FOR = {
    "Results": "building",
    "build_results": "building",
    "volume_sentence": "building",
    "check_geometry": "geometry_check",
    "decision_of_report": "decision_reading",
    "overlay_png": "overlay",
    "volumes_of_report": "reading",
    "write_results": "writing",
}


def __getattr__(name: str) -> object:
    """PEP 562: what is not there yet is imported from the module that has it."""
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHEN_ASKED_FOR[name]}"), name)


def import_meanwhile() -> None:
    """Import what writes results on a thread beside the caller, who goes on and waits for an archive or a network.

    Harmless where it is called again. What cannot be imported is told to whoever uses it.
    """
    threading.Thread(target=_import_writers, name="import of highdicom", daemon=True).start()


def _import_writers() -> None:
    with suppress(ImportError):
        import_module(f"{__name__}.building")
        import_module(f"{__name__}.segmentation").read_tables()
