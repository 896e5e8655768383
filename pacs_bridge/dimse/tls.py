"""TLS as BCP 195 and PS3.15 B.12 and B.13 have it: 1.2 or later, the peer's certificate always checked."""

from __future__ import annotations

import ssl

from iodeep.errors import SettingsError
from iodeep.serve_settings import ServerTlsSettings
from iodeep.settings import TlsSettings
from pacs_bridge import tls_profiles


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """For associations that we request; the site's CA where it is set, the system's otherwise."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    return _loaded(context, settings)


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """For C-MOVE sub-operations that come in; the archive has to show a certificate of the same CA."""
    if settings.certificate is None or settings.ca is None:
        raise SettingsError(
            "C-MOVE over TLS needs a certificate of our own and the CA of the archive's",
            remedy='Set tls.ca, tls.certificate and tls.key for this archive, or choose retrieve = "get".',
        )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    return _loaded(context, settings)


def listener_context(settings: ServerTlsSettings) -> ssl.SSLContext:
    """For associations that come in to the listener: the profile that the API has too."""
    return tls_profiles.server_context(settings)


def _loaded(context: ssl.SSLContext, settings: TlsSettings) -> ssl.SSLContext:
    return tls_profiles.loaded(context, ca=settings.ca, certificate=settings.certificate, key=settings.key)
