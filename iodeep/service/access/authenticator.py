"""A credential becomes a Principal, or nothing: what cannot be checked is not believed."""

from __future__ import annotations

from dataclasses import dataclass

from iodeep.serve_settings import UserRole
from iodeep.service.access.principal import Principal


@dataclass(frozen=True)
class Credentials:
    """What a request brought with it."""

    bearer: str = ""
    """Of ``Authorization: Bearer``: an access token or an API key."""
    session: str = ""
    """Of the session cookie."""
    loopback: bool = False
    """Whether the caller is on this machine, and no proxy stood between."""


class Authenticator:
    """Access tokens of the site's provider, API keys, sessions of the pages, and anonymous callers on loopback."""

    def authenticate(self, credentials: Credentials) -> Principal:
        """Who calls.

        Errors: :class:`NotAuthenticated`; :class:`ProviderUnavailable` where a token cannot be checked now.
        """
        raise NotImplementedError


def anonymous(role: UserRole) -> Principal:
    """A caller without credentials, where the site allows it."""
    return Principal("anonymous", frozenset({role}), "anonymous")
