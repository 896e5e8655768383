"""The published prior art's object is recognised and explained; it is never unpickled, so never run.

Its writer puts text into the private-creator slots of group 0017 without a creator: (0017,0016) the architecture,
(0017,0018) base64 of ``torch.save``, (0017,0020) a name, (0017,0022) a UID; Modality holds the target modality; SOP
class, SOP instance, series and study share one UID. Some of its files have no DICOM preamble.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from iodeep.errors import ObjectError, plain
from iodeep.model_object.base64_file import Base64File
from iodeep.model_object.dicom_file import Location, elements_after, read_header
from iodeep.model_object.local_files import open_input
from iodeep.model_object.pickle_imports import MAX_PICKLE_BYTES, imports_of_pickles

SOP_CLASS_UID, SOP_INSTANCE_UID, MODALITY = 0x0008_0016, 0x0008_0018, 0x0008_0060
BODY_PART_EXAMINED, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = 0x0018_0015, 0x0020_000D, 0x0020_000E
ARCHITECTURE, WEIGHTS, NAME, MODEL_UID = 0x0017_0016, 0x0017_0018, 0x0017_0020, 0x0017_0022
LONGEST_CREATOR = 64
"""A longer value cannot be a private creator (LO)."""
SHOWN_CHARACTERS = 1000


@dataclass(frozen=True)
class LegacyModel:
    """What a prior-art object says about itself, what it carries, why it is refused and what to do."""

    name: str
    uid: str
    modality: str
    body_part: str
    architecture: str
    """The first thousand characters of the network's description."""
    weights_format: str
    weights_bytes: int
    """Length of the decoded weights."""
    imports: tuple[str, ...]
    """What unpickling would import, as ``module.name``."""
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class LegacyFile:
    """A prior-art object's elements by tag, up to Series Instance UID."""

    path: Path
    elements: dict[int, Location]

    def text(self, tag: int, limit: int = 64) -> str:
        """The first ``limit`` bytes of an element as text; empty where it is absent."""
        location = self.elements.get(tag)
        if location is None:
            return ""
        with open_input(self.path) as file:
            file.seek(location.offset)
            return plain(file.read(min(location.length, limit)).decode("utf-8", "replace").strip(" \0"))


@dataclass(frozen=True)
class _Weights:
    form: str
    length: int
    imports: tuple[str, ...]


def find_legacy(path: Path) -> LegacyFile | None:
    """The elements of a prior-art object, None where the file is anything else."""
    with open_input(path) as file:
        start = file.read(132)
    if start[128:] != b"DICM" and start[:2] not in (b"\x02\0", b"\x08\0"):
        return None
    elements: dict[int, Location] = {}
    try:
        for location in elements_after(read_header(path, stop_at=0, force=True)):
            if location.tag > SERIES_INSTANCE_UID:
                break
            elements[location.tag] = location
    except ObjectError:
        return None
    found = LegacyFile(path, elements)
    weights = elements.get(WEIGHTS)
    if weights is None:
        return None
    names_itself = bool(found.text(MODEL_UID)) and found.text(MODEL_UID) == found.text(SOP_INSTANCE_UID)
    return found if weights.length > LONGEST_CREATOR or names_itself else None


def explain_legacy(path: Path) -> LegacyModel:
    """Explain a prior-art object without executing anything of it; ObjectError where it isn't one."""
    found = find_legacy(path)
    if found is None:
        raise ObjectError(
            f"{path.name} is not a model in the prior art's format",
            expected="text in (0017,0016) and (0017,0018) without a private creator",
        )
    weights = _weights(path, found.elements[WEIGHTS])
    return LegacyModel(
        name=found.text(NAME),
        uid=found.text(SOP_INSTANCE_UID),
        modality=found.text(MODALITY),
        body_part=found.text(BODY_PART_EXAMINED),
        architecture=found.text(ARCHITECTURE, SHOWN_CHARACTERS),
        weights_format=weights.form,
        weights_bytes=weights.length,
        imports=weights.imports,
        sentences=tuple(_sentences(found, weights)),
    )


def _weights(path: Path, location: Location) -> _Weights:
    """What the weights are, by their first bytes and opcodes."""
    with open_input(path) as file:
        decoded = Base64File(file, location.offset, location.length)
        try:
            return _described(BufferedReader(decoded), decoded.length)
        except Exception:  # boundary: zipfile and zlib raise whatever damaged bytes make them raise
            return _Weights("something that could not be decoded", decoded.length, ())


def _described(stream: BufferedReader, length: int) -> _Weights:
    start = stream.peek(8)
    if start.startswith(b"PK\x03\x04"):
        return _Weights("a PyTorch archive (ZIP) with a pickle", length, _imports_in_zip(stream))
    if start.startswith(b"\x80"):
        return _Weights("a pickle", length, imports_of_pickles(stream))
    if start.startswith(b"\x89HDF"):
        return _Weights("an HDF5 file", length, ())
    return _Weights("something unknown", length, ())


def _imports_in_zip(stream: BufferedReader) -> tuple[str, ...]:
    imports: list[str] = []
    with zipfile.ZipFile(stream) as archive:
        pickles = [info for info in archive.infolist() if info.filename.endswith(".pkl")]
        for info in pickles[:8]:
            with archive.open(info) as member:
                imports += imports_of_pickles(cast("BinaryIO", member), limit=MAX_PICKLE_BYTES)
    return tuple(dict.fromkeys(imports))


def _sentences(found: LegacyFile, weights: _Weights) -> list[str]:
    target = " of ".join(filter(None, (found.text(MODALITY), found.text(BODY_PART_EXAMINED)))) or "an unnamed target"
    called = f", called {found.text(NAME)!r}" if found.text(NAME) else ""
    imports = f" Unpickling would import {', '.join(weights.imports)}." if weights.imports else ""
    uid = found.text(SOP_INSTANCE_UID)
    sentences = [
        f"This is a network in the published prior art's format (private group 0017){called}, for {target}.",
        f"It carries a description of its architecture and {weights.length} bytes of weights: {weights.form}, as base64.",
        f"It is refused to run: a pickle is a program, and nothing says whose or pins what it does.{imports}",
    ]
    if uid == found.text(STUDY_INSTANCE_UID) == found.text(SERIES_INSTANCE_UID):
        place = ", which also stands where its SOP class should" if found.text(SOP_CLASS_UID) == uid else ""
        sentences.append(f"Its instance, series and study share one UID{place}, so archives refuse to store it.")
    sentences.append(
        "To convert it: on a machine that may be lost, load the weights with torch.load(weights_only=True) into the"
        " architecture, export that to ONNX, write a card, and run iodeep pack."
    )
    return sentences
