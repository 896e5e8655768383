"""Importers: a trained network from elsewhere becomes a card and payload files, offline."""

from __future__ import annotations

from iodeep.packing.onnx_files import payload_files

__all__ = ["payload_files"]
