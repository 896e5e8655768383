"""For every test: what iodeep keeps on a machine is kept in a folder of the test run, and ONNX Runtime, as a peer, reports nothing to its maker."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["IODEEP_DATA"] = tempfile.mkdtemp(prefix="iodeep-test-data-")
atexit.register(shutil.rmtree, os.environ["IODEEP_DATA"], ignore_errors=True)
