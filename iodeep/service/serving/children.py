"""Which processes a machine's roles come to. Each is named by its entry function and imported in its own process alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module

from iodeep.serve_settings import ServeRole, ServeSettings
from iodeep.service.serving.context import Entry


@dataclass(frozen=True)
class Child:
    """One process: its name, and ``module:function``."""

    name: str
    entry: str

    def load(self) -> Entry:
        """The entry function."""
        module, _, function = self.entry.partition(":")
        found: Entry = getattr(import_module(module), function)
        return found


INTAKE = Child("intake", "iodeep.service.intake.process:run_intake")
API = Child("api", "iodeep.service.api:run_api")
WORKER = "iodeep.service.serving.working:run_worker"


def children_of(roles: Iterable[ServeRole], settings: ServeSettings, workers: int) -> tuple[Child, ...]:
    """The processes for these roles, as far as the settings want them."""
    wanted = frozenset(roles)
    all_of_it = ServeRole.ALL in wanted
    children = []
    if (all_of_it or ServeRole.LISTENER in wanted) and (settings.listener.enabled or settings.polls):
        children.append(INTAKE)
    if (all_of_it or ServeRole.API in wanted) and settings.http.enabled:
        children.append(API)
    if all_of_it or ServeRole.WORKER in wanted:
        children += [Child(f"worker-{number}", WORKER) for number in range(1, workers + 1)]
    return tuple(children)
