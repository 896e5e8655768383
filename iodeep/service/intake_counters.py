"""What the intake process counts, in one small file that others read: ``running/intake-counters.json`` in the data folder.

The intake writes it every few seconds; metrics and the administrator's page read it. It is replaced as a whole, so that a
reader never sees half of it. Counters begin again with each start of the process, as Prometheus expects.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_NAME = "intake-counters.json"


class IntakeCounters(BaseModel):
    """What came in since the process started, and what is there now."""

    model_config = ConfigDict(frozen=True)

    associations: int = 0
    """Accepted since the start."""
    associations_open: int = 0
    instances: int = 0
    """Received, durable, and answered with Success."""
    bytes: int = 0
    refused: int = 0
    """Connections, associations and instances that were refused."""
    series_complete: int = 0
    series_waiting: int = 0
    """Series that are still coming in."""
    spool_bytes: int = 0
    written: datetime = Field(default_factory=lambda: datetime.now(UTC))


def write_counters(running: Path, counters: IntakeCounters) -> None:
    """Replace the file in the folder ``running`` (``DataFolders.running``)."""
    running.mkdir(parents=True, exist_ok=True)
    fresh = running / f".{_NAME}.new"
    fresh.write_text(counters.model_dump_json(), encoding="utf-8")
    fresh.replace(running / _NAME)


def read_counters(running: Path) -> IntakeCounters | None:
    """What was written last; None where no intake process has run here, or the file is none of ours."""
    try:
        return IntakeCounters.model_validate(json.loads((running / _NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None
