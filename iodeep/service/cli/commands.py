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
    "pack": "packing.pack",
    "store": "models.store",
    "models": "models.list_archive",
    "show": "models.show",
    "verify": "models.verify",
    "self-test": "self_tests.self_test",
    "sign": "signing.sign",
    "revoke": "signing.revoke",
    "states": "lifecycle.states",
    "quarantine": "lifecycle.quarantine",
    "shadow": "lifecycle.shadow",
    "approve": "lifecycle.approve",
    "retire": "lifecycle.retire",
    "rollback": "lifecycle.rollback",
    "fetch": "models.fetch",
    "unpack": "unpacking.unpack",
    "export": "exchange.export",
    "import": "exchange.import_",
    "send": "exchange.send",
    "catalogue": "exchange.catalogue",
    "select": "series.select",
    "run": "series.run",
    "why": "reasons.why",
    "echo": "site.echo",
    "doctor": "site.doctor",
    "demo": "walkthrough.demo",
    "serve": "serving.serve",
    "status": "jobs.status",
    "summary": "jobs.summary",
    "jobs list": "jobs.jobs_list",
    "jobs show": "jobs.jobs_show",
    "jobs follow": "jobs.jobs_follow",
    "jobs cancel": "jobs.jobs_cancel",
    "jobs retry": "jobs.jobs_retry",
    "keys list": "security.keys_list",
    "keys add": "security.keys_add",
    "keys revoke": "security.keys_revoke",
    "signing-key new": "signing.key_new",
    "signing-key list": "signing.key_list",
    "signing-key show": "signing.key_show",
    "tls init": "security.tls_init",
    "tls check": "security.tls_check",
    "audit verify": "security.audit_verify",
    "audit show": "security.audit_show",
}
"""What a user types -> module in this folder and function, in the order in which help shows them."""
GROUPS = {
    "jobs": "Jobs of the service: what was asked for, and what became of it.",
    "keys": "API keys: who may call the service without a person.",
    "signing-key": "Keys that models are signed with, and those that this site trusts.",
    "tls": "Certificates of this service.",
    "audit": "The record of who did what.",
}
"""The first word of commands of two words, and what help says about it."""


def function_of(name: str) -> Callable[..., None]:
    """The function behind the command ``name``."""
    module, _, function = COMMANDS[name].partition(".")
    found: Callable[..., None] = getattr(import_module(f"{__package__}.{module}"), function)
    return found


class CommandGroup(TyperGroup):
    """The commands, each made when it is asked for; all of them for help, and for suggestions to a name that is none."""

    below = ""
    """The first word, where this is a group within the group."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer calls it so
        """The names, in order."""
        named = (name.removeprefix(self.below) for name in COMMANDS if name.startswith(self.below))
        return list(dict.fromkeys(name.split()[0] for name in named))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        names = self.list_commands(ctx)
        for name in [cmd_name] if cmd_name in names else names:
            if name not in self.commands:
                self.add_command(
                    _group(name) if not self.below and name in GROUPS else _command(self.below + name), name
                )
        return super().get_command(ctx, cmd_name)


def _group(word: str) -> Any:
    """The commands of two words that begin with this one."""
    made = CommandGroup(name=word, help=GROUPS[word], no_args_is_help=True)
    made.below = f"{word} "
    return made


def _command(name: str) -> Any:
    """What typer makes of the function."""
    alone = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    alone.command(name.split()[-1])(function_of(name))
    return typer.main.get_command(alone)
