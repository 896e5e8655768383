"""Instances of many studies by one retrieve, where an archive does that; only to save time.

A relational retrieve (PS3.4 C.4.3.2.2) that was not negotiated is often answered all the same. What an archive refuses, leaves
out or sends wrongly is left to the hierarchical way: nothing here is an error but silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydicom.dataset import Dataset

from iodeep.errors import ArchiveError, ArchiveUnreachableError
from iodeep.ports import Level, Wanted
from pacs_bridge.dimse import retrieve
from pacs_bridge.dimse.arrivals import Arrivals
from pacs_bridge.dimse.kept import Kept
from pacs_bridge.dimse.watch import Watch
from pacs_bridge.part10 import Instance


def fetch(gets: Kept, watch: Watch, wanted: Mapping[str, Wanted], into: Path) -> list[Path]:
    """C-GET of instances by their UIDs, the keys of ``wanted``; the files of those that came and are what they should be."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = Level.IMAGE.value
    identifier.SOPInstanceUID = list(wanted)
    arrivals = _OfSeveralStudies(wanted, into)
    try:
        retrieve.get(gets, watch, [identifier], arrivals)
    except ArchiveUnreachableError:
        raise
    except ArchiveError:
        pass  # what came is good; the rest is asked for one by one
    return [path for uid in wanted if (path := into / f"{uid}.dcm").exists()]


class _OfSeveralStudies(Arrivals):
    """Arrivals, each of which belongs to a series of its own."""

    def __init__(self, wanted: Mapping[str, Wanted], folder: Path) -> None:
        nowhere = Wanted("")
        super().__init__(folder, nowhere, frozenset(wanted), on_bytes=lambda _: None, on_instance=lambda _: None)
        self._of = wanted

    def _mismatch(self, instance: Instance, uid: str) -> str:
        of = self._of[uid]
        if (instance.uid, instance.study, instance.series) != (uid, of.study, of.series):
            return "it is not the instance, or of the series, that was asked for"
        return ""
