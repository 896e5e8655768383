"""Cards, series and an archive in memory, for tests of selection."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydicom import dcmread

from iodeep.card import ModelCard, card_document, card_of_document, read_card
from iodeep.model_object import PackedModel, pack_model
from iodeep.ports import (
    Attributes,
    Cancellation,
    EchoReply,
    Level,
    ProgressSink,
    StoreReport,
    Wanted,
    no_progress,
)
from iodeep.selection import Candidate, SeriesFacts, facts_of_attributes

ROOT = Path(__file__).resolve().parents[3]
BRAIN_CARD = ROOT / "sample_data" / "brain" / "card.yaml"
MR_HEAD = ROOT / "sample_data" / "mr-head"
IMAGES = ROOT / "sample_data" / "images"


def make_card(
    name: str,
    modality: str,
    *regions: str,
    inputs: Sequence[dict[str, Any]] | None = None,
    conditions: Sequence[str] = (),
    laterality: str | None = None,
    eligibility: dict[str, Any] | None = None,
    **fields: Any,
) -> ModelCard:
    """The sample card with another name, target and inputs."""
    document = card_document(read_card(BRAIN_CARD))
    one = {"name": "image", "modality": modality, "eligibility": eligibility or {}}
    token = "".join(letter for letter in name.upper() if letter.isalnum())[:16]
    codes = [{"value": f"C{number}", "scheme": "99TEST", "meaning": text} for number, text in enumerate(conditions)]
    target = {"regions": list(regions), "conditions": codes, "laterality": laterality}
    document |= {"name": name, "token": token, "target": target, "inputs": list(inputs or [one]), **fields}
    return card_of_document(document, name)


def models() -> list[Candidate]:
    """The brain model among models for other things."""
    return [
        Candidate(read_card(BRAIN_CARD)),
        Candidate(make_card("Liver CT", "CT", "LIVER")),
        Candidate(make_card("Chest radiograph", "CR", "CHEST")),
        Candidate(
            make_card("Prostate MR", "MR", "PROSTATE", inputs=[{"name": "t2", "modality": "MR", "sequences": ["T2"]}])
        ),
        Candidate(make_card("Lung CT", "CT", "LUNG")),
        Candidate(make_card("Knee MR", "MR", "KNEE")),
    ]


def series(uid: str = "1.2.3", /, **attributes: str) -> SeriesFacts:
    """A series as a C-FIND answer describes it."""
    return facts_of_attributes({"SeriesInstanceUID": uid, **attributes})


def mr(uid: str, description: str, study: str = "MR BRAIN", **more: Any) -> SeriesFacts:
    """An MR series with acquisition parameters."""
    return replace(series(uid, Modality="MR", StudyDescription=study, SeriesDescription=description), **more)


def packed(folder: Path, card: ModelCard, length: int = 2000) -> PackedModel:
    """The card packed with a network of random bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    network = folder / "network.onnx"
    network.write_bytes(bytes(number % 251 for number in range(length)))
    document = card_document(card)
    document["network"]["files"] = ["network.onnx"]
    return pack_model(card_of_document(document, "test"), {"network.onnx": network}, folder / "packed", part_size=1024)


class MemoryArchive:
    """An archive over files; ``ignores_keys`` makes it ignore all keys but UIDs."""

    name = "memory"

    def __init__(self, *paths: Path, ignores_keys: bool = False) -> None:
        self.files = [file for path in paths for file in sorted(path.rglob("*")) if file.is_file()]
        self.ignores_keys = ignores_keys
        self.finds: list[tuple[Level, dict[str, str]]] = []
        self.fetches: list[Wanted] = []

    def find(self, level: Level, match: Attributes, include: Sequence[str] = ()) -> list[Attributes]:
        self.finds.append((level, dict(match)))
        key = {Level.STUDY: "StudyInstanceUID", Level.SERIES: "SeriesInstanceUID", Level.IMAGE: "SOPInstanceUID"}[level]
        rows: dict[str, Attributes] = {}
        for file in self.files:
            header = dcmread(file, stop_before_pixels=True)
            row = {keyword: str(header.get(keyword, "") or "") for keyword in {key, *match, *include}}
            asked = {k: v for k, v in match.items() if not self.ignores_keys or k.endswith("UID")}
            if all(fnmatchcase(row[keyword], wanted) for keyword, wanted in asked.items()):
                rows[row[key]] = row
        return list(rows.values())

    def fetch(
        self, wanted: Wanted, into: Path, *, progress: ProgressSink = no_progress, cancel: Cancellation | None = None
    ) -> list[Path]:
        self.fetches.append(wanted)
        found = []
        for file in self.files:
            header = dcmread(file, stop_before_pixels=True)
            if header.StudyInstanceUID == wanted.study and wanted.series in {None, header.SeriesInstanceUID}:
                found.append(Path(shutil.copy(file, into / file.name)))
        return found

    def echo(self) -> EchoReply:
        return EchoReply(0.0, self.name)

    def store(
        self, paths: Sequence[Path], *, progress: ProgressSink = no_progress, cancel: Cancellation | None = None
    ) -> StoreReport:
        raise NotImplementedError

    def verify_stored(self, paths: Sequence[Path], *, progress: ProgressSink = no_progress) -> None:
        raise NotImplementedError

    def accepted(self, sop_classes: Sequence[str]) -> frozenset[str]:
        return frozenset(sop_classes)

    def close(self) -> None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
