"""An association that stays open between uses, and is opened again in silence where the archive ended it meanwhile.

Negotiating costs more than asking for a small instance does, and archives serve few associations at once: so one lies
idle at most, for a short while, and who finds it in use gets another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from iodeep.errors import ArchiveUnreachableError
from pacs_bridge.dimse.association import Association, ReleasedError
from pacs_bridge.dimse.negotiation import Proposal
from pacs_bridge.dimse.watch import Watch

IDLE_S = 10.0
"""An association that lay idle for longer is released: it takes one of the archive's few, which may end it anyway."""
Associate = Callable[[Sequence[Proposal], Watch], Association]
_RELEASE_S = 2.0
"""How long an archive may take to answer a release."""
_Result = TypeVar("_Result")


class Kept:
    """One kind of association with one archive; may be shared by threads."""

    def __init__(self, associate: Associate, proposals: Sequence[Proposal], idle_s: float = IDLE_S) -> None:
        self._associate = associate
        self._proposals = proposals
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._idle: Association | None = None
        self._used = 0.0
        self._sweeper: threading.Timer | None = None

    def use(
        self, watch: Watch, work: Callable[[Association], _Result], *, untouched: Callable[[], bool] = lambda: True
    ) -> _Result:
        """Do ``work``; where the archive ended the kept association meanwhile, once more on a new one.

        ``untouched``: whether nothing of the work is done, so that it may be done again. An error ends the association.
        """
        kept = self._taken()
        if kept is not None:
            try:
                return self._then_kept(kept, work, watch)
            except (ArchiveUnreachableError, ReleasedError):
                if not untouched():
                    raise
        return self._then_kept(self._associate(self._proposals, watch), work, watch)

    def close(self) -> None:
        """Release what lies idle."""
        with self._lock:
            idle, self._idle = self._idle, None
            sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
        if idle is not None:
            _released(idle)

    def _taken(self) -> Association | None:
        """The idle association, where it may be used."""
        with self._lock:
            kept, self._idle = self._idle, None
        if kept is None or (kept.is_usable() and time.monotonic() - self._used < self._idle_s):
            return kept
        _released(kept)
        return None

    def _then_kept(self, association: Association, work: Callable[[Association], _Result], watch: Watch) -> _Result:
        association.wire.watch = watch
        watch.touch()
        try:
            result = work(association)
        except BaseException:
            association.abort()
            raise
        self._put_back(association)
        return result

    def _put_back(self, association: Association) -> None:
        with self._lock:
            superfluous, self._idle = self._idle, association
            self._used = time.monotonic()
            if self._sweeper is None:
                self._sweep_in(self._idle_s)
        if superfluous is not None:
            _released(superfluous)

    def _sweep_in(self, seconds: float) -> None:
        self._sweeper = threading.Timer(seconds, self._sweep)
        self._sweeper.daemon = True
        self._sweeper.start()

    def _sweep(self) -> None:
        """Release what has lain idle for long enough; look again where it was used meanwhile."""
        with self._lock:
            self._sweeper = None
            left = self._used + self._idle_s - time.monotonic()
            if self._idle is None:
                return
            if left > 0:
                self._sweep_in(left)
                return
            idle, self._idle = self._idle, None
        _released(idle)


def _released(idle: Association) -> None:
    """Released whoever used it last, and whatever cancelled that."""
    idle.wire.watch = Watch(_RELEASE_S)
    idle.release()
