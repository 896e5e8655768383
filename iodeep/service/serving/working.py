"""The worker process: a job worker with what this machine has for jobs."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from iodeep import ports
from iodeep.lifecycle_settings import states_count
from iodeep.service.jobs import JobRecord, JobRequest, cancel_overtaken, submit_once
from iodeep.service.jobs.kept_board import KeptBoard
from iodeep.service.jobs.worker import Worker, host_name
from iodeep.service.jobs.workplace import Workplace
from iodeep.service.serving.composition import job_board
from iodeep.service.serving.context import ServeContext
from iodeep.service.serving.self_tester import self_tests_beside

if TYPE_CHECKING:
    from iodeep.service.jobs.steps import JobSteps, Workshop


def run_worker(context: ServeContext) -> None:
    """Do jobs until ``context.stop`` is set."""
    jobs = context.serve.jobs
    name = f"{host_name(jobs)}/{context.name}"
    with closing(job_board(context.configuration, context.folders)) as board, closing(_Shop(context, board)) as shop:
        worker = Worker(board, name, jobs, shop.steps, shop.clear, shop.rest)
        with self_tests_beside(context):
            worker.run(context.stop, lambda: context.announce({"worker": name}))


class _Shop:
    """What is needed for jobs is imported with the first one: a worker that has none is small."""

    def __init__(self, context: ServeContext, board: KeptBoard) -> None:
        self._context = context
        self._board = board
        self._made: Workshop | None = None
        self._opened = ExitStack()

    def close(self) -> None:
        """Let go of the register."""
        self._opened.close()

    def steps(self, record: JobRecord, progress: ports.ProgressSink, cancel: ports.Cancellation) -> JobSteps:
        from iodeep.service.jobs.steps import JobSteps

        return JobSteps(record.request, self._workshop(), self._place(record.job_id), progress=progress, cancel=cancel)

    def clear(self, job_id: str) -> None:
        self._place(job_id).clear()

    def rest(self) -> None:
        """Nothing to do for a while: the network's process and its memory are let go."""
        if self._made is not None:
            self._made.engine.stop()

    def _place(self, job_id: str) -> Workplace:
        return Workplace(self._context.folders.work / job_id)

    def _workshop(self) -> Workshop:
        if self._made is None:
            from iodeep.inference import Engine
            from iodeep.service.admitting import Admission
            from iodeep.service.jobs.self_tests import SelfTestTable
            from iodeep.service.jobs.steps import Workshop
            from iodeep.service.lifecycle.opening import open_register
            from iodeep.service.model_alerts import ModelAlerts
            from iodeep.service.selecting import site_policy
            from iodeep.service.serving.shadow import shadow_archive_of

            context, audit = self._context, self._context.open_audit()
            alerts, admission = ModelAlerts(audit.record), None
            if states_count(context.settings.lifecycle, serving=True):
                register = open_register(context.configuration, context.folders, audit)
                admission = Admission(self._opened.enter_context(register), alerts)
            self._made = Workshop(
                open_archive=context.open_archive,
                models_from=context.serve.models_from or context.settings.default_pacs or "",
                cache=context.configuration.cache,
                spool=context.folders.spool,
                policy=site_policy(context.settings, serving=True, admission=admission, alerts=alerts),
                engine=Engine(context.settings.run),
                record=audit.record,
                self_tests=SelfTestTable(self._board.engine),
                shadow_archive=shadow_archive_of(context.settings),
                submit=self._submit,
            )
        return self._made

    def _submit(self, request: JobRequest) -> None:
        """Ask for a trial; one on fewer instances of the same series is worth nothing then."""
        record, new = submit_once(self._board, request)
        if new:
            cancel_overtaken(self._board, record)
