"""From a source to an object: read it, hold it against the card, compare it with its own framework, and only then pack."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iodeep.card import ModelCard
from iodeep.errors import InputError
from iodeep.inference import Engine, check_network
from iodeep.inference.image import Scan
from iodeep.inference.inputs import channels_of
from iodeep.packing.importing import Agreement, ImportedNetwork, Question, ReferenceImage, compared
from iodeep.ports import Progress, ProgressSink, no_progress
from iodeep.service.importing.cards import check_agrees, draft_text, questions
from iodeep.service.importing.contained import ImportProcess
from iodeep.service.packing import PackedAndChecked
from iodeep.service.subjects import local_series
from iodeep.settings import RunSettings
from iodeep.volume import Volume, open_series

DRAFT = "card.yaml"


def is_plain_onnx(source: Path) -> bool:
    """Whether ``source`` needs no importer: an ONNX file, or a folder of them that is nothing else."""
    if source.is_dir():
        marks = ("configs/metadata.json", "plans.json", "architecture.json")
        return any(source.glob("*.onnx")) and not any((source / mark).is_file() for mark in marks)
    return source.suffix.lower() == ".onnx"


@dataclass(frozen=True)
class Draft:
    """A card that was begun, and what it lacks."""

    path: Path
    found: ImportedNetwork
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Imported:
    """A packed source, and how near its result is to the source's own."""

    packed: PackedAndChecked
    agreement: Agreement
    framework: str


@contextmanager
def _process(source: Path, limits: RunSettings) -> Iterator[ImportProcess]:
    with tempfile.TemporaryDirectory(prefix="iodeep-", ignore_cleanup_errors=True) as folder:
        yield ImportProcess(source, Path(folder), limits)


def draft_card(source: Path, out: Path, limits: RunSettings, *, progress: ProgressSink = no_progress) -> Draft:
    """Write what ``source`` says of its card to ``out``/card.yaml, which must not exist yet."""
    path = out / DRAFT
    if path.exists():
        raise InputError(f"{path} exists already", remedy="Give it with --card, or another folder with --out.")
    with _process(source, limits) as process:
        progress(Progress("read source", 0, None, "steps"))
        found = process.read()
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(draft_text(found), encoding="utf-8")
    return Draft(path, found, questions(found))


def pack_source(
    source: Path,
    card: ModelCard,
    engine: Engine,
    limits: RunSettings,
    references: Sequence[Path],
    pack: Callable[[Path, str], PackedAndChecked],
    *,
    progress: ProgressSink = no_progress,
) -> Imported:
    """Pack ``source`` if its result on ``references`` (a series an input, in the card's order) is its framework's own.

    ``pack``: packs a folder of files, with a sentence on where they came from.
    """
    volumes = _volumes(card, references)
    with _process(source, limits) as process, tempfile.TemporaryDirectory(prefix="iodeep-") as payload:
        progress(Progress("read source", 0, None, "steps"))
        found = process.read(card.model_dump(mode="json"))
        check_agrees(found, card)
        files = _placed(card, found, Path(payload))
        for name in card.network.files:
            check_network(files[name], card, folder=Path(payload))
        progress(Progress("predict with the source's framework", 0, None, "steps"))
        theirs = process.predict(_images(card, volumes), card.model_dump(mode="json"))
        ours = engine.run(card, files, volumes, progress=progress)
        agreement = compared(card, ours, theirs)
        said = f"{found.kind} by {found.framework}; on a reference image: {agreement}"
        return Imported(pack(Path(payload), said), agreement, found.framework)


def _volumes(card: ModelCard, references: Sequence[Path]) -> dict[str, Volume]:
    if len(references) != len(card.inputs):
        raise InputError(
            "a source is packed only if its result can be compared with its framework's own on real images",
            expected=f"{len(card.inputs)} reference series ({', '.join(each.name for each in card.inputs)})",
            found=f"{len(references)}",
            remedy="Give each with --reference-series FOLDER, in the card's order.",
        )
    return {asked.name: _volume(path) for asked, path in zip(card.inputs, references, strict=True)}


def _volume(path: Path) -> Volume:
    found = local_series(path)
    if len(found) != 1:
        raise InputError(f"{path} holds {len(found)} series", expected="one, as a reference")
    return open_series(found[0]).read_volume()


def _images(card: ModelCard, volumes: Mapping[str, Volume]) -> list[ReferenceImage]:
    """All on the grid of the first, as the engine brings them there."""
    scans = {name: Scan(volume.voxels, volume.affine) for name, volume in volumes.items()}
    image = channels_of(card, scans)
    return [
        ReferenceImage(asked.name, np.asarray(channel, np.float32), image.source_affine)
        for asked, channel in zip(card.inputs, image.voxels, strict=True)
    ]


def _placed(card: ModelCard, found: ImportedNetwork, payload: Path) -> dict[str, Path]:
    """The card's files, by the card's names, in a folder of our own."""
    names = [*card.network.files, *card.network.external_data, *card.network.trainable]
    if missing := [name for name in names if name not in found.files]:
        raise InputError("the card names files that the source does not give", found=", ".join(missing))
    for name in names:
        (payload / name).write_bytes(found.files[name].read_bytes())
    return {name: payload / name for name in names}
