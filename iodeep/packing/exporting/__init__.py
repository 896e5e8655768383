"""A model's files and card as other software takes them: plain ONNX with its card, and the layout of a MONAI Bundle.

Pure: card and files in, folders out. Whether the model holds and is trusted is asked by whoever calls.
"""

from __future__ import annotations

from iodeep.packing.exporting.bundle import BundleSource, unsaid_in_bundle, write_bundle
from iodeep.packing.exporting.card_file import card_yaml, write_card
from iodeep.packing.exporting.onnx_folder import write_onnx_folder

__all__ = ["BundleSource", "card_yaml", "unsaid_in_bundle", "write_bundle", "write_card", "write_onnx_folder"]
