"""A worker in a process of its own, to be killed: ``python -m tests.unit.service.jobs.doomed FOLDER URL NAME STEP HOW``.

In step STEP of each job it does HOW: ``die`` (kill -9 of itself), ``hang`` (until it is killed), ``fail`` (the model's self-test fails), ``work``. Each step that is begun is a
line ``JOB STEP NAME`` in FOLDER/begun; each result "stored" is a file FOLDER/stored/JOB, made by whoever comes first.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from iodeep.errors import CancelledError, SelfTestError
from iodeep.service.jobs import Step
from iodeep.service.jobs.kept_board import open_board
from iodeep.service.jobs.worker import Worker
from tests.unit.service.jobs.working import QUICK, USUAL, Attempt, Script


def main() -> None:
    """Work until told to stop."""
    folder, url, name, step, how = Path(sys.argv[1]), *sys.argv[2:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    board = open_board(url, batch_delay_s=3600, dead_after_s=QUICK.dead_after_s)
    script = _Everything(folder, name, Step(step), how)
    worker = Worker(board, name, QUICK.model_copy(update={"drain_s": 0.5, "host": name.partition("/")[0]}), script.make)
    worker.run(stop, lambda: (folder / f"{name.replace('/', '-')}.ready").touch())
    os._exit(0)


class _Everything(Script):
    """The same for every job."""

    def __init__(self, folder: Path, name: str, step: Step, how: str) -> None:
        super().__init__()
        self._folder = folder
        self._name = name
        for each in Step:
            self.always[each] = self._work
        self.always[step] = {"die": self._die, "hang": self._hang, "fail": self._fail, "work": self._work}[how]

    def _work(self, attempt: Attempt) -> dict[str, Any] | None:
        self._note(attempt)
        if attempt.step is Step.STORE:
            (self._folder / "stored" / attempt.record.job_id).touch()
        return dict(USUAL.get(attempt.step, {}))

    def _die(self, attempt: Attempt) -> dict[str, Any] | None:
        self._note(attempt)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    def _hang(self, attempt: Attempt) -> dict[str, Any] | None:
        self._note(attempt)
        (self._folder / "hangs").touch()
        while not attempt.cancel.is_set():
            threading.Event().wait(0.01)
        raise CancelledError("the run was cancelled")

    def _fail(self, attempt: Attempt) -> dict[str, Any] | None:
        self._note(attempt)
        raise SelfTestError("the self-test of Brain 1.0.0 fails on this host")

    def _note(self, attempt: Attempt) -> None:
        with (self._folder / "begun").open("a", encoding="utf-8") as file:
            file.write(f"{attempt.record.job_id} {attempt.step} {self._name}\n")


if __name__ == "__main__":
    main()
