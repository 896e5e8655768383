"""Unique identifiers of this project, all UUID-derived (PS3.5 B.2), and the rule for deterministic ones."""

from __future__ import annotations

import hashlib
import uuid

RAW_DATA_STORAGE = "1.2.840.10008.5.1.4.1.1.66"

IMPLEMENTATION_CLASS_UID = "2.25.45446038188692931786832642475748496981"
IMPLEMENTATION_VERSION_NAME = "IODEEP_0_1"
CREATOR_VERSION_UID = "2.25.38386782440677359435838236870656505406"
"""Creator-Version UID (0008,9123): the packer and the format it writes."""

SCHEMA_UID = "2.25.272208350516365258490942849895681609483"
"""Schema of the private block and its manifest, version 1."""


def deterministic_uid(*parts: str) -> str:
    """The same parts always give the same UID, so that a job that runs twice stores once.

    A version 8 UUID (RFC 9562) made from SHA-256 over the length-prefixed parts, as a 2.25 UID (PS3.5 B.2).
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    octets = bytearray(digest.digest()[:16])
    octets[6] = 0x80 | (octets[6] & 0x0F)
    octets[8] = 0x80 | (octets[8] & 0x3F)
    return f"2.25.{uuid.UUID(bytes=bytes(octets)).int}"
