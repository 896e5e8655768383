"""Sign-ins at the provider that have begun: each is good once, for ten minutes, in the browser that began it."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

_LASTS_S = 600.0
_MOST = 1000


@dataclass(frozen=True)
class Flow:
    """One sign-in: what we asked for, and where to go after it."""

    state: str
    nonce: str
    verifier: str
    """PKCE's code verifier (RFC 7636, 4.1)."""
    redirect_uri: str
    then: str
    began: float

    def url(self, authorize_at: str, client_id: str) -> str:
        """Where the browser is sent: authorization code with PKCE, S256 (RFC 7636; RFC 9700, 2.1.1)."""
        challenge = urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid profile",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{authorize_at}{'&' if '?' in authorize_at else '?'}{urlencode(asked)}"


class Flows:
    """Those that have begun; bounded, the oldest gives way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._begun: OrderedDict[str, Flow] = OrderedDict()

    def begin(self, redirect_uri: str, then: str) -> Flow:
        """A new one."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        made = Flow(state, nonce, verifier, redirect_uri, then, self._clock())
        with self._lock:
            self._begun[made.state] = made
            while len(self._begun) > _MOST:
                self._begun.popitem(last=False)
        return made

    def take(self, state: str) -> Flow | None:
        """The one with this state, once; None where there is none or its time is over."""
        with self._lock:
            found = self._begun.pop(state, None)
        return found if found and self._clock() - found.began < _LASTS_S else None
