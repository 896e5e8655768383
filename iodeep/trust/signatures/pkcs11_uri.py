"""Which key in which token is meant, as a PKCS #11 URI says it (RFC 7512). A URI with a PIN in it is refused, and never shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from iodeep.errors import InputError

SCHEME = "pkcs11:"
_TOKEN = ("token", "manufacturer", "serial", "model")
_KNOWN = frozenset((*_TOKEN, "object", "id", "type", "module-path"))
_EXAMPLE = "pkcs11:token=Signing;object=developer, with %XX for other characters (RFC 7512)"


@dataclass(frozen=True)
class KeyUri:
    """What has to fit; an empty attribute fits anything."""

    token: str = ""
    manufacturer: str = ""
    serial: str = ""
    model: str = ""
    object: str = ""
    """Label of the key."""
    id: bytes = b""
    module_path: Path | None = None

    def __str__(self) -> str:
        said = [f"{name}={getattr(self, name)}" for name in (*_TOKEN, "object") if getattr(self, name)]
        return SCHEME + ";".join([*said, *([f"id={self.id.hex()}"] if self.id else [])])


def is_key_uri(text: str) -> bool:
    """Whether it is meant to be such a URI."""
    return text.casefold().startswith(SCHEME)


def key_uri(text: str) -> KeyUri:
    """The URI taken apart; InputError for one that cannot be, or that says more than we keep to."""
    attributes = _attributes(text)
    if attributes.pop("type", b"private") != b"private":
        raise _wrong("its type is not `private`")
    path = attributes.pop("module-path", b"")
    key_id = attributes.pop("id", b"")
    try:
        named = {name: value.decode() for name, value in attributes.items()}
        module = Path(path.decode()) if path else None
    except UnicodeDecodeError as error:
        raise _wrong("a name in it is not UTF-8") from error
    if not key_id and not named.get("object"):
        raise _wrong("it names no key by `object` or `id`")
    return KeyUri(**named, id=key_id, module_path=module)


def _attributes(text: str) -> dict[str, bytes]:
    path, _, query = text[len(SCHEME) :].partition("?")
    found: dict[str, bytes] = {}
    if any(each in text.casefold() for each in ("pin-value", "pin-source")):  # in another's value too, after a slip
        raise _wrong("it says where the PIN is or what it is, which others on this machine could read")
    for each in (*path.split(";"), *query.split("&")):
        name, separator, value = each.partition("=")
        if not each:
            continue
        if not separator or name not in _KNOWN or name in found:
            raise _wrong(f"{name[:40]!r} stands twice in it or is not known here")
        found[name] = unquote_to_bytes(value)
    return found


def _wrong(why: str) -> InputError:
    return InputError(
        f"the PKCS #11 URI of the key cannot be used: {why}",
        expected=_EXAMPLE,
        remedy="Leave the PIN to the variable IODEEP_PKCS11_PIN, or to be asked for.",
    )
