"""The register as commands open it, with the audit log of the same data folder."""

from __future__ import annotations

import getpass
from collections.abc import Mapping

from iodeep.model_object import ModelDescriptor
from iodeep.service.audit.files import key_file
from iodeep.service.audit.log import AuditLog
from iodeep.service.configuration import Configuration
from iodeep.service.lifecycle.opening import open_register
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.serving.composition import folders_of
from iodeep.trust.lifecycle import SERVICE, ModelState, RegisteredRelease, Standing


def register_at_terminal(configuration: Configuration) -> SiteRegister:
    """The register; the caller closes it."""
    folders = folders_of(configuration)
    return open_register(configuration, folders, AuditLog(folders.audit, key_file(folders.root), "terminal"))


def registered_arrival(configuration: Configuration, descriptor: ModelDescriptor, how: str) -> Standing:
    """Where a model stands that was just stored; new, it is in quarantine. ``how``: it came."""
    with register_at_terminal(configuration) as register:
        return register.receive(RegisteredRelease.of(descriptor), getpass.getuser(), how)


def mark_revoked(configuration: Configuration, manifests: Mapping[str, str]) -> tuple[str, ...]:
    """Models that this site knows and a list withdraws become revoked, each with its reason; the names of those that were not yet."""
    marked = []
    with register_at_terminal(configuration) as register:
        for each in register.standings():
            release, reason = each.release, manifests.get(each.release.manifest_sha256)
            if reason is not None and each.state is not ModelState.REVOKED:
                evidence = {"asked by": getpass.getuser()}
                why = f"by the list of what is withdrawn: {reason}"
                register.change(release.sop_instance_uid, ModelState.REVOKED, by=SERVICE, reason=why, evidence=evidence)
                marked.append(release.name)
    return tuple(marked)
