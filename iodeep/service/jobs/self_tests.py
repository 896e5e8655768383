"""The kept results of self-tests, beside the jobs in the same database: one row for a model on a runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError as AlreadyThere

from iodeep.inference.fingerprint import facts_of_document
from iodeep.service.jobs.database import answering, self_tests
from iodeep.service.self_testing import SelfTestResult


class SelfTestTable:
    """A :class:`iodeep.service.self_testing.SelfTestBook`; every statement on the table is here."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def find(self, manifest_sha256: str, fingerprint: str) -> SelfTestResult | None:
        """The result of the model on that runtime."""
        query = sa.select(self_tests).where(_is(manifest_sha256, fingerprint))
        with answering(self._engine), self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _result_of(dict(row))

    def keep(self, result: SelfTestResult) -> None:
        """Write one down, in place of an older one; of two at the same moment the later stays."""
        values = _row_of(result)
        update = sa.update(self_tests).where(_is(result.manifest_sha256, result.fingerprint)).values(**values)
        with answering(self._engine):
            with self._engine.begin() as connection:
                if connection.execute(update).rowcount:
                    return
            try:
                with self._engine.begin() as connection:
                    connection.execute(sa.insert(self_tests).values(**values))
            except AlreadyThere:
                with self._engine.begin() as connection:
                    connection.execute(update)

    def all(self) -> Sequence[SelfTestResult]:
        """Every result, the newest first."""
        query = sa.select(self_tests).order_by(self_tests.c.at.desc(), self_tests.c.manifest_sha256)
        with answering(self._engine), self._engine.connect() as connection:
            return [_result_of(dict(row)) for row in connection.execute(query).mappings()]

    def failed(self) -> Sequence[SelfTestResult]:
        """What failed the last time that it was tested on its host with its provider, the newest first."""
        last: dict[tuple[str, str, str], SelfTestResult] = {}
        for each in self.all():
            last.setdefault((each.manifest_sha256, each.host, each.runtime.provider), each)
        return [each for each in last.values() if not each.passed]


def _is(manifest_sha256: str, fingerprint: str) -> sa.ColumnElement[bool]:
    return sa.and_(self_tests.c.manifest_sha256 == manifest_sha256, self_tests.c.fingerprint == fingerprint)


def _row_of(result: SelfTestResult) -> dict[str, Any]:
    return {
        "manifest_sha256": result.manifest_sha256,
        "fingerprint": result.fingerprint,
        "name": result.name,
        "sop_instance_uid": result.sop_instance_uid,
        "host": result.host,
        "passed": result.passed,
        "at": result.when.timestamp(),
        "runtime": json.dumps(asdict(result.runtime)),
        "dice": json.dumps(result.dice),
        "largest_difference": result.largest_difference,
        "seconds": result.seconds,
        "sentences": json.dumps(result.sentences),
    }


def _result_of(row: Mapping[str, Any]) -> SelfTestResult:
    return SelfTestResult(
        manifest_sha256=row["manifest_sha256"],
        name=row["name"],
        sop_instance_uid=row["sop_instance_uid"],
        runtime=facts_of_document(json.loads(row["runtime"])),
        passed=bool(row["passed"]),
        dice=tuple(json.loads(row["dice"])),
        largest_difference=row["largest_difference"],
        seconds=row["seconds"],
        sentences=tuple(json.loads(row["sentences"])),
        when=datetime.fromtimestamp(row["at"], UTC),
        host=row["host"],
    )
