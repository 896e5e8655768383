"""An OpenID provider on loopback that signs whatever a test asks for; discovery and keys are asked for over HTTP as of any other."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from iodeep.serve_settings import OidcSettings, UserRole

AUDIENCE = "iodeep-api"
ROLES = {"radiologist": UserRole.CLINICIAN, "reader": UserRole.VIEWER, "it": UserRole.ADMINISTRATOR}
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519", "HS256", "none"]


class Signer:
    """Its keys, as they are now, and what it signs with them."""

    def __init__(self) -> None:
        self.issuer = ""
        self.named_issuer = ""
        self.down = False
        self.asked_for_keys = 0
        self.keys: dict[str, Key] = {"one": _RSA}

    def settings(self, **changes: Any) -> OidcSettings:
        given = {"issuer": self.issuer, "audience": AUDIENCE, "roles": ROLES, "leeway_s": 5, **changes}
        return OidcSettings.model_validate(given)

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        given = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "u-1",
            "preferred_username": "j.doe",
            "iat": now,
            "exp": now + 300,
            "roles": ["radiologist"],
            **changes,
        }
        return {name: value for name, value in given.items() if value is not None}

    def token(
        self, *, kid: str | None = "one", alg: str = "RS256", typ: str = "at+jwt", key: Key | None = None, **claims: Any
    ) -> str:
        header = {"alg": alg, "typ": typ} | ({"kid": kid} if kid else {})
        return jwt.encode(header, self.claims(**claims), key or self.keys[kid or "one"], algorithms=ALGORITHMS)

    def document(self, path: str) -> dict[str, Any] | None:
        if self.down:
            return None
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.named_issuer or self.issuer,
                "jwks_uri": f"{self.issuer}/keys",
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
            }
        self.asked_for_keys += 1
        return {"keys": [key.as_dict(private=False) | {"kid": kid, "use": "sig"} for kid, key in self.keys.items()]}


_RSA = RSAKey.generate_key(2048)
OTHER_RSA = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-256")
OKP = OKPKey.generate_key("Ed25519")


@contextmanager
def running() -> Iterator[Signer]:
    """One on a port of its own."""
    signer = Signer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = signer.document(self.path)
            body = json.dumps(document or {}).encode()
            self.send_response(200 if document else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        signer.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield signer
        finally:
            server.shutdown()
            thread.join()
