"""What a client accepts (RFC 9110 12.5.1, PS3.18 8.7): media ranges in the order of its wishes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import Request
from pydicom.uid import ExplicitVRLittleEndian

from pacs_bridge.dicomweb.multipart import parameters_of
from pacs_bridge.gateway.errors import NotAcceptableError

DICOM = "application/dicom"
JSON = "application/dicom+json"
OCTETS = "application/octet-stream"
RELATED = "multipart/related"
ANY = "*/*"
EXPLICIT = str(ExplicitVRLittleEndian)
AS_STORED = "*"

MEDIA_TYPE_OF = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
"""Media types of compressed frames by their transfer syntax (PS3.18 8.7.3.3.2)."""
_OUTSIDE_QUOTES = re.compile(r""",(?=(?:[^"]*"[^"]*")*[^"]*$)""")


@dataclass(frozen=True)
class MediaRange:
    """One thing that a client takes, and how much it would like it."""

    media_type: str
    parameters: dict[str, str] = field(default_factory=dict)
    weight: float = 1.0

    @property
    def multipart(self) -> bool:
        """Whether it is asked for as a part of ``multipart/related``."""
        return self.media_type == RELATED

    @property
    def content(self) -> str:
        """The media type of what is meant: of the parts, where there are parts; empty where nothing is said of them."""
        return self.parameters.get("type", "").lower() if self.multipart else self.media_type

    @property
    def transfer_syntax(self) -> str:
        """A UID, ``*`` for as it is stored, or empty."""
        return self.parameters.get("transfer-syntax", "")

    def takes(self, media_type: str) -> bool:
        """Whether the range includes the media type as a whole answer."""
        kind = media_type.partition("/")[0]
        return self.media_type in (ANY, media_type, f"{kind}/*")


def wishes(request: Request) -> list[MediaRange]:
    """What the ``accept`` parameter says, else the Accept header; everything where neither says anything."""
    said = request.query_params.get("accept") or ",".join(request.headers.getlist("accept")) or ANY
    ranges = [_range(text) for text in _OUTSIDE_QUOTES.split(said) if text.strip()]
    return sorted((each for each in ranges if each.weight > 0), key=lambda each: -each.weight)


def require_json(request: Request) -> str:
    """The media type of DICOM JSON as the client calls it; it may call it ``application/json``."""
    for wish in wishes(request):
        if wish.takes(JSON) or wish.takes("application/json"):
            return "application/json" if wish.media_type == "application/json" else JSON
    raise not_acceptable(wishes(request), JSON)


def not_acceptable(asked: Sequence[MediaRange], *possible: str) -> NotAcceptableError:
    """None of what was asked for can be given."""
    return NotAcceptableError(
        "none of the media types asked for can be given",
        expected=" or ".join(possible),
        found=", ".join(_words(wish) for wish in asked),
    )


def _words(wish: MediaRange) -> str:
    return "; ".join([wish.media_type, *(f"{name}={value}" for name, value in wish.parameters.items())])


def _range(text: str) -> MediaRange:
    kind, _, _ = text.strip().partition(";")
    media_type, parameters = parameters_of(text.strip())
    weight = parameters.pop("q", "1")
    return MediaRange(media_type if "*" not in kind else kind.strip().lower(), parameters, _number(weight))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
