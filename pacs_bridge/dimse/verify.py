"""Storing is not stored until verified: every instance is found again, retrieved and compared with what was sent.

Some archives answer Success and delete an older instance of the study; so missing ones are named, and why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from iodeep.errors import ArchiveError
from iodeep.ports import Level, Progress, ProgressSink, Wanted
from pacs_bridge.content_digest import same_content
from pacs_bridge.dimse import diagnosis
from pacs_bridge.dimse.fetch import Fetcher
from pacs_bridge.part10 import Instance

_Series = tuple[str, str]


def verify_stored(instances: Sequence[Instance], fetcher: Fetcher, progress: ProgressSink) -> None:
    """Raise what of ``instances`` the archive does not hold, or holds otherwise; one at a time lies on our disk."""
    groups: dict[_Series, dict[str, Instance]] = {}
    for instance in instances:
        groups.setdefault((instance.study, instance.series), {})[instance.uid] = instance
    held = {series: _held(series, fetcher) for series in groups}
    missing = [
        f"{uid} ({group[uid].path.name})" for series, group in groups.items() for uid in group.keys() - held[series]
    ]
    if missing:
        raise _missing(sorted(missing), len(instances))
    done = 0
    altered: list[str] = []
    for series, group in groups.items():
        check = _Check(group, len(instances), done, altered, progress)
        _retrieve(series, group, held[series], fetcher, check)
        done += len(group)
    if altered:
        raise _altered(altered)


class _Check:
    """Compares each instance as it arrives, and removes it."""

    def __init__(
        self, group: dict[str, Instance], total: int, done: int, altered: list[str], progress: ProgressSink
    ) -> None:
        self._group = group
        self._total = total
        self._done = done
        self._altered = altered
        self._progress = progress

    def compare(self, arrived: Instance) -> None:
        """Note what the archive changed."""
        ours = self._group[arrived.uid]
        difference = same_content(ours.path, arrived.path)
        arrived.path.unlink()
        if difference is not None:
            self._altered.append(f"{arrived.uid} ({ours.path.name}): {difference}")
        self._done += 1
        self._progress(Progress("verify", self._done, self._total, "instances"))


def _held(series: _Series, fetcher: Fetcher) -> frozenset[str]:
    match = {"StudyInstanceUID": series[0], "SeriesInstanceUID": series[1]}
    return frozenset(found["SOPInstanceUID"] for found in fetcher.find(Level.IMAGE, match, ()))


def _retrieve(
    series: _Series, group: dict[str, Instance], held: frozenset[str], fetcher: Fetcher, check: _Check
) -> None:
    """The whole series in one request where it is all ours, else each instance by itself."""
    ours = tuple(sorted(group))
    wanted = Wanted(*series) if held == group.keys() else Wanted(*series, ours)
    with tempfile.TemporaryDirectory(prefix="iodeep-") as folder:
        fetcher.retrieve(wanted, frozenset(ours), Path(folder), on_bytes=lambda _: None, on_instance=check.compare)


def _missing(names: Sequence[str], total: int) -> ArchiveError:
    return ArchiveError(
        f"the archive accepted {total} instances, and does not find {len(names)} of them: {diagnosis.listed(names)}",
        remedy="It may hold less of a study than was sent and have deleted the oldest without saying so (DCMTK's dcmqrscp: "
        "1 GiB a study, 499 instances): set max_study_size for it, or use an archive that holds more.",
    )


def _altered(names: Sequence[str]) -> ArchiveError:
    return ArchiveError(
        f"the archive gave back {len(names)} instances other than they were sent: {diagnosis.listed(names)}",
        remedy="Turn off coercion and lossy compression for our AE title there; an older instance of the same UID may "
        "also have been kept. Do not use what was stored.",
    )
