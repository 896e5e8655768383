"""The table of jobs: every statement on it is here. A worker changes only a job that it holds the claim of."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from iodeep.errors import InputError, SelfTestError
from iodeep.service.jobs.database import jobs
from iodeep.service.jobs.record import JobFilter, JobRecord, JobState
from iodeep.service.jobs.request import JobRequest
from iodeep.service.jobs.rows import IN_LISTS, as_column, new_row, record_of

AGAIN = (JobState.FAILED, JobState.REFUSED, JobState.CANCELLED)
"""What a person may begin again."""
ENDED = tuple(state for state in JobState if state.final)


class LostClaimError(Exception):
    """Another worker has the job by now, or nobody has: whoever sees this does nothing more to it."""


@dataclass(frozen=True)
class Waiting:
    """How long a job has been hoping."""

    since: float | None
    passed: int


class JobTable:
    """Statements on jobs; each is one transaction unless the caller brings one."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def begin(self) -> AbstractContextManager[sa.Connection]:
        """A transaction."""
        return self.engine.begin()

    def ask(self) -> None:
        """See whether the database answers."""
        with self.engine.connect() as connection:
            connection.execute(sa.select(1))

    def insert(self, connection: sa.Connection, request: JobRequest, moment: float) -> bool:
        """Whether the job is new."""
        statement = _insert(connection).values(new_row(request, moment)).returning(jobs.c.job_id)
        return connection.execute(statement).first() is not None

    def get(self, job_id: str, connection: sa.Connection | None = None) -> JobRecord:
        """One job with its decision."""
        query = sa.select(jobs).where(jobs.c.job_id == job_id)
        if connection is not None:
            row = connection.execute(query).mappings().first()
        else:
            with self.engine.connect() as own:
                row = own.execute(query).mappings().first()
        if row is None:
            raise InputError(f"there is no job {job_id}", remedy="`iodeep jobs` lists those that there are.")
        return record_of(dict(row))

    def list(self, wanted: JobFilter, limit: int, offset: int) -> Sequence[JobRecord]:
        """The newest change first."""
        query = sa.select(*IN_LISTS).where(*_conditions(wanted)).order_by(jobs.c.updated.desc(), jobs.c.job_id)
        with self.engine.connect() as connection:
            return [record_of(dict(row)) for row in connection.execute(query.limit(limit).offset(offset)).mappings()]

    def counts(self) -> Mapping[JobState, int]:
        """Jobs in each state, 0 where there is none."""
        query = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
        with self.engine.connect() as connection:
            found: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
        return {state: found.get(state.value, 0) for state in JobState}

    def revisions(self, job_ids: Collection[str]) -> Mapping[str, int]:
        """The revision of each of these jobs that is there."""
        query = sa.select(jobs.c.job_id, jobs.c.revision).where(jobs.c.job_id.in_(list(job_ids)))
        with self.engine.connect() as connection:
            return {row.job_id: row.revision for row in connection.execute(query)}

    def change(
        self, job_id: str, states: Collection[JobState], connection: sa.Connection | None = None, /, **fields: Any
    ) -> bool:
        """Set fields of a job that is in one of ``states``; whether it was."""
        return self._update(sa.and_(jobs.c.job_id == job_id, _in(states)), fields, connection)

    def claim(self, job_id: str, claim: str, worker: str, state: JobState, moment: float) -> bool:
        """Take a job over in the state that was seen; whether that was possible."""
        return self.change(
            job_id,
            (state,),
            state=JobState.RUNNING,
            claim=claim,
            worker=worker,
            rewind_to=None,
            next_try=None,
            finished=None,
            started=sa.func.coalesce(jobs.c.started, moment),
        )

    def write(self, job_id: str, claim: str, /, **fields: Any) -> None:
        """Set fields of a running job whose claim is held; :class:`LostClaimError` where it is not."""
        held = sa.and_(jobs.c.job_id == job_id, jobs.c.claim == claim, jobs.c.state == JobState.RUNNING.value)
        if not self._update(held, fields, None):
            raise LostClaimError

    def held(self, job_id: str, claim: str) -> bool:
        """Whether the job still runs under the claim."""
        query = sa.select(jobs.c.claim).where(jobs.c.job_id == job_id, jobs.c.state == JobState.RUNNING.value)
        with self.engine.connect() as connection:
            return connection.execute(query).scalar() == claim

    def patience_of(self, job_id: str) -> Waiting:
        """Since when the job has been waiting for something to pass, and how often it was tried in vain."""
        query = sa.select(jobs.c.passing_since, jobs.c.passed).where(jobs.c.job_id == job_id)
        with self.engine.connect() as connection:
            row = connection.execute(query).one()
        return Waiting(row.passing_since, row.passed)

    def to_rewind(self, before: float) -> Sequence[tuple[str, int]]:
        """Jobs that wait for being begun again from a step, since before the moment: who set them so is gone."""
        query = sa.select(jobs.c.job_id, jobs.c.rewind_to).where(
            jobs.c.state == JobState.WAITING.value, jobs.c.rewind_to.is_not(None), jobs.c.updated <= before
        )
        with self.engine.connect() as connection:
            return [(job_id, step) for job_id, step in connection.execute(query)]

    def to_try_again(self, moment: float, left_by: str = "") -> Sequence[tuple[str, str]]:
        """Jobs whose next try is due, with the step that it begins with.

        ``left_by``: without those whose model failed its self-test on this host (``%``: on any).
        """
        query = sa.select(jobs.c.job_id, jobs.c.step).where(
            jobs.c.state == JobState.RETRYING.value, jobs.c.next_try <= moment
        )
        if left_by:
            self_test = sa.func.coalesce(jobs.c.failure, "").contains(SelfTestError.__name__)
            there = sa.true() if left_by == "%" else jobs.c.worker.startswith(f"{left_by}/", autoescape=True)
            query = query.where(~sa.and_(self_test, there))
        with self.engine.connect() as connection:
            return [(job_id, step) for job_id, step in connection.execute(query)]

    def delete_ended(self, before: float) -> Sequence[str]:
        """Forget what ended before the moment; gives the jobs that were forgotten."""
        old = sa.and_(_in(ENDED), jobs.c.updated < before)
        with self.begin() as connection:
            found = list(connection.execute(sa.select(jobs.c.job_id).where(old).limit(500)).scalars())
            connection.execute(sa.delete(jobs).where(jobs.c.job_id.in_(found), old))
        return found

    def _update(
        self, which: sa.ColumnElement[bool], fields: Mapping[str, Any], connection: sa.Connection | None
    ) -> bool:
        values = {name: as_column(value) for name, value in fields.items()}
        statement = sa.update(jobs).where(which).values(revision=jobs.c.revision + 1, updated=time.time(), **values)
        if connection is not None:
            return bool(connection.execute(statement).rowcount)
        with self.begin() as own:
            return bool(own.execute(statement).rowcount)


def _insert(connection: sa.Connection) -> Any:
    """An INSERT that does nothing where the job is there already."""
    from sqlalchemy.dialects import postgresql, sqlite

    kind = postgresql if connection.dialect.name == "postgresql" else sqlite
    return kind.insert(jobs).on_conflict_do_nothing(index_elements=["job_id"])


def _in(states: Collection[JobState]) -> sa.ColumnElement[bool]:
    return jobs.c.state.in_([state.value for state in states])


def _conditions(wanted: JobFilter) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.states is not None:
        found.append(_in(wanted.states))
    if wanted.study_instance_uid is not None:
        found.append(jobs.c.study == wanted.study_instance_uid)
    if wanted.series_instance_uid is not None:
        found.append(jobs.c.series == wanted.series_instance_uid)
    if wanted.priority is not None:
        found.append(jobs.c.priority == wanted.priority.value)
    if wanted.shadow is not None:
        found.append(jobs.c.shadow == wanted.shadow)
    if wanted.since is not None:
        found.append(jobs.c.updated >= wanted.since.timestamp())
    return found
