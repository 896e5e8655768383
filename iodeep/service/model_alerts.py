"""What is wrong with models becomes security alerts of the audit log (PS3.15 A.5.3.11), each once an hour and process.

A model that an archive holds is no intruder that knocks once: it is found again with every series that it would fit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from iodeep.service.audit.event import AuditEvent, EventKind, Outcome

Record = Callable[[AuditEvent], None]

_AGAIN_S = 3600.0
_RESTRICTED_FUNCTION = "110132"
_OBJECT_CHANGED = "110135"
_SOFTWARE_CONFIGURATION = "110131"


class ModelAlerts:
    """Shared by the threads of a process."""

    def __init__(self, record: Record, clock: Callable[[], float] = time.monotonic) -> None:
        self._record = record
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str], float] = {}

    def replaced(self, uid: str, sentence: str) -> None:
        """An instance has other content than it had (Object Security Attributes Changed); told each time.

        Errors, as of the other: :class:`iodeep.errors.LocalStorageError`, where the log cannot be written.
        """
        self._record(_alert(uid, sentence, _OBJECT_CHANGED, Outcome.SERIOUS_FAILURE))

    def altered(self, uid: str, sentence: str) -> None:
        """A digest or signature does not hold."""
        if self._is_news(uid, sentence):
            self._record(_alert(uid, sentence, _OBJECT_CHANGED, Outcome.SERIOUS_FAILURE))

    def distrusted(self, uid: str, sentence: str) -> None:
        """The site's trust policy refuses a model that would have been run (Use of Restricted Function)."""
        if self._is_news(uid, sentence):
            self._record(_alert(uid, sentence, _RESTRICTED_FUNCTION, Outcome.MINOR_FAILURE))

    def self_test_failed(self, uid: str, sentence: str) -> None:
        """A model does here what it did not do where it was packed (Software Configuration)."""
        if self._is_news(uid, sentence):
            self._record(_alert(uid, sentence, _SOFTWARE_CONFIGURATION, Outcome.SERIOUS_FAILURE))

    def _is_news(self, uid: str, sentence: str) -> bool:
        now = self._clock()
        with self._lock:
            self._told = {key: when for key, when in self._told.items() if now - when < _AGAIN_S}
            if (uid, sentence) in self._told:
                return False
            self._told[uid, sentence] = now
            return True


def _alert(uid: str, sentence: str, event_type: str, outcome: Outcome) -> AuditEvent:
    return AuditEvent(
        EventKind.SECURITY_ALERT,
        outcome,
        user="service",
        event_type=event_type,
        model_uids=(uid,) if uid else (),
        detail=sentence,
    )
