"""Our private blocks (0099,xx) and (7FE1,xx): the dictionary, and reading that survives what archives do to them.

An archive that stores Implicit VR turns private VRs into UN, and may move a block to another number xx (PS3.5 7.8.1):
so elements are found through the block's creator and decoded by this dictionary, whatever VR they carry.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from iodeep.errors import ObjectError

CREATOR = "IODEEP AIMODEL 1"
HEADER_GROUP = 0x0099
PAYLOAD_GROUP = 0x7FE1
RESERVED_BLOCK = 0x10


@dataclass(frozen=True)
class Element:
    """One element of a block: its number within the block, VR, keyword and meaning."""

    group: int
    number: int
    vr: str
    keyword: str
    name: str
    identifying: bool = False
    """Whether it could hold something about a person (PS3.3 C.12.1.1.7)."""

    def tag(self, block: int = RESERVED_BLOCK) -> int:
        """The tag in block number ``block``."""
        return self.group << 16 | block << 8 | self.number

    def __str__(self) -> str:
        return f"{self.name} ({self.group:04X},xx{self.number:02X})"


SCHEMA = Element(HEADER_GROUP, 0x10, "UI", "AIModelSchemaUID", "Schema UID")
MEDIA_TYPE = Element(HEADER_GROUP, 0x11, "LO", "AIModelPayloadMediaType", "Payload media type")
MANIFEST = Element(HEADER_GROUP, 0x12, "OB", "AIModelManifest", "Canonical JSON manifest, UTF-8")
MANIFEST_SHA256 = Element(HEADER_GROUP, 0x13, "LO", "AIModelManifestSHA256", "Manifest SHA-256")
SIGNATURE = Element(HEADER_GROUP, 0x14, "OB", "AIModelSignature", "Detached signature of the statement")
SIGNATURE_KEY = Element(HEADER_GROUP, 0x15, "LO", "AIModelSignatureKey", "Signature type and key ID")
SELF_TEST = Element(HEADER_GROUP, 0x16, "OB", "AIModelSelfTest", "Self-test input and expected output", True)
STATEMENT = Element(HEADER_GROUP, 0x17, "OB", "AIModelSignedStatement", "Canonical JSON statement that is signed")
DOCUMENT = Element(HEADER_GROUP, 0x18, "OB", "AIModelSiteDocument", "Canonical JSON document that a site signed", True)
DOCUMENT_TYPE = Element(HEADER_GROUP, 0x19, "LO", "AIModelSiteDocumentType", "Site document type")
TIMESTAMP = Element(HEADER_GROUP, 0x1A, "OB", "AIModelSignatureTimestamp", "RFC 3161 time stamp of the signature")
PART_INDEX = Element(HEADER_GROUP, 0x20, "LO", "AIModelPartIndex", "Part index")
PART_COUNT = Element(HEADER_GROUP, 0x21, "LO", "AIModelPartCount", "Part count")
PART_LENGTH = Element(HEADER_GROUP, 0x22, "LO", "AIModelPartLength", "Part true length")
PART_SHA256 = Element(HEADER_GROUP, 0x23, "LO", "AIModelPartSHA256", "Part SHA-256")
FILE_NAME = Element(HEADER_GROUP, 0x24, "LO", "AIModelFileName", "File name")
PAYLOAD = Element(PAYLOAD_GROUP, 0x30, "OB", "AIModelPayload", "Payload, padded to even length", True)

HEADER_ELEMENTS = (
    SCHEMA,
    MEDIA_TYPE,
    MANIFEST,
    MANIFEST_SHA256,
    SIGNATURE,
    SIGNATURE_KEY,
    SELF_TEST,
    STATEMENT,
    DOCUMENT,
    DOCUMENT_TYPE,
    TIMESTAMP,
    PART_INDEX,
    PART_COUNT,
    PART_LENGTH,
    PART_SHA256,
    FILE_NAME,
)
ELEMENTS = (*HEADER_ELEMENTS, PAYLOAD)


def reserve_block(dataset: Dataset, group: int) -> None:
    """Write the creator that reserves our block in ``group``."""
    dataset.add_new(Tag(group, RESERVED_BLOCK), "LO", CREATOR)


def put(dataset: Dataset, element: Element, value: str | bytes) -> None:
    """Write one element; OB is padded to even length (PS3.5 6.2)."""
    if isinstance(value, bytes) and len(value) % 2:
        value += b"\0"
    dataset.add_new(element.tag(), element.vr, value)


def find_block(dataset: Dataset, group: int) -> int | None:
    """The number of our block in ``group``, None where there is none; two of them are an ObjectError."""
    slots = [tag for tag in dataset.keys() if tag >> 16 == group and 0x10 <= tag & 0xFFFF <= 0xFF]  # noqa: SIM118
    creators = [tag & 0xFF for tag in slots if _creator(dataset, tag) == CREATOR]
    if len(creators) > 1:
        raise ObjectError(
            f"group {group:04X} reserves the block {CREATOR!r} {len(creators)} times",
            expected="one block",
            remedy="The object was altered on its way; fetch it again from where it was packed.",
        )
    return creators[0] if creators else None


def raw_value(dataset: Dataset, element: Element) -> bytes | None:
    """The element's bytes as they stand in the file, None where it is absent."""
    block = find_block(dataset, element.group)
    tag = None if block is None else Tag(element.tag(block))
    return None if tag is None or tag not in dataset else _bytes(dataset, tag)


def text_value(dataset: Dataset, element: Element) -> str | None:
    """The element as text without padding, None where it is absent."""
    value = raw_value(dataset, element)
    return None if value is None else value.decode("utf-8", "replace").strip(" \0")


def _creator(dataset: Dataset, tag: int) -> str | None:
    value = _bytes(dataset, tag) if tag in dataset else None
    return None if value is None else value.decode("ascii", "replace").strip(" \0")


def _bytes(dataset: Dataset, tag: int) -> bytes | None:
    """The undecoded value: data sets are read by :mod:`iodeep.model_object.dicom_file`, which leaves them raw."""
    try:
        value = dataset.get_item(tag).value
    except (
        Exception
    ):  # boundary: what was cut off is converted after all, and pydicom raises whatever that makes it raise
        return None
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else None
