"""What went wrong with a PACS, in words that its administrator can act on: AE titles, SOP class, status, what to set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.status import (
    GENERAL_STATUS,
    QR_FIND_SERVICE_CLASS_STATUS,
    QR_GET_SERVICE_CLASS_STATUS,
    QR_MOVE_SERVICE_CLASS_STATUS,
    STORAGE_SERVICE_CLASS_STATUS,
)

from iodeep.errors import ArchiveError, ArchiveUnreachableError

_SHOWN = 5
LONGEST_QUOTE = 300
_WORDS = {
    "C-ECHO": GENERAL_STATUS,
    "C-STORE": STORAGE_SERVICE_CLASS_STATUS,
    "C-FIND": QR_FIND_SERVICE_CLASS_STATUS,
    "C-GET": QR_GET_SERVICE_CLASS_STATUS,
    "C-MOVE": QR_MOVE_SERVICE_CLASS_STATUS,
}


@dataclass(frozen=True)
class Parties:
    """Who talks to whom: the archive's name, its AE title and address, and our AE title."""

    name: str
    called: str
    calling: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.name} ({self.called} at {self.host}:{self.port})"

    @property
    def titles(self) -> str:
        """Both AE titles, as messages give them."""
        return f"calling AE title {self.calling}, called AE title {self.called}"


def sop_class_name(uid: str) -> str:
    """The name of a SOP class, with its UID where it has one."""
    name = UID(uid).name
    return f"{name} ({uid})" if name != uid else uid


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many there are."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def status_words(service: str, status: int) -> str:
    """A status (PS3.7 Annex C, PS3.4 Annex B and C) as number and words."""
    known = _WORDS.get(service, {}).get(status) or GENERAL_STATUS.get(status)
    category, text = known or ("Unknown", "")
    return f"0x{status:04X} ({category}{': ' + text if text else ''})"


def rejected(
    parties: Parties, reason: tuple[int | None, int | None], words: str, *, transient: bool
) -> ArchiveUnreachableError:
    """An A-ASSOCIATE-RJ; ``reason`` is its source and diagnostic (PS3.8 9.3.4)."""
    return ArchiveUnreachableError(
        f"{parties} rejected the association: {words}{' (for now)' if transient else ''}",
        found=parties.titles,
        remedy=_REJECTIONS.get(reason, _REJECTION).format(p=parties),
    )


_REJECTION = "Register {p.calling} as a known AE title on the archive, and check its own AE title {p.called}."
_REJECTIONS: dict[tuple[int | None, int | None], str] = {
    (
        1,
        3,
    ): "The archive does not know our AE title: register {p.calling} (with this machine's address) on the archive, "
    "or set calling_aet to one that it knows.",
    (1, 7): "The archive is not called {p.called}: set aet to the AE title that the archive is configured with.",
    (
        1,
        1,
    ): "Many archives answer so to an unknown AE title: register {p.calling} on the archive, and check {p.called}.",
    (3, 1): "The archive is busy: try again later.",
    (3, 2): "The archive has as many associations as it takes: try again later, or raise its limit.",
}


class AbortedError(ArchiveUnreachableError):
    """The peer aborted the association."""


def aborted(parties: Parties, doing: str, *, by_provider: bool) -> AbortedError:
    """An A-ABORT of the peer (PS3.8 9.3.8); some archives answer so to an AE title that may not do this."""
    who = "its network layer" if by_provider else "its application"
    return AbortedError(
        f"{parties} aborted the association while {doing} ({who})",
        found=parties.titles,
        remedy=f"The archive may not let {parties.calling} do this: register that AE title there (Orthanc: "
        "DicomModalities; it aborts queries and retrieves of AE titles that are not listed), then see the archive's log.",
    )


def misspoken(parties: Parties, what: str, doing: str) -> ArchiveError:
    """Something that PS3.7 or PS3.8 does not allow at this point; of ``what`` the beginning: it may quote 64 KB of the peer's."""
    said = " ".join(what[:LONGEST_QUOTE].encode("ascii", "backslashreplace").decode().split())
    return ArchiveError(
        f"{parties} did not keep to the protocol while {doing}: {said}",
        remedy="Check that the port is the archive's DICOM port; otherwise see the archive's log.",
    )


def nothing_negotiated(parties: Parties, service: str, sop_classes: tuple[str, ...]) -> ArchiveError:
    """No presentation context for what we need was accepted (PS3.8 7.1.1.14)."""
    names = ", ".join(map(sop_class_name, sop_classes))
    return ArchiveError(
        f"{parties} takes no {service} for {names}",
        expected="an accepted presentation context",
        found=f"none accepted ({parties.titles})",
        remedy="Enable this SOP class on the archive, or use an archive that takes it.",
    )


def syntax_not_taken(parties: Parties, about: str, transfer_syntax: str) -> ArchiveError:
    """A compressed instance that could only be sent by decompressing it, which we never do on the way."""
    return ArchiveError(
        f"{parties} does not take {about} in {sop_class_name(transfer_syntax)}",
        expected="an accepted presentation context with that transfer syntax",
        remedy="Enable the transfer syntax on the archive, or have the instance written uncompressed by its system.",
    )


def refused(parties: Parties, service: str, command: Dataset, about: str, sop_class: str) -> ArchiveError:
    """A response whose status is not Success; a Warning is not success either (PS3.7 Annex C)."""
    status = int(command.Status)
    comment = str(command.get("ErrorComment", "") or "").strip()
    return ArchiveError(
        f"{parties} answered the {service} of {about} with {status_words(service, status)}"
        + (f", saying {comment!r}" if comment else ""),
        expected="0x0000 (Success)",
        found=f"SOP class {sop_class_name(sop_class)}; {parties.titles}",
        remedy=_remedy(service, status, parties),
    )


def _remedy(service: str, status: int, parties: Parties) -> str:
    if service == "C-MOVE" and status == 0xA801:
        return (
            f"Register {parties.calling} as a C-MOVE destination on the archive, with this machine's address and the "
            'port in move_port; or choose retrieve = "get".'
        )
    if status == 0x0122:
        return "Enable this SOP class on the archive, or use an archive that takes it."
    if status in (0x0124, 0xA003):
        return f"The archive does not allow this to {parties.calling}: give that AE title the right on the archive."
    if 0xA700 <= status <= 0xA7FF:
        return "The archive is out of resources: see its disk space, memory and limits per study."
    if 0xA900 <= status <= 0xA9FF:
        return "The archive says that the data do not match the SOP class or the query model: see its log."
    if status == 0xB000 and service == "C-STORE":
        return "The archive changed values of what was stored: turn coercion off for this AE title there."
    return "See the archive's log for this moment."
