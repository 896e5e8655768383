"""What is sent, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from iodeep.model_object import ObjectKind, recognise
from iodeep.ports import Archive, StoreReport
from iodeep.service.storing import dicom_files, store_and_prove
from tests.unit.model_object.models import pack_ensemble


class _Recorder:
    """An archive that takes everything and remembers the order."""

    def __init__(self) -> None:
        self.sent: list[Path] = []
        self.proved: list[Path] = []

    def store(self, paths: Sequence[Path], **_: object) -> StoreReport:
        self.sent = list(paths)
        return StoreReport(len(paths), 0, 0.0)

    def verify_stored(self, paths: Sequence[Path], **_: object) -> None:
        self.proved = list(paths)


def test_a_model_is_found_only_once_its_parts_are_there(tmp_path: Path) -> None:
    pack_ensemble(tmp_path)
    recorder = _Recorder()

    store_and_prove(cast("Archive", recorder), dicom_files([tmp_path]))

    kinds = [recognise(path).kind for path in recorder.sent]
    assert kinds.count(ObjectKind.DESCRIPTOR) == 1
    assert kinds[-1] is ObjectKind.DESCRIPTOR
    assert recorder.proved == recorder.sent
