"""From a source to an object: read it, hold it against the card, compare it with its own framework, and only then pack."""

from __future__ import annotations

import shutil
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
from iodeep.model_object.local_files import storage_errors, whole_file
from iodeep.packing.importing import CARD_LED, Agreement, ImportedNetwork, Question, ReferenceImage, compared
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
    warnings: tuple[str, ...] = ()
    """What the containment of the process that read the source lacked."""


@dataclass(frozen=True)
class Imported:
    """A packed source, and how near its result is to the source's own; ``warnings``: as of :class:`Draft`."""

    packed: PackedAndChecked
    agreement: Agreement
    framework: str
    warnings: tuple[str, ...] = ()


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
        warnings = process.lacking()
        found = process.read()
    text = draft_text(found)
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(text.encode())
    return Draft(path, found, questions(found), warnings)


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
        warnings = process.lacking()
        found = process.read(card.model_dump(mode="json"))
        check_agrees(found, card)
        files = _placed(card, found, Path(payload))
        for name in card.network.files:
            check_network(files[name], card, folder=Path(payload))
        progress(Progress("predict with the source's framework", 0, None, "steps"))
        theirs = process.predict(_images(card, volumes), card.model_dump(mode="json"))
        ours = engine.run(card, files, volumes, progress=progress)
        agreement = compared(card, ours, theirs, tuple(_unseen(card, found)))
        said = f"{found.kind} by {found.framework}; on a reference image: {agreement.short()}"
        return Imported(pack(Path(payload), said), agreement, found.framework, warnings)


def _unseen(card: ModelCard, found: ImportedNetwork) -> Iterator[str]:
    """What is the same for both sides of the comparison, and therefore not shown by it."""
    if found.kind in CARD_LED:
        yield "both within the card's steps, so that the export alone is compared: whether the steps are right is not shown"
    elif list(found.card.get("preprocessing", ()))[:1] == [{"step": "orient"}]:
        yield "both turned as the card says that the training images lay, so that whether they lay so is not shown"
    if len(card.inputs) > 1:
        yield "both with the series brought onto the first one's grid by us, so that this is not shown"


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
        shutil.copyfile(found.files[name], payload / name, follow_symlinks=False)
    return {name: payload / name for name in names}
