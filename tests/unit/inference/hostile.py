"""A process that is contained like the real one, started the same way, and then runs whatever code a test gives it.

It is a program of its own that calls the worker's ``main`` with another answer: nothing in the product leads here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from iodeep.inference.process import WorkerProcess
from iodeep.settings import RunSettings

STRANGER = 54321
"""A user number that owns nothing."""
LAYERS_OF_CALLS = {
    "user": "become_nobody",
    "namespaces": "own_user_and_network",
    "root folder": "root_is",
    "landlock": "landlock_abi",
    "seccomp": "filter_calls",
}
_PROGRAM = """#!{python} -I
import errno, os, sys
from iodeep.inference import containment, containment_kernel as kernel, worker
import ctypes, importlib, mmap, resource, signal, socket, subprocess, threading, onnxruntime, iodeep.inference.pipeline

for module in worker.ALWAYS:
    importlib.import_module(module)

def answer(request, files, sessions, line):
    outcomes = {{}}
    for name, code in request["attacks"].items():
        try:
            scope = dict(request["scope"])
            exec("import ctypes, mmap, os, resource, signal, socket, subprocess, threading", scope)
            exec(code, scope)
            outcomes[name] = "done"
        except OSError as error:
            outcomes[name] = errno.errorcode.get(error.errno, str(error))
        except BaseException as error:
            outcomes[name] = repr(error)
    return {{"outcomes": outcomes}}

def refused(*_):
    raise OSError(errno.EPERM, "switched off")

for call in {refused!r}:
    setattr(kernel, call, refused)
    if call == "own_user_and_network":
        kernel.own_network = refused
if {free!r}:
    worker.contain = lambda parent: {{}}
if {stranger!r}:
    os.setgroups([])
    os.setresgid({stranger}, {stranger}, {stranger})
    os.setresuid({stranger}, {stranger}, {stranger})
worker.main(sys.argv[4:], answer)
"""


@contextmanager
def hostile_process(
    folder: Path, *, stranger: bool, without: Sequence[str] = (), free: bool = False
) -> Iterator[tuple[WorkerProcess, dict[str, str]]]:
    """The process and what it lacks; ``without``: layers that it is refused, ``free``: not contained at all."""
    program = folder / "python"
    calls = [LAYERS_OF_CALLS[layer] for layer in without]
    number = STRANGER if stranger else 0
    program.write_text(_PROGRAM.format(python=sys.executable, refused=calls, free=free, stranger=number))
    program.chmod(0o700)
    with mock.patch.object(sys, "executable", str(program)):
        process = WorkerProcess(RunSettings(threads=1, memory_mib=2048, seconds=60))
    try:
        yield process, process.enclose(()).lacking
    finally:
        process.stop()


def outcomes(process: WorkerProcess, attacks: dict[str, str], scope: dict[str, Any]) -> dict[str, str]:
    """What became of each attack: ``done``, or the name of the error."""
    reply = process.ask({"attacks": attacks, "scope": scope}, (), lambda _: None, None)
    found: dict[str, str] = reply["outcomes"]
    return found
