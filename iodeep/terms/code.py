"""A coded concept (PS3.3 8.1): value, scheme designator, meaning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """Two codes are the same concept when value and scheme agree, whatever their meanings say."""

    value: str
    scheme: str
    meaning: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and (self.value, self.scheme) == (other.value, other.scheme)

    def __hash__(self) -> int:
        return hash((self.value, self.scheme))

    def __str__(self) -> str:
        return f"({self.value}, {self.scheme}, {self.meaning!r})"
