"""What the domain asks of the world outside; implementations live in ``pacs_bridge``.

The domain never opens a socket: it is handed an :class:`Archive`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

Attributes = Mapping[str, str]
"""DICOM keyword -> value as text; several values are joined with a backslash, an absent one is ``""``."""


class Level(StrEnum):
    """Query/Retrieve Level (0008,0052) of the Study Root information model (PS3.4 C.6.2)."""

    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


@dataclass(frozen=True)
class Progress:
    """How far a long step is: ``done`` of ``total`` (None where unknown), counted in ``unit``."""

    step: str
    done: int
    total: int | None
    unit: str


ProgressSink = Callable[[Progress], None]


def no_progress(_: Progress) -> None:
    """A sink for callers that show nothing."""


class Cancellation(Protocol):
    """What a long step asks now and then; ``threading.Event`` fits."""

    def is_set(self) -> bool:
        """True once the work should end."""


@dataclass(frozen=True)
class Wanted:
    """What to retrieve: a study, a series of it, or instances of that series."""

    study: str
    series: str | None = None
    instances: tuple[str, ...] = ()


@dataclass(frozen=True)
class EchoReply:
    """An archive that answered: how long it took, and what it calls itself where it says so."""

    milliseconds: float
    peer: str
    implementation: str | None = None


@dataclass(frozen=True)
class StoreReport:
    """What was sent and accepted; raising is how a failure is told."""

    instances: int
    bytes: int
    seconds: float
    warnings: tuple[str, ...] = field(default=())


class Archive(Protocol):
    """A PACS, whatever it speaks.

    Every method raises :class:`iodeep.errors.ArchiveError` naming the AE titles, the SOP class and what to configure.
    """

    @property
    def name(self) -> str:
        """How the archive is called in messages: its name in ``iodeep.toml`` or its address."""

    def echo(self) -> EchoReply:
        """Ask whether the archive is there (PS3.4 Annex A; for DICOMweb a QIDO-RS request for one study)."""

    def find(self, level: Level, match: Attributes, include: Sequence[str] = ()) -> list[Attributes]:
        """Matches at ``level``, filtered again locally because servers ignore keys that they don't support.

        ``match`` uses DICOM wildcards (``*`` ``?``), ranges and UID lists; ``include`` names further keywords to return.
        Each answer holds every keyword asked for. One answer per entity.
        """

    def fetch(
        self,
        wanted: Wanted,
        into: Path,
        *,
        progress: ProgressSink = no_progress,
        cancel: Cancellation | None = None,
    ) -> list[Path]:
        """Retrieve to ``into`` as DICOM files, streamed; nothing half-written stays when it fails."""

    def store(
        self,
        paths: Sequence[Path],
        *,
        progress: ProgressSink = no_progress,
        cancel: Cancellation | None = None,
    ) -> StoreReport:
        """Send DICOM files. Only Success is success; each refusal names file, SOP class and status."""

    def accepted(self, sop_class_uids: Sequence[str]) -> frozenset[str]:
        """Those storage SOP classes that the archive takes as Explicit VR Little Endian, as it negotiates them.

        An archive that doesn't negotiate (STOW-RS) takes all until it refuses one.
        """

    def verify_stored(self, paths: Sequence[Path], *, progress: ProgressSink = no_progress) -> None:
        """Find each instance again, retrieve it and compare content digests; raise what is missing or altered."""

    def close(self) -> None:
        """End associations and threads."""

    def __enter__(self) -> Self:
        """The archive itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""


@runtime_checkable
class AcrossStudies(Protocol):
    """What some archives do besides: many studies at once. It saves time and nothing else: what is missing may be there.

    Both raise :class:`iodeep.errors.ArchiveUnreachableError` alone.
    """

    def find_across(self, match: Attributes, include: Sequence[str], most: int) -> list[Attributes]:
        """Instances of all studies, with their UIDs; none where the archive refuses, or has more than ``most``."""

    def fetch_across(self, wanted: Sequence[Wanted], into: Path) -> list[Path]:
        """Instances that ``wanted`` names, of any studies, alone in their series; the files that came, called by SOP UID."""
