"""The inference process as its parent sees it: started without a shell, listened to, and ended with all its children."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iodeep.errors import CancelledError, InferenceError
from iodeep.inference.fingerprint import RuntimeFacts, facts_of_document
from iodeep.inference.messages import Broken, Receiver, send

if TYPE_CHECKING:
    from iodeep.ports import Cancellation
    from iodeep.settings import RunSettings

LOOK_UP_S = 0.05
"""How often a cancellation is looked for."""
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
"""All that the process is told about the world; the runtime's threads are set by its own option."""
DYING_S = 2.0
"""How long a process that closed its line is given to be gone."""
KEPT_OF_STDERR = 4096


@dataclass(frozen=True)
class Enclosed:
    """What a process said once it was contained: the layers that it could not have, each with the reason, and what it computes with."""

    lacking: dict[str, str]
    runtime: RuntimeFacts


class WorkerProcess:
    """One running process. It lives at most as long as the thread that started it (PR_SET_PDEATHSIG)."""

    def __init__(self, limits: RunSettings) -> None:
        self._limits = limits
        ours, theirs = socket.socketpair()
        arguments = [theirs.fileno(), os.getpid(), limits.memory_mib << 20, limits.threads, limits.provider.value]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "iodeep.inference.worker", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        self._line = ours
        self._receiver = Receiver(ours)
        self._said = b""

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def enclose(self, modules: Sequence[str]) -> Enclosed:
        """Let it import ``modules`` and give up everything that its runs don't need, before it is told of a network.

        On every error stop it.
        """
        reply = self.ask({"modules": sorted(modules)}, (), lambda _: None, None)
        try:
            lacking = {str(layer): str(reason) for layer, reason in reply["contained"].items()}
            return Enclosed(lacking, facts_of_document(reply["runtime"]))
        except (KeyError, AttributeError, TypeError) as error:
            raise self._fate(error) from error

    def ask(
        self,
        request: Mapping[str, Any],
        files: Sequence[int],
        on_progress: Callable[[Any], None],
        cancel: Cancellation | None,
    ) -> dict[str, Any]:
        """The reply to ``request``; between two of them the process stands still. On every error the process is in an unknown state: stop it."""
        deadline = time.monotonic() + self._limits.seconds
        self._line.settimeout(self._limits.seconds)
        try:
            os.kill(self.pid, signal.SIGCONT)
            send(self._line, request, files)
            reply = self._reply(deadline, on_progress, cancel)
            os.kill(self.pid, signal.SIGSTOP)
        except (Broken, OSError) as error:
            raise self._fate(error) from error
        return reply

    def _reply(
        self, deadline: float, on_progress: Callable[[Any], None], cancel: Cancellation | None
    ) -> dict[str, Any]:
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_READ, self._receiver.read)
            selector.register(self._process.stderr, selectors.EVENT_READ, self._listen)
            while True:
                while (found := self._receiver.waiting()) is not None:
                    message, _ = found
                    if "progress" not in message:
                        return message
                    on_progress(message["progress"])
                self._look_up(deadline, cancel)
                for key, _ in selector.select(LOOK_UP_S):
                    key.data()

    def _look_up(self, deadline: float, cancel: Cancellation | None) -> None:
        if cancel is not None and cancel.is_set():
            raise CancelledError("the run was cancelled", remedy="Nothing was written.")
        if time.monotonic() > deadline:
            raise InferenceError(
                f"the run took longer than its limit of {self._limits.seconds:g} s and was ended",
                remedy="Set seconds higher under [run] in iodeep.toml, or run on a faster machine.",
            )

    def _listen(self) -> None:
        """Keep the end of what the process says on stderr, for the message on its death."""
        assert self._process.stderr is not None
        content = os.read(self._process.stderr.fileno(), 1 << 16)
        self._said = (self._said + content)[-KEPT_OF_STDERR:]
        if not content:
            raise Broken("the end of stderr")

    def _fate(self, error: Exception) -> InferenceError:
        """Why it answers no more, in plain words."""
        try:
            code: int | None = self._process.wait(DYING_S)
        except subprocess.TimeoutExpired:
            code = None  # it lives and talks nonsense
        lines = self._said.decode("ascii", "replace").strip().splitlines()
        limit = f"its memory limit ([run] memory_mib in iodeep.toml, now {self._limits.memory_mib} MiB)"
        if code is not None and code < 0:
            names = {number.value: number.name for number in signal.Signals}
            problem = f"the inference process was ended by signal {names.get(-code, -code)}"
            remedy = f"Most often memory ran out: free some, or look at {limit}. Nothing was written."
        else:
            problem = "the inference process gave no usable answer"
            remedy = f"Run it again; if it stays so, look at {limit} and at `iodeep doctor`. Nothing was written."
        return InferenceError(problem, found=lines[-1][:200] if lines else f"{error}", remedy=remedy)

    def stop(self) -> None:
        """End it and everything that it started; harmless where it has ended."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._line.close()
        if self._process.stderr:
            self._process.stderr.close()
