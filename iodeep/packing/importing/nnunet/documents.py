"""The JSON of a results folder, read with its types: a field that is missing or of another kind is an InputError by its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iodeep.errors import InputError

MOST_BYTES = 16 << 20
REMEDY = "Give the folder as nnU-Net v2 wrote it."


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path.name} is too large", expected=f"at most {MOST_BYTES} bytes", remedy=REMEDY)
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path.name} is missing", remedy=REMEDY) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not JSON: {str(error)[:200]}", remedy=REMEDY) from error
    if not isinstance(document, dict):
        raise InputError(f"{path.name} is not a mapping of fields", found=type(document).__name__, remedy=REMEDY)
    return document


def field(document: Mapping[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """``document[name]``, which must be of ``kind``."""
    value = document.get(name)
    wrong = not isinstance(value, kind) or (isinstance(value, bool) and bool not in (kind, *_several(kind)))
    if wrong:
        raise InputError(f"{where} has no {name} of the kind that it must have", found=repr(value)[:100], remedy=REMEDY)
    return value


def numbers(
    document: Mapping[str, Any], name: str, where: str, *, counts: tuple[int, ...], whole: bool = False
) -> list[Any]:
    """A list of so many finite positive numbers."""
    values = field(document, name, list, where)
    right = len(values) in counts and all(isinstance(value, int | float) and 0 < value < 1e6 for value in values)
    right = right and not (whole and any(isinstance(value, float) for value in values))
    if not right:
        raise InputError(
            f"{where}: {name} must be {' or '.join(map(str, counts))} positive {'whole ' if whole else ''}numbers",
            found=repr(values)[:100],
            remedy=REMEDY,
        )
    return list(values)


def _several(kind: type | tuple[type, ...]) -> tuple[type, ...]:
    return kind if isinstance(kind, tuple) else (kind,)


def number(document: Mapping[str, Any], name: str, where: str) -> float:
    """A finite number."""
    value = field(document, name, (int, float), where)
    if not abs(value) < 1e12:
        raise InputError(f"{where}: {name} is no finite number", found=repr(value)[:100], remedy=REMEDY)
    return float(value)
