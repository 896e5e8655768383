"""What to retrieve, by which method, and how it becomes the caller's: all of it, or nothing."""

from __future__ import annotations

import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset

from iodeep.errors import ArchiveError, ArchiveUnreachableError, LocalStorageError
from iodeep.ports import Attributes, Level, Progress, ProgressSink, Wanted
from iodeep.settings import PacsSettings, Retrieve
from pacs_bridge.dimse import diagnosis, retrieve
from pacs_bridge.dimse.arrivals import Arrivals
from pacs_bridge.dimse.diagnosis import AbortedError, Parties
from pacs_bridge.dimse.kept import Kept
from pacs_bridge.dimse.receiver import Receiver
from pacs_bridge.dimse.tls import server_context
from pacs_bridge.dimse.watch import Watch
from pacs_bridge.part10 import Instance

Find = Callable[[Level, Attributes, Sequence[str]], list[Attributes]]


@dataclass
class Methods:
    """The retrieve methods to try, in order; the one that worked is remembered for the archive's lifetime."""

    setting: Retrieve
    worked: Retrieve | None = field(default=None)

    def to_try(self) -> tuple[Retrieve, ...]:
        """C-GET first: it needs no registration of ours at the archive."""
        if self.setting is not Retrieve.AUTO:
            return (self.setting,)
        return (Retrieve.MOVE, Retrieve.GET) if self.worked is Retrieve.MOVE else (Retrieve.GET, Retrieve.MOVE)


class Fetcher:
    """One retrieve from one archive."""

    def __init__(
        self,
        settings: PacsSettings,
        parties: Parties,
        associate: retrieve.Associate,
        gets: Kept,
        find: Find,
        methods: Methods,
        watch: Watch,
    ) -> None:
        self._settings = settings
        self._parties = parties
        self._associate = associate
        self._gets = gets
        self._methods = methods
        self._watch = watch
        self.find = find

    def fetch(self, wanted: Wanted, into: Path, progress: ProgressSink) -> list[Path]:
        """The files, in order of name, in ``into``."""
        wanted, expected = self._expected(wanted)
        with _staging(into) as folder:
            count = _Count("fetch", len(expected), progress)
            self.retrieve(wanted, expected, folder, on_bytes=count.bytes, on_instance=lambda _: count.instance())
            return [path.rename(into / path.name) for path in sorted(folder.iterdir())]

    def retrieve(
        self,
        wanted: Wanted,
        expected: frozenset[str],
        folder: Path,
        *,
        on_bytes: Callable[[int], None],
        on_instance: Callable[[Instance], None],
    ) -> None:
        """Bring what is expected to ``folder``, each instance told as it arrives, by the first method that works."""
        failures: list[ArchiveError] = []
        for method in self._methods.to_try():
            arrivals = Arrivals(folder, wanted, expected, on_bytes=on_bytes, on_instance=on_instance)
            self._watch.touch()
            try:
                self._by(method, retrieve.requests_for(wanted), arrivals)
                self._check_complete(arrivals)
            except ArchiveError as error:
                if isinstance(error, ArchiveUnreachableError) and not isinstance(error, AbortedError):
                    raise
                failures.append(error)
            else:
                self._methods.worked = method
                return
        raise _neither(failures)

    def _by(self, method: Retrieve, requests: Sequence[Dataset], arrivals: Arrivals) -> None:
        if method is Retrieve.MOVE:
            retrieve.move(self._associate, lambda: self._receiver(arrivals), requests, arrivals)
        else:
            retrieve.get(self._gets, self._watch, requests, arrivals)

    def _receiver(self, arrivals: Arrivals) -> Receiver:
        settings = self._settings
        tls: ssl.SSLContext | None = server_context(settings.tls) if settings.tls else None
        return Receiver((settings.move_bind, settings.move_port), self._parties, arrivals, self._watch, tls)

    def _expected(self, wanted: Wanted) -> tuple[Wanted, frozenset[str]]:
        """Which instances have to come: those that were named, or all that the archive says it has."""
        if wanted.instances and wanted.series is not None:
            return wanted, frozenset(wanted.instances)
        match = {"StudyInstanceUID": wanted.study, "SeriesInstanceUID": wanted.series or ""}
        found = {a["SOPInstanceUID"]: a["SeriesInstanceUID"] for a in self.find(Level.IMAGE, match, ())}
        expected = frozenset(wanted.instances or found)
        lacking = sorted(expected - found.keys())
        if lacking or not expected:
            raise self._not_there(wanted, lacking)
        if wanted.instances:
            return self._with_series(wanted, {found[uid] for uid in expected}), expected
        return wanted, expected

    def _with_series(self, wanted: Wanted, series: set[str]) -> Wanted:
        if len(series) > 1:
            raise ArchiveError(
                "instances of several series were asked for at once", remedy="Name the series, one request for each."
            )
        return Wanted(wanted.study, series.pop(), wanted.instances)

    def _not_there(self, wanted: Wanted, lacking: Sequence[str]) -> ArchiveError:
        what = f"series {wanted.series} of study {wanted.study}" if wanted.series else f"study {wanted.study}"
        return ArchiveError(
            f"{self._parties} holds nothing of {what}"
            if not lacking
            else f"{self._parties} does not hold {diagnosis.listed(lacking)} of {what}",
            found=f"no such instance by C-FIND ({self._parties.titles})",
            remedy="Check the UIDs, and that the archive shows this study to our AE title.",
        )

    def _check_complete(self, arrivals: Arrivals) -> None:
        missing = arrivals.missing
        if missing:
            raise ArchiveError(
                f"{self._parties} did not send {len(missing)} of {len(arrivals.expected)} instances: "
                f"{diagnosis.listed(missing)}",
                found="; ".join(sorted(set(arrivals.reasons.values()))) or "a retrieve that it calls complete",
                remedy="See whether the archive still has them; it may have removed or moved them.",
            )


def _neither(failures: Sequence[ArchiveError]) -> ArchiveError:
    """The first method's error; with two, both problems and both remedies."""
    first = failures[0]
    if len(failures) == 1:
        return first
    remedies = dict.fromkeys(error.remedy for error in failures if error.remedy)
    return type(first)(
        f"neither C-GET nor C-MOVE worked: {'; '.join(error.problem for error in failures)}",
        expected=first.expected,
        found=first.found,
        remedy=" ".join(remedies),
    )


class _Count:
    """Turns arrivals into progress."""

    def __init__(self, step: str, total: int, progress: ProgressSink) -> None:
        self._step = step
        self._total = total
        self._progress = progress
        self._bytes = 0
        self._instances = 0

    def bytes(self, count: int) -> None:
        """Some bytes have come."""
        self._bytes += count
        self._progress(Progress(self._step, self._bytes, None, "bytes"))

    def instance(self) -> None:
        """An instance is complete."""
        self._instances += 1
        self._progress(Progress(self._step, self._instances, self._total, "instances"))


@contextmanager
def _staging(into: Path) -> Iterator[Path]:
    """A hidden folder in ``into``, so that moving out of it is renaming; gone at the end, ``into`` too where new."""
    is_new = not into.exists()
    try:
        into.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=into))
    except OSError as error:
        raise LocalStorageError(
            f"{into} cannot be written: {error.strerror}", remedy="Name a folder that you may write to."
        ) from error
    try:
        yield folder
    except BaseException:
        shutil.rmtree(into if is_new else folder, ignore_errors=True)
        raise
    folder.rmdir()
