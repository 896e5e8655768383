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

from iodeep.errors import InputError, ObjectError
from iodeep.model_object.base64_file import Base64File
from iodeep.model_object.dicom_file import Header, Location, elements_after, read_header
from iodeep.model_object.local_files import open_input
from iodeep.model_object.pickle_imports import MAX_PICKLE_BYTES, imports_of_pickles

GROUP = 0x0017
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
class _Weights:
    form: str
    length: int
    imports: tuple[str, ...]


def find_legacy(path: Path) -> Header | None:
    """The header of a prior-art object, None where the file is anything else."""
    found = _find(path)
    return found[0] if found else None


def explain_legacy(path: Path) -> LegacyModel:
    """Explain a prior-art object without executing anything of it; ObjectError where it isn't one."""
    found = _find(path)
    if found is None:
        raise ObjectError(
            f"{path.name} is not a model in the prior art's format",
            expected="text in (0017,0016) and (0017,0018) without a private creator",
        )
    header, elements = found
    name = _text(path, elements.get(NAME), LONGEST_CREATOR)
    architecture = _text(path, elements.get(ARCHITECTURE), SHOWN_CHARACTERS)
    weights = _weights(path, elements[WEIGHTS])
    return LegacyModel(
        name=name,
        uid=header.text("SOPInstanceUID"),
        modality=header.text("Modality"),
        body_part=header.text("BodyPartExamined"),
        architecture=architecture,
        weights_format=weights.form,
        weights_bytes=weights.length,
        imports=weights.imports,
        sentences=tuple(_sentences(header, name, weights)),
    )


def _find(path: Path) -> tuple[Header, dict[int, Location]] | None:
    with open_input(path) as file:
        start = file.read(132)
    if start[128:] != b"DICM" and start[:2] not in (b"\x02\0", b"\x08\0"):
        return None
    elements: dict[int, Location] = {}
    try:
        header = read_header(path, stop_at=GROUP << 16, force=True)
        for location in elements_after(header):
            if location.tag >> 16 != GROUP:
                break
            elements[location.tag] = location
    except ObjectError:
        return None
    weights = elements.get(WEIGHTS)
    if weights is None:
        return None
    names_itself = _text(path, elements.get(MODEL_UID), LONGEST_CREATOR) == header.text("SOPInstanceUID")
    return (header, elements) if weights.length > LONGEST_CREATOR or names_itself else None


def _text(path: Path, location: Location | None, limit: int) -> str:
    if location is None:
        return ""
    with open_input(path) as file:
        file.seek(location.offset)
        return file.read(min(location.length, limit)).decode("utf-8", "replace").strip(" \0")


def _weights(path: Path, location: Location) -> _Weights:
    """What the weights are, by their first bytes and opcodes."""
    with open_input(path) as file:
        decoded = Base64File(file, location.offset, location.length)
        try:
            return _described(BufferedReader(decoded), decoded.length)
        except (InputError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
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


def _sentences(header: Header, name: str, weights: _Weights) -> list[str]:
    target = (
        " of ".join(filter(None, (header.text("Modality"), header.text("BodyPartExamined")))) or "an unnamed target"
    )
    called = f", called {name!r}" if name else ""
    imports = f" Unpickling would import {', '.join(weights.imports)}." if weights.imports else ""
    uid = header.text("SOPInstanceUID")
    sentences = [
        f"This is a network in the published prior art's format (private group 0017){called}, for {target}.",
        f"It carries a description of its architecture and {weights.length} bytes of weights: {weights.form}, as base64.",
        f"It is refused to run: a pickle is a program, and nothing says whose or pins what it does.{imports}",
    ]
    if uid == header.text("StudyInstanceUID") == header.text("SeriesInstanceUID"):
        sentences.append(
            "Its instance, series and study share one UID"
            + (", which also stands where its SOP class should" if header.text("SOPClassUID") == uid else "")
            + ", so archives refuse to store it."
        )
    sentences.append(
        "To convert it: on a machine that may be lost, load the weights with torch.load(weights_only=True) into the"
        " architecture, export that to ONNX, write a card, and run iodeep pack."
    )
    return sentences
