"""SHA-256 of files, streamed, and of what a network said."""

from __future__ import annotations

from pathlib import Path

from iodeep.model_object.counting import counter
from iodeep.model_object.local_files import open_input, sha256_of_range
from iodeep.model_object.self_test import segmentation_sha256
from iodeep.ports import ProgressSink, no_progress
from iodeep.prediction import Segmentation


def file_sha256(path: Path, *, progress: ProgressSink = no_progress) -> str:
    """Digest of a file of any size in constant memory; InputError where it cannot be read."""
    with open_input(path) as file:
        total = path.stat().st_size
        return sha256_of_range(file, 0, total, counter(f"digest of {path.name}", total, progress))


def content_sha256(segmentation: Segmentation) -> str:
    """Digest of a segmentation's voxels, comparable with :attr:`iodeep.model_object.SelfTest.expected_sha256`."""
    digest = segmentation_sha256(segmentation.labels, segmentation.masks)
    assert digest is not None  # a Segmentation holds labels or masks
    return digest
