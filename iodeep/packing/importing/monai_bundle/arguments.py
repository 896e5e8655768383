"""A component's arguments are taken one by one; what nobody took is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.monai_bundle.configuration import Component

WITHOUT_EFFECT = frozenset(
    ("keys", "allow_missing_keys", "device", "dtype", "lazy", "track_meta", "meta_keys", "meta_key_postfix",
     "meta_dict_key_postfix", "orig_meta_keys", "to_tensor", "reader", "image_only", "simple_keys", "data_type")
)  # fmt: skip
"""Arguments that choose names, places of computation and types: here, all is float32 and has its affine.

The reference leaves them out too, so :meth:`Arguments.about` and :meth:`Arguments.keeps_floats` see to it that they have no effect.
"""
_FLOATS = frozenset(
    f"{home}{name}" for home in ("", "torch.", "np.", "numpy.") for name in ("float32", "float64", "float", "double")
)


class Arguments:
    """Of one component."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._keys, self._types = component.arguments.get("keys"), component.arguments.get("dtype")
        self._left = {name: value for name, value in component.arguments.items() if name not in WITHOUT_EFFECT}

    def about(self, key: str) -> None:
        """Refuse a transform of another item than ``key``."""
        if key not in (self._keys if isinstance(self._keys, list) else [self._keys]):
            raise self.refused("keys", self._keys, repr(key))

    def keeps_floats(self) -> None:
        """Refuse one that makes values anything but floats."""
        for kind in self._types if isinstance(self._types, list) else [self._types]:
            if kind is not None and kind not in _FLOATS:
                raise self.refused("dtype", kind, "float32")

    def take(self, name: str, default: Any = None) -> Any:
        """Its value; a sequence of one value stands for the value."""
        value = self._left.pop(name, default)
        if isinstance(value, list) and len(value) == 1 and not isinstance(default, list):
            return value[0]
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number."""
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refused(name, value, "a number")
        return float(value)

    def optional_number(self, name: str) -> float | None:
        """A number, or None where it says nothing."""
        return None if self._left.get(name) is None and self.take(name) is None else self.number(name)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self.take(name, default)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refused(name, value, "true or false")
        return value

    def one_of(self, name: str, allowed: Sequence[Any], default: Any) -> Any:
        """One of ``allowed``; any other is refused."""
        value = self.take(name, default)
        if isinstance(value, list) or value not in allowed:
            raise self.refused(name, value, " or ".join(repr(each) for each in allowed))
        return value

    def only(self, **expected: Any) -> None:
        """Arguments that may be given with this value alone, which is what they have left out."""
        for name, value in expected.items():
            if name in self._left:
                self.one_of(name, (value, None), value)

    def numbers(self, name: str, count: int) -> list[float]:
        """So many numbers; one stands for all."""
        value = self._left.pop(name, None)
        given = value if isinstance(value, list) else [value]
        given = given * count if len(given) == 1 else given
        if len(given) != count or any(isinstance(each, bool) or not isinstance(each, int | float) for each in given):
            raise self.refused(name, value, f"{count} numbers")
        return [float(each) for each in given]

    def done(self) -> None:
        """Refuse what is left."""
        for name, value in self._left.items():
            if value is not None:
                raise self.refused(name, value, "nothing there")

    def refused(self, name: str, value: Any, expected: str) -> InputError:
        """The error about one argument."""
        component = self._component
        return InputError(
            f"{component.name} at {component.where} has {name} = {value!r}, which a card cannot say"[:500],
            expected=expected,
            remedy="Change it there if that gives the same result, or pack the network as ONNX with a card of your own.",
        )
