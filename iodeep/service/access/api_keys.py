"""API keys for systems: 256 random bits that are shown once; the file holds salted hashes, and who may read it can't call us.

A key is ``iodeep_ID_SECRET``. A fast hash is enough, since nobody guesses 256 bits; the salt keeps equal keys apart.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from iodeep.errors import InputError, SettingsError
from iodeep.serve_settings import UserRole
from iodeep.service.access.principal import Principal
from iodeep.service.access.refusals import NotAuthenticated
from iodeep.service.private_files import write_private

PREFIX = "iodeep_"
_KEY = re.compile(r"iodeep_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[\w .@-]{1,64}")
_FOR_OTHERS = 0o077


class ApiKey(BaseModel):
    """What the file knows of a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    roles: frozenset[UserRole]
    salt: str
    hash: str
    ends: str
    """The last four characters, so that a person finds the key that they hold."""
    created: AwareDatetime
    expires: AwareDatetime | None = None

    def opens_for(self, secret: str) -> bool:
        """Whether the secret is the key's; takes as long for a wrong one as for the right one."""
        return hmac.compare_digest(_hash(self.salt, secret), self.hash)

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = ()


_NOBODY = ApiKey(id="", name="", roles=frozenset(), salt="", hash="", ends="", created=datetime(2000, 1, 1, tzinfo=UTC))


class ApiKeys:
    """The file of keys: read anew when it was changed, written as one act."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

    def all(self) -> list[ApiKey]:
        """Every key, oldest first.

        Errors: :class:`iodeep.errors.SettingsError` where the file isn't ours alone or holds something else.
        """
        return list(self._current().values())

    def principal_of(self, key: str) -> tuple[Principal, str]:
        """Who holds the key, and the key's identifier.

        Errors: :class:`NotAuthenticated`, the same for every reason.
        """
        found = _KEY.fullmatch(key)
        known = self._current().get(found[1], _NOBODY) if found else _NOBODY
        if not known.opens_for(found[2] if found else "") or known.expired(datetime.now(UTC)):
            raise NotAuthenticated("the API key is not valid", error="invalid_token", remedy=_RENEW)
        return Principal(known.name, known.roles, "api-key", subject=known.id), known.id

    def holds(self, identifier: str) -> bool:
        """Whether the key is there and its time is not over: a session of its holder lives no longer than it."""
        known = self._current().get(identifier)
        return known is not None and not known.expired(datetime.now(UTC))

    def add(self, name: str, roles: frozenset[UserRole], days: float | None) -> tuple[ApiKey, str]:
        """A new key, and its text, which is nowhere else.

        Errors: :class:`iodeep.errors.InputError` for a name that is taken or no name.
        """
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name for a key", expected="up to 64 letters, digits, spaces, or . @ - _")
        identifier, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(32), secrets.token_hex(16)
        now = datetime.now(UTC).replace(microsecond=0)
        made = ApiKey(
            id=identifier,
            name=name,
            roles=roles,
            salt=salt,
            hash=_hash(salt, secret),
            ends=secret[-4:],
            created=now,
            expires=now + timedelta(days=days) if days else None,
        )
        with self._changing() as keys:
            if any(key.name == name for key in keys.values()):
                raise InputError(f"there is a key called {name!r}", remedy="Revoke it first, or choose another name.")
            keys[identifier] = made
        return made, f"{PREFIX}{identifier}_{secret}"

    def revoke(self, wanted: str) -> ApiKey:
        """Take away the key with this name or identifier, from now on.

        Errors: :class:`iodeep.errors.InputError` where there is none.
        """
        with self._changing() as keys:
            found = next((key for key in keys.values() if wanted in (key.id, key.name)), None)
            if found is None:
                raise InputError(f"there is no key {wanted!r}", remedy="`iodeep keys list` shows those that there are.")
            return keys.pop(found.id)

    def _current(self) -> dict[str, ApiKey]:
        with self._lock:
            try:
                status = self._path.stat()
            except FileNotFoundError:
                self._seen, self._keys = None, {}
                return self._keys
            state = (status.st_mtime_ns, status.st_size, status.st_ino)
            if state != self._seen:
                self._keys, self._seen = _read(self._path, status.st_mode), state
            return self._keys

    @contextmanager
    def _changing(self) -> Iterator[dict[str, ApiKey]]:
        keys = dict(self._current())
        yield keys
        _write(self._path, _Document(keys=tuple(keys.values())))


_RENEW = "Ask your administrator for a key (iodeep keys add NAME), and send it as Authorization: Bearer."


def _hash(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}:{secret}".encode()).hexdigest()


def _read(path: Path, mode: int) -> dict[str, ApiKey]:
    if mode & _FOR_OTHERS:
        raise SettingsError(
            "the file of API keys can be read or written by others",
            found=f"{path} with mode {mode & 0o777:o}",
            remedy=f"Run `chmod 600 {path}`, and look whether its keys are the ones that you made (`iodeep keys list`).",
        )
    try:
        document = _Document.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise SettingsError(
            f"the file of API keys cannot be read: {reason}", found=str(path), remedy="Restore it, or make new keys."
        ) from error
    return {key.id: key for key in document.keys}


def _write(path: Path, document: _Document) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, document.model_dump_json(indent=1).encode())
