"""What can be asked for: a model on a series. Two requests for the same are one job, whoever asks and however often."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

_UID = r"^[0-9.]{1,64}$"


class Priority(StrEnum):
    """Requested Procedure Priority, as far as jobs know it: a batch job gets older until it is due like a routine one."""

    STAT = "stat"
    ROUTINE = "routine"
    BATCH = "batch"


class Origin(StrEnum):
    """How work came."""

    ROUTED = "routed"
    """A PACS or modality sent the series to the listener."""
    POLLED = "polled"
    API = "api"
    WORKLIST = "worklist"
    """A Unified Procedure Step (PS3.4 CC)."""


class JobRequest(BaseModel):
    """One model on one series; every field but the last three makes it what it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study_instance_uid: str = Field(pattern=_UID)
    series_instance_uid: str = Field(pattern=_UID)
    pacs: str
    """The archive that holds the series, by its name in ``iodeep.toml``."""
    results_to: str
    """The archive that results go to, likewise."""
    model: str | None = None
    """A model's name, token or UID; None: the one that selection chooses."""
    condition: str | None = None
    """The disease that is asked about, where one is."""
    segmentation_type: str = "BINARY"
    instances: int | None = None
    """How many instances the series had when it was asked for: one that has grown since is another job."""
    shadow: bool = False
    """A trial of a model that is not approved: its results go to the shadow archive alone, and are shown to administrators alone."""
    priority: Priority = Priority.ROUTINE
    origin: Origin = Origin.API
    requested_by: str = ""

    @property
    def job_id(self) -> str:
        """The same for the same request (32 hexadecimal digits)."""
        who_asks = {"priority", "origin", "requested_by"}
        what = self.model_dump(mode="json", exclude=who_asks if self.shadow else who_asks | {"shadow"})
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
