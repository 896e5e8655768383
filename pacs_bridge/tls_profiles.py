"""TLS that we offer to others, DIMSE and HTTP alike: the profile of PS3.15 B.12, which is BCP 195 (RFC 8996, RFC 9325).

TLS 1.3 or 1.2 and nothing older; with 1.2 forward secrecy and authenticated encryption only (RFC 9325, 4.2); no compression, no
renegotiation. Where a CA for clients is named, a client without a certificate of it gets no connection at all.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from iodeep.errors import SettingsError
from iodeep.serve_settings import ServerTlsSettings

TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!SHA1"
"""RFC 9325, 4.2, and ChaCha20 (RFC 7905); TLS 1.3 has no others than such."""


def server_context(settings: ServerTlsSettings) -> ssl.SSLContext:
    """For connections that come in; mutual where ``client_ca`` is set (only its clients, never the system's CAs').

    Errors: :class:`iodeep.errors.SettingsError` where a file can't be read or the key isn't the certificate's.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return loaded(context, ca=settings.client_ca, certificate=settings.certificate, key=settings.key)


def loaded(context: ssl.SSLContext, *, ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """The context with its files, and TLS 1.2 at least."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if ca is not None:
            context.load_verify_locations(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key, password=_never_asked)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"the TLS certificates cannot be read: {error.strerror or error}",
            found=f"ca {ca}, certificate {certificate}, key {key}",
            remedy="Give PEM files that this user may read, and the key that belongs to the certificate.",
        ) from error
    return context


def _never_asked() -> str:
    """A key that is encrypted is told as an error: a service has nobody to type its password."""
    return ""
