"""The parent of all processes of the service: it starts them, starts again what dies, and lets them end their work when told to stop.

It stays single-threaded, forks, and does nothing else; what all need is imported once, before. A child that the parent leaves
behind is ended by the kernel (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import current_process

from iodeep.errors import ExitCode, IODeepError, SettingsError
from iodeep.service.configuration import Configuration
from iodeep.service.serving.children import Child
from iodeep.service.serving.composition import context_for
from iodeep.service.serving.context import DataFolders

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
LONGEST_PAUSE_WORKED_S = 1.0
"""For a child that had been ready: what killed it is then more likely to be past."""
STEADY_S = 20.0
"""A child that lived so long starts again with the first pause."""
LOOK_S = 0.5
SPARE_S = 15.0
"""Beyond the time for draining, before children are ended the hard way."""
_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class _Running:
    child: Child
    pid: int = 0
    started: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    start_at: float = 0.0
    ready: bool = False


class Supervisor:
    """Children of one machine; :meth:`run` returns when all of them have ended."""

    def __init__(
        self,
        children: Sequence[Child],
        configuration: Configuration,
        folders: DataFolders,
        when_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._children = [_Running(child) for child in children]
        self._configuration = configuration
        self._folders = folders
        self._when_ready = when_ready
        self._told_ready = False
        self._exit = ExitCode.OK

    def run(self) -> ExitCode:
        """Keep the children running until a signal says stop; gives how that ended."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._keep_running()
            self._stop()
        finally:
            self._kill()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self._exit

    def _keep_running(self) -> None:
        while self._exit is ExitCode.OK:
            self._start_due()
            told = signal.sigtimedwait(_SIGNALS, LOOK_S if self._told_ready else FIRST_PAUSE_S)
            self._reap()
            self._look_ready()
            if told is not None and told.si_signo in _ENDING:
                return

    def _start_due(self) -> None:
        now = time.monotonic()
        for each in self._children:
            if not each.pid and now >= each.start_at:
                self._start(each)

    def _start(self, each: _Running) -> None:
        (self._folders.running / f"{each.child.name}.ready").unlink(missing_ok=True)
        each.started, each.ready = time.monotonic(), False
        parent = os.getpid()
        each.pid = os.fork()
        if not each.pid:
            _be_child(each.child, self._configuration, self._folders, parent)
        (self._folders.running / f"{each.child.name}.pid").write_text(f"{each.pid}\n", encoding="ascii")

    def _reap(self) -> None:
        for each in self._children:
            if each.pid and (status := _ended(each.pid)) is not None:
                self._note_end(each, status)

    def _note_end(self, each: _Running, status: int) -> None:
        """Start it again after a pause, unless its settings are wrong: those get no better by themselves."""
        each.pid = 0
        code = os.waitstatus_to_exitcode(status)
        if code == ExitCode.SETTINGS:
            self._exit = ExitCode.SETTINGS
            return
        steady = time.monotonic() - each.started > STEADY_S
        each.pause_s = FIRST_PAUSE_S if steady else each.pause_s
        each.start_at = time.monotonic() + each.pause_s
        how = f"by signal {-code}" if code < 0 else f"with {code}"
        log.warning("%s ended %s; it is started again in %.1f s", each.child.name, how, each.pause_s)
        each.pause_s = min(2 * each.pause_s, LONGEST_PAUSE_WORKED_S if each.ready else LONGEST_PAUSE_S)

    def _look_ready(self) -> None:
        for each in self._children:
            each.ready = each.ready or (self._folders.running / f"{each.child.name}.ready").exists()
        if not self._told_ready and all(each.ready for each in self._children):
            self._told_ready = True
            self._when_ready()

    def _stop(self) -> None:
        """Let the children end what they do; a second signal ends that."""
        drain = self._configuration.settings.serve.jobs.drain_s
        log.info("stopping: running jobs have %.0f s to end", drain)
        end = time.monotonic() + drain + SPARE_S
        self._signal(signal.SIGTERM)
        while any(each.pid for each in self._children) and time.monotonic() < end:
            told = signal.sigtimedwait(_SIGNALS, LOOK_S)
            for each in self._children:
                if each.pid and _ended(each.pid) is not None:
                    each.pid = 0
            if told is not None and told.si_signo in _ENDING:
                log.warning("told to stop again: stopping at once")
                return

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        for each in self._children:
            if each.pid:
                os.waitpid(each.pid, 0)
                each.pid = 0
            for ending in ("pid", "ready"):
                (self._folders.running / f"{each.child.name}.{ending}").unlink(missing_ok=True)

    def _signal(self, number: signal.Signals) -> None:
        for each in self._children:
            if each.pid:
                with suppress(ProcessLookupError):
                    os.kill(each.pid, number)


def _ended(pid: int) -> int | None:
    """The wait status of a child that has ended."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return status if found else None


def _be_child(child: Child, configuration: Configuration, folders: DataFolders, parent: int) -> None:
    """Do what the child does; this never returns into the parent's code."""
    code = int(ExitCode.DEFECT)
    try:
        stop = _set_up_child(child, parent)
        child.load()(context_for(child.name, configuration, folders, stop))
        code = int(ExitCode.OK)
    except SettingsError as error:
        log.error("%s cannot start: %s", child.name, error)  # noqa: TRY400 - the sentence says it
        code = int(ExitCode.SETTINGS)
    except IODeepError as error:
        log.error("%s ended: %s", child.name, error)  # noqa: TRY400 - the sentence says it
        code = int(error.exit_code)
    except BaseException:
        log.exception("%s ended", child.name)
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _set_up_child(child: Child, parent: int) -> threading.Event:
    """Signals, name and bond of a new child; gives the event that SIGTERM sets."""
    die_with_parent(parent)
    current_process().name = child.name
    stop = threading.Event()

    def told(_number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(int(ExitCode.CANCELLED))
        stop.set()

    signal.signal(signal.SIGTERM, told)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal tells the whole group; the parent passes it on
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return stop


def die_with_parent(parent: int) -> None:
    """Be ended by the kernel when the parent ends (Linux); at once where it has."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(int(ExitCode.CANCELLED))
