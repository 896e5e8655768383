"""What a server says about instances that were stored (PS3.18 10.5.3, PS3.3 C.12.3.1.7): nothing it leaves out is a success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests

from iodeep.errors import ArchiveError
from pacs_bridge.dicomweb.http import status_error
from pacs_bridge.part10 import Instance

_FAILED = "00081198"
_STORED = "00081199"
_INSTANCE_UID = "00081155"
_FAILURE_REASON = "00081197"
_WARNING_REASON = "00081196"
_DUPLICATE = 0x0111
_SHOWN = 5
_REASONS = {
    0x0110: "processing failure",
    0x0111: "duplicate SOP instance",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0119: "class-instance conflict",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0xB000: "data elements were coerced",
    0xB006: "elements were discarded",
    0xB007: "the data set does not match its SOP class",
    0xC122: "transfer syntax not supported",
}
_FAMILIES = {
    0xA700: "out of resources",
    0xA900: "the data set does not match its SOP class",
    0xC000: "cannot understand",
}


def judged(url: str, response: requests.Response, sent: Sequence[Instance]) -> list[str]:
    """Warnings, in words; raises :class:`~iodeep.errors.ArchiveError` naming each instance that was not stored.

    An instance that is there already is a warning: whether it is the same one, only verifying tells.
    """
    if response.status_code not in (200, 202, 409):
        raise status_error(url, response)
    document = _document(url, response)
    failed = _reasons(document, _FAILED, _FAILURE_REASON)
    refused = [instance for instance in sent if failed.get(instance.uid, _DUPLICATE) != _DUPLICATE]
    stored = _reasons(document, _STORED, _WARNING_REASON)
    unnamed = [instance for instance in sent if instance.uid not in failed and instance.uid not in stored]
    if refused or unnamed:
        raise _refusal(url, response, refused, unnamed, failed)
    duplicates = [f"{one.path} is there already; verify that it is the same" for one in sent if one.uid in failed]
    warned = [f"{one.path}: {_words(reason)}" for one in sent if (reason := stored.get(one.uid))]
    return duplicates + warned


def _refusal(
    url: str,
    response: requests.Response,
    refused: Sequence[Instance],
    unnamed: Sequence[Instance],
    failed: Mapping[str, int | None],
) -> ArchiveError:
    lines = [f"{one.path} (SOP class {one.sop_class}): {_words(failed[one.uid])}" for one in refused]
    lines += [f"{one.path} (SOP class {one.sop_class}): the answer says nothing of it" for one in unnamed]
    more = f", and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return ArchiveError(
        f"{url}: {len(lines)} instances were not stored (HTTP {response.status_code})",
        found="; ".join(lines[:_SHOWN]) + more,
        remedy="Let the PACS take their SOP class and transfer syntax, and check its free space and log.",
    )


def _document(url: str, response: requests.Response) -> Mapping[str, Any]:
    try:
        document = response.json()
    except requests.exceptions.JSONDecodeError as error:
        raise ArchiveError(
            f"{url}: nobody can tell what was stored (HTTP {response.status_code})",
            expected="an answer in application/dicom+json",
            found=response.headers.get("Content-Type", "no content type"),
            remedy="Check that the address is the DICOMweb root, then verify what is there.",
        ) from error
    first = document[0] if isinstance(document, list) and document else document
    return first if isinstance(first, dict) else {}


def _reasons(document: Mapping[str, Any], sequence: str, reason: str) -> dict[str, int | None]:
    """Each instance of a sequence with its reason, None where it gives none."""
    items = document.get(sequence, {}).get("Value") or []
    return {str(_first(item, _INSTANCE_UID)): _number(_first(item, reason)) for item in items}


def _first(item: Mapping[str, Any], tag: str) -> object:
    values = item.get(tag, {}).get("Value") or [None]
    return values[0]


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _words(reason: int | None) -> str:
    if reason is None:
        return "refused without a reason"
    family = _FAMILIES.get(reason & 0xFF00) or (_FAMILIES[0xC000] if reason >> 12 == 0xC else None)
    return f"{_REASONS.get(reason) or family or 'refused'} (0x{reason:04X})"
