"""An access token becomes a Principal: signature, issuer, audience, times and kind are checked, in this order (RFC 9068, 4; RFC 8725).

Only asymmetric signatures count: a token signed with a public key as if it were a secret, or with ``none``, is nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwt import JWTClaimsRegistry

from iodeep.serve_settings import OidcSettings, UserRole
from iodeep.service.access.principal import Principal
from iodeep.service.access.provider import Provider
from iodeep.service.access.refusals import NotAuthenticated

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_TYPES = ("at+jwt", "application/at+jwt", "jwt")
_MOST_CHARACTERS = 16 << 10
_ID_TOKEN_CLAIMS = ("nonce", "at_hash", "c_hash")
_NAMES = ("preferred_username", "email", "name", "client_id", "azp", "sub")
_MOST_NAME = 64


class TokenReader:
    """Reads the tokens of one provider."""

    def __init__(self, settings: OidcSettings, provider: Provider, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._provider = provider
        self._now = now

    def principal_of(self, token: str) -> Principal:
        """Who brings the access token.

        Errors: :class:`NotAuthenticated`; :class:`ProviderUnavailable` where its keys can't be had.
        """
        header, claims = self._checked(token, self._settings.audience)
        if str(header.get("typ") or "JWT").casefold() not in _TYPES or _is_id_token(claims):
            raise refused("it is no access token")
        return self._principal(claims)

    def principal_of_sign_in(self, answer: Mapping[str, Any], nonce: str) -> Principal:
        """Who signed in, of the ID token that the provider sent for our ``nonce`` (OpenID Connect Core 1.0, 3.1.3.7).

        Roles that the ID token does not name are taken from the access token beside it, where that is one for us.
        """
        _, claims = self._checked(str(answer.get("id_token", "")), self._settings.client_id)
        if claims.get("nonce") != nonce:
            raise refused("it was made for another sign-in")
        if not self._roles(claims) and self._is_ours(token := str(answer.get("access_token", ""))):
            granted = self.principal_of(token)
            if granted.subject == claims["sub"]:
                return granted
        return self._principal(claims)

    def _is_ours(self, token: str) -> bool:
        """Whether it looks like a token for us: many providers' access tokens are for nobody else to read."""
        try:
            jws.extract_compact(token.encode())
        except (JoseError, ValueError):
            return False
        return True

    def _checked(self, token: str, audience: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
        if not token or len(token) > _MOST_CHARACTERS:
            raise refused("it is none")
        try:
            kid = jws.extract_compact(token.encode()).headers().get("kid")
            keys = self._provider.key_set(kid if isinstance(kid, str) else None)
            read = jwt.decode(token, keys, algorithms=ALGORITHMS)
            self._rules(audience).validate(read.claims)
        except ExpiredTokenError as error:
            raise refused("it has expired") from error
        except (JoseError, ValueError, TypeError) as error:
            raise refused(f"it does not hold ({type(error).__name__})") from error
        return read.header, read.claims

    def _rules(self, audience: str) -> JWTClaimsRegistry:
        return JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=int(self._settings.leeway_s),
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        name = next((claims[each] for each in _NAMES if isinstance(claims.get(each), str) and claims[each]), "")
        return Principal(name[:_MOST_NAME], self._roles(claims), "oidc", subject=str(claims["sub"]))

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[UserRole]:
        """Roles that the site's table knows; a name that is not in it gives none."""
        named = _at(claims, self._settings.roles_claim)
        names = named.split() if isinstance(named, str) else named if isinstance(named, list) else []
        table = self._settings.roles
        return frozenset(table[name] for name in names if isinstance(name, str) and name in table)


def refused(reason: str) -> NotAuthenticated:
    """The answer to a token that does not hold; the reason goes to the log, and to a holder who can do something about it."""
    return NotAuthenticated(
        f"the access token is not valid: {reason}", error="invalid_token", remedy="Sign in again at your provider."
    )


def _is_id_token(claims: Mapping[str, Any]) -> bool:
    """An ID token says who signed in somewhere, not who may call us, even where the audience is the same (RFC 8725, 2.8)."""
    return claims.get("typ") in ("ID", "Refresh", "Logout") or any(name in claims for name in _ID_TOKEN_CLAIMS)


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that very name, or the one that the dots lead to."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found
