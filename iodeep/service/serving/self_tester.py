"""The self-tests that a worker host does by itself: at its start, after upgrades of the runtime, and when something new was approved.

A thread of one worker of the host tests what the register has as approved or on trial and that has not passed with this host's runtime. A
job whose model it has not come to yet does the test itself, before its network sees an image (:mod:`iodeep.service.jobs.steps`).
"""

from __future__ import annotations

import fcntl
import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from iodeep.errors import ArchiveError, CancelledError, InputError, IODeepError, ObjectError
from iodeep.service.audit import AuditSink
from iodeep.service.serving.context import ServeContext

if TYPE_CHECKING:
    from iodeep.inference import Engine
    from iodeep.service.model_alerts import ModelAlerts
    from iodeep.service.self_testing import SelfTestBook
    from iodeep.trust.lifecycle import RegisteredRelease

log = logging.getLogger(__name__)

AGAIN_S = 300.0
"""How often it is looked whether something new was approved."""
LEAVE_S = 10.0


@contextmanager
def self_tests_beside(context: ServeContext) -> Iterator[None]:
    """Self-tests go on in a thread while the block runs; it has ended when the block has."""
    ended = threading.Event()
    thread = threading.Thread(target=_run, args=(context, _Either(context.stop, ended)), name="self-tests", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LEAVE_S)


class _Either:
    """Set once one of two events is."""

    def __init__(self, first: threading.Event, second: threading.Event) -> None:
        self._events = first, second

    def is_set(self) -> bool:
        return any(each.is_set() for each in self._events)

    def wait(self, seconds: float) -> bool:
        """Whether it is set by then."""
        step = min(seconds, 0.2)
        waited = 0.0
        while not self.is_set() and waited < seconds:
            self._events[1].wait(step)
            waited += step
        return self.is_set()


def _run(context: ServeContext, stop: _Either) -> None:
    """Until the end, once in a while; the boundary of this thread: whatever goes wrong in it is logged, and tried again."""
    with (context.folders.running / "self-tests.lock").open("a+") as lock:
        while not _is_ours(lock.fileno()):
            if stop.wait(AGAIN_S):
                return  # another worker of this host does it
        tested: set[str] = set()
        audit = context.open_audit()
        while not stop.is_set():
            try:
                round_of_tests(context, audit, tested, stop)
            except CancelledError:
                return
            except IODeepError as error:
                log.warning("self-tests wait: %s", error)
            except Exception:
                log.exception("a defect ended a round of self-tests")
            stop.wait(AGAIN_S)


def _is_ours(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def round_of_tests(context: ServeContext, audit: AuditSink, tested: set[str], stop: _Either | threading.Event) -> None:
    """One round. ``tested``: manifests that were tested since this process began; one that failed before that is tried once more."""
    from iodeep.service.lifecycle.opening import open_register
    from iodeep.trust.lifecycle import ModelState

    with open_register(context.configuration, context.folders, audit) as register:
        wanted = (ModelState.APPROVED, ModelState.SHADOW)
        releases = [each.release for each in register.standings() if each.state in wanted]
        untested = [each for each in releases if each.manifest_sha256 not in tested]
        if not untested:
            return
        from iodeep.inference import Engine
        from iodeep.service.jobs.self_tests import SelfTestTable
        from iodeep.service.model_alerts import ModelAlerts

        book, alerts = SelfTestTable(register.engine), ModelAlerts(audit.record)
        with Engine(context.settings.run) as engine:
            for release in untested:
                if stop.is_set():
                    return
                try:
                    _tested(context, release, engine, book, alerts, stop)
                except (ArchiveError, InputError, ObjectError) as error:  # the others are tested all the same
                    log.warning("self-test of %s waits: %s", release.name, error)
                else:
                    tested.add(release.manifest_sha256)


def _tested(
    context: ServeContext,
    release: RegisteredRelease,
    engine: Engine,
    book: SelfTestBook,
    alerts: ModelAlerts,
    stop: _Either | threading.Event,
) -> None:
    """Test a release unless it passed with this runtime. One whose files cannot be had is left to the job that wants it."""
    from iodeep.model_object import read_descriptor
    from iodeep.service.library import fetch_descriptor, obtain_model
    from iodeep.service.self_testing import self_tested

    known = book.find(release.manifest_sha256, engine.runtime.fingerprint)
    if known is not None and known.passed:
        return
    models = context.serve.models_from or context.settings.default_pacs or ""
    with context.open_archive(models) as archive, tempfile.TemporaryDirectory(prefix="iodeep-") as name:
        descriptor = read_descriptor(fetch_descriptor(archive, release.study_instance_uid, Path(name)))
        if descriptor.identity.manifest_sha256 != release.manifest_sha256:
            log.warning("%s is not self-tested: the archive has other content than was approved", release.name)
            return
        files = obtain_model(archive, descriptor, context.configuration.cache, cancel=stop).files
        result = self_tested(descriptor, files, engine, stop)
    book.keep(result)
    if result.passed:
        log.info("self-test of %s passed in %.1f s with %s", result.name, result.seconds, result.runtime)
        return
    log.error("self-test of %s FAILED: it is not run on this host", result.name)
    alerts.self_test_failed(result.sop_instance_uid, f"self-test of {result.name} on {result.host}: {result.sentence}")
