"""What every part of a card has in common: frozen, closed, strict about what it is told."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

from iodeep.terms import Code

DOCUMENT = "document"
"""The context in which a card is written as a document."""


class CardPart(BaseModel):
    """A frozen part of a card; a field that the schema doesn't know is an error, and so is a number that isn't finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    came_later: ClassVar[frozenset[str]] = frozenset()
    """Fields that cards of the same schema did not have at first; a document leaves them out where they say nothing new."""

    @model_serializer(mode="wrap")
    def _without_what_came_later(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        if info.context == DOCUMENT:
            for name in self.came_later:
                if getattr(self, name) == type(self).model_fields[name].default:
                    document.pop(name, None)
        return document


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class CodedTerm(CardPart):
    """A coded concept: value, scheme designator (SCT, DCM, LN, 99IODEEP ...), meaning (PS3.3 8.1)."""

    value: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    scheme: Annotated[str, StringConstraints(min_length=1, max_length=16)]
    meaning: Annotated[str, StringConstraints(min_length=1, max_length=64)]

    @property
    def code(self) -> Code:
        """The same concept for the rest of the house."""
        return Code(self.value, self.scheme, self.meaning)


class Range(CardPart):
    """From ``min`` to ``max``, both included; an end that is left out is open."""

    min: float | None = None
    max: float | None = None

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies inside."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        if self.min is None:
            return "any" if self.max is None else f"at most {self.max:g}"
        return f"at least {self.min:g}" if self.max is None else f"{self.min:g} to {self.max:g}"
