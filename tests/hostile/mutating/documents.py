"""JSON documents: values replaced, fields dropped, doubled, renamed and nested; types confused; numbers at their edges."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

from tests.hostile.canary import Canary
from tests.hostile.mutating.texts import hostile

NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 64, 255, 65536, 50_001, 1 << 31, 1 << 32, 1 << 53, 1 << 63, 1 << 64, -(1 << 63), 10**40,
    0.5, -0.0, 1e-300, 1e-9, 1e9, 1e300, 1.7976931348623157e308, 5e-324,
)  # fmt: skip
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))


def changed(document: Any, random: Random, canary: Canary | None = None, *, finite: bool = False) -> Any:
    """A copy with one to three changes. ``finite``: without numbers that JSON does not have."""
    found = copy.deepcopy(document)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        found = _changed_once(found, random, canary, finite=finite)
    return found


def written(document: Any, random: Random) -> bytes:
    """As JSON text, now and then with a key twice."""
    text = json.dumps(document)
    if isinstance(document, dict) and document and random.random() < 0.05:
        key = random.choice(list(document))
        text = text[:-1] + "," + json.dumps(key) + ":" + json.dumps(document[key]) + "}"
    return text.encode()


def deep(depth: int, *, lists: bool = True) -> bytes:
    """JSON text that is nested so deep."""
    return (b"[" * depth + b"]" * depth) if lists else (b'{"a":' * depth + b"1" + b"}" * depth)


def _changed_once(document: Any, random: Random, canary: Canary | None, *, finite: bool) -> Any:
    path = random.choice(_paths(document))
    if not path:
        return _value(document, random, canary, finite=finite)
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    key, how = path[-1], random.random()
    if how < 0.65:
        parent[key] = _value(parent[key], random, canary, finite=finite)
    elif how < 0.75:
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(random.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
    elif how < 0.88:
        parent[hostile(random, canary)] = parent.pop(key)
    else:
        parent[random.choice(("extra", "__class__", "$ref", key + " ", key.upper()))] = copy.deepcopy(parent[key])
    return document


def _paths(document: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [before]
    steps = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in steps:
        found += _paths(value, (*before, key))
    return found


def _value(value: Any, random: Random, canary: Canary | None, *, finite: bool) -> Any:
    how = random.random()
    if isinstance(value, bool):
        return not value if how < 0.7 else random.choice((None, 1, "yes"))
    if isinstance(value, int | float) and how < 0.75:
        near = (value + 1, value - 1, -value, value * 2, value / 3)
        return random.choice((*NUMBERS, *near, *(() if finite else NOT_FINITE)))
    if isinstance(value, str) and how < 0.75:
        return random.choice(
            (hostile(random, canary), value[:-1], value + "x", value * 40, value.upper(), value.swapcase())
        )
    if isinstance(value, list) and how < 0.5:
        return random.choice(([], value * 2, value[::-1], value * 200, [value]))
    nested: Any = value
    for _ in range(random.choice((1, 5, 60))):
        nested = [nested]
    return random.choice(
        (None, True, {}, [], "", hostile(random, canary), random.choice(NUMBERS), {"a": value}, nested)
    )
