"""Run a Python module as a program that ends when its standard input closes, hence with its parent.

Started as a file (``python -P _tethered.py MODULE ARGUMENT...``), so it imports nothing of ours. A pipe is used and not
``PR_SET_PDEATHSIG`` because that one fires when the *thread* that started us ends, and exists on Linux only.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
