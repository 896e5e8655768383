"""What a pickle would import, read off its opcodes; nothing of it is executed (:func:`pickletools.genops`)."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import BinaryIO

from iodeep.model_object.bounded import Bounded, TooLargeError

MAX_PICKLE_BYTES = 4 << 20
MAX_PICKLES = 8
"""``torch.save``'s old form is five pickles after each other."""
_STORES = frozenset({"MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"})
_RECALLS = frozenset({"BINGET", "LONG_BINGET", "GET"})


def imports_of_pickles(stream: BinaryIO, limit: int = MAX_PICKLE_BYTES) -> tuple[str, ...]:
    """``module.name`` of every import, in order, once each; what lies past ``limit`` bytes or is malformed is left out."""
    imports: dict[str, None] = {}
    bounded = Bounded(stream, limit)
    try:
        for _ in range(MAX_PICKLES):
            imports.update(dict.fromkeys(_imports(bounded)))
    except (ValueError, TooLargeError, UnicodeDecodeError, OverflowError):
        pass  # not a pickle from here on
    return tuple(imports)


def _imports(stream: Bounded) -> Iterator[str]:
    """Follow strings through stack and memo as far as STACK_GLOBAL needs: it takes the last two."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    top = ""
    for opcode, argument, _ in pickletools.genops(stream):  # type: ignore[arg-type]
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(strings[-2:]) if len(strings) >= 2 else "something that is computed"
        elif opcode.name in _STORES:
            memo[len(memo) if argument is None else int(argument)] = top
            continue
        top = memo.get(int(argument or 0), "") if opcode.name in _RECALLS else _string(argument)
        if top:
            strings.append(top)


def _string(argument: object) -> str:
    return argument if isinstance(argument, str) else ""
