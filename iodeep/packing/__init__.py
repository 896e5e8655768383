"""Importers: a trained network from elsewhere becomes a card and payload files, offline."""

from __future__ import annotations

from iodeep.packing.onnx_files import payload_files
from iodeep.packing.privacy import Finding, privacy_findings

__all__ = ["Finding", "payload_files", "privacy_findings"]
