"""Which module has which command. A command's module, and what it needs, is imported when the command is called.

Importing everything for each command would cost `iodeep echo` the second that `iodeep pack` needs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "pack": "models.pack",
    "store": "models.store",
    "models": "models.list_archive",
    "show": "models.show",
    "verify": "models.verify",
    "fetch": "models.fetch",
    "select": "series.select",
    "run": "series.run",
    "why": "reasons.why",
    "echo": "site.echo",
    "doctor": "site.doctor",
    "demo": "walkthrough.demo",
}
"""What a user types -> module in this folder and function, in the order in which help shows them."""


def function_of(name: str) -> Callable[..., None]:
    """The function behind the command ``name``."""
    module, _, function = COMMANDS[name].partition(".")
    found: Callable[..., None] = getattr(import_module(f"{__package__}.{module}"), function)
    return found


class CommandGroup(TyperGroup):
    """The commands, each made when it is asked for; all of them for help, and for suggestions to a name that is none."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer calls it so
        """The names, in order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                self.add_command(_command(name), name)
        return super().get_command(ctx, cmd_name)


def _command(name: str) -> Any:
    """What typer makes of the function."""
    alone = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    alone.command(name)(function_of(name))
    return typer.main.get_command(alone)
