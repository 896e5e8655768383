"""A specimen: one hostile thing, the error that it has to meet, and words of that error's sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iodeep.errors import IODeepError

if TYPE_CHECKING:
    from tests.hostile.serving import Service
    from tests.hostile.zoo.ground import Ground

Attack = Callable[["Ground"], object]


@dataclass(frozen=True)
class Specimen:
    """``attack`` hands it over. ``expected``: None where it is taken and must be harmless, which ``attack`` asserts."""

    name: str
    attacks: str
    expected: type[IODeepError] | None
    says: str
    attack: Attack


class Cage:
    """Where the specimens of one kind are kept; ``served``: those that attack a running service."""

    def __init__(self, *, served: bool = False) -> None:
        self.specimens: list[Specimen] = []
        self._served = served

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Service | None]:
        """The service, where they attack one."""
        if not self._served:
            yield None
            return
        from tests.hostile.serving import service

        with service(folder / "service") as running:
            yield running

    def keep(
        self, name: str, attacks: str, expected: type[IODeepError] | None = None, says: str = ""
    ) -> Callable[[Attack], Attack]:
        """Decorates the function that hands the specimen over."""

        def kept(attack: Attack) -> Attack:
            self.specimens.append(Specimen(name, attacks, expected, says, attack))
            return attack

        return kept
