"""The archive that results of models on trial go to: never one that clinical work knows.

Two names for one address are one archive, whatever their AE titles, which many archives don't look at. What this cannot see is an
archive that hands on what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator

from iodeep.errors import SettingsError
from iodeep.settings import PacsSettings, Settings


def shadow_archive_of(settings: Settings) -> str:
    """``[lifecycle] shadow_archive``, empty where none is set. SettingsError where it is an archive of clinical work."""
    name = settings.lifecycle.shadow_archive if settings.lifecycle else ""
    if not name:
        return ""
    addresses = set(_addresses(settings.archive(name)))
    for clinical in sorted(_clinical(settings)):
        if addresses & set(_addresses(settings.archive(clinical))):
            raise SettingsError(
                f"the shadow_archive {name!r} is an archive of clinical work",
                expected="one that no series comes from by itself and no clinical result goes to",
                found=f"the same address as {clinical!r}"
                if clinical != name
                else "the archive that clinical results go to",
                remedy="Name a research archive under [lifecycle] in iodeep.toml, or leave shadow_archive out.",
            )
    return name


def need_shadow_archive(settings: Settings, models: str) -> str:
    """The archive, which has to be there for ``models`` on trial. SettingsError where it is not set."""
    name = shadow_archive_of(settings)
    if not name:
        raise SettingsError(
            f"results of {models} have nowhere to go: a model in the state shadow needs an archive of its own",
            expected='shadow_archive = "NAME" under [lifecycle] in iodeep.toml, and [pacs.NAME] with its address',
            remedy="Set it, or put the model to quarantine (`iodeep quarantine`).",
        )
    return name


def _clinical(settings: Settings) -> set[str]:
    """Archives that series come from by themselves, or clinical results go to."""
    only = next(iter(settings.pacs), "") if len(settings.pacs) == 1 else ""
    named = {settings.default_pacs or only, settings.serve.results_to, *(each.pacs for each in settings.serve.polls)}
    return {each for each in named if each}


def _addresses(pacs: PacsSettings) -> Iterator[tuple[object, ...]]:
    if pacs.host:
        yield (pacs.host.casefold(), pacs.port)
    if pacs.dicomweb:
        yield (pacs.dicomweb.rstrip("/").casefold(),)
