"""What `iodeep serve` refuses to start with: an open door on a network."""

from __future__ import annotations

from pathlib import Path

from iodeep.errors import SettingsError
from iodeep.serve_settings import ListenerSettings, ServeRole, ServeSettings, is_loopback
from iodeep.service.access.api_keys import ApiKeys
from iodeep.service.access.provider import is_safe_url


def check_safe_to_serve(settings: ServeSettings, api_keys: Path, role: ServeRole = ServeRole.ALL) -> None:
    """Nothing that ``role`` starts listens on another address than loopback without knowing its callers.

    Errors: :class:`iodeep.errors.SettingsError` naming the setting and the ways out.
    """
    if role in (ServeRole.ALL, ServeRole.LISTENER) and settings.listener.enabled:
        _check_listener(settings.listener)
    if role in (ServeRole.ALL, ServeRole.API) and settings.http.enabled:
        _check_http(settings, api_keys)


def _check_listener(listener: ListenerSettings) -> None:
    mutual = listener.tls is not None and listener.tls.client_ca is not None
    if not (is_loopback(listener.bind) or listener.allowed_aets or mutual):
        raise SettingsError(
            "the listener would take images from anybody on the network",
            expected="serve.listener.allowed_aets, or a client_ca in serve.listener.tls",
            found=f'serve.listener.bind = "{listener.bind}" with neither',
            remedy='Name the AE titles that may send, or set bind = "127.0.0.1".',
        )


def _check_http(settings: ServeSettings, api_keys: Path) -> None:
    oidc, http = settings.access.oidc, settings.http
    if oidc is not None and not is_safe_url(oidc.issuer):
        raise SettingsError(
            "the identity provider's keys would be fetched without TLS",
            found=f'serve.access.oidc.issuer = "{oidc.issuer}"',
            remedy="Give its https:// address.",
        )
    keys = ApiKeys(api_keys).all()
    if is_loopback(http.bind):
        return
    if oidc is None and not keys:
        raise SettingsError(
            "the API would be open to a network without knowing anybody",
            expected="serve.access.oidc, or at least one API key",
            found=f'serve.http.bind = "{http.bind}" with neither (no key in {api_keys})',
            remedy='Make a key with `iodeep keys add NAME`, configure a provider, or set bind = "127.0.0.1".',
        )
    if http.tls is None and not http.plain_http:
        raise SettingsError(
            "tokens and patients' images would travel over the network in the clear",
            expected="serve.http.tls, or serve.http.plain_http = true behind a proxy that has TLS",
            found=f'serve.http.bind = "{http.bind}" without TLS',
            remedy="`iodeep tls init --out DIR --host NAME` makes certificates for a small site.",
        )
