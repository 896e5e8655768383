"""Why a caller gets nothing: one error for each answer of RFC 9110 that access control gives.

What a caller is told never says which half of a credential was wrong; the audit log and the service's log do.
"""

from __future__ import annotations

from iodeep.errors import ExitCode, IODeepError


class AccessRefusal(IODeepError):  # noqa: N818 - an answer, not an error
    """A request that is answered with a status and nothing else."""

    status = 403
    title = "Forbidden"
    exit_code = ExitCode.SETTINGS

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer besides its type."""
        return {}


class NotAuthenticated(AccessRefusal):
    """No credential, or none that holds: expired, revoked, unknown, of another issuer or for another audience."""

    status = 401
    title = "Unauthorized"

    def __init__(self, problem: str, *, error: str = "", remedy: str | None = None) -> None:
        super().__init__(problem, remedy=remedy)
        self.error = error

    @property
    def headers(self) -> dict[str, str]:
        """``WWW-Authenticate`` (RFC 6750, 3): with an error only where a credential was shown."""
        challenge = 'Bearer realm="iodeep"' + (f', error="{self.error}"' if self.error else "")
        return {"WWW-Authenticate": challenge}


class NotAllowed(AccessRefusal):
    """A known caller without the role that the request needs."""


class ProviderUnavailable(AccessRefusal):
    """The identity provider does not answer, so nobody can be known by its tokens: closed, never open."""

    status = 503
    title = "Service Unavailable"

    @property
    def headers(self) -> dict[str, str]:
        """When to ask again (RFC 9110, 10.2.3)."""
        return {"Retry-After": "15"}


class TooManyRequests(AccessRefusal):
    """More requests than a caller or an address may make in a minute (RFC 6585, 4)."""

    status = 429
    title = "Too Many Requests"

    def __init__(self, problem: str, *, after_s: int) -> None:
        super().__init__(problem, remedy=f"Try again in {after_s} s, or have http.requests_per_minute raised.")
        self.after_s = after_s

    @property
    def headers(self) -> dict[str, str]:
        """When the next request is let through."""
        return {"Retry-After": str(self.after_s)}


class BodyTooLarge(AccessRefusal):
    """A request body above ``http.max_body_bytes`` (RFC 9110, 15.5.14)."""

    status = 413
    title = "Content Too Large"


class UnknownHost(AccessRefusal):
    """A Host header that is not ours: the mark of DNS rebinding (RFC 9110, 7.4)."""

    status = 421
    title = "Misdirected Request"
