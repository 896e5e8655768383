"""A network's tensors: their declared sizes are worked out and compared with their data before anything is allocated.

External data may only be a file that the card lists, beside the network, and only bytes within that file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from iodeep.errors import NetworkError

BYTES_OF_TYPE = {
    "FLOAT": 4, "DOUBLE": 8, "FLOAT16": 2, "BFLOAT16": 2, "BOOL": 1,
    "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8,
}  # fmt: skip
TYPED_FIELDS = {
    "FLOAT": "float_data", "DOUBLE": "double_data", "INT64": "int64_data",
    "UINT32": "uint64_data", "UINT64": "uint64_data",
}  # fmt: skip
"""The field that holds numbers of a type when ``raw_data`` doesn't; ``int32_data`` for the others."""
MAX_TENSOR_ELEMENTS = 1 << 36
MAX_AXES = 16
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def quoted(name: object) -> str:
    """A name out of a file that nobody vouches for, fit for a message: printable ASCII and short."""
    text = str(name).encode("ascii", "backslashreplace").decode()
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return f"'{text[:80]}...'" if len(text) > 80 else f"'{text}'"


@dataclass
class Weights:
    """Counts and checks every tensor; ``listed`` names the external data that there may be, ``there`` the bytes of each."""

    listed: Collection[str]
    there: Mapping[str, int]
    left_out: Mapping[int, int] = field(default_factory=dict)
    """Bytes of raw data that were not read, by index among the network's initializers."""
    parameters: int = 0
    external: set[str] = field(default_factory=set)

    def check(self, tensor: Any, left_out: int | None = None) -> None:
        """Raise NetworkError unless the tensor's data is there, of the declared size, and of plain numbers.

        ``left_out``: the length of its raw data where that was not read.
        """
        name = quoted(tensor.name)
        kind = _type_name(tensor)
        if kind not in BYTES_OF_TYPE:
            raise NetworkError(
                f"the tensor {name} has a type that is not allowed", expected=", ".join(BYTES_OF_TYPE), found=kind
            )
        dims = list(tensor.dims)
        if len(dims) > MAX_AXES or min(dims, default=0) < 0 or prod(dims) > MAX_TENSOR_ELEMENTS:
            raise NetworkError(
                f"the tensor {name} declares an impossible size",
                expected=f"at most {MAX_AXES} axes and {MAX_TENSOR_ELEMENTS} elements",
                found=" x ".join(map(str, dims[: MAX_AXES + 1])),
            )
        if tensor.HasField("segment"):
            raise NetworkError(f"the tensor {name} is stored in segments, which no runtime reads")
        count = prod(dims)
        if tensor.data_location == tensor.EXTERNAL:
            self._check_external(tensor, count * BYTES_OF_TYPE[kind])
        else:
            _check_inline(tensor, kind, count, left_out)
        self.parameters += count

    def _check_external(self, tensor: Any, size: int) -> None:
        name = quoted(tensor.name)
        entries = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
        location = entries.get("location", "")
        if not _PLAIN_NAME.fullmatch(location) or location not in self.listed:
            raise NetworkError(
                f"the tensor {name} points to a file outside of the model: {quoted(location)}",
                expected=f"one of the card's external_data ({', '.join(self.listed) or 'none'})",
                remedy="Nothing was opened. List the file in network.external_data, under a plain name.",
            )
        if location not in self.there:
            raise NetworkError(
                f"the external data {location} is missing", expected=f"a file {location} beside the network"
            )
        offset, length = _number(entries, "offset", 0, name), _number(entries, "length", size, name)
        available = self.there[location]
        if length != size or offset + length > available:
            raise NetworkError(
                f"the tensor {name} and its external data {location} don't fit together",
                expected=f"{size} bytes at most up to byte {available}",
                found=f"{length} bytes from byte {offset}",
                remedy="Export the network again, or give the file that belongs to it.",
            )
        self.external.add(location)


def _text(value: str | bytes) -> str:
    """A text of a protobuf, which are bytes where they are no UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _number(entries: dict[str, str], key: str, default: int, name: str) -> int:
    text = entries.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NetworkError(f"the tensor {name} has an external-data {key} that is not a number", found=quoted(text))
    return int(text)


def _check_inline(tensor: Any, kind: str, count: int, left_out: int | None) -> None:
    if tensor.HasField("raw_data"):
        found, expected = len(tensor.raw_data) if left_out is None else left_out, count * BYTES_OF_TYPE[kind]
        unit = "bytes"
    else:
        found, expected = len(getattr(tensor, TYPED_FIELDS.get(kind, "int32_data"))), count
        unit = "numbers"
    if found != expected:
        raise NetworkError(
            f"the tensor {quoted(tensor.name)} declares another size than its data has",
            expected=f"{expected} {unit} for {' x '.join(map(str, tensor.dims))} {kind}",
            found=f"{found} {unit}",
            remedy="The file is damaged or was made up; export the network again.",
        )


def _type_name(tensor: Any) -> str:
    try:
        return str(tensor.DataType.Name(tensor.data_type))
    except ValueError:
        return f"type {tensor.data_type}"
