"""The anchor: where the log ended when it was last written to, sealed with the key, so that a tail that was cut off is missed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from iodeep.service.audit.chain import START, holds, seal
from iodeep.service.private_files import write_private

HEAD = "head.json"


@dataclass(frozen=True)
class Head:
    """The last line: its number, its hash, its file, and where in the file it ended."""

    sequence: int
    hash: str
    file: str
    size: int


BEGINNING = Head(0, START, "", 0)


def read_head(folder: Path, key: bytes) -> Head | None:
    """The anchor; None where there is none, or none that the key sealed."""
    try:
        line = (folder / HEAD).read_bytes()
    except FileNotFoundError:
        return None
    if not line.endswith(b"\n") or not holds(key, line[:-1]):
        return None
    return Head(**json.loads(line)["head"])


def write_head(folder: Path, key: bytes, head: Head) -> None:
    """Replace the anchor as one act."""
    line, _ = seal(key, head.sequence, head.hash, {"head": asdict(head)})
    write_private(folder / HEAD, line)
