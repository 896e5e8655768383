"""Cards as documents: YAML that people write, JSON that objects carry, and the JSON Schema of both.

A card may come from anybody: it is nested no deeper than cards are, and says nothing twice by an alias (a few lines of which can
stand for gigabytes). Its texts are shown to those who decide about it, so they hold no character that steers a terminal, turns
text around or isn't seen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from iodeep.card._base import DOCUMENT
from iodeep.card.model_card import ModelCard
from iodeep.errors import CardError, is_plain

MAX_CARD_BYTES = 1 << 20
MAX_DEPTH = 32
MOST_TOLD = 20
"""Of what is wrong with a card, before the rest is counted."""
_LINES_AND_JOINERS = "\n\r\t\u00ad\u200c\u200d"
"""Line ends and tabs, the soft hyphen, and what joins letters in some scripts."""


def read_card(path: Path) -> ModelCard:
    """The card of a YAML (or JSON) file; an error names file, field, value, and what is allowed."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise CardError(f"the card {path} cannot be read: {error.strerror}") from error
    if len(text) > MAX_CARD_BYTES:
        raise CardError(f"the card {path} is too large", expected="at most 1 MiB", found=f"{len(text)} bytes")
    try:
        document = yaml.load(text, _PlainLoader)  # noqa: S506 - a SafeLoader that takes less
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CardError(f"the card {path} is not YAML: {' '.join(str(error).split())}") from error
    return card_of_document(document, str(path))


def card_of_document(document: Any, origin: str) -> ModelCard:
    """The card of a parsed document."""
    if not isinstance(document, dict):
        raise CardError(f"the card {origin} is not a mapping of fields", found=type(document).__name__)
    try:
        textual = _textual(document)
        _refuse_unseen(textual, origin, ())
    except (TypeError, ValueError, RecursionError) as error:
        raise CardError(f"the card {origin} holds what no card does: {error}") from error
    try:
        return ModelCard.model_validate(textual)
    except ValidationError as error:
        raise CardError(
            f"the card {origin} is not valid: {_sentences(error)}",
            remedy="docs/card.md explains every field.",
        ) from error


def card_document(card: ModelCard) -> dict[str, Any]:
    """The card as JSON values; :func:`card_of_document` gives it back.

    With every field, but for those that came later and have their default: the same card stays the same document, and with it
    the same device, in every version of the software.
    """
    document: dict[str, Any] = card.model_dump(mode="json", context=DOCUMENT)
    document["version"] = str(card.version)
    return document


def card_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a card, as published in ``docs/card.schema.json``."""
    schema: dict[str, Any] = ModelCard.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$defs"]["Version"] = {
        "type": "string",
        "pattern": r"^\d{1,2}\.\d{1,2}\.\d{1,2}$",
        "description": "Semantic version; each number below 100.",
    }
    return schema


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, and of bounded depth."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise self._refused("an alias (*) is not allowed")
        if self._depth == MAX_DEPTH:
            raise self._refused("it is nested too deeply")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def _refused(self, problem: str) -> yaml.MarkedYAMLError:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _refuse_unseen(value: Any, origin: str, where: tuple[str, ...]) -> None:
    """CardError where any text of the document holds what nobody sees."""
    if isinstance(value, str):
        unseen = [character for character in value if not is_plain(character, allowed=_LINES_AND_JOINERS)]
        if unseen:
            raise CardError(
                f"the card {origin} is not valid: {'.'.join(where) or 'card'} holds a character that is not seen",
                found=" ".join(f"U+{ord(each):04X}" for each in unseen[:5]),
                remedy="Write it in plain text.",
            )
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            _refuse_unseen(inner, origin, (*where, str(key)))


def _textual(document: dict[str, Any]) -> dict[str, Any]:
    """YAML reads an unquoted 2026-01-31 as a date; JSON has only text: both are accepted."""
    return dict(json.loads(json.dumps(document, default=str)))


def _sentences(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    told = "; ".join(_sentence(dict(problem)) for problem in problems[:MOST_TOLD])
    return told if len(problems) <= MOST_TOLD else f"{told}; and {len(problems) - MOST_TOLD} more"


def _sentence(problem: dict[str, Any]) -> str:
    field = ".".join(str(step) for step in problem["loc"]) or "card"
    found = problem["input"]
    shown = f", found {found!r:.200}" if isinstance(found, str | int | float | bool) else ""
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}{shown}"
