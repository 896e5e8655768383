"""Results that an archive already holds are read, not made again: the volumes that a report of ours states."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

_GROUP = "125007"  # (125007, DCM, "Measurement Group"), TID 1411
_VOLUME = str(codes.SCT.Volume.value)


def volumes_of_report(report: Dataset) -> dict[int, float]:
    """Segment Number -> millilitres, out of the measurement groups of a TID 1500 report (PS3.16 TID 1411)."""
    found: dict[int, float] = {}
    for group in _items_called(report, _GROUP):
        numbers = [
            int(reference.ReferencedSegmentNumber)
            for item in group.ContentSequence
            for reference in item.get("ReferencedSOPSequence") or []
            if "ReferencedSegmentNumber" in reference
        ]
        volumes = [float(item.MeasuredValueSequence[0].NumericValue) for item in _items_called(group, _VOLUME)]
        if len(numbers) == 1 and len(volumes) == 1:
            found[numbers[0]] = volumes[0]
    return found


def _items_called(parent: Dataset, code_value: str) -> Iterator[Dataset]:
    """Content items below ``parent`` whose concept name has the code value."""
    for item in parent.get("ContentSequence") or []:
        name = item.get("ConceptNameCodeSequence")
        if name and name[0].get("CodeValue") == code_value:
            yield item
        else:
            yield from _items_called(item, code_value)
