"""The register as somebody has it who most often only asks it: read from this machine's SQLite file by the standard library.

Loading what changes a register takes longer than all else that trust costs a run. It is loaded for a change, and where the register
is in another database or cannot be read so; what is read is checked in the same way, the whole chain each time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from iodeep.errors import InputError
from iodeep.lifecycle_settings import LifecycleSettings
from iodeep.service.audit import AuditSink
from iodeep.service.configuration import Configuration, secret
from iodeep.service.lifecycle.newest_seen import NewestSeen
from iodeep.trust.lifecycle import ModelState, PersonalSignature, RegisteredRelease, Standing, StateRecord
from iodeep.trust.lifecycle.chain import ChainEnd, SignedRecord, SiteKey
from iodeep.trust.lifecycle.ledger import Ledger
from iodeep.trust.lifecycle.rules import site_rules
from iodeep.trust.signatures import read_signing_key

if TYPE_CHECKING:
    from iodeep.service.lifecycle.site_register import SiteRegister
    from iodeep.service.serving.context import DataFolders

KEY_FILE = "register.pem"
"""The register's key, in the data folder."""
BUSY_S = 30.0
_ALL = (
    "SELECT 0 AS kind, sequence, record, signature FROM iodeep_state_records UNION ALL "
    "SELECT 1, sequence, sha256, signature FROM iodeep_state_end ORDER BY kind, sequence"
)


def read_file(database: Path) -> tuple[list[SignedRecord], ChainEnd | None]:
    """What :func:`iodeep.service.lifecycle.table.read_all` gives, of an SQLite file. Raises :class:`sqlite3.Error`."""
    address = f"file:{quote(str(database.absolute()))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=BUSY_S)) as connection:
        return chain_of(connection.execute(_ALL))


def read_ledger(database: Path, key: SiteKey) -> Ledger:
    """The ledger of the register in an SQLite file of the data folder: its chain holds, and is no older one than was seen here.

    Raises :class:`sqlite3.Error`; IntegrityError where it was altered.
    """
    seen = NewestSeen(database.parent, key.type_and_id)
    mark = seen.mark()
    signed, end = read_file(database)
    ledger = key.read(signed, end)
    seen.check(mark, signed)
    return ledger


def chain_of(rows: Iterable[Sequence[Any]]) -> tuple[list[SignedRecord], ChainEnd | None]:
    """Every record in the chain's order, and the mark of its end. What is of another kind than was written doesn't hold.

    ``rows``: 0, number, record, signature of each record; 1, number, digest, signature of the end. SQLite keeps any kind of value.
    """
    found: list[SignedRecord] = []
    end: ChainEnd | None = None
    for kind, sequence, text, signature in rows:
        value = _bytes_of_digits(signature)
        if kind == 0:
            found.append(SignedRecord(str(text).encode("utf-8", "surrogatepass"), value))
        else:
            end = ChainEnd(sequence, text, value)
    return found, end


def _bytes_of_digits(digits: object) -> bytes:
    try:
        return bytes.fromhex(str(digits))
    except ValueError:
        return b""


class RegisterAtHand:
    """A :class:`iodeep.trust.lifecycle.Register` that is asked in a file, and opened whole where that is not enough."""

    def __init__(self, open_whole: Callable[[], SiteRegister], database: Path | None, key: Path) -> None:
        self._open_whole = open_whole
        self._database = database
        self._key_file = key
        self._key: SiteKey | None = None
        self._whole: SiteRegister | None = None

    def standing(self, sop_instance_uid: str) -> Standing | None:
        """Where the release stands; None where the site doesn't know it."""
        ledger = self._ledger()
        if ledger is None:
            return self._opened().standing(sop_instance_uid)
        case = ledger.case(sop_instance_uid)
        return case.standing if case else None

    def standings(self) -> tuple[Standing, ...]:
        """Where every release stands, in the order of their arrival."""
        ledger = self._ledger()
        return self._opened().standings() if ledger is None else tuple(case.standing for case in ledger.cases)

    def history(self, sop_instance_uid: str) -> tuple[StateRecord, ...]:
        """Every record of a release, the first first."""
        return self._opened().history(sop_instance_uid)

    def receive(self, release: RegisteredRelease, by: str, reason: str) -> Standing:
        """Notice a release."""
        return self._opened().receive(release, by, reason)

    def change(
        self,
        sop_instance_uid: str,
        to: ModelState,
        *,
        by: str,
        reason: str,
        evidence: Mapping[str, str] | None = None,
        manifest_sha256: str = "",
        skip_shadow: bool = False,
        signature: PersonalSignature | None = None,
        signed_in: bool = False,
    ) -> Standing:
        """Change a state, where the rules allow it."""
        return self._opened().change(
            sop_instance_uid,
            to,
            by=by,
            reason=reason,
            evidence=evidence,
            manifest_sha256=manifest_sha256,
            skip_shadow=skip_shadow,
            signature=signature,
            signed_in=signed_in,
        )

    def note(
        self, sop_instance_uid: str, *, by: str, reason: str, evidence: Mapping[str, str], manifest_sha256: str
    ) -> Standing:
        """Record what was found of a release whose state stays as it is."""
        return self._opened().note(
            sop_instance_uid, by=by, reason=reason, evidence=evidence, manifest_sha256=manifest_sha256
        )

    def close(self) -> None:
        """End what was opened."""
        if self._whole is not None:
            self._whole.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> SiteRegister:
        if self._whole is None:
            self._whole = self._open_whole()
        return self._whole

    def _ledger(self) -> Ledger | None:
        """What the file has, checked; None where it has to be asked otherwise. IntegrityError where it was altered."""
        if self._database is None or self._whole is not None:
            return None
        try:
            if self._key is None:
                self._key = SiteKey(read_signing_key(self._key_file))
            return read_ledger(self._database, self._key)
        except (
            InputError,
            sqlite3.Error,
        ):  # no file or key yet, or not ours to read: the whole register says what is wrong
            return None


def register_at_hand(configuration: Configuration, folders: DataFolders, audit: AuditSink) -> RegisterAtHand:
    """The register that ``[serve.jobs] database`` names, as :func:`iodeep.service.lifecycle.opening.open_register` opens it.

    The caller closes it (``with``). SettingsError where a person's key cannot be read.
    """
    settings = configuration.settings.lifecycle or LifecycleSettings()
    site_rules(settings)

    def whole() -> SiteRegister:
        from iodeep.service.lifecycle.opening import open_register  # SQLAlchemy, for changes

        return open_register(configuration, folders, audit)

    elsewhere = secret(configuration.settings.serve.jobs.database)
    key = settings.key.expanduser() if settings.key else folders.root / KEY_FILE
    return RegisterAtHand(whole, None if elsewhere else folders.database, key)


def read_states(configuration: Configuration, folders: DataFolders) -> Mapping[str, str] | None:
    """The state of each release, by SOP Instance UID, in this machine's file; None where there is none, or it is not ours to read.

    Errors: :class:`iodeep.errors.IntegrityError` where it was altered.
    """
    settings = configuration.settings.lifecycle or LifecycleSettings()
    path = settings.key.expanduser() if settings.key else folders.root / KEY_FILE
    if configuration.settings.serve.jobs.database or not folders.database.exists():
        return None
    try:
        ledger = read_ledger(folders.database, SiteKey(read_signing_key(path)))
    except (InputError, sqlite3.Error):
        return None
    return {case.release.sop_instance_uid: case.state.value for case in ledger.cases}
