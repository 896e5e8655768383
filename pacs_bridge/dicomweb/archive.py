"""The :class:`iodeep.ports.Archive` port over DICOMweb (PS3.18).

Queries go through dicomweb-client. Instances don't: it holds whole parts in memory in both directions, so STOW-RS and
WADO-RS are streamed here over the same :mod:`requests` session. Nothing counts as stored before it was verified.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dicomweb_client.api import DICOMwebClient

from iodeep.errors import ArchiveError, ArchiveUnreachableError, CancelledError, InputError
from iodeep.ports import (
    Attributes,
    Cancellation,
    EchoReply,
    Level,
    Progress,
    ProgressSink,
    StoreReport,
    Wanted,
    no_progress,
)
from iodeep.settings import MEBI, PacsSettings
from pacs_bridge.content_digest import same_content
from pacs_bridge.dicomweb import incoming, query, stow
from pacs_bridge.dicomweb.http import Service, raise_for_status
from pacs_bridge.dicomweb.multipart import Outgoing
from pacs_bridge.part10 import Instance, read_instance

_JSON = "application/dicom+json"
_REQUEST_BYTES = 32 * MEBI
_REQUEST_FILES = 64
_SHOWN = 5


class DicomWebArchive:
    """A PACS with a DICOMweb root. Not to be shared by threads."""

    def __init__(self, settings: PacsSettings) -> None:
        self._settings = settings
        self._service = Service(settings)
        with self._service.speaking(self._service.root):
            self._client = DICOMwebClient(
                self._service.root,
                session=self._service.session,
                timeout=self._service.timeout,
                permissive_uid=True,
            )
        self._client.set_http_retry_params(retry=False)

    @property
    def name(self) -> str:
        """The archive's name and DICOMweb root."""
        return f"{self._settings.name} ({self._service.root})"

    def echo(self) -> EchoReply:
        """A QIDO-RS request for one study."""
        url = f"{self._service.root}/studies?limit=1"
        started = time.perf_counter()
        with self._service.speaking(url):
            reply = self._service.session.get(url, headers={"Accept": _JSON}, timeout=self._service.timeout)
            raise_for_status(url, reply)
            if reply.content and not isinstance(reply.json(), list):
                raise ArchiveError(f"{url}: the answer is not a list of studies")
        milliseconds = (time.perf_counter() - started) * 1000
        return EchoReply(milliseconds, self.name, reply.headers.get("Server"))

    def find(self, level: Level, match: Attributes, include: Sequence[str] = ()) -> list[Attributes]:
        """QIDO-RS, paged and filtered again; see :func:`pacs_bridge.dicomweb.query.find`."""
        with self._service.speaking(self._service.root):
            return query.find(self._client, level, match, include)

    def accepted(self, sop_class_uids: Sequence[str]) -> frozenset[str]:
        """All: STOW-RS doesn't negotiate, a class that isn't taken is refused when it is stored."""
        return frozenset(sop_class_uids)

    def fetch(
        self,
        wanted: Wanted,
        into: Path,
        *,
        progress: ProgressSink = no_progress,
        cancel: Cancellation | None = None,
    ) -> list[Path]:
        """WADO-RS in the transfer syntax as stored, held against what QIDO-RS says is there."""
        expected = list(wanted.instances) or self._instances_of(wanted)
        with incoming.folder_for(into) as folder:
            came: list[str] = []
            for url in incoming.urls_of(self._service.root, wanted):
                for instance in incoming.receive(
                    self._service, url, wanted, folder, lambda _: _go_on(cancel, "fetching")
                ):
                    came.append(instance.uid)
                    progress(Progress("fetch", len(came), len(expected), "instances"))
            self._complete(wanted, expected, came)
            return incoming.move(folder, expected, into)

    def store(
        self,
        paths: Sequence[Path],
        *,
        progress: ProgressSink = no_progress,
        cancel: Cancellation | None = None,
    ) -> StoreReport:
        """STOW-RS, small files together and large ones alone; see :func:`pacs_bridge.dicomweb.stow.judged`."""
        instances = _distinct([read_instance(path) for path in paths])
        self._within_limit(instances)
        started = time.perf_counter()
        total = sum(path.stat().st_size for path in paths)
        done = 0

        def sent(count: int) -> None:
            nonlocal done
            _go_on(cancel, "storing")
            done += count
            progress(Progress("store", done, total, "bytes"))

        warnings = [text for batch in _batches(instances) for text in self._post(batch, sent)]
        return StoreReport(len(instances), total, time.perf_counter() - started, tuple(warnings))

    def verify_stored(self, paths: Sequence[Path], *, progress: ProgressSink = no_progress) -> None:
        """Find each instance again, retrieve it and compare content; one is on our disk at a time."""
        instances = _distinct([read_instance(path) for path in paths])
        wrong = {one.path: "not found again" for one in self._not_found(instances)}
        for number, instance in enumerate(instances, start=1):
            if instance.path not in wrong and (how := self._altered(instance)):
                wrong[instance.path] = how
            progress(Progress("verify", number, len(instances), "instances"))
        if wrong:
            raise _not_stored(self.name, wrong)

    def close(self) -> None:
        """End the kept connections."""
        self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _instances_of(self, wanted: Wanted) -> list[str]:
        match = {"StudyInstanceUID": wanted.study, **({"SeriesInstanceUID": wanted.series} if wanted.series else {})}
        found = [answer["SOPInstanceUID"] for answer in self.find(Level.IMAGE, match)]
        if not found:
            raise ArchiveError(
                f"{self.name} has nothing of {_named(wanted)}",
                remedy="Check the UID, and that the study was not moved or deleted.",
            )
        return found

    def _complete(self, wanted: Wanted, expected: Sequence[str], came: Sequence[str]) -> None:
        missing = sorted(set(expected) - set(came))
        if missing or len(came) != len(expected):
            raise ArchiveError(
                f"{self.name} gave {len(came)} of {len(expected)} instances of {_named(wanted)}",
                found=f"missing {', '.join(missing[:_SHOWN])}"
                if missing
                else "some that its index doesn't know, or twice",
                remedy="Look into the server's log: its files and its index do not agree.",
            )

    def _post(self, batch: Sequence[Instance], sent: Callable[[int], None]) -> list[str]:
        url = f"{self._service.root}/studies"
        body = Outgoing([instance.path for instance in batch], sent)
        headers = {"Content-Type": body.content_type, "Accept": _JSON}
        with self._service.speaking(url):
            response = self._service.session.post(
                url,
                data=body,  # iterable with a length: streamed, with a Content-Length
                headers=headers,
                timeout=self._service.timeout,
                allow_redirects=False,
            )
        return stow.judged(url, response, batch)

    def _within_limit(self, instances: Sequence[Instance]) -> None:
        limit = self._settings.max_study_size
        studies: Counter[str] = Counter()
        for instance in instances:
            studies[instance.study] += instance.length
        over = [(study, size) for study, size in studies.items() if limit is not None and size > limit]
        for study, size in over:
            raise ArchiveError(
                f"{self.name} cannot keep study {study}",
                expected=f"at most {limit} bytes of a study (max_study_size)",
                found=f"{size} bytes",
                remedy="Send it to an archive that takes more.",
            )

    def _not_found(self, instances: Sequence[Instance]) -> Iterator[Instance]:
        series: dict[tuple[str, str], list[Instance]] = defaultdict(list)
        for instance in instances:
            series[instance.study, instance.series].append(instance)
        for (study, uid), members in series.items():
            answers = self.find(Level.IMAGE, {"StudyInstanceUID": study, "SeriesInstanceUID": uid})
            found = {answer["SOPInstanceUID"] for answer in answers}
            yield from (member for member in members if member.uid not in found)

    def _altered(self, instance: Instance) -> str | None:
        wanted = Wanted(instance.study, instance.series, (instance.uid,))
        with tempfile.TemporaryDirectory(prefix="iodeep-") as folder:
            try:
                (retrieved,) = self.fetch(wanted, Path(folder))
            except ArchiveUnreachableError:
                raise
            except ArchiveError as error:
                return f"cannot be retrieved: {error}"
            difference = same_content(instance.path, retrieved)
        return str(difference) if difference else None


def _batches(instances: Sequence[Instance]) -> Iterator[list[Instance]]:
    """What goes into one request; a server may hold it in memory as a whole."""
    batch: list[Instance] = []
    size = 0
    for instance in instances:
        if batch and (size + instance.length > _REQUEST_BYTES or len(batch) >= _REQUEST_FILES):
            yield batch
            batch, size = [], 0
        batch.append(instance)
        size += instance.length
    if batch:
        yield batch


def _distinct(instances: list[Instance]) -> list[Instance]:
    seen: dict[str, Instance] = {}
    for instance in instances:
        if instance.uid in seen:
            raise InputError(
                f"{seen[instance.uid].path} and {instance.path} hold the same SOP Instance UID {instance.uid}",
                remedy="Send one of them.",
            )
        seen[instance.uid] = instance
    return instances


def _go_on(cancel: Cancellation | None, what: str) -> None:
    if cancel is not None and cancel.is_set():
        raise CancelledError(f"{what} was cancelled")


def _named(wanted: Wanted) -> str:
    return f"series {wanted.series} of study {wanted.study}" if wanted.series else f"study {wanted.study}"


def _not_stored(name: str, wrong: Mapping[Path, str]) -> ArchiveError:
    lines = [f"{path}: {how}" for path, how in wrong.items()]
    more = f", and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return ArchiveError(
        f"{name} does not hold {len(lines)} instances as they were sent",
        found="; ".join(lines[:_SHOWN]) + more,
        remedy="Check its free space, its limit for a study (max_study_size) and its coercion rules, and send again.",
    )
