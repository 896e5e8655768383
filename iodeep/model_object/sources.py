"""The payload files that a person gives: exactly the card's, with content, and the same from first to last look."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from iodeep.card import ModelCard
from iodeep.errors import InputError
from iodeep.model_object.counting import counter
from iodeep.model_object.local_files import open_input, read_range
from iodeep.model_object.manifest import MAX_PARTS, Role, files_of_card
from iodeep.ports import ProgressSink


@dataclass(frozen=True)
class Source:
    """A payload file as it was when packing began."""

    name: str
    role: Role
    path: Path
    size: int
    changed_ns: int


@dataclass(frozen=True)
class Scan:
    """Digests of one file: whole, and of each of its parts with their lengths."""

    sha256: str
    parts: tuple[tuple[int, str], ...]


def find_sources(card: ModelCard, files: Mapping[str, Path]) -> list[Source]:
    """The card's files in its order; InputError for one that is missing, not named, unreadable or empty."""
    roles = {name: role for role, names in files_of_card(card).items() for name in names}
    missing, extra = sorted(roles.keys() - files.keys()), sorted(files.keys() - roles.keys())
    if missing or extra:
        raise InputError(
            "the files given are not those that the card names",
            expected=", ".join(roles),
            found="; ".join(
                f"{word} {', '.join(names)}" for word, names in (("missing", missing), ("not named", extra)) if names
            ),
            remedy="Correct network.files, external_data and trainable in the card, or give those files.",
        )
    return [_source(name, role, files[name]) for name, role in roles.items()]


def _source(name: str, role: Role, path: Path) -> Source:
    try:
        status = path.stat()
        readable = path.is_file() and os.access(path, os.R_OK)
    except OSError as error:
        raise InputError(f"{path}, for {name} of the card, cannot be read: {error.strerror}") from error
    if not readable:
        raise InputError(f"{path}, for {name} of the card, is not a file that can be read")
    if not status.st_size:
        raise InputError(f"{path}, for {name} of the card, is empty", remedy="Export the network again.")
    return Source(name, role, path, status.st_size, status.st_mtime_ns)


def scan_all(sources: list[Source], part_size: int, progress: ProgressSink) -> list[Scan]:
    """Digest every file, whole and by part; InputError where there would be too many parts."""
    count = sum(-(-source.size // part_size) for source in sources)
    if count > MAX_PARTS:
        raise InputError(
            "the model would have too many parts",
            expected=f"at most {MAX_PARTS}",
            found=f"{count} of {part_size} bytes",
            remedy="Give a larger part size.",
        )
    advance = counter("digest", sum(source.size for source in sources), progress)
    return [_scan(source, part_size, advance) for source in sources]


def _scan(source: Source, part_size: int, advance: Callable[[int], None]) -> Scan:
    whole = hashlib.sha256()
    parts: list[tuple[int, str]] = []
    with open_input(source.path) as file:
        for offset in range(0, source.size, part_size):
            digest = hashlib.sha256()
            length = 0
            for piece in read_range(file, offset, min(part_size, source.size - offset)):
                digest.update(piece)
                whole.update(piece)
                advance(len(piece))
                length += len(piece)
            parts.append((length, digest.hexdigest()))
    if sum(length for length, _ in parts) != source.size:
        raise _changed(source)
    return Scan(whole.hexdigest(), tuple(parts))


def check_unchanged(sources: list[Source]) -> None:
    """InputError where a file is not the one any more that was digested, by its size and date."""
    for source in sources:
        if _source(source.name, source.role, source.path) != source:
            raise _changed(source)


def _changed(source: Source) -> InputError:
    return InputError(f"{source.path} changed while it was packed", remedy="Wait until it is written, then pack again.")
