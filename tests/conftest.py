"""For every test: ONNX Runtime, where a test uses it as a peer, reports nothing to its maker."""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
