"""A credential becomes a Principal, or nothing: what cannot be checked is not believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import SettingsError
from iodeep.serve_settings import AccessSettings
from iodeep.service.access.api_keys import PREFIX, ApiKeys
from iodeep.service.access.flows import Flows
from iodeep.service.access.oidc import TokenReader, refused
from iodeep.service.access.principal import ANONYMOUS, Principal
from iodeep.service.access.provider import Provider
from iodeep.service.access.refusals import NotAuthenticated, ProviderUnavailable
from iodeep.service.access.sessions import Sessions


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

    def __init__(self, settings: AccessSettings, api_keys: Path) -> None:
        self._settings = settings
        self.api_keys = ApiKeys(api_keys)
        self.oidc = settings.oidc
        self.flows = Flows()
        self.sessions = Sessions(settings.session_hours * 3600)
        self.provider = Provider(settings.oidc) if settings.oidc else None
        self.tokens = TokenReader(settings.oidc, self.provider) if settings.oidc and self.provider else None

    def close(self) -> None:
        """Let go of connections to the provider."""
        if self.provider is not None:
            self.provider.close()

    def authenticate(self, credentials: Credentials) -> Principal:
        """Who calls; a bearer that does not hold is refused whatever else came with it.

        Errors: :class:`NotAuthenticated`; :class:`ProviderUnavailable` where a token cannot be checked now.
        """
        if credentials.bearer:
            return self._of_bearer(credentials.bearer)
        if credentials.session and (signed_in := self._of_session(credentials.session)):
            return signed_in
        if credentials.loopback and self._settings.anonymous is not None:
            return Principal(ANONYMOUS, frozenset({self._settings.anonymous}), ANONYMOUS)
        raise NotAuthenticated(
            "you are not signed in", remedy="Send Authorization: Bearer, or sign in at /auth/sign-in."
        )

    def sign_in(self, key: str) -> tuple[str, Principal]:
        """A session for the holder of an API key: its number, and who it is."""
        principal, key_id = self._held_by(key)
        return self.sessions.begin(principal, key_id), principal

    def _of_bearer(self, bearer: str) -> Principal:
        if bearer.startswith(PREFIX):
            return self._held_by(bearer)[0]
        if self.tokens is None:
            raise refused("no identity provider is configured")
        return self.tokens.principal_of(bearer)

    def _held_by(self, key: str) -> tuple[Principal, str]:
        try:
            return self.api_keys.principal_of(key)
        except SettingsError as error:
            raise ProviderUnavailable(error.problem, found=error.found, remedy=error.remedy) from error

    def _of_session(self, number: str) -> Principal | None:
        found = self.sessions.get(number)
        if found is None or (found[1] and not self.api_keys.holds(found[1])):
            return None
        return found[0]
