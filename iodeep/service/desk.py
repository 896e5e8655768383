"""Where the terminal asks about jobs: a service over HTTP, or the database on this machine where no service is named.

Both answer with the same records, so that a command looks the same wherever it is run.
"""

from __future__ import annotations

import getpass
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

from iodeep.errors import ArchiveError, InputError, IODeepError, SettingsError
from iodeep.ports import Archive
from iodeep.service.api.archive_state import ArchiveState, echo_state
from iodeep.service.api.figures import DaySummary, bounds_of, day_summary, records_since
from iodeep.service.api.overview import Overview, overview
from iodeep.service.audit import AuditEvent, EventKind
from iodeep.service.configuration import Configuration, ServiceAddress, data_folder, service_address
from iodeep.service.jobs import JobFilter, JobRecord
from iodeep.service.serving import DataFolders, ServeContext

if TYPE_CHECKING:
    import httpx

    from iodeep.service.jobs import JobBoard

_TIMEOUT_S = 60.0
_ANSWERS: tuple[tuple[int, type[IODeepError]], ...] = (
    (401, SettingsError),
    (403, SettingsError),
    (404, InputError),
    (409, InputError),
    (422, InputError),
    (502, ArchiveError),
    (504, ArchiveError),
)


class Desk(Protocol):
    """What the commands ask."""

    def list(self, wanted: JobFilter, limit: int) -> list[JobRecord]:
        """Jobs, the newest change first."""

    def get(self, job_id: str) -> JobRecord:
        """One job with its decision."""

    def follow(self, job_id: str) -> Iterator[JobRecord]:
        """Each change, to the end."""

    def cancel(self, job_id: str) -> JobRecord:
        """Ask for its end."""

    def retry(self, job_id: str) -> JobRecord:
        """Begin it again."""

    def overview(self) -> Overview:
        """The service at this moment."""

    def summary(self, day: date) -> DaySummary:
        """One day."""


@contextmanager
def open_desk(configuration: Configuration) -> Iterator[Desk]:
    """The service that ``IODEEP_URL`` names, or the one of this machine.

    Errors: :class:`iodeep.errors.SettingsError` where neither is there.
    """
    address = service_address()
    if address is not None:
        with _client(address) as client:
            yield HttpDesk(client)
        return
    context = _local_context(configuration)
    with closing(context.open_board()) as board:
        yield LocalDesk(context, board)


class LocalDesk:
    """Straight to the database; what is changed is recorded in the audit log first."""

    def __init__(self, context: ServeContext, board: JobBoard) -> None:
        self._context = context
        self._board = board

    def list(self, wanted: JobFilter, limit: int) -> list[JobRecord]:
        """Jobs, the newest change first."""
        return [*self._board.list(wanted, limit=limit)]

    def get(self, job_id: str) -> JobRecord:
        """One job with its decision."""
        return self._board.get(job_id)

    def follow(self, job_id: str) -> Iterator[JobRecord]:
        """Each change, to the end."""
        return self._board.follow(job_id)

    def cancel(self, job_id: str) -> JobRecord:
        """Ask for its end."""
        self._note(self._board.get(job_id), "D", "cancelled")
        return self._board.cancel(job_id)

    def retry(self, job_id: str) -> JobRecord:
        """Begin it again."""
        self._note(self._board.get(job_id), "U", "begun again")
        return self._board.retry(job_id)

    def overview(self) -> Overview:
        """The service at this moment; every archive is asked."""
        states = [self._asked(name) for name in sorted(self._context.settings.pacs)]
        return overview(self._context, self._board, states)

    def summary(self, day: date) -> DaySummary:
        """One day."""
        return day_summary(records_since(self._board, bounds_of(day)[0]), day)

    def _asked(self, name: str) -> ArchiveState:
        def opened() -> Archive:
            return self._context.open_archive(name)

        return echo_state(name, opened)

    def _note(self, record: JobRecord, action: str, what: str) -> None:
        event = AuditEvent(
            EventKind.JOB,
            user=getpass.getuser(),
            action=action,
            study_instance_uids=(record.request.study_instance_uid,),
            detail=f"job {record.job_id} {what}",
        )
        self._context.open_audit().record(event)


class HttpDesk:
    """A service's API (docs/api.md)."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def list(self, wanted: JobFilter, limit: int) -> list[JobRecord]:
        """Jobs, the newest change first."""
        query: dict[str, Any] = {
            "state": sorted(wanted.states or ()),
            "study": wanted.study_instance_uid,
            "series": wanted.series_instance_uid,
            "limit": limit,
        }
        document = self._ask("GET", "jobs", {name: value for name, value in query.items() if value})
        return [JobRecord.model_validate(each) for each in document["items"]]

    def get(self, job_id: str) -> JobRecord:
        """One job with its decision."""
        return JobRecord.model_validate(self._ask("GET", f"jobs/{job_id}"))

    def follow(self, job_id: str) -> Iterator[JobRecord]:
        """Each change, to the end; a stream that breaks is begun again from where it was."""
        seen = -1
        while True:
            for record in self._stream(job_id, seen):
                seen = record.revision
                yield record
                if record.state.final:
                    return

    def cancel(self, job_id: str) -> JobRecord:
        """Ask for its end."""
        return JobRecord.model_validate(self._ask("POST", f"jobs/{job_id}/cancel"))

    def retry(self, job_id: str) -> JobRecord:
        """Begin it again."""
        return JobRecord.model_validate(self._ask("POST", f"jobs/{job_id}/retry"))

    def overview(self) -> Overview:
        """The service at this moment."""
        return Overview.model_validate(self._ask("GET", "overview"))

    def summary(self, day: date) -> DaySummary:
        """One day."""
        return DaySummary.model_validate(self._ask("GET", "summary", {"day": day.isoformat()}))

    def _ask(self, method: str, path: str, query: Mapping[str, Any] | None = None) -> Any:
        with self._answering():
            answer = self._client.request(method, path, params=dict(query or {}))
        if answer.status_code >= 400:
            raise _problem(answer)
        return answer.json()

    def _stream(self, job_id: str, seen: int) -> Iterator[JobRecord]:
        headers = {"Last-Event-ID": str(seen)}
        with self._answering(), self._client.stream("GET", f"jobs/{job_id}/events", headers=headers) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise _problem(answer)
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield JobRecord.model_validate_json(line.removeprefix("data: "))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise SettingsError(
                f"no service answers at {self._client.base_url}: {error}",
                remedy="Start iodeep serve there, or correct the variable IODEEP_URL.",
            ) from error


def _client(address: ServiceAddress) -> httpx.Client:
    import httpx

    headers = {"Authorization": f"Bearer {address.api_key}"} if address.api_key else {}
    return httpx.Client(base_url=f"{address.url}/api/v1/", headers=headers, timeout=_TIMEOUT_S, trust_env=False)


def _problem(answer: httpx.Response) -> IODeepError:
    """The problem document as the error that it was made from (RFC 9457)."""
    try:
        document = answer.json()
    except json.JSONDecodeError:
        document = {}
    kind = next((kind for status, kind in _ANSWERS if status == answer.status_code), IODeepError)
    remedy = document.get("remedy")
    if answer.status_code == 401:
        remedy = "Set the variable IODEEP_API_KEY to a key that `iodeep keys add` made there."
    return kind(
        document.get("detail") or f"the service answered {answer.status_code}",
        expected=document.get("expected"),
        found=document.get("found"),
        remedy=remedy,
    )


def _local_context(configuration: Configuration) -> ServeContext:
    from iodeep.service.serving.composition import context_for

    settings = configuration.settings.serve
    folders = DataFolders(data_folder(configuration), settings)
    if not settings.jobs.database and not folders.database.exists():
        raise SettingsError(
            "no service was named, and none has run on this machine",
            found=f"no {folders.database}",
            remedy="Start iodeep serve, name its --config, or set IODEEP_URL and IODEEP_API_KEY to one elsewhere.",
        )
    return context_for("terminal", configuration, folders, threading.Event())
