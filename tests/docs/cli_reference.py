"""The part of ``docs/cli.md`` that is made from the commands themselves; ``python -m tests.docs.cli_reference`` writes it.

Each command's own help and options stand between two comments, so that the page cannot say anything else than --help.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from iodeep.service.cli.commands import COMMANDS, function_of
from tests.docs.markdown import ROOT

PAGE = ROOT / "docs" / "cli.md"
START, END = "<!-- made from the commands' own help: python -m tests.docs.cli_reference -->", "<!-- end -->"
_VALUES = {Path: "PATH", int: "N", str: "TEXT"}


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a command, as a user types it."""

    names: tuple[str, ...]
    is_argument: bool
    value: str
    help: str
    default: str
    required: bool

    @property
    def row(self) -> str:
        shown = ", ".join(self.names) + (f" {self.value}" if self.value else "")
        needed = " Required." if self.required and not self.is_argument else ""
        default = f" Default: `{self.default}`." if self.default else ""
        return f"| `{shown.replace('|', chr(92) + '|')}` | {self.help}{needed}{default} |"


def commands() -> dict[str, Callable[..., None]]:
    """The functions behind the commands, by the names that a user types."""
    return {name: function_of(name) for name in COMMANDS}


def parameters(command: Callable[..., None]) -> Iterator[Parameter]:
    """What the command takes, in its order."""
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        hint, info = get_args(hints[name])
        assert isinstance(info, ArgumentInfo | OptionInfo)
        required = parameter.default is inspect.Parameter.empty
        shown = "" if required or parameter.default in (None, "", False) else parameter.default
        yield Parameter(
            names=_names(name, info, hint),
            is_argument=isinstance(info, ArgumentInfo),
            value="" if isinstance(info, ArgumentInfo) else _value(hint),
            help=info.help or "",
            default=str(getattr(shown, "value", shown)),
            required=required,
        )


def _names(name: str, info: ArgumentInfo | OptionInfo, hint: Any) -> tuple[str, ...]:
    """Typer keeps the first of ``Option("--pacs", "-p")`` where a default could stand."""
    if isinstance(info, ArgumentInfo):
        return ((info.metavar or name.upper()) + ("..." if get_origin(hint) is list else ""),)
    named = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]
    return tuple(named) or (f"--{name.replace('_', '-')}",)


def _value(hint: Any) -> str:
    """What an option is followed by; nothing for a flag."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType] if get_args(hint) else [hint]
    kind = get_args(kinds[0])[0] if get_origin(kinds[0]) is list else kinds[0]
    if kind is bool:
        return ""
    return "|".join(each.value for each in kind) if issubclass(kind, Enum) else _VALUES[kind]


def reference() -> str:
    """Every command: usage, help, arguments and options."""
    return "\n\n".join(_section(name, command) for name, command in commands().items())


def _section(name: str, command: Callable[..., None]) -> str:
    rows = "\n".join(["| | |", "|---|---|", *(each.row for each in parameters(command))])
    return f"### iodeep {name}\n\n{inspect.getdoc(command)}\n\n{rows}"


def with_reference(text: str) -> str:
    """The page's text with its reference made anew."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{reference()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
