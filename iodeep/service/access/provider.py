"""The site's OpenID provider: where its endpoints and keys are (OpenID Connect Discovery 1.0), asked for seldom, and checked.

Keys are kept for ten minutes, and for an hour where the provider does not answer; a key that is not known is looked for at once, but
not more often than every ten seconds, whatever anybody sends.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from iodeep.serve_settings import OidcSettings
from iodeep.service.access.refusals import ProviderUnavailable
from iodeep.settings import TlsSettings
from pacs_bridge.dimse.tls import client_context

FRESH_S = 600.0
LAST_S = 3600.0
LOOK_AGAIN_S = 10.0
_TIMEOUT_S = 5.0
_MOST_BYTES = 1 << 20
_KEY_TYPES = ("RSA", "EC", "OKP")
"""Asymmetric ones: a shared secret in a published set would be no secret."""


@dataclass(frozen=True)
class Metadata:
    """What discovery told."""

    keys_at: str
    authorize_at: str
    token_at: str


class Provider:
    """One provider, asked from many threads."""

    def __init__(self, settings: OidcSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._metadata: Metadata | None = None
        self._keys: dict[str | None, Key] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._looked_at = float("-inf")
        context = client_context(TlsSettings(ca=settings.ca))
        self._client = httpx.Client(verify=context, timeout=_TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Let go of kept connections."""
        self._client.close()

    def key_set(self, kid: str | None) -> KeySet:
        """The provider's keys, ``kid`` among them where it has it.

        Errors: :class:`ProviderUnavailable`.
        """
        with self._lock:
            now = self._clock()
            age = now - self._fetched_at
            unknown = kid not in self._keys and not (kid is None and len(self._keys) == 1)
            if age > FRESH_S and (now - self._tried_at > LOOK_AGAIN_S or age > LAST_S):
                self._refresh(now)
            elif unknown and now - self._looked_at > LOOK_AGAIN_S:
                self._looked_at = now
                self._refresh(now)
            return KeySet(list(self._keys.values()))

    def metadata(self) -> Metadata:
        """Where its endpoints are.

        Errors: :class:`ProviderUnavailable`.
        """
        with self._lock:
            if self._metadata is None:
                self._metadata = self._discovered()
            return self._metadata

    def exchange(self, form: Mapping[str, str]) -> dict[str, Any]:
        """What the token endpoint answers (RFC 6749, 4.1.3); a refusal is answered with ``error`` in the document."""
        return self._asked("POST", self.metadata().token_at, form, refusals=True, auth=self._client_secret())

    def _client_secret(self) -> httpx.BasicAuth | None:
        """RFC 6749, 2.3.1; read each time, so that it can be changed without a restart."""
        path = self._settings.client_secret
        if path is None:
            return None
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ProviderUnavailable("the client's secret cannot be read", found=str(path)) from error
        return httpx.BasicAuth(quote(self._settings.client_id, safe=""), quote(secret, safe=""))

    def _refresh(self, now: float) -> None:
        """Fetch the keys; keys that are not too old go on being used where that fails."""
        self._tried_at = now
        try:
            self._metadata = self._discovered()
            self._keys = _signing_keys(self._asked("GET", self._metadata.keys_at))
            self._fetched_at = now
        except ProviderUnavailable:
            if now - self._fetched_at > LAST_S:
                raise

    def _discovered(self) -> Metadata:
        document = self._asked("GET", self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != self._settings.issuer:
            raise _unavailable(f"calls itself {document.get('issuer')!r}", self._settings.issuer)
        try:
            found = Metadata(
                str(document["jwks_uri"]),
                str(document.get("authorization_endpoint", "")),
                str(document.get("token_endpoint", "")),
            )
        except KeyError as missing:
            raise _unavailable(f"does not tell {missing}", self._settings.issuer) from missing
        for url in (found.keys_at, found.authorize_at, found.token_at):
            if url and not is_safe_url(url):
                raise _unavailable(f"names an endpoint without TLS: {url}", self._settings.issuer)
        return found

    def _asked(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        *,
        refusals: bool = False,
        auth: httpx.BasicAuth | None = None,
    ) -> dict[str, Any]:
        try:
            with self._client.stream(method, url, data=form, auth=auth) as answer:
                body = b""
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise _unavailable("answers with more than 1 MiB", self._settings.issuer)
            if not answer.is_success and not (refusals and answer.is_client_error):
                raise _unavailable(f"answers with status {answer.status_code}", self._settings.issuer)
            document = httpx.Response(200, content=body).json()
        except (httpx.HTTPError, ValueError) as error:
            raise _unavailable(
                f"does not answer as it should ({type(error).__name__})", self._settings.issuer
            ) from error
        if not isinstance(document, dict):
            raise _unavailable("answers with no JSON object", self._settings.issuer)
        return document


def is_safe_url(url: str) -> bool:
    """Whether what is said there stays between us: TLS, or this machine."""
    split = urlsplit(url)
    if split.scheme == "https":
        return True
    host = split.hostname or ""
    try:
        return split.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def _signing_keys(document: Mapping[str, Any]) -> dict[str | None, Key]:
    """Keys for signatures by their identifier; those of kinds that are not known are passed over (RFC 7517, 5)."""
    keys: dict[str | None, Key] = {}
    listed = document.get("keys")
    for each in listed if isinstance(listed, list) else []:
        if not isinstance(each, dict) or each.get("kty") not in _KEY_TYPES or each.get("use", "sig") != "sig":
            continue
        try:
            keys[each.get("kid")] = JWKRegistry.import_key(each)
        except (JoseError, ValueError, KeyError):
            continue
    return keys


def _unavailable(what: str, issuer: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"the identity provider {what}",
        found=issuer,
        remedy="Nobody is let in by its tokens meanwhile; API keys go on working. Ask who runs the provider.",
    )
