"""What an error means for a job: an answer, a dead letter, or something that may pass and is tried again.

A PACS that cannot be reached and a full disk are waited for; a PACS that says no is asked a few times more, because many say no when
they mean later; a model whose self-test fails on one host may run on another; whatever else goes wrong would go wrong again.
"""

from __future__ import annotations

import errno
import logging
from enum import StrEnum

from iodeep.errors import ArchiveError, ArchiveUnreachableError, IODeepError, LocalStorageError, Refusal, SelfTestError
from iodeep.serve_settings import JobSettings
from iodeep.service.jobs.record import Failure, JobState, Step

log = logging.getLogger(__name__)

_SPACE = {errno.ENOSPC, errno.EDQUOT}
HOUR_S = 3600.0


class Patience(StrEnum):
    """How long an error is hoped to pass."""

    NONE = "none"
    SOME = "some"
    """As many tries as ``attempts``."""
    LONG = "long"
    """Until ``give_up_hours``."""


def patience_with(error: BaseException) -> Patience:
    """What may pass, and how long that is waited for."""
    if isinstance(error, ArchiveUnreachableError | LocalStorageError):
        return Patience.LONG
    return Patience.SOME if isinstance(error, ArchiveError | SelfTestError) else Patience.NONE


def failure_of(step: Step, error: Exception) -> Failure:
    """Why the step ended, in the error's own words; what is no error of ours is a defect and is written to the log."""
    known = as_ours(error)
    if known is None:
        log.error("a defect ended step %s", step, exc_info=error)
        return Failure(
            step=step,
            kind=type(error).__name__,
            problem="a defect of this software ended the job",
            found=f"{type(error).__name__}: {error}"[:500],
            remedy="The log of the service has the details: please report it. Trying again may help.",
        )
    return Failure(
        step=step,
        kind=type(known).__name__,
        problem=known.problem,
        expected=known.expected,
        found=known.found,
        remedy=known.remedy,
        passing=patience_with(known) is not Patience.NONE,
    )


def as_ours(error: Exception) -> IODeepError | None:
    """The error as one of ours; an error of the file system is one of local storage."""
    if isinstance(error, IODeepError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        return LocalStorageError(
            f"{error.filename or 'a file of the service'} cannot be used: {error.strerror}",
            remedy="Make room on the disk of the data folder."
            if error.errno in _SPACE
            else "Look at the rights of the data folder.",
        )
    return None


def final_state(error: Exception) -> JobState:
    """Where a job ends that is not tried again."""
    return JobState.REFUSED if isinstance(error, Refusal) else JobState.FAILED


def worn_out(step: Step, begun: int) -> Failure:
    """A job that took its worker with it each time."""
    return Failure(
        step=step,
        kind="WorkerLost",
        problem=f"the worker process was lost {begun} times during the step {step.value!r} of this job",
        expected="the step to end, well or with an error",
        remedy="Most often memory ran out: look at the machine's log, and at [run] memory_mib. "
        "The job is not begun again by itself, so that others are not kept from running.",
    )


def next_try_s(passed: int, waited_s: float, patience: Patience, settings: JobSettings) -> float | None:
    """Seconds until the next try after ``passed`` tries and ``waited_s`` seconds in vain; None: give up."""
    if patience is Patience.NONE or (patience is Patience.SOME and passed >= settings.attempts):
        return None
    if waited_s >= settings.give_up_hours * HOUR_S:
        return None
    return float(min(settings.first_retry_s * 2.0 ** min(passed, 30), settings.longest_retry_s))
