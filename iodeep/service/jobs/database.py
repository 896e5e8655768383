"""The database of jobs: SQLite in the data folder, or a PostgreSQL that several machines share; the same tables in both.

The rule: what is said to be kept is on disk. SQLite writes ahead (WAL) and waits for the disk at each commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from iodeep.errors import IODeepError, LocalStorageError, SettingsError

BUSY_MS = 30_000
POOL_SIZE = 5
CONNECT_S = 5
_LOCK = 4_926_401  # of pg_advisory_lock, while tables are made

metadata = sa.MetaData()

jobs = sa.Table(
    "iodeep_jobs",
    metadata,
    sa.Column("job_id", sa.String(32), primary_key=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("study", sa.String(64), nullable=False, index=True),
    sa.Column("series", sa.String(64), nullable=False, index=True),
    sa.Column("priority", sa.String(16), nullable=False),
    sa.Column("shadow", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False, index=True),
    sa.Column("started", sa.Double),
    sa.Column("finished", sa.Double),
    sa.Column("next_try", sa.Double),
    sa.Column("passing_since", sa.Double),
    sa.Column("passed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("worker", sa.String(200), nullable=False, server_default=""),
    sa.Column("claim", sa.String(64)),
    sa.Column("step", sa.String(16)),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("rewind_to", sa.Integer),
    sa.Column("progress", sa.Text),
    sa.Column("failure", sa.Text),
    sa.Column("model_name", sa.Text),
    sa.Column("model_version", sa.String(64)),
    sa.Column("model_uid", sa.String(64)),
    sa.Column("decision", sa.Text),
    sa.Column("results", sa.Text),
    sa.Column("findings", sa.Text),
    sa.Column("warnings", sa.Text),
    sa.Column("seconds", sa.Text),
)
"""One row a job. Times are seconds since 1970, UTC; ``request`` and what is not searched for is JSON."""

workers = sa.Table(
    "iodeep_workers",
    metadata,
    sa.Column("worker", sa.String(200), primary_key=True),
    sa.Column("host", sa.String(200), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("job_id", sa.String(32), nullable=False),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sa.Column("last_seen", sa.Double, nullable=False),
)
"""One row a worker; ``beats`` grows with every beat of its heart, so that no two clocks need to agree."""

self_tests = sa.Table(
    "iodeep_self_tests",
    metadata,
    sa.Column("manifest_sha256", sa.String(64), primary_key=True),
    sa.Column("fingerprint", sa.String(64), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False),
    sa.Column("host", sa.String(200), nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("runtime", sa.Text, nullable=False),
    sa.Column("dice", sa.Text, nullable=False),
    sa.Column("largest_difference", sa.Double),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("sentences", sa.Text, nullable=False),
)
"""One row a model and runtime (:class:`iodeep.inference.fingerprint.RuntimeFacts`); ``host``: where it was last tested."""


def database_url(named: str, file: Path) -> str:
    """The SQLAlchemy URL of ``[serve.jobs] database``: PostgreSQL through psycopg, or SQLite in ``file`` where nothing is named."""
    if not named:
        return f"sqlite:///{file.absolute()}"
    scheme, separator, rest = named.partition("://")
    if scheme in ("postgresql", "postgres", "postgresql+psycopg") and separator:
        return f"postgresql+psycopg://{rest}"
    if scheme == "sqlite" and separator:
        return named
    raise SettingsError(
        "the database of jobs cannot be used",
        expected="postgresql://USER:PASSWORD@HOST/NAME, env:VARIABLE that holds it, or nothing for SQLite",
        found=f"{scheme}://..." if separator else "no URL",
        remedy="Correct database under [serve.jobs] in iodeep.toml.",
    )


def database_engine(url: str, *, pool_size: int = POOL_SIZE) -> sa.Engine:
    """Connections as all of us use them; none is made yet."""
    if url.startswith("sqlite"):
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_MS / 1000})
        sa.event.listen(engine, "connect", _set_up_sqlite)
        return engine
    return sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_timeout=10,
        connect_args={"connect_timeout": CONNECT_S, "application_name": "iodeep"},
    )


def _set_up_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def make_tables(engine: sa.Engine) -> None:
    """Our tables, where they are not there, and columns that they got since; several may ask at once."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        else:
            connection.execute(sa.text("BEGIN IMMEDIATE"))
        metadata.create_all(connection)
        _add_shadow(connection)


def _add_shadow(connection: sa.Connection) -> None:
    """The column that older tables lack: whether a job is a trial."""
    if "shadow" not in {each["name"] for each in sa.inspect(connection).get_columns(jobs.name)}:
        connection.execute(sa.text(f"ALTER TABLE {jobs.name} ADD COLUMN shadow BOOLEAN NOT NULL DEFAULT false"))


@contextmanager
def answering(engine: sa.Engine) -> Iterator[None]:
    """What the database cannot do is told as one of our errors; its address is told without its password."""
    try:
        yield
    except SQLAlchemyError as error:
        raise unanswered(engine, error) from error


def unanswered(engine: sa.Engine, error: Exception) -> IODeepError:
    """The error for a person: the database's own first line, and what to look at."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    return LocalStorageError(
        f"the database of jobs ({engine.url.render_as_string(hide_password=True)}) does not answer",
        found=lines[0] if lines else type(cause).__name__,
        remedy="Look whether it runs, and at the free space of its disk; nothing that was kept is lost.",
    )
