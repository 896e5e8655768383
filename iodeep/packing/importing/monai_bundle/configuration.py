"""A bundle's configuration is data: ``@references`` are looked up here, and no ``$expression`` is ever evaluated.

Only the parts that decide a result are read: the network, the transforms before and after it, the inferer. What stands elsewhere
(data lists, handlers, imports) is not looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from iodeep.errors import InputError

MOST_BYTES = 4 << 20
_DEEPEST = 50
_HARMLESS = re.compile(
    r"^\$(@device|torch\.device\([^()]*\)|torch\.device\('cuda:0' if torch\.cuda\.is_available\(\) else 'cpu'\))$"
)
"""Expressions that name a device, which is ours to choose."""
_MOVED = re.compile(r"^\$@([A-Za-z_][\w:#]*)\.to\(@device\)$")
"""``$@network_def.to(@device)``: the network of that name."""
_CONTROL = ("_target_", "_desc_", "_requires_", "_disabled_", "_mode_")


@dataclass(frozen=True)
class Component:
    """Something that MONAI would instantiate: the last part of its class's name, and resolved arguments."""

    target: str
    arguments: Mapping[str, Any]
    where: str

    @property
    def name(self) -> str:
        """``SpacingD``, ``Spacingd`` and ``SpacingDict`` of monai.transforms are ``Spacingd``; a class from elsewhere keeps its path."""
        home, _, name = self.target.rpartition(".")
        if home and not home.startswith("monai."):
            return self.target
        return re.sub(r"(?<=[a-z])(D|Dict)$", "d", name)


class Device:
    """Stands for whatever names a device."""


class Configuration:
    """One of a bundle's configuration files, by dotted or ``::`` paths."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._document = _parsed(path)

    def has(self, name: str) -> bool:
        """Whether it has an entry of that name at the top."""
        return name in self._document

    def component(self, name: str) -> Component:
        """The component of that name at the top."""
        found = self.resolved(f"@{name}", name)
        if not isinstance(found, Component):
            raise InputError(f"{self.path.name} has no component {name!r}", found=f"{found!r}"[:200])
        return found

    def resolved(self, value: Any, where: str, depth: int = 0) -> Any:
        """``value`` with every reference looked up and every ``_target_`` a :class:`Component`."""
        if depth > _DEEPEST:
            raise InputError(f"{self.path.name} refers to itself, or nests too deeply, at {where}")
        if isinstance(value, str):
            return self._text(value, where, depth)
        if isinstance(value, list):
            return [self.resolved(each, f"{where}::{number}", depth + 1) for number, each in enumerate(value)]
        if isinstance(value, dict):
            return self._mapping(value, where, depth)
        return value

    def _mapping(self, value: dict[str, Any], where: str, depth: int) -> Any:
        if value.get("_disabled_") is True:
            return None
        further = {key: each for key, each in value.items() if key not in _CONTROL}
        resolved = {key: self.resolved(each, f"{where}::{key}", depth + 1) for key, each in further.items()}
        if "_target_" not in value:
            return resolved
        if value.get("_disabled_", False) is not False or value.get("_mode_", "default") != "default":
            raise self._refused(where, "_disabled_ or _mode_", "Say true, false or nothing there.")
        if not isinstance(value["_target_"], str):
            raise InputError(f"{where} in {self.path.name} has a _target_ that is no name")
        return Component(value["_target_"], resolved, where)

    def _text(self, value: str, where: str, depth: int) -> Any:
        if _HARMLESS.match(value):
            return Device()
        if moved := _MOVED.match(value):
            return self.resolved(f"@{moved[1]}", where, depth + 1)
        if value.startswith("$"):
            raise self._refused(
                where, f"the expression {value[:120]!r}", "Write the value itself there: expressions are not evaluated."
            )
        if value.startswith("%"):
            raise self._refused(where, f"the macro {value[:120]!r}", "Write the value itself there.")
        if not value.startswith("@"):
            return value
        if value == "@device":
            return Device()
        return self.resolved(self._looked_up(value[1:], where), value[1:], depth + 1)

    def _looked_up(self, path: str, where: str) -> Any:
        found: Any = self._document
        for step in re.split(r"::|#", path):
            if isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            elif isinstance(found, dict) and step in found:
                found = found[step]
            else:
                raise InputError(f"{where} in {self.path.name} refers to {path!r}, which is not there")
        return found

    def _refused(self, where: str, what: str, remedy: str) -> InputError:
        return InputError(f"{self.path.name} has {what} at {where}, which is not imported", remedy=remedy)


def _parsed(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path.name} is too large", expected=f"at most {MOST_BYTES} bytes")
    text = path.read_bytes()
    try:
        document = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path.name} cannot be parsed: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path.name} is not a mapping", found=type(document).__name__)
    return document
