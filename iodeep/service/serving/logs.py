"""What the service writes to standard error: one line an event, as text or JSON. No secret is ever in it.

Our messages name UIDs, never patients. Libraries that would write data sets out are silenced unless the site asks for patient data;
those that read DICOM altogether: what they say of garbled input, with its values and a traceback, an error of ours says too.
"""

from __future__ import annotations

import json
import logging
import sys
import time

from iodeep.serve_settings import LogSettings
from iodeep.service.redaction import redacted

_CHATTY = ("highdicom", "httpx", "sqlalchemy", "urllib3", "uvicorn")
_QUOTING = ("pydicom", "pynetdicom")


def set_up_logging(settings: LogSettings) -> None:
    """All messages of this process and of those that it forks go to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    form = JsonLine if settings.form == "json" else TextLine
    handler.setFormatter(form(patient_data=settings.patient_data))
    root = logging.getLogger()
    for each in list(root.handlers):
        root.removeHandler(each)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    for names, level in ((_CHATTY, logging.WARNING), (_QUOTING, logging.CRITICAL)):
        for name in names:
            logging.getLogger(name).setLevel(logging.NOTSET if settings.patient_data else level)


class TextLine(logging.Formatter):
    """``2026-11-21T15:00:00Z INFO worker-1 message``."""

    def __init__(self, *, patient_data: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime
        self._patient_data = patient_data

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return redacted(super().format(record), patient_data=self._patient_data)


class JsonLine(logging.Formatter):
    """One JSON object."""

    def __init__(self, *, patient_data: bool) -> None:
        super().__init__()
        self._patient_data = patient_data

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "process": record.processName,
            "pid": record.process,
            "logger": record.name,
            "message": redacted(record.getMessage(), patient_data=self._patient_data),
        }
        if record.exc_info:
            told["exception"] = redacted(self.formatException(record.exc_info), patient_data=self._patient_data)
        return json.dumps(told)
