"""The :class:`iodeep.ports.Archive` port over DIMSE: one association kept open for queries and one for C-GET."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from iodeep.errors import ArchiveError, ArchiveUnreachableError, SettingsError
from iodeep.ports import Attributes, Cancellation, EchoReply, Level, ProgressSink, StoreReport, Wanted, no_progress
from iodeep.settings import PacsSettings, Retrieve
from pacs_bridge.dimse import across, commands, diagnosis, query, retrieve
from pacs_bridge.dimse.association import Association
from pacs_bridge.dimse.commands import Command
from pacs_bridge.dimse.diagnosis import Parties
from pacs_bridge.dimse.fetch import Fetcher, Methods
from pacs_bridge.dimse.kept import Kept
from pacs_bridge.dimse.negotiation import MAX_CONTEXTS, Proposal, request
from pacs_bridge.dimse.store import check_study_sizes, store
from pacs_bridge.dimse.tls import client_context
from pacs_bridge.dimse.verify import verify_stored
from pacs_bridge.dimse.watch import POLL_S, Watch
from pacs_bridge.part10 import UNCOMPRESSED, read_instance

VERIFICATION = "1.2.840.10008.1.1"
_QUERIES = (Proposal(VERIFICATION, UNCOMPRESSED), Proposal(query.STUDY_ROOT_FIND, UNCOMPRESSED))
_Result = TypeVar("_Result")


class DimseArchive:
    """A PACS with host, port and AE title. May be shared by threads: one store at a time."""

    def __init__(self, settings: PacsSettings) -> None:
        if settings.host is None or settings.port is None or settings.aet is None:
            raise SettingsError(f"{settings.name} has no DIMSE address", expected="host, port and aet")
        self._settings = settings
        self._parties = Parties(settings.name, settings.aet, settings.calling_aet, settings.host, settings.port)
        self._tls: ssl.SSLContext | None = client_context(settings.tls) if settings.tls else None
        self._methods = Methods(settings.retrieve)
        self._storing = threading.Lock()
        self._queries = Kept(self._associate, _QUERIES)
        self._gets = Kept(self._associate, retrieve.GET)

    @property
    def name(self) -> str:
        """The archive's name and address."""
        return self._settings.address

    def echo(self) -> EchoReply:
        """C-ECHO (PS3.4 Annex A)."""

        def ask(association: Association) -> EchoReply:
            started = time.perf_counter()
            context = association.context_for(VERIFICATION)
            if context is None:
                raise diagnosis.nothing_negotiated(self._parties, "C-ECHO", (VERIFICATION,))
            association.wire.doing = "asking for an echo (C-ECHO)"
            number = association.next_message_id()
            association.send(context, commands.request(Command.C_ECHO_RQ, VERIFICATION, number, data_set=False))
            answer = association.receive()
            if answer.status != commands.SUCCESS:
                raise diagnosis.refused(self._parties, "C-ECHO", answer.command, self._parties.called, VERIFICATION)
            milliseconds = (time.perf_counter() - started) * 1000
            return EchoReply(milliseconds, str(self._parties), association.implementation)

        return self._on_query_association(ask)

    def find(self, level: Level, match: Attributes, include: Sequence[str] = ()) -> list[Attributes]:
        """C-FIND, hierarchical and filtered again; see :func:`pacs_bridge.dimse.query.find`."""
        return self._on_query_association(lambda association: query.find(association, level, match, include))

    def fetch(
        self,
        wanted: Wanted,
        into: Path,
        *,
        progress: ProgressSink = no_progress,
        cancel: Cancellation | None = None,
    ) -> list[Path]:
        """C-GET or C-MOVE to files called by their SOP Instance UID; all arrive, or none is left in ``into``.

        Progress comes in bytes, whose total is unknown, and in instances.
        """
        return self._fetcher(cancel).fetch(wanted, into, progress)

    def find_across(self, match: Attributes, include: Sequence[str], most: int) -> list[Attributes]:
        """One relational C-FIND; see :func:`pacs_bridge.dimse.query.find_across`."""
        try:
            return self._on_query_association(lambda association: query.find_across(association, match, include, most))
        except ArchiveUnreachableError:
            raise
        except ArchiveError:
            return []

    def fetch_across(self, wanted: Sequence[Wanted], into: Path) -> list[Path]:
        """One C-GET; see :func:`pacs_bridge.dimse.across.fetch`. Nothing where instances come by C-MOVE."""
        if Retrieve.GET not in self._methods.to_try()[:1]:
            return []
        named = {uid: each for each in wanted for uid in each.instances}
        return across.fetch(self._gets, self._watch(), named, into)

    def store(
        self,
        paths: Sequence[Path],
        *,
        progress: ProgressSink = no_progress,
        cancel: Cancellation | None = None,
    ) -> StoreReport:
        """C-STORE, one sender at a time: some archives lose instances when two send at once."""
        instances = [read_instance(path) for path in paths]
        check_study_sizes(instances, self._settings)
        watch = self._watch(cancel)
        while not self._storing.acquire(timeout=POLL_S):
            watch.ask("waiting for another store to end")
        try:
            return store(instances, lambda proposals: self._associate(proposals, watch), progress)
        finally:
            self._storing.release()

    def accepted(self, sop_class_uids: Sequence[str]) -> frozenset[str]:
        """The SOP classes for which the archive accepts a presentation context in Explicit VR Little Endian."""
        proposals = [Proposal(uid, UNCOMPRESSED[:1]) for uid in dict.fromkeys(sop_class_uids)]
        groups = [proposals[start : start + MAX_CONTEXTS] for start in range(0, len(proposals), MAX_CONTEXTS)]
        taken: set[str] = set()
        for group in groups:
            with self._associate(group, self._watch()) as association:
                taken |= {context.abstract_syntax for context in association.contexts.values()}
        return frozenset(taken)

    def verify_stored(self, paths: Sequence[Path], *, progress: ProgressSink = no_progress) -> None:
        """C-FIND for each instance, then retrieve and compare; see :mod:`pacs_bridge.dimse.verify`."""
        verify_stored([read_instance(path) for path in paths], self._fetcher(None), progress)

    def close(self) -> None:
        """Release what is open."""
        self._queries.close()
        self._gets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetcher(self, cancel: Cancellation | None) -> Fetcher:
        watch = self._watch(cancel)
        return Fetcher(
            self._settings,
            self._parties,
            lambda proposals: self._associate(proposals, watch),
            self._gets,
            self.find,
            self._methods,
            watch,
        )

    def _watch(self, cancel: Cancellation | None = None) -> Watch:
        return Watch(self._settings.timeout_s, cancel)

    def _associate(self, proposals: Sequence[Proposal], watch: Watch) -> Association:
        return request(self._parties, proposals, watch, self._tls)

    def _on_query_association(self, work: Callable[[Association], _Result]) -> _Result:
        return self._queries.use(self._watch(), work)
