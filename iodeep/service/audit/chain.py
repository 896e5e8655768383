"""One line of the log: it names the line before it, and its seal can be made by the holder of the key alone.

The seal (``hash``) is HMAC-SHA-256 over the very bytes that stand before it, so that there is no second way to write a line.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any

START = "0" * 64
"""What the first line names as the one before it."""
_SEAL = re.compile(rb',"hash":"([0-9a-f]{64})"\}')
_SEAL_BYTES = len(',"hash":""}') + 64


@dataclass(frozen=True)
class Link:
    """A line that was read: its place, its seal, and the whole document."""

    sequence: int
    previous: str
    hash: str
    document: dict[str, Any]


def seal(key: bytes, sequence: int, previous: str, document: dict[str, Any]) -> tuple[bytes, str]:
    """The line, with its end of line, and its hash."""
    body = json.dumps({"sequence": sequence, "previous": previous, **document}, separators=(",", ":")).encode()[:-1]
    mark = _mark(key, body)
    return body + f',"hash":"{mark}"}}\n'.encode(), mark


def read_line(line: bytes) -> Link | None:
    """The line without its end, whether its seal holds or not; None where it is no line of ours."""
    found = _SEAL.fullmatch(line[-_SEAL_BYTES:])
    try:
        document = json.loads(line)
        if found is None or not isinstance(document["sequence"], int):
            return None
        return Link(document["sequence"], str(document["previous"]), found[1].decode(), document)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def holds(key: bytes, line: bytes) -> bool:
    """Whether the line's seal is the one that the key gives."""
    found = _SEAL.fullmatch(line[-_SEAL_BYTES:])
    return found is not None and hmac.compare_digest(_mark(key, line[:-_SEAL_BYTES]), found[1].decode())


def _mark(key: bytes, body: bytes) -> str:
    return hmac.new(key, body, hashlib.sha256).hexdigest()
