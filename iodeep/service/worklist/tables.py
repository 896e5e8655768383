"""The worklist's tables, beside those of jobs in the same database; every statement on them is here or in `worklist`."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()
_LOCK = 4_926_402  # of pg_advisory_xact_lock, while tables are made

workitems = sa.Table(
    "iodeep_workitems",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("uid", sa.String(64), nullable=False, unique=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("holder", sa.String(64), nullable=False, server_default=""),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("ours", sa.Boolean, nullable=False, server_default=sa.false(), index=True),
    sa.Column("our_holder", sa.String(64), nullable=False, server_default=""),
    sa.Column("jobs", sa.Text, nullable=False, server_default=""),
    sa.Column("cancel_asked", sa.Text, nullable=False, server_default=""),
    sa.Column("gone", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("changed", sa.Double, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)
"""One row a step. ``holder``: its Transaction UID. ``ours``: we perform it under
``our_holder``, by ``jobs`` (JSON), unless somebody else is faster. ``gone``: deleted."""

subscriptions = sa.Table(
    "iodeep_subscriptions",
    metadata,
    sa.Column("aet", sa.String(16), primary_key=True),
    sa.Column("uid", sa.String(64), primary_key=True),
    sa.Column("lock", sa.Boolean, nullable=False),
    sa.Column("filter", sa.Text, nullable=False, server_default=""),
)
"""Who hears of a step, or, under one of the two well-known UIDs, of every step or of those that fit a filter."""

reports = sa.Table(
    "iodeep_event_reports",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("aet", sa.String(16), nullable=False, index=True),
    sa.Column("made", sa.Double, nullable=False),
    sa.Column("report", sa.Text, nullable=False),
)
"""Event reports that wait for their subscriber's connection; for an hour at most."""

pulled = sa.Table(
    "iodeep_pulled_workitems",
    metadata,
    sa.Column("root", sa.String(300), primary_key=True),
    sa.Column("uid", sa.String(64), primary_key=True),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("jobs", sa.Text, nullable=False, server_default=""),
    sa.Column("document", sa.Text, nullable=False),
)
"""Steps of other worklists, from before we claim them until they have ended there."""


def make_tables(engine: sa.Engine) -> None:
    """Our tables, where they are not there; several may ask at once."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        metadata.create_all(connection)
