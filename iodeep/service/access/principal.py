"""A caller, known by a credential that was checked."""

from __future__ import annotations

from dataclasses import dataclass

from iodeep.serve_settings import UserRole

ANONYMOUS = "anonymous"
"""Proof of a caller who gave none."""
_RANK = {UserRole.VIEWER: 0, UserRole.CLINICIAN: 1, UserRole.ADMINISTRATOR: 2}
_SYSTEM_MAY_AS = UserRole.CLINICIAN
"""A system asks for jobs and reads results as a clinician would; it approves and administers nothing."""


@dataclass(frozen=True)
class Principal:
    """Who calls: a name for audit and provenance, how it was proved, and the roles that it has."""

    name: str
    """User Name or the API key's name: never a secret."""
    roles: frozenset[UserRole]
    proof: str
    """``oidc``, ``api-key`` or ``anonymous``."""
    subject: str = ""
    """The provider's stable identifier (``sub``)."""

    def may(self, role: UserRole) -> bool:
        """Whether one of the caller's roles is ``role`` or includes it."""
        if role in self.roles:
            return True
        held = {_SYSTEM_MAY_AS if each is UserRole.SERVICE else each for each in self.roles}
        return role in _RANK and any(_RANK[each] >= _RANK[role] for each in held)
