"""The register of a data folder, or of a database that several machines share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from iodeep.errors import InputError, LocalStorageError, SettingsError
from iodeep.lifecycle_settings import LifecycleSettings
from iodeep.service.audit import AuditSink
from iodeep.service.configuration import Configuration, secret
from iodeep.service.jobs.database import answering, database_engine, database_url, make_tables
from iodeep.service.lifecycle import table
from iodeep.service.lifecycle.newest_seen import NewestSeen
from iodeep.service.lifecycle.reading import KEY_FILE
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.private_files import open_private, write_private
from iodeep.trust.lifecycle.chain import SiteKey
from iodeep.trust.lifecycle.rules import site_rules
from iodeep.trust.signatures import make_key, read_signing_key

if TYPE_CHECKING:
    from iodeep.service.serving.context import DataFolders


def open_register(configuration: Configuration, folders: DataFolders, audit: AuditSink) -> SiteRegister:
    """The register in the database that ``[serve.jobs] database`` names; every change is an event of ``audit`` first.

    The caller closes it (``with``). It may be used by several threads. Errors: :class:`iodeep.errors.SettingsError` where
    a key can't be read, or the records are there and their key is not; LocalStorageError where the database doesn't answer.
    """
    settings = configuration.settings.lifecycle or LifecycleSettings()
    rules = site_rules(settings)
    named = secret(configuration.settings.serve.jobs.database)
    url = database_url(named, folders.database)
    if not named:
        _for_the_folders_owner(folders.database)
    engine = database_engine(url)
    try:
        with answering(engine):
            make_tables(engine)
            table.make_tables(engine)
            key = _key(engine, settings, folders.root / KEY_FILE)
    except BaseException:
        engine.dispose()
        raise
    return SiteRegister(engine, key, rules, audit, NewestSeen(folders.root, key.type_and_id))


def _key(engine: sa.Engine, settings: LifecycleSettings, usual: Path) -> SiteKey:
    """The key that is set, or the one of the data folder, made before there is any record."""
    path = settings.key.expanduser() if settings.key else usual
    with engine.begin() as connection:
        table.begin_change(connection)
        if settings.key is None and not path.exists():
            if not table.is_empty(connection):
                raise SettingsError(
                    "the register of model states has records, and the key that they are signed with is not here",
                    expected=str(path),
                    remedy="Put the key back from a backup, or copy that of the machine that shares the database ([lifecycle] key).",
                )
            _make(path)
    try:
        return SiteKey(read_signing_key(path))
    except InputError as error:
        raise SettingsError(
            f"the register's key cannot be used: {error.problem}",
            expected="an Ed25519 key in a PEM file without a passphrase",
            remedy="Correct key under [lifecycle] in iodeep.toml; `iodeep signing-key new --no-passphrase` makes one.",
        ) from error


def _for_the_folders_owner(database: Path) -> None:
    """A new SQLite file is the service's, even where root types the first command (SQLite gives what it makes beside it the same owner)."""
    if not database.exists():
        try:
            os.close(open_private(database, os.O_RDWR))
        except OSError as error:
            raise LocalStorageError(f"the database {database} cannot be made: {error.strerror}") from error


def _make(path: Path) -> None:
    private, _ = make_key("")
    try:
        write_private(path, private)
    except OSError as error:
        raise LocalStorageError(f"the register's key {path} cannot be written: {error.strerror}") from error
