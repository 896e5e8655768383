"""One root error: what went wrong, what was expected, what was found, and what to do about it.

Every error that reaches a person derives from :class:`IODeepError`; anything else that surfaces is a defect. What an error quotes
may come from anybody: nothing in it steers a terminal or hides behind what isn't seen.
The exit codes are part of the command line's contract and are documented in ``docs/cli.md``.
"""

from __future__ import annotations

import unicodedata
from enum import IntEnum

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, of marks that turn text around or take no room, and of line ends."""


def is_plain(text: str, *, allowed: str = "") -> bool:
    """Whether every character is seen as what it is, but for those that are ``allowed``."""
    return text.isprintable() or all(c in allowed or unicodedata.category(c) not in _UNSEEN for c in text)


MOST_CHARACTERS = 4000
"""Of each part of an error; more says nothing to a person."""


def _told(text: str) -> str:
    shown = plain(text[: MOST_CHARACTERS + 1])
    return shown if len(text) <= MOST_CHARACTERS else f"{shown[:MOST_CHARACTERS]} ..."


def plain(text: str, *, allowed: str = "\n") -> str:
    """The text with every character that isn't seen written as its number; line ends stay, or what is ``allowed``."""
    if is_plain(text, allowed=allowed):
        return text
    return "".join(c if is_plain(c, allowed=allowed) else c.encode("unicode_escape").decode() for c in text)


class ExitCode(IntEnum):
    """How a command of the command line ended."""

    OK = 0
    DEFECT = 1
    USAGE = 2
    REFUSED = 3
    BAD_INPUT = 4
    NOT_TRUSTED = 5
    ARCHIVE = 6
    INFERENCE = 7
    SETTINGS = 8
    LOCAL_STORAGE = 9
    CANCELLED = 130


class IODeepError(Exception):
    """An error with a sentence on the problem and, where known, the expected, the found and the remedy."""

    exit_code: ExitCode = ExitCode.DEFECT

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem = _told(problem)
        super().__init__(self.problem)
        self.expected = expected and _told(expected)
        self.found = found and _told(found)
        self.remedy = remedy and _told(remedy)

    def __str__(self) -> str:
        parts = [self.problem]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.found:
            parts.append(f"found {self.found}")
        line = "; ".join(parts)
        return f"{line}. {self.remedy}" if self.remedy else line

    def as_dict(self) -> dict[str, str]:
        """The fields that are set, for ``--json`` and the API."""
        fields = {
            "error": type(self).__name__,
            "problem": self.problem,
            "expected": self.expected,
            "found": self.found,
            "remedy": self.remedy,
        }
        return {name: value for name, value in fields.items() if value}


class InputError(IODeepError):
    """A file, folder or argument is not what the command needs."""

    exit_code = ExitCode.BAD_INPUT


class CardError(InputError):
    """A model card names a field wrongly, misses one, or holds a value that is not allowed."""


class GeometryError(InputError):
    """A series cannot be turned into a volume without guessing."""


class NetworkError(InputError):
    """A network's structure is not one that may be loaded (operators, external paths, inputs, outputs, sizes)."""


class Refusal(IODeepError):  # noqa: N818 - it is an answer, not an error
    """No model fits: an answer, not a failure."""

    exit_code = ExitCode.REFUSED


class ObjectError(IODeepError):
    """A model object is damaged, incomplete or not one of ours."""

    exit_code = ExitCode.NOT_TRUSTED


class IntegrityError(ObjectError):
    """A digest, a signature or a self-test does not hold."""


class SelfTestError(IntegrityError):
    """A model's self-test does not hold on this host; on another it may."""


class NotTrustedError(ObjectError):
    """A site's trust policy does not accept a model: nobody whom it trusts has signed it, or not for this."""


class NotApprovedError(NotTrustedError):
    """A site's register of states does not have a model as approved, or not with this content."""


class ArchiveError(IODeepError):
    """A PACS did not do what was asked."""

    exit_code = ExitCode.ARCHIVE


class ArchiveUnreachableError(ArchiveError):
    """Nothing answers at the PACS's address, or the association was refused or lost."""


class InferenceError(IODeepError):
    """A network could not be run to its end, or gave something that cannot be used."""

    exit_code = ExitCode.INFERENCE


class SettingsError(IODeepError):
    """``iodeep.toml`` or a PACS address is wrong."""

    exit_code = ExitCode.SETTINGS


class LocalStorageError(IODeepError):
    """A file or folder of ours cannot be written: disk full, no permission."""

    exit_code = ExitCode.LOCAL_STORAGE


class CancelledError(IODeepError):
    """A person or a time limit ended the work."""

    exit_code = ExitCode.CANCELLED
