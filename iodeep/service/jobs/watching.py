"""Waiting for changes of jobs: however many wait in a process, the database is asked once for all of them."""

from __future__ import annotations

import threading
from collections import Counter

from iodeep.service.jobs.table import JobTable

LOOK_S = 0.25


class Watcher:
    """Followers wait here; one thread, alive while there are any, asks for the revisions of their jobs."""

    def __init__(self, table: JobTable) -> None:
        self._table = table
        self._changed = threading.Condition()
        self._wanted: Counter[str] = Counter()
        self._revisions: dict[str, int] = {}
        self._failed: Exception | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def wait(self, job_id: str, after: int) -> None:
        """Return once the job has a newer revision; raises what the database raised."""
        with self._changed:
            self._wanted[job_id] += 1
            self._start()
            try:
                self._changed.wait_for(lambda: self._is_over(job_id, after))
                if self._failed is not None:
                    raise self._failed
            finally:
                self._wanted[job_id] -= 1

    def close(self) -> None:
        """Let everybody go."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _is_over(self, job_id: str, after: int) -> bool:
        newer = self._revisions.get(job_id, after) > after
        return newer or self._failed is not None or self._closed.is_set()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._failed = None
            self._thread = threading.Thread(target=self._look, name="job-watcher", daemon=True)
            self._thread.start()

    def _look(self) -> None:
        while not self._closed.wait(LOOK_S):
            with self._changed:
                wanted = [job_id for job_id, count in self._wanted.items() if count > 0]
                if not wanted:
                    self._thread = None
                    return
            try:
                found = self._table.revisions(wanted)
            except Exception as error:  # raised again in those who wait
                self._tell(error)
                return
            with self._changed:
                self._revisions = dict(found)
                self._changed.notify_all()

    def _tell(self, error: Exception) -> None:
        with self._changed:
            self._failed = error
            self._thread = None
            self._changed.notify_all()
