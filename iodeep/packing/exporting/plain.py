"""Words of a card in a MONAI configuration stay words: nothing that came with a model becomes an expression there.

MONAI evaluates a text that begins with ``$`` as Python, replaces one that begins with ``%`` by what another file says, and takes
``@name`` for a reference, in ``metadata.json`` too (monai.bundle.ConfigParser). So such signs are never left where they count.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from iodeep.errors import InputError

_COUNTING_START = ("$", "%", "@")
_RELATIVE = re.compile(r"([@%])(?=#|::)")


def plain(text: str) -> str:
    """The text with a space where a sign would count; ``#`` is MONAI's other spelling of ``::``, and becomes No."""
    apart = _RELATIVE.sub(r"\1 ", text)
    return f" {apart}" if apart.startswith(_COUNTING_START) else apart


def plain_document(value: Any) -> Any:
    """A JSON document with all of its texts plain; keys are ours and stay."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {key: plain_document(each) for key, each in value.items()}
    return [plain_document(each) for each in value] if isinstance(value, list | tuple) else value


def tensor_name(name: str) -> str:
    """A tensor's name, which cannot be spelt otherwise. InputError where MONAI would not take it as it stands."""
    if plain(name) != name or "#" in name:
        raise InputError(
            f"the tensor {name!r} cannot be named in a MONAI configuration",
            expected="a name that does not begin with $, % or @, and holds no #",
            remedy="Take the model out as plain ONNX (--as onnx), and rename the tensor.",
        )
    return name


def in_markdown(text: str) -> str:
    """A line that Markdown shows as it is: no markup, no links, no second line."""
    return re.sub(r"([\\`*_\[\]#|!])", r"\\\1", escape(" ".join(text.split()), quote=False))
