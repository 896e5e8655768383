"""Jobs: what was asked for, once; done to the end, or kept with the reason why not."""

from iodeep.service.jobs.asking import cancel_overtaken, submit_once
from iodeep.service.jobs.board import JobBoard
from iodeep.service.jobs.record import Failure, JobFilter, JobProgress, JobRecord, JobState, ResultRef, Step
from iodeep.service.jobs.request import JobRequest, Origin, Priority

__all__ = [
    "Failure",
    "JobBoard",
    "JobFilter",
    "JobProgress",
    "JobRecord",
    "JobRequest",
    "JobState",
    "Origin",
    "Priority",
    "ResultRef",
    "Step",
    "cancel_overtaken",
    "submit_once",
]
