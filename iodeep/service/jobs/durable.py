"""The only place that knows DBOS, the engine that carries jobs through the death of whoever runs them.

Its rules, which are kept here: one application version whatever release runs (recovery looks only at its own), JSON instead of
pickle, a name for each worker that outlives its process. What is private in DBOS and used all the same, because nothing
public does it: claiming at the moment when a worker is free, and giving the jobs of a dead worker back to the queue. Its version is
pinned for that reason.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
from dbos._core import execute_dequeued_workflow
from dbos._error import DBOSException, DBOSNonExistentWorkflowError

NAME = "iodeep"
VERSION = "iodeep-jobs-1"
"""Raised when the steps of a job or their order change: what is half done is then finished by the release that began it."""
QUEUE = "jobs"
WORKFLOW = "job"
_SLOW_S = 3600.0  # what we never ask the engine to look for

Body = Callable[[str], str]
"""A job from its beginning to its end, by its id; steps inside go through :func:`once`."""


class DurableJobs:
    """The engine as those see it who ask for jobs."""

    def __init__(self, engine: sa.Engine) -> None:
        _log_as_we_do()
        self._client = DBOSClient(
            system_database_engine=engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=NAME,
            lazy=True,
            retry_connection_errors=False,
        )

    def make_tables(self) -> None:
        """The engine's own tables, where they are not there or are older."""
        self._client._sys_db.run_migrations()

    def enqueue(self, connection: sa.Connection, job_id: str, priority: int) -> None:
        """Put a job into the queue, within the caller's transaction."""
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": WORKFLOW,
                "queue_name": QUEUE,
                "workflow_id": job_id,
                "app_version": VERSION,
                "priority": priority,
            },
            job_id,
        )

    def cancel(self, job_id: str) -> None:
        """The job is begun no more, and what runs of it cannot record anything."""
        self._client.cancel_workflow(job_id)

    def rewind(self, job_id: str, to_step: int) -> bool:
        """Queue an ended job again from a step (the first is 1); False where it has not ended yet, or is queued already."""
        try:
            self._client.rewind_workflow(job_id, start_step=to_step, application_version=VERSION, queue_name=QUEUE)
        except DBOSNonExistentWorkflowError:
            raise
        except DBOSException:
            return False
        return True

    def forget(self, job_ids: Sequence[str]) -> None:
        """Delete what is kept of ended jobs."""
        self._client.delete_workflows(list(job_ids))

    def close(self) -> None:
        """Let go of what the engine holds beside the connections."""
        self._client.destroy()


class DurableWorker:
    """The engine as a worker has it: one at most in a process, and one job at a time in it."""

    def __init__(self, engine: sa.Engine, worker: str, body: Body) -> None:
        _log_as_we_do()
        self._dbos = DBOS(
            config={
                "name": NAME,
                "system_database_engine": engine,
                "system_database_url": _shown(engine),
                "application_version": VERSION,
                "executor_id": worker,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "ERROR",
                "use_listen_notify": False,
                "scheduler_polling_interval_sec": _SLOW_S,
                "max_executor_threads": 8,
            }
        )
        self._worker = worker
        # a job that kills its worker is ended by our own count, with a reason that a person understands
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(_body(body))
        DBOS.listen_queues([])

    def launch(self) -> None:
        """Begin; what this worker had when it died goes back to the queue."""
        self._dbos._registry.get_internal_queue()._polling_interval_sec = _SLOW_S  # nothing of ours is ever in it
        DBOS.launch()
        self._queue = DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=_SLOW_S)

    def run_next(self) -> str | None:
        """Claim the next job and begin it in a thread; None where none waits."""
        owner = uuid.uuid4().hex
        database = self._dbos._sys_db
        claimed, _ = database.start_queued_workflows(self._queue, self._worker, VERSION, None, 0, owner_xid=owner)
        for job_id in claimed:
            status = database.get_workflow_status(job_id)
            if status is not None:
                execute_dequeued_workflow(self._dbos, status, owner)
        return claimed[0] if claimed else None

    def give_back(self, workers: Sequence[str]) -> int:
        """What these workers were running waits again, and they can record nothing more of it; gives how many jobs."""
        return len(DBOS._recover_pending_workflows(list(workers)))

    def close(self) -> None:
        """End the engine's threads; a job that still runs records nothing more here."""
        DBOS.destroy(destroy_registry=True)


def once(name: str, step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the step gave when it was done to its end, now or before this process began."""
    return DBOS.run_step({"name": name}, step)


def _body(body: Body) -> Body:
    def job(job_id: str) -> str:
        return body(job_id)

    return job


def _shown(engine: sa.Engine) -> str:
    """An address for the engine's checks; it connects through ours."""
    return "sqlite:///jobs.sqlite" if engine.dialect.name == "sqlite" else "postgresql://iodeep@database/iodeep"


def _log_as_we_do() -> None:
    """The engine's errors go the way of all others, and no handler of its own is made. That the database is away we say ourselves."""
    logger = logging.getLogger("dbos")
    logger.addHandler(logging.NullHandler())
    logger.propagate = True
    logger.setLevel(logging.ERROR)
