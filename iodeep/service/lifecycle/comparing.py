"""The register beside an archive: what was never registered, what is gone, and what was replaced, which goes to quarantine.

Descriptors are read anew from the archive: what a local index remembers of them is what they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iodeep.ports import Archive
from iodeep.selection import Candidate, Catalogue
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.trust.lifecycle import RegisteredRelease, Standing


@dataclass(frozen=True)
class Found:
    """A release that the register or the archive has, with what is remarkable about it."""

    release: RegisteredRelease
    standing: Standing | None
    note: str = ""


def compared(register: SiteRegister, archive: Archive, workspace: Path, by: str) -> tuple[Found, ...]:
    """Every release that either has; what was replaced in the archive is in quarantine once this returns. ``by``: who looks."""
    held = {each.sop_instance_uid: each for each in _releases(archive, workspace)}
    known = {each.release.sop_instance_uid: each for each in register.standings()}
    return tuple(_found(register, archive, uid, held.get(uid), known.get(uid), by) for uid in {**known, **held})


def _found(
    register: SiteRegister,
    archive: Archive,
    uid: str,
    held: RegisteredRelease | None,
    known: Standing | None,
    by: str,
) -> Found:
    if known is None:
        assert held is not None
        return Found(held, None)
    if held is None:
        return Found(known.release, known, f"{archive.name} does not have it")
    if held == known.release:
        return Found(held, known)
    noted = f"{archive.name} has other content under its SOP Instance UID"
    return Found(held, register.receive(held, by, f"{noted}, {uid}"), "REPLACED")


def _releases(archive: Archive, workspace: Path) -> Iterator[RegisteredRelease]:
    for each in Catalogue(archive, workspace / "catalogue").candidates():
        if isinstance(each, Candidate) and each.identity is not None:
            yield RegisteredRelease.of_identity(each.identity, each.study_instance_uid)
