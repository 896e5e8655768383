"""The process that reads a source, started as it is, and then running whatever a test gives it instead of an importer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.unit.inference.hostile import STRANGER

_PROGRAM = """
import ctypes, errno, json, mmap, os, resource, signal, socket, subprocess, sys, sysconfig, threading
from iodeep.service.importing import worker

def attacked(request, folder, threads):
    outcomes = {{}}
    for name, code in request["attacks"].items():
        try:
            scope = dict(request["scope"], out=str(folder / "out"), source=str(folder / "source"))
            exec("import ctypes, mmap, os, resource, signal, socket, subprocess, threading, errno", scope)
            exec(code, scope)
            outcomes[name] = "done"
        except OSError as error:
            outcomes[name] = errno.errorcode.get(error.errno, str(error))
        except BaseException as error:
            outcomes[name] = repr(error)
    return {{"outcomes": outcomes}}

worker._done = attacked
if {free!r}:
    worker.contain = lambda parent, files: {{}}
if {stranger!r}:  # Python may be closed to that user: what is needed is loaded by now
    sysconfig.get_paths()
    os.setgroups([])
    os.setresgid({stranger}, {stranger}, {stranger})
    os.setresuid({stranger}, {stranger}, {stranger})
worker.main(sys.argv[1:])
"""


def outcomes(attacks: dict[str, str], scope: dict[str, Any], *, stranger: bool, free: bool = False) -> dict[str, str]:
    """What became of each attack: ``done``, or the name of the error; ``free``: not contained."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("source", "images", "out"):
            (folder / part).mkdir()
        (folder / "source" / "given").write_text("weights")
        (folder / "request.json").write_text(json.dumps({"act": "attack", "attacks": attacks, "scope": scope}))
        if stranger:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, STRANGER, STRANGER)
        program = _PROGRAM.format(free=free, stranger=STRANGER if stranger else 0)
        arguments = [os.getpid(), 2048 << 20, 1, folder]
        subprocess.run(
            [sys.executable, "-B", "-c", program, *map(str, arguments)],
            env={"OPENBLAS_NUM_THREADS": "1"}, timeout=120, check=True, cwd=Path(__file__).parents[4],
        )  # fmt: skip
        result = json.loads((folder / "out" / "result.json").read_text())
    found: dict[str, str] = result["result"]["outcomes"]
    return found
