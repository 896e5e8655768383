"""The register's tables, beside those of jobs in the same database; every statement on them is here, and none changes a record."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from iodeep.service.lifecycle.reading import chain_of
from iodeep.trust.lifecycle.chain import ChainEnd, SignedRecord

metadata = sa.MetaData()
_MAKING, _CHANGING = 4_926_403, 4_926_404  # of pg_advisory_xact_lock

records = sa.Table(
    "iodeep_state_records",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("record", sa.Text, nullable=False),
    sa.Column("signature", sa.String(256), nullable=False),
)
"""One row a record: canonical JSON, and the site's signature in hexadecimal digits. Rows are added, and nothing else."""

ends = sa.Table(
    "iodeep_state_end",
    metadata,
    sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("signature", sa.String(256), nullable=False),
)
"""One row: number and digest of the newest record, signed."""

_ALL = sa.union_all(
    sa.select(sa.literal(0).label("kind"), records.c.sequence, records.c.record, records.c.signature),
    sa.select(sa.literal(1), ends.c.sequence, ends.c.sha256, ends.c.signature),
).order_by("kind", "sequence")
"""One statement, so that records and end are of the same moment."""


def make_tables(engine: sa.Engine) -> None:
    """Our tables, where they are not there; several may ask at once."""
    with engine.begin() as connection:
        _lock(connection, _MAKING)
        metadata.create_all(connection)


def begin_change(connection: sa.Connection) -> None:
    """Wait until nobody else changes anything; what is read from now on is still so when the transaction ends."""
    _lock(connection, _CHANGING)


def read_all(connection: sa.Connection) -> tuple[list[SignedRecord], ChainEnd | None]:
    """Every record in the chain's order, and the mark of its end; see :func:`iodeep.service.lifecycle.reading.chain_of`."""
    return chain_of(connection.execute(_ALL))


def append(connection: sa.Connection, added: Sequence[tuple[int, SignedRecord]], end: ChainEnd) -> None:
    """Add records, each with its number, and move the end."""
    rows = [{"sequence": n, "record": each.content.decode(), "signature": each.value.hex()} for n, each in added]
    connection.execute(sa.insert(records), rows)
    connection.execute(sa.delete(ends))
    row = {"only": 1, "sequence": end.sequence, "sha256": end.sha256, "signature": end.value.hex()}
    connection.execute(sa.insert(ends).values(row))


def is_empty(connection: sa.Connection) -> bool:
    """Whether there is no record yet."""
    return connection.execute(sa.select(records.c.sequence).limit(1)).first() is None


def _lock(connection: sa.Connection, number: int) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
    else:
        connection.execute(sa.text("BEGIN IMMEDIATE"))
