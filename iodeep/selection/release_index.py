"""The local index of one archive's releases: an SQLite file that several processes may share, and a copy of nothing else.

It only saves asking and reading again. Whatever is in it carries a digest, and the digests of everything hang together:
an index in which a byte, a row or a whole shelf was altered, added or lost is dropped and built anew from the archive.
Releases are kept by shelf, the tokens that a search is narrowed by, so that a decision reads little of a large archive.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import iodeep
from iodeep.card import ModelCard, card_document, card_of_document
from iodeep.errors import CardError, LocalStorageError
from iodeep.selection.index_rows import FORMAT, Row, decoded_rows, encoded_rows

_LONGEST_WAIT_S = 30.0
"""For another process that writes."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), written_by TEXT, listed_at REAL, sha256 TEXT);
CREATE TABLE IF NOT EXISTS shelf (name TEXT PRIMARY KEY, sha256 TEXT, content BLOB);
CREATE TABLE IF NOT EXISTS card (study TEXT PRIMARY KEY, content BLOB);
"""
_OF_THE_CONTENT = frozenset(
    {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA}
)
_Result = TypeVar("_Result")


class _DamagedError(Exception):
    """The index is not what was written."""


class ReleaseIndex:
    """One archive's index. Shelves that were read stay in memory while they don't change on disk."""

    def __init__(self, folder: Path, archive: str) -> None:
        self._archive = archive
        self._path = folder / f"{hashlib.sha256(archive.encode()).hexdigest()[:16]}.sqlite"
        self._written_by = f"{iodeep.__version__} format {FORMAT} {archive}"
        self._read: dict[str, tuple[str, list[Row]]] = {}

    def rows(self, wanted: Callable[[str], bool] = lambda _: True) -> list[Row]:
        """What is known of releases on the shelves that are ``wanted``, in no particular order."""
        return self._with(lambda connection: self._rows(connection, self._digests(connection), wanted))

    def listed(self, wanted: Callable[[str], bool], max_age_s: float) -> list[Row] | None:
        """The same, None where the archive's releases were not all listed within the last ``max_age_s`` seconds."""

        def read(connection: sqlite3.Connection) -> list[Row] | None:
            digests = self._digests(connection)
            (listed_at,) = connection.execute("SELECT listed_at FROM state").fetchone() or (0.0,)
            if not 0 <= time.time() - listed_at <= max_age_s:
                return None
            return self._rows(connection, digests, wanted)

        return self._with(read)

    def card(self, row: Row) -> ModelCard | None:
        """The card of a release, None where it isn't kept or isn't the one that the row is about."""
        found = self._with(
            lambda connection: connection.execute(
                "SELECT content FROM card WHERE study = ?", (row.release.study_instance_uid,)
            ).fetchone()
        )
        if found is None or not isinstance(found[0], bytes) or _sha256(found[0]) != row.card_sha256:
            return None
        try:
            return card_of_document(json.loads(found[0]), "in the local index")
        except (ValueError, CardError):
            return None

    def add(self, rows: Sequence[Row], cards: dict[str, bytes]) -> None:
        """Keep releases, each instead of what was known of its study; ``cards`` by Study Instance UID."""
        studies = frozenset(row.release.study_instance_uid for row in rows)
        added = _by_shelf(rows)

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO card VALUES (?, ?)", cards.items())
            self._change(connection, added, studies)

        self._with(change, writes=True)

    def keep_only(self, studies: frozenset[str], listed_at: float) -> None:
        """Forget every release that is not among ``studies``: these are all that the archive has, at ``listed_at``."""

        def change(connection: sqlite3.Connection) -> None:
            known = {row.release.study_instance_uid for row in self._rows(connection, self._digests(connection))}
            gone = known - studies
            connection.executemany("DELETE FROM card WHERE study = ?", [(study,) for study in gone])
            self._change(connection, {}, gone, listed_at)

        self._with(change, writes=True)

    def _change(
        self,
        connection: sqlite3.Connection,
        added: dict[str, list[Row]],
        replaced: Iterable[str],
        listed_at: float | None = None,
    ) -> None:
        """Rewrite the shelves that lose or gain a release; without ``listed_at`` the list is as old as it was."""
        digests = self._digests(connection)
        gone = frozenset(replaced)
        for name in digests.keys() | added.keys():
            before = self._shelf(connection, name, digests[name]) if name in digests else []
            stays = [row for row in before if row.release.study_instance_uid not in gone]
            if len(stays) == len(before) and name not in added:
                continue
            self._write(connection, name, [*stays, *added.get(name, ())])
        self._seal(connection, listed_at)

    def _write(self, connection: sqlite3.Connection, name: str, rows: list[Row]) -> None:
        if not rows:
            connection.execute("DELETE FROM shelf WHERE name = ?", (name,))
            return
        content = encoded_rows(rows)
        connection.execute("INSERT OR REPLACE INTO shelf VALUES (?, ?, ?)", (name, _sha256(content), content))

    def _seal(self, connection: sqlite3.Connection, listed_at: float | None) -> None:
        known = connection.execute("SELECT listed_at FROM state").fetchone()
        at = listed_at if listed_at is not None else known[0] if known else 0.0
        seal = self._sealed(_shelves(connection), at)
        connection.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?, ?)", (self._written_by, at, seal))

    def _sealed(self, shelves: dict[str, str], listed_at: float) -> str:
        """The digest that everything hangs on."""
        return _sha256(json.dumps([self._written_by, listed_at, sorted(shelves.items())]).encode())

    def _digests(self, connection: sqlite3.Connection) -> dict[str, str]:
        """Every shelf's digest, as written: the seal is of these very names, however else the file could be read."""
        shelves = _shelves(connection)
        state = connection.execute("SELECT written_by, listed_at, sha256 FROM state").fetchone()
        if state is None:
            if shelves:
                raise _DamagedError
            return {}
        if state[0] != self._written_by or state[2] != self._sealed(shelves, state[1]):
            raise _DamagedError
        return shelves

    def _rows(
        self, connection: sqlite3.Connection, digests: dict[str, str], wanted: Callable[[str], bool] = lambda _: True
    ) -> list[Row]:
        names = [name for name in digests if wanted(name)]
        return [row for name in names for row in self._shelf(connection, name, digests[name])]

    def _shelf(self, connection: sqlite3.Connection, name: str, sha256: str) -> list[Row]:
        kept = self._read.get(name)
        if kept is not None and kept[0] == sha256:
            return kept[1]
        (content,) = connection.execute("SELECT content FROM shelf WHERE name = ?", (name,)).fetchone()
        if not isinstance(content, bytes) or _sha256(content) != sha256:
            raise _DamagedError
        rows = decoded_rows(content)
        self._read[name] = (sha256, rows)
        return rows

    def _with(self, work: Callable[[sqlite3.Connection], _Result], *, writes: bool = False) -> _Result:
        """Do ``work`` in one transaction; where the file is damaged, once more on an empty one."""
        try:
            return self._transact(work, writes=writes)
        except (_DamagedError, sqlite3.DatabaseError, ValueError, TypeError, KeyError, IndexError) as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                raise self._not_kept(str(error)) from error
            self._drop()
        try:
            return self._transact(work, writes=writes)
        except sqlite3.Error as error:
            raise self._not_kept(str(error)) from error

    def _transact(self, work: Callable[[sqlite3.Connection], _Result], *, writes: bool) -> _Result:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            try:
                result = work(connection)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
            return result

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._not_kept(error.strerror or str(error)) from error
        is_new = not self._path.exists()
        with closing(sqlite3.connect(self._path, timeout=_LONGEST_WAIT_S, isolation_level=None)) as connection:
            if is_new:
                with suppress(sqlite3.OperationalError):  # another process is just doing so
                    connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection

    def _drop(self) -> None:
        """Away with the files; a process that still has them open loses what it writes, and builds anew as well."""
        self._read.clear()
        for suffix in ("", "-wal", "-shm"):
            try:
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            except OSError as error:
                raise self._not_kept(error.strerror or str(error)) from error

    def _not_kept(self, why: str) -> LocalStorageError:
        return LocalStorageError(
            f"the index of {self._archive} cannot be kept at {self._path}: {why}",
            remedy="Make room on this disk, or name another cache folder.",
        )


def encoded_card(card: ModelCard) -> bytes:
    """A card as it is kept."""
    return json.dumps(card_document(card), ensure_ascii=False, separators=(",", ":")).encode()


def card_digest(content: bytes) -> str:
    """What a row says of its card."""
    return _sha256(content)


def _shelves(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT name, sha256 FROM shelf"))


def _by_shelf(rows: Iterable[Row]) -> dict[str, list[Row]]:
    def shelf(row: Row) -> str:
        return row.release.shelf

    return {name: list(group) for name, group in groupby(sorted(rows, key=shelf), key=shelf)}


def _is_damage(error: sqlite3.OperationalError) -> bool:
    """An error about what is in the file, such as a missing table or an unknown format; others are the disk's or a lock's."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # without one: text that is not UTF-8
    return code & 0xFF in _OF_THE_CONTENT


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
