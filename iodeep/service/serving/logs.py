"""What the service writes to standard error: one line an event, as text or JSON. No secret is ever in it.

Our messages name UIDs, never patients. Libraries that would write data sets out are silenced unless the site asks for patient data.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time

from iodeep.serve_settings import LogSettings

_SECRETS = (
    (re.compile(r"(://[^\s:/@]*):[^\s@]*@"), r"\1:***@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w\-.~+/=]{8,}"), r"\1 ***"),
    (re.compile(r"(?i)\b(password|secret|token|api[-_]?key)(\s*[=:]\s*)\S+"), r"\1\2***"),
)
_CHATTY = ("pynetdicom", "pydicom", "httpx", "urllib3", "sqlalchemy", "uvicorn.access")


def set_up_logging(settings: LogSettings) -> None:
    """All messages of this process and of those that it forks go to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if settings.form == "json" else TextLine())
    root = logging.getLogger()
    for each in list(root.handlers):
        root.removeHandler(each)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if settings.patient_data else logging.WARNING)


def without_secrets(text: str) -> str:
    """The text with passwords, tokens and keys blotted out."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class TextLine(logging.Formatter):
    """``2026-11-21T15:00:00Z INFO worker-1 message``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return without_secrets(super().format(record))


class JsonLine(logging.Formatter):
    """One JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "process": record.processName,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(told))
