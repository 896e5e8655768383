"""The register as commands open it, with the audit log of the same data folder."""

from __future__ import annotations

import getpass

from iodeep.model_object import ModelDescriptor
from iodeep.service.audit.files import key_file
from iodeep.service.audit.log import AuditLog
from iodeep.service.configuration import Configuration
from iodeep.service.lifecycle.opening import open_register
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.serving.composition import folders_of
from iodeep.trust.lifecycle import RegisteredRelease, Standing


def register_at_terminal(configuration: Configuration) -> SiteRegister:
    """The register; the caller closes it."""
    folders = folders_of(configuration)
    return open_register(configuration, folders, AuditLog(folders.audit, key_file(folders.root), "terminal"))


def registered_arrival(configuration: Configuration, descriptor: ModelDescriptor, how: str) -> Standing:
    """Where a model stands that was just stored; new, it is in quarantine. ``how``: it came."""
    with register_at_terminal(configuration) as register:
        return register.receive(RegisteredRelease.of(descriptor), getpass.getuser(), how)
