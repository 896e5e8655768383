"""What whoever starts the service should know of models: which will run, which won't, why, and how to change it.

The register is open only for this: nothing of it is there while processes are made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing

from iodeep.errors import IODeepError, LocalStorageError
from iodeep.lifecycle_settings import states_count
from iodeep.service.audit import open_audit
from iodeep.service.configuration import Configuration
from iodeep.service.lifecycle.opening import open_register
from iodeep.service.serving.context import DataFolders
from iodeep.service.serving.shadow import need_shadow_archive, shadow_archive_of
from iodeep.trust.lifecycle import ModelState, Standing

log = logging.getLogger(__name__)

_MOST_NAMED = 20


def check_trials(configuration: Configuration, folders: DataFolders) -> None:
    """SettingsError where results of trials would go to a clinical archive, or have nowhere to go."""
    settings = configuration.settings
    shadow_archive_of(settings)
    if not states_count(settings.lifecycle, serving=True):
        return
    try:
        on_trial = _named(_standings(configuration, folders), ModelState.SHADOW)
    except LocalStorageError as error:
        log.warning("%s", error)
        return
    if on_trial:
        need_shadow_archive(settings, ", ".join(on_trial))


def models_told(configuration: Configuration, folders: DataFolders) -> Iterator[str]:
    """A sentence for each kind of models."""
    settings = configuration.settings
    if not states_count(settings.lifecycle, serving=True):
        yield "WARNING: models run that nobody has approved: required is false under [lifecycle] in iodeep.toml."
        return
    try:
        known = _standings(configuration, folders)
    except IODeepError as error:
        yield f"WARNING: no model is run: {error}"
        return
    approved, on_trial = _named(known, ModelState.APPROVED), _named(known, ModelState.SHADOW)
    if approved:
        yield f"approved models run: {_list(approved)}; what else is in the archive does not (`iodeep states`)."
    else:
        yield (
            "WARNING: no model is approved, and so none is run: `iodeep approve UID --reason WHY` checks one of the archive and"
            " approves it. Models that nobody approved run with required = false under [lifecycle] in iodeep.toml."
        )
    if on_trial:
        yield f"on trial, with results to {shadow_archive_of(settings)} alone: {_list(on_trial)}."
    others = [f"{each.release.name} ({each.state.value})" for each in known if each.state not in _RUN]
    if others:
        yield f"not run: {_list(others)}."


_RUN = (ModelState.APPROVED, ModelState.SHADOW)


def _standings(configuration: Configuration, folders: DataFolders) -> Sequence[Standing]:
    with closing(open_audit(folders, "serve")) as audit, open_register(configuration, folders, audit) as register:
        return register.standings()


def _named(known: Sequence[Standing], state: ModelState) -> list[str]:
    return [each.release.name for each in known if each.state is state]


def _list(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
