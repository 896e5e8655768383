"""The register beside an archive: what was never registered, what is gone, and what was replaced, which goes to quarantine.

Descriptors are read anew from the archive: what a local index remembers of them is what they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from iodeep.ports import Archive
from iodeep.selection import Candidate, Catalogue, UnusableModel
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
    candidates = Catalogue(archive, workspace / "catalogue").candidates()
    held = {each.sop_instance_uid: each for each in _releases(candidates)}
    known = {each.release.sop_instance_uid: each for each in register.standings()}
    missing = f"{archive.name} does not have it"
    unusable = {
        each.study_instance_uid: each.reason.rstrip(".") for each in candidates if isinstance(each, UnusableModel)
    }
    found = [
        _compared(register, held[uid], standing, by, archive.name)
        if uid in held
        else Found(standing.release, standing, unusable.get(standing.release.study_instance_uid, missing))
        for uid, standing in known.items()
    ]
    return (*found, *(Found(release, None) for uid, release in held.items() if uid not in known))


def _compared(register: SiteRegister, held: RegisteredRelease, known: Standing, by: str, where: str) -> Found:
    if held == known.release:
        return Found(known.release, known)
    noted = f"{where} has other content under its SOP Instance UID, {held.sop_instance_uid}"
    return Found(held, register.receive(held, by, noted), "REPLACED")


def _releases(candidates: Iterable[Candidate | UnusableModel]) -> Iterator[RegisteredRelease]:
    for each in candidates:
        if isinstance(each, Candidate) and each.identity is not None:
            yield RegisteredRelease.of_identity(each.identity, each.study_instance_uid)
